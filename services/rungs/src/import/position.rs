//! How far an import is, kept in a file so that it can go on after an interruption: `$XDG_STATE_HOME/rungs/imports/ID.json`
//! (`~/.local/state` where that is not set), or beside the imported file where the folder cannot be written. Written after
//! every acknowledged batch, whole or not at all.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::batches::Batch;
use super::send::Sent;
use super::{Job, SHOWN_REJECTED};
use crate::failure::Failure;

/// Files that are looked at for earlier imports, at most.
const MAX_LOOKED_AT: usize = 10_000;

/// What the collector has acknowledged of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The imported file, absolute.
    file: String,
    /// The site that the rows are for.
    #[serde(default)]
    site: String,
    /// The collector; another one has another position.
    pub(super) url: String,
    pub(super) shift_minutes: Option<i64>,
    /// Rows from the file's start that were acknowledged, accepted or not.
    pub(super) acked_rows: u64,
    pub(super) accepted_rows: u64,
    pub(super) rejected_rows: u64,
    /// The first rows that were not stored.
    pub(super) rejected: Vec<RejectedRow>,
    /// The collector knows that no row is missing.
    pub(super) completed: bool,
    #[serde(skip)]
    path: PathBuf,
    #[serde(skip)]
    fallback: PathBuf,
}

/// A row that was not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RejectedRow {
    /// Of the file, from 1.
    #[serde(alias = "row")]
    pub(super) line: u64,
    pub(super) reason: String,
}

impl Position {
    /// The first row is the next.
    pub(super) fn begin(base: &str, job: &Job, shift_minutes: Option<i64>) -> Self {
        let (path, fallback) = paths(base, &job.file);
        Self {
            file: absolute(&job.file),
            site: job.site.clone(),
            url: job.url.clone(),
            shift_minutes,
            acked_rows: 0,
            accepted_rows: 0,
            rejected_rows: 0,
            rejected: Vec::new(),
            completed: false,
            path,
            fallback,
        }
    }

    /// The position that an earlier run left.
    pub(super) fn load(base: &str, file: &Path) -> Option<Self> {
        let (path, fallback) = paths(base, file);
        [path, fallback.clone()].into_iter().find_map(|path| {
            let text = std::fs::read(&path).ok()?;
            let position: Self = serde_json::from_slice(&text).ok()?;
            Some(Self { path, fallback: fallback.clone(), ..position })
        })
    }

    /// Whether nothing of the import was sent yet.
    pub(super) fn is_at_its_beginning(&self) -> bool {
        self.acked_rows == 0 && !self.completed
    }

    /// Rows that imports of this file brought before to this site, when its content or the columns were others.
    pub(super) fn rows_of_other_content(&self) -> u64 {
        let folders = [self.path.parent(), self.fallback.parent()];
        let files =
            folders.into_iter().flatten().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
        let paths: BTreeSet<PathBuf> =
            files.flatten().map(|entry| entry.path()).take(MAX_LOOKED_AT).collect();
        let others = paths.into_iter().filter(|path| *path != self.path && *path != self.fallback);
        let others = others.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        let read = |path: PathBuf| serde_json::from_slice::<Self>(&std::fs::read(path).ok()?).ok();
        let is_same =
            |other: &Self| (&other.file, &other.site, &other.url) == (&self.file, &self.site, &self.url);
        others.filter_map(read).filter(is_same).map(|other| other.accepted_rows).sum()
    }

    /// Counts an acknowledged batch.
    pub(super) fn take(&mut self, batch: &Batch, sent: &Sent) {
        let mut rejected = batch.rejected.clone();
        rejected.extend(sent.rejected.iter().map(|event| RejectedRow {
            line: batch.line_of(event.index),
            reason: format!("{} ({})", event.message, event.code),
        }));
        rejected.sort_by_key(|rejected| rejected.line);
        self.acked_rows = batch.last_row;
        self.accepted_rows += sent.accepted;
        self.rejected_rows +=
            batch.rejected.len() as u64 + (batch.lines.len() as u64).saturating_sub(sent.accepted);
        let room = SHOWN_REJECTED.saturating_sub(self.rejected.len());
        self.rejected.extend(rejected.into_iter().take(room));
    }

    /// Makes it durable.
    pub(super) fn save(&mut self) -> Result<(), Failure> {
        if write(&self.path, self).is_ok() {
            return Ok(());
        }
        self.path.clone_from(&self.fallback);
        write(&self.path, self).map_err(|error| {
            let path = self.path.display();
            Failure::new(format!("the import's position cannot be kept in {path}: {error}; set XDG_STATE_HOME to a folder that can be written"))
        })
    }
}

fn absolute(file: &Path) -> String {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string()
}

/// In the folder of states, and beside the file.
fn paths(base: &str, file: &Path) -> (PathBuf, PathBuf) {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let beside = file.with_file_name(format!("{name}.import-{base}.json"));
    let folder = state_folder().map(|folder| folder.join("rungs/imports").join(format!("{base}.json")));
    (folder.unwrap_or_else(|| beside.clone()), beside)
}

fn state_folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))
}

fn write(path: &Path, position: &Position) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let part = path.with_extension("part");
    let mut file = std::fs::File::create(&part)?;
    file.write_all(&serde_json::to_vec_pretty(position)?)?;
    file.sync_all()?;
    std::fs::rename(part, path)?;
    // The name is durable with its folder.
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => std::fs::File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::send::RejectedEvent;
    use super::*;

    fn position(folder: &Path) -> Position {
        Position {
            file: "events.csv".into(),
            site: "shop".into(),
            url: "http://127.0.0.1:1".into(),
            shift_minutes: Some(-3),
            acked_rows: 0,
            accepted_rows: 0,
            rejected_rows: 0,
            rejected: Vec::new(),
            completed: false,
            path: folder.join("state/position.json"),
            fallback: folder.join("beside.json"),
        }
    }

    fn batch(lines: &[u64], rejected: &[u64], last_row: u64) -> Batch {
        let rejected = rejected.iter().map(|line| RejectedRow { line: *line, reason: "no time".into() });
        Batch { lines: lines.to_vec(), rejected: rejected.collect(), last_row, ..Batch::default() }
    }

    #[test]
    fn rejected_rows_are_counted_and_the_first_are_kept_in_order() {
        let mut position = position(Path::new("/"));
        let event = |index| RejectedEvent { index, code: "invalid_timestamp".into(), message: "no".into() };
        position.take(&batch(&[1, 2, 4], &[3], 4), &Sent { accepted: 2, rejected: vec![event(2)] });
        assert_eq!((position.acked_rows, position.accepted_rows, position.rejected_rows), (4, 2, 2));
        let shown: Vec<_> = position.rejected.iter().map(|row| (row.line, row.reason.as_str())).collect();
        assert_eq!(shown, [(3, "no time"), (4, "no (invalid_timestamp)")]);
        let many: Vec<u64> = (5..100).collect();
        position.take(&batch(&[], &many, 99), &Sent::default());
        assert_eq!((position.rejected_rows, position.rejected.len()), (97, SHOWN_REJECTED));
    }

    #[test]
    fn rows_of_the_same_file_with_other_content_are_known_before_it_is_imported_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut before = Position { accepted_rows: 7, completed: true, ..position(folder.path()) };
        before.save().unwrap();
        let now = Position { path: folder.path().join("state/other.json"), ..position(folder.path()) };
        assert!(now.is_at_its_beginning() && !before.is_at_its_beginning());
        assert_eq!((now.rows_of_other_content(), before.rows_of_other_content()), (7, 0));
        for other in [
            Position { file: "others.csv".into(), ..now.clone() },
            Position { site: "blog".into(), ..now.clone() },
            Position { url: "http://127.0.0.1:2".into(), ..now },
        ] {
            assert_eq!(other.rows_of_other_content(), 0);
        }
    }

    #[test]
    fn a_position_is_read_back_and_written_beside_the_file_where_the_folder_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = position(folder.path());
        kept.save().unwrap();
        let text = std::fs::read(&kept.path).unwrap();
        let read: Position = serde_json::from_slice(&text).unwrap();
        assert_eq!(Position { path: kept.path.clone(), fallback: kept.fallback.clone(), ..read }, kept);

        std::fs::write(folder.path().join("file"), "").unwrap();
        kept.path = folder.path().join("file/position.json");
        kept.save().unwrap();
        assert_eq!(kept.path, kept.fallback);
        assert!(kept.fallback.exists());
    }
}

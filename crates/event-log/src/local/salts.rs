//! The salts of one process: a file of its own in the data folder, written anew with every change and readable by its
//! owner only. It is no part of the log: a log's files keep what was deleted from them for a while.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::salts::{Salt, SaltTopic, Salts};

/// Salts in a file.
pub struct SaltFile {
    path: PathBuf,
    known: watch::Sender<Option<Arc<Salts>>>,
    changes: Mutex<()>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    day: i64,
    salt: Vec<u8>,
}

impl SaltFile {
    /// Opens or begins the file. One that cannot be understood is begun anew: all that it costs is that today's visitors
    /// count once more.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let salts = match fs::read_to_string(path) {
            Ok(text) => read(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Salts::default(),
            Err(error) => return Err(error),
        };
        let known = watch::Sender::new(Some(Arc::new(salts)));
        Ok(Self { path: path.to_owned(), known, changes: Mutex::new(()) })
    }

    /// Changes what is known, in the file first.
    fn change(&self, change: impl FnOnce(&mut Salts) -> bool) -> io::Result<()> {
        let _one_at_a_time = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut salts = self.known.borrow().as_deref().cloned().unwrap_or_default();
        if change(&mut salts) {
            write(&self.path, &salts)?;
            self.known.send_replace(Some(Arc::new(salts)));
        }
        Ok(())
    }
}

impl SaltTopic for SaltFile {
    fn append(&self, day: i64, salt: Salt) -> Result<(), String> {
        let changed = self.change(|salts| salts.take(day, salt));
        changed.map_err(|error| format!("{}: {error}", self.path.display()))
    }

    fn known(&self) -> watch::Receiver<Option<Arc<Salts>>> {
        self.known.subscribe()
    }

    fn forget_before(&self, day: i64) {
        if let Err(error) = self.change(|salts| salts.forget_before(day)) {
            tracing::warn!(%error, path = %self.path.display(), "a past day's salt could not be deleted; tried again");
        }
    }
}

fn read(text: &str) -> Salts {
    let mut salts = Salts::default();
    for Line { day, salt } in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
        if let Some(salt) = Salt::of(&salt) {
            salts.take(day, salt);
        }
    }
    salts
}

/// Whole or not at all, also where the power fails.
fn write(path: &Path, salts: &Salts) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = owners_only(&beside)?;
    for (day, salt) in salts.iter() {
        let line = serde_json::to_string(&Line { day, salt: salt.bytes().to_vec() })?;
        writeln!(file, "{line}")?;
    }
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn owners_only(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_survive_a_restart_and_forgotten_ones_leave_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("salts");
        let salts = SaltFile::open(&path).unwrap();
        salts.append(1, Salt::random()).unwrap();
        salts.append(2, Salt::random()).unwrap();
        let kept = salts.known().borrow().clone();
        salts.append(2, Salt::random()).unwrap();
        let again = SaltFile::open(&path).unwrap();
        assert_eq!(*again.known().borrow(), kept);
        again.forget_before(2);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() == 1 && text.contains("\"day\":2"), "{text}");
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("salts");
        fs::write(&path, "{\"day\":1,\"salt\":[1,2]}\nwhat?").unwrap();
        let salts = SaltFile::open(&path).unwrap();
        assert_eq!(salts.known().borrow().as_ref().unwrap().iter().count(), 0);
        salts.append(1, Salt::random()).unwrap();
        assert_eq!(SaltFile::open(&path).unwrap().known().borrow().as_ref().unwrap().iter().count(), 1);
    }
}

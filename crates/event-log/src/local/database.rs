//! fjall as the log needs it: opening (with repair of a torn journal), its memory, and commits that are durable.
//! Used by `store.rs` alone.
//!
//! Memory, beside what the settings bound: memtables of 8 MiB, of which three live at worst (the newest segment's,
//! the one being flushed, the last of the segment before), and 8 MiB of block cache. Bloom filters are off (a log is
//! read by range), indexes are not pinned, so old segments cost next to nothing. Disk, beside the records: journals
//! of 64 MiB each, removed once they are flushed.
//!
//! fjall after a failed write or fsync: it refuses every further write ("poisoned") and still reads. Only closing and
//! opening it again helps, which `writer.rs` does.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fjall::config::{BlockSizePolicy, CompressionPolicy, FilterPolicy, PinningPolicy};
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, compaction,
};

use super::journal;

const CACHE_BYTES: u64 = 8 * 1024 * 1024;
const MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;
const MAX_JOURNAL_BYTES: u64 = 64 * 1024 * 1024;
const MAX_OPEN_FILES: usize = 128;
/// Larger than a segment's count of flushed memtables: a segment is never rewritten, only removed as a whole.
const TABLES_BEFORE_COMPACTION: u8 = 16;

/// Why a batch was not stored.
#[derive(Debug)]
pub(super) enum CommitError {
    /// The database refused before it wrote anything, because something failed earlier: reopen it and try again.
    Untouched(String),
    /// Writing failed midway: what was written must be cut off, see [`Durable::failed_seqno`].
    Failed(String),
}

impl CommitError {
    pub(super) fn cause(self) -> String {
        match self {
            Self::Untouched(cause) | Self::Failed(cause) => cause,
        }
    }
}

/// How far a commit must have come when it returns.
#[derive(Debug, Clone, Copy)]
pub(super) enum Durability {
    /// Survives a power cut (`fdatasync`: contents and length).
    PowerCut,
    /// Survives `kill -9`. For what may be lost without harm.
    Kill,
}

/// What the storage below a log takes and does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineState {
    /// Parts of the log that are removed as a whole.
    pub segments: u64,
    /// Tables of the segments on disk.
    pub table_bytes: u64,
    pub journals: u64,
    pub journal_bytes: u64,
    /// What is not in tables yet, in memory.
    pub memtable_bytes: u64,
    /// Memtables that wait to become tables.
    pub waiting_flushes: u64,
    pub running_compactions: u64,
}

/// An open database.
pub(super) struct Durable {
    db: Database,
    /// Held during a commit; the sequence number of the commit that failed.
    failed: Mutex<Option<u64>>,
}

impl Durable {
    /// Opens or creates the database in `dir`, after checking its journals.
    pub(super) fn open(dir: &Path) -> Result<Self, String> {
        remove_unfinished(dir)?;
        journal::repair(dir, None).map_err(|cause| cause.to_string())?;
        Ok(Self { db: open(dir)?, failed: Mutex::new(None) })
    }

    /// Opens or creates a keyspace.
    pub(super) fn keyspace(&self, name: &str) -> Result<Keyspace, String> {
        self.db.keyspace(name, options).map_err(|cause| format!("keyspace {name}: {cause}"))
    }

    /// Whether it was created.
    pub(super) fn has_keyspace(&self, name: &str) -> bool {
        self.db.keyspace_exists(name)
    }

    /// The names of all keyspaces.
    pub(super) fn keyspaces(&self) -> Vec<String> {
        self.db.list_keyspace_names().iter().map(|name| name.to_string()).collect()
    }

    /// Removes a keyspace; its files go when its last reader is done.
    pub(super) fn delete(&self, keyspace: Keyspace) {
        // What stays is found without an entry at the next opening and removed then.
        if let Err(cause) = self.db.delete_keyspace(keyspace) {
            tracing::warn!(%cause, "the log could not remove a segment yet");
        }
    }

    /// Commits what `fill` puts into the batch: all of it or nothing.
    pub(super) fn commit(
        &self,
        durability: Durability,
        fill: impl FnOnce(&mut OwnedWriteBatch),
    ) -> Result<(), CommitError> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_some() {
            return Err(CommitError::Untouched("an earlier write failed".to_owned()));
        }
        let seqno = self.db.seqno();
        let mode = match durability {
            Durability::PowerCut => PersistMode::SyncData,
            Durability::Kill => PersistMode::Buffer,
        };
        let mut batch = self.db.batch().durability(Some(mode));
        fill(&mut batch);
        match batch.commit() {
            Ok(()) => Ok(()),
            Err(fjall::Error::Poisoned) => {
                Err(CommitError::Untouched("an earlier write failed in the background".to_owned()))
            }
            Err(cause) => {
                *failed = Some(seqno);
                Err(CommitError::Failed(cause.to_string()))
            }
        }
    }

    /// What it takes and does now; the tables are the caller's to add up.
    pub(super) fn state(&self) -> EngineState {
        EngineState {
            journals: self.db.journal_count() as u64,
            journal_bytes: self.db.journal_disk_space().unwrap_or(0),
            memtable_bytes: self.db.write_buffer_size(),
            waiting_flushes: self.db.outstanding_flushes() as u64,
            running_compactions: self.db.active_compactions() as u64,
            ..EngineState::default()
        }
    }

    /// Of the commit that failed, if one did. After closing, [`journal::repair`] cuts it off.
    pub(super) fn failed_seqno(&self) -> Option<u64> {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(dir: &Path) -> Result<Database, String> {
    let opening = || {
        Database::builder(dir)
            .cache_size(CACHE_BYTES)
            .journal_compression(CompressionType::None)
            .max_journaling_size(MAX_JOURNAL_BYTES)
            .max_cached_files(Some(MAX_OPEN_FILES))
            // A second worker would spin while the first compacts.
            .worker_threads(1)
            .open()
    };
    // fjall asserts some invariants of its files; a damaged file must end as an error of ours.
    match std::panic::catch_unwind(opening) {
        Ok(opened) => opened.map_err(|cause| cause.to_string()),
        Err(_) => Err("its files contradict each other".to_owned()),
    }
}

fn options() -> KeyspaceCreateOptions {
    let compaction = compaction::Leveled::default().with_l0_threshold(TABLES_BEFORE_COMPACTION);
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .data_block_size_policy(BlockSizePolicy::all(32 * 1024))
        .data_block_compression_policy(CompressionPolicy::disabled())
        .filter_policy(FilterPolicy::disabled())
        .index_block_pinning_policy(PinningPolicy::all(false))
        .compaction_strategy(Arc::new(compaction))
}

/// Whether a database was created in `dir` and its essential files are there. If they are not, fjall would begin an
/// empty one without a word.
pub(super) fn is_complete(dir: &Path) -> bool {
    let marked = dir.join("version").metadata().is_ok_and(|marker| marker.len() > 0);
    marked && dir.join("keyspaces").join("0").join("current").is_file()
}

/// A creation that was killed midway is begun again, since nothing was stored; a folder that held records and misses
/// files is left alone and reported.
fn remove_unfinished(dir: &Path) -> Result<(), String> {
    if is_complete(dir) || !dir.try_exists().map_err(|cause| cause.to_string())? {
        return Ok(());
    }
    let unused = journal::are_empty(dir).map_err(|cause| cause.to_string())?;
    if !unused || dir.join("keyspaces").join("1").is_dir() {
        return Err(format!("files are missing in {}", dir.display()));
    }
    std::fs::remove_dir_all(dir).map_err(|cause| format!("removing an unfinished creation: {cause}"))
}

/// Waits until a dropped database has closed its journal: its worker ends shortly after the drop and may be the one
/// that writes the journal's last buffer, which must not happen after the journal was cut.
pub(super) fn wait_until_closed(dir: &Path) {
    let deadline = Instant::now() + Duration::from_secs(2);
    let Ok(dir) = dir.canonicalize() else { return };
    loop {
        std::thread::sleep(Duration::from_millis(5));
        match open_journals(&dir) {
            // Not Linux: no list of open files, so a time that is ample.
            None => return std::thread::sleep(Duration::from_millis(200)),
            Some(0) => return,
            Some(_) if Instant::now() > deadline => {
                return tracing::warn!("the log's journal is still open after closing its database");
            }
            Some(_) => {}
        }
    }
}

fn open_journals(dir: &Path) -> Option<usize> {
    let files = std::fs::read_dir("/proc/self/fd").ok()?;
    let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    Some(
        targets
            .filter(|target| target.parent() == Some(dir) && target.extension() == Some("jnl".as_ref()))
            .count(),
    )
}

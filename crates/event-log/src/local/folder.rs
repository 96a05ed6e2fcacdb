//! Holds the log's folder against a second process. The lock is the operating system's (`flock`), so it ends with the
//! process however that ends: a file left behind by `kill -9` locks nothing. The file names the holder's process id
//! for the error message only.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::settings::OpenError;

const LOCK_FILE: &str = "in-use-by";

/// The folder is ours until this is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates the folder if absent and locks it.
    pub(super) fn hold(dir: &Path) -> Result<Self, OpenError> {
        let failed = |cause: std::io::Error| OpenError::Storage { dir: dir.into(), cause: cause.to_string() };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let path = dir.join(LOCK_FILE);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut lock = options.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { dir: dir.into(), pid: holder(&mut lock) });
            }
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        // Only the message of a later InUse depends on it: a full disk must not keep the log from opening.
        if let Err(cause) = sign(&mut lock) {
            tracing::warn!(%cause, "the log folder's lock file could not name this process");
        }
        Ok(Self { dir: dir.into(), _lock: lock })
    }

    /// Where fjall keeps its files.
    pub(super) fn database(&self) -> PathBuf {
        self.dir.join("fjall")
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        &self.dir
    }
}

/// The process that holds a log's folder, as its id or `unknown`; `None` where nobody does.
pub fn holder_of(dir: &Path) -> Option<String> {
    let mut lock = OpenOptions::new().read(true).open(dir.join(LOCK_FILE)).ok()?;
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => Some(holder(&mut lock)),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    match lock.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn sign(lock: &mut File) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.seek(SeekFrom::Start(0))?;
    writeln!(lock, "{}", std::process::id())
}

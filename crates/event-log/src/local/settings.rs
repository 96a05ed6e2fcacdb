//! The settings of a [`LocalLog`](super::LocalLog) and why one could not be opened.
//!
//! What the log holds in memory is bounded: [`max_queued_bytes`](LocalLogSettings::max_queued_bytes) and
//! [`tail_bytes`](LocalLogSettings::tail_bytes) by these settings, fjall's part by the constants in `database.rs`
//! (three memtables of 8 MiB at worst and a block cache of 8 MiB). With the defaults that is under 64 MiB.

use std::path::PathBuf;

/// How a local log stores and bounds its records.
#[derive(Debug, Clone)]
pub struct LocalLogSettings {
    /// The log's folder; created if absent. One process at a time may hold it.
    pub dir: PathBuf,
    /// How many partitions, at least 1. May change only when every record was released.
    pub partitions: u32,
    /// Bytes of records that were not released yet; a publish beyond it is refused as full. Default 1 GiB.
    pub max_bytes: u64,
    /// Bytes of messages that wait for the disk; a publish beyond it is refused as full. Default 16 MiB.
    pub max_queued_bytes: u64,
    /// About how many bytes one fsync makes durable; a single call is never split. Default 4 MiB.
    pub max_group_bytes: u64,
    /// For how long released records stay readable, milliseconds by the log's clock. Default one day.
    pub retention_ms: i64,
    /// Bytes of released records beyond which the oldest go before `retention_ms`. Default 1 GiB.
    pub retention_bytes: u64,
    /// Bytes after which a new segment begins; space is given back by whole segments. Default 64 MiB.
    pub segment_bytes: u64,
    /// Bytes of the newest records kept in memory for readers that follow the end. Default 8 MiB.
    pub tail_bytes: usize,
}

const MIB: u64 = 1024 * 1024;

impl LocalLogSettings {
    /// The defaults for a log in `dir`.
    pub fn new(dir: impl Into<PathBuf>, partitions: u32) -> Self {
        Self {
            dir: dir.into(),
            partitions,
            max_bytes: 1024 * MIB,
            max_queued_bytes: 16 * MIB,
            max_group_bytes: 4 * MIB,
            retention_ms: 24 * 3_600_000,
            retention_bytes: 1024 * MIB,
            segment_bytes: 64 * MIB,
            tail_bytes: 8 * 1024 * 1024,
        }
    }

    /// A segment also ends after a quarter of the retention time, so that little traffic is given back in time too.
    pub(super) fn segment_ms(&self) -> i64 {
        (self.retention_ms / 4).max(10_000)
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        let problem = if self.partitions == 0 {
            "partitions must be at least 1"
        } else if self.max_queued_bytes > 1024 * MIB {
            "max_queued_bytes must be at most 1 GiB"
        } else if self.max_bytes == 0 || self.max_queued_bytes == 0 || self.max_group_bytes == 0 {
            "max_bytes, max_queued_bytes and max_group_bytes must be larger than 0"
        } else if self.retention_ms < 0 {
            "retention_ms must not be negative"
        } else {
            return Ok(());
        };
        Err(OpenError::Settings(problem))
    }
}

/// Why a local log could not be opened. No record was removed from its folder.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// A setting makes no sense.
    #[error("the local log's setting: {0}")]
    Settings(&'static str),
    /// Another process holds the folder.
    #[error("the log folder {dir} is in use by process {pid}: stop it, or choose another folder")]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The process that wrote itself into the lock file; "unknown" if it has not yet.
        pid: String,
    },
    /// The settings name another partition count than the log has, and the log still holds unread records.
    #[error(
        "the log in {dir} has {stored} partitions, the settings say {wanted}, and {unreleased} of its records were \
         not processed yet: start with partitions = {stored} until they are, then change it"
    )]
    Partitions {
        /// The folder.
        dir: PathBuf,
        /// The log's partition count.
        stored: u32,
        /// The settings' partition count.
        wanted: u32,
        /// Records that no reader released.
        unreleased: u64,
    },
    /// The storage failed, or its files are damaged in a way that is no torn end.
    #[error(
        "the log in {dir} could not be opened: {cause}; if its files are damaged, restore the folder from a backup or \
         move it away to begin a new log"
    )]
    Storage {
        /// The folder.
        dir: PathBuf,
        /// The storage's own words.
        cause: String,
    },
}

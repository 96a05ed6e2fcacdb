//! Up to where the warehouse has a partition's raw events, so that a restart does not store once more what it reads again:
//! after a kill that is the traffic of half a minute, which ClickHouse would have to take and merge away beside the restore.
//!
//! Every step of a flush writes raw events before the partition's marker ([`super::round`]). So whoever wrote the marker P,
//! all before P are stored, but for records that were refused: a later version of this program may count one of them. While
//! such a record is ahead of progress, where a restart begins, no marker is written.

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct RawStored {
    /// Raw events before this offset are stored.
    before: u64,
    /// After the last record that was refused.
    refused_to: u64,
    /// Progress: a restart begins here or later.
    flushed_to: u64,
}

impl RawStored {
    /// After a restore that found the partition's marker at `before` and its progress at `flushed_to`.
    pub(super) fn restored(before: u64, flushed_to: u64) -> Self {
        Self { before, refused_to: 0, flushed_to }
    }

    /// Whether the warehouse has the event at an offset.
    pub(super) fn contain(&self, offset: u64) -> bool {
        offset < self.before
    }

    /// A record was refused.
    pub(super) fn refused(&mut self, offset: u64) {
        self.refused_to = offset + 1;
    }

    /// Progress was handed over.
    pub(super) fn flushed(&mut self, at: u64) {
        self.flushed_to = self.flushed_to.max(at);
    }

    /// Whether a restart meets no record that was refused, so that a marker may vouch for all.
    pub(super) fn is_whole(&self) -> bool {
        self.refused_to <= self.flushed_to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_waits_until_progress_has_passed_what_was_refused() {
        let mut raw = RawStored::restored(20, 10);
        assert!(raw.contain(19) && !raw.contain(20) && raw.is_whole());
        raw.refused(25);
        assert!(!raw.is_whole());
        raw.flushed(25);
        assert!(!raw.is_whole(), "a restart at 25 reads it again");
        raw.flushed(26);
        assert!(raw.is_whole());
    }
}

//! What the writer thread does about released records: counts what is unreleased, and removes segments of which
//! everything was released and that were kept long enough.
//!
//! The unreleased bytes are at least the bytes on disk after the first segment that some partition still needs, so
//! that one stuck reader cannot let the disk grow past `max_bytes` while the others go on.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::group::{Group, Mark};
use super::segment::Segment;
use super::store::Store;
use super::writer::Writer;

/// How far the readers are, as far as the writer has seen to it.
#[derive(Debug)]
pub(super) struct Releases {
    partitions: Vec<Released>,
    saved: Vec<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Released {
    offset: u64,
    /// The bytes before that offset's group, once they were looked up.
    bytes: Option<u64>,
}

impl Releases {
    pub(super) fn new(partitions: usize) -> Self {
        Self { partitions: vec![Released::default(); partitions], saved: Vec::new() }
    }

    fn offsets(&self) -> Vec<u64> {
        self.partitions.iter().map(|released| released.offset).collect()
    }

    fn bytes(&self) -> u64 {
        self.partitions.iter().filter_map(|released| released.bytes).sum()
    }

    fn covers(&self, ends: &[Mark]) -> bool {
        self.partitions.iter().zip(ends).all(|(released, end)| released.offset >= end.offset)
    }

    fn unreleased(&self, ends: &[Mark], segments: &[Segment]) -> u64 {
        let total = |marks: &[Mark]| marks.iter().map(|mark| mark.bytes).sum::<u64>();
        let by_offset = total(ends).saturating_sub(self.bytes());
        let after_needed = segments.iter().skip(1).find(|next| !self.covers(&next.base));
        let by_segment = after_needed.map_or(0, |next| total(ends).saturating_sub(total(&next.base)));
        by_offset.max(by_segment)
    }
}

impl Writer {
    /// Looks at what readers released since the last time.
    pub(super) fn release(&mut self) {
        for partition in 0..self.shared.settings.partitions {
            self.advance(partition);
        }
        self.remove_segments();
        let store = self.shared.store.read().unwrap_or_else(PoisonError::into_inner);
        let Some(store) = store.as_ref() else { return };
        self.shared
            .unreleased
            .store(self.releases.unreleased(&self.ends, &store.segments), Ordering::Release);
        let offsets = self.releases.offsets();
        if offsets != self.releases.saved {
            match store.save_released(&offsets) {
                Ok(()) => self.releases.saved = offsets,
                // A lower one is safe; the next round or the next group repairs the storage.
                Err(error) => tracing::warn!(cause = error.cause(), "released offsets were not saved yet"),
            }
        }
    }

    fn advance(&mut self, partition: u32) {
        let index = partition as usize;
        let Some((end, state)) = self.ends.get(index).zip(self.shared.partition(partition)) else { return };
        let Some(released) = self.releases.partitions.get_mut(index) else { return };
        let first = state.first.load(Ordering::Acquire);
        let wanted = state.release.load(Ordering::Acquire).clamp(first.min(end.offset), end.offset);
        if wanted == released.offset && released.bytes.is_some() {
            return;
        }
        let bytes = if wanted == end.offset {
            Some(end.bytes)
        } else {
            let groups = self.shared.groups(partition, wanted, end.offset, 1);
            groups.ok().and_then(|groups| groups.first().map(Group::preceding_bytes))
        };
        // Unreadable just now: it stays unreleased until the next round.
        if bytes.is_some() {
            *released = Released { offset: wanted, bytes };
        }
    }

    fn remove_segments(&mut self) {
        let count = {
            let store = self.shared.store.read().unwrap_or_else(PoisonError::into_inner);
            let Some(store) = store.as_ref() else { return };
            let count = self.removable(store);
            let Some(next) = store.segments.get(count).filter(|_| count > 0) else { return };
            for (state, base) in self.shared.partitions.iter().zip(&next.base) {
                state.first.store(base.offset, Ordering::Release);
            }
            if let Err(error) = store.forget_oldest(count) {
                return tracing::warn!(cause = error.cause(), "old segments were not removed yet");
            }
            count
        };
        let mut store = self.shared.store.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = store.as_mut() {
            for segment in store.segments.drain(..count) {
                store.database.delete(segment.groups);
            }
        }
    }

    /// How many of the oldest segments were released and kept long enough. Never the newest one.
    fn removable(&self, store: &Store) -> usize {
        let now_ms = self.shared.clock.now_ms();
        let settings = &self.shared.settings;
        let released = self.releases.bytes();
        let pairs = store.segments.iter().zip(store.segments.iter().skip(1));
        let removable = pairs.take_while(|(segment, next)| {
            let kept: u64 = released.saturating_sub(segment.base.iter().map(|mark| mark.bytes).sum());
            let newest_ms = next.base.iter().map(|mark| mark.appended_at_ms).max().unwrap_or(0);
            let old = now_ms.saturating_sub(newest_ms) >= settings.retention_ms;
            self.releases.covers(&next.base) && (old || kept > settings.retention_bytes)
        });
        removable.count()
    }
}

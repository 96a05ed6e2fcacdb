//! The writer thread: the only one that appends records, changes the list of segments, and reopens the storage.
//!
//! A group that fails is answered as failed to all who are in it. The storage is then closed, what the failed write
//! left behind is cut off, and it is opened again, so that readers go on; further groups are refused without trying
//! for a pause that grows to a second.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::database::{CommitError, is_complete, wait_until_closed};
use super::group::{Group, Mark, Packer};
use super::queue::{Request, Wake};
use super::release::Releases;
use super::store::Store;
use super::{Shared, journal};
use crate::PublishError;

/// How often an idle writer looks after retention and a failed storage.
const IDLE: Duration = Duration::from_millis(500);
/// After a group of several calls, the next ones have this long to gather: an fsync costs as much for one as for all.
const GATHERING: Duration = Duration::from_millis(1);
/// So many bytes are worth an fsync at once.
const GATHERED_BYTES: u64 = 256 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    /// Where each partition ends.
    pub(super) ends: Vec<Mark>,
    pub(super) releases: Releases,
    packer: Packer,
    taken: VecDeque<Request>,
    group: Vec<Request>,
    /// Whether the last group held several calls: then there is more than one caller.
    has_company: bool,
    failure: Option<Failure>,
    /// The failed commit that is still to be cut off.
    failed_seqno: Option<u64>,
    maintained: Instant,
}

/// Why and until when groups are refused.
struct Failure {
    cause: String,
    pause: Duration,
    until: Instant,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, ends: Vec<Mark>) -> Self {
        let packer = Packer::new(shared.settings.partitions);
        let mut writer = Self {
            releases: Releases::new(ends.len()),
            shared,
            ends,
            packer,
            taken: VecDeque::new(),
            group: Vec::new(),
            has_company: false,
            failure: None,
            failed_seqno: None,
            maintained: Instant::now(),
        };
        writer.maintain();
        writer
    }

    /// Until the queue is closed and drained.
    pub(super) fn run(mut self) {
        loop {
            if self.taken.is_empty() {
                self.gather();
                if self.shared.queue.take(&mut self.taken, IDLE) == Wake::Closed {
                    return self.maintain();
                }
            }
            let wrote = self.next_group();
            if wrote {
                self.write_group();
            }
            if !wrote || self.maintained.elapsed() >= IDLE {
                self.maintain();
            }
        }
    }

    /// Lets calls gather where several callers take turns. A lone caller, who waits for each answer, never waits for more.
    fn gather(&self) {
        if self.has_company && self.shared.queue.waiting_bytes() < GATHERED_BYTES {
            std::thread::sleep(GATHERING);
        }
    }

    /// Moves calls from the taken ones to the group until it is full; at least one if there is one.
    fn next_group(&mut self) -> bool {
        let mut left = self.shared.settings.max_group_bytes;
        while let Some(request) = self.taken.front()
            && (self.group.is_empty() || request.bytes <= left)
        {
            left = left.saturating_sub(request.bytes);
            self.group.extend(self.taken.pop_front());
        }
        self.has_company = self.group.len() > 1;
        !self.group.is_empty()
    }

    fn write_group(&mut self) {
        let stored = self.store_group();
        let answer = match stored {
            Ok(groups) => {
                self.announce(groups);
                Ok(())
            }
            Err(cause) => Err(PublishError::Storage(cause)),
        };
        // Before the answers: whoever has one may publish again and must find the room.
        self.shared.queue.answered(self.group.iter().map(|request| request.bytes).sum());
        for request in self.group.drain(..) {
            // Whoever dropped the receipt does not want the answer.
            drop(request.answer.send(answer.clone()));
        }
    }

    /// The groups are durable: readers may have them.
    fn announce(&mut self, groups: Vec<Group>) {
        let bytes = groups.iter().map(|group| group.packed.len() as u64).sum();
        self.shared.unreleased.fetch_add(bytes, Ordering::AcqRel);
        let mut tail = self.shared.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Vec::with_capacity(groups.len());
        for group in groups {
            let end = group.end();
            changed.push((group.partition, end.offset));
            if let Some(mark) = self.ends.get_mut(group.partition as usize) {
                *mark = end;
            }
            tail.push(group);
        }
        drop(tail);
        for (partition, end) in changed {
            if let Some(state) = self.shared.partition(partition) {
                state.end.send_replace(end);
            }
        }
    }

    fn store_group(&mut self) -> Result<Vec<Group>, String> {
        self.check_failure()?;
        let now_ms = self.shared.clock.now_ms();
        let groups = self.packer.pack(&self.group, &self.ends, now_ms);
        let stored = match self.append(&groups, now_ms) {
            // Something in the background failed earlier, and nothing of this group was written.
            Err(CommitError::Untouched(_)) => {
                self.reopen().map_err(CommitError::Failed).and_then(|()| self.append(&groups, now_ms))
            }
            stored => stored,
        };
        match stored {
            Ok(()) => {
                self.failure = None;
                Ok(groups)
            }
            Err(error) => Err(self.fail(error.cause())),
        }
    }

    fn append(&mut self, groups: &[Group], now_ms: i64) -> Result<(), CommitError> {
        self.roll(now_ms)?;
        let store = self.shared.store.read().unwrap_or_else(PoisonError::into_inner);
        match store.as_ref() {
            Some(store) => store.append(groups),
            None => Err(CommitError::Untouched("the storage is closed".to_owned())),
        }
    }

    /// Begins a new segment if the newest one is large or old enough.
    fn roll(&mut self, now_ms: i64) -> Result<(), CommitError> {
        let segment = {
            let store = self.shared.store.read().unwrap_or_else(PoisonError::into_inner);
            match store.as_ref() {
                Some(store) if self.is_finished(store, now_ms) => store.next_segment(&self.ends, now_ms)?,
                _ => return Ok(()),
            }
        };
        let mut store = self.shared.store.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = store.as_mut() {
            store.segments.push(segment);
        }
        Ok(())
    }

    fn is_finished(&self, store: &Store, now_ms: i64) -> bool {
        let Some(newest) = store.segments.last() else { return false };
        let settings = &self.shared.settings;
        let bytes: u64 = self.ends.iter().zip(&newest.base).map(|(end, base)| end.bytes - base.bytes).sum();
        let old = now_ms.saturating_sub(newest.began_at_ms) >= settings.segment_ms();
        bytes >= settings.segment_bytes || (old && bytes > 0)
    }

    /// Refuses while the pause after a failure lasts.
    fn check_failure(&self) -> Result<(), String> {
        match &self.failure {
            Some(failure) if Instant::now() < failure.until => Err(failure.cause.clone()),
            _ => Ok(()),
        }
    }

    fn fail(&mut self, cause: String) -> String {
        let pause =
            self.failure.as_ref().map_or(FIRST_PAUSE, |failure| (failure.pause * 2).min(LONGEST_PAUSE));
        tracing::error!(%cause, "the log could not store messages");
        if let Err(cause) = self.reopen() {
            tracing::error!(%cause, "the log could not be reopened; it will be tried again");
        }
        self.failure = Some(Failure { cause: cause.clone(), pause, until: Instant::now() + pause });
        cause
    }

    /// Closes the storage, cuts off what a failed commit left behind, and opens it where it was.
    fn reopen(&mut self) -> Result<(), String> {
        let shared = self.shared.clone();
        let dir = &shared.database_dir;
        let mut slot = shared.store.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = slot.take() {
            self.failed_seqno = self.failed_seqno.or(store.database.failed_seqno());
            drop(store);
            wait_until_closed(dir);
        }
        if !is_complete(dir) {
            return Err(format!("files are missing in {}", dir.display()));
        }
        if self.failed_seqno.is_some() {
            journal::repair(dir, self.failed_seqno)
                .map_err(|cause| format!("repairing the journal: {cause}"))?;
            self.failed_seqno = None;
        }
        let store = Store::open(dir, shared.settings.partitions, shared.clock.now_ms())?;
        let offsets = |ends: &[Mark]| ends.iter().map(|end| end.offset).collect::<Vec<_>>();
        let (found, expected) = (offsets(&store.ends()?), offsets(&self.ends));
        if store.id != shared.id || found != expected {
            return Err(format!("the storage came back with other ends: {found:?} instead of {expected:?}"));
        }
        *slot = Some(store);
        Ok(())
    }

    /// What is not urgent: acts on releases, removes old segments, and reopens a failed storage for its readers.
    fn maintain(&mut self) {
        self.maintained = Instant::now();
        let needs_reopening = self.shared.with_store(|store| Ok(store.database.failed_seqno().is_some()));
        let waited = self.check_failure().is_ok();
        if needs_reopening.unwrap_or(true)
            && waited
            && let Err(cause) = self.reopen()
        {
            self.fail(cause);
            return;
        }
        self.release();
    }
}

impl Drop for Writer {
    /// However the thread ends, nobody waits for it afterwards.
    fn drop(&mut self) {
        self.shared.queue.abandon();
    }
}

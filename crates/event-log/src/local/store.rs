//! What the local log keeps on disk: its identity, the segments, what was released, and the plans. Readers share it;
//! only the writer thread changes the list of segments.
//!
//! Keyspaces: `state` (entries `log`, `released`, `segment/N`), `plans` (see `plans.rs`), `records.N` (a segment).

use std::path::Path;

use bytes::{Buf, BufMut};
use fjall::Keyspace;

use super::compressed;
use super::database::{CommitError, Durability, Durable, EngineState};
use super::group::{Group, Mark};
use super::segment::{self, Segment};
use crate::LogId;

const LOG: &str = "log";
const RELEASED: &str = "released";

/// An open log.
pub(super) struct Store {
    pub(super) id: LogId,
    pub(super) partitions: u32,
    /// Oldest first; the last one is written to. Never empty.
    pub(super) segments: Vec<Segment>,
    pub(super) plans: Keyspace,
    state: Keyspace,
    pub(super) database: Durable,
}

impl Store {
    /// Opens the log in `dir`, or creates one with `partitions` partitions. An existing log keeps its own count.
    pub(super) fn open(dir: &Path, partitions: u32, now_ms: i64) -> Result<Self, String> {
        let database = Durable::open(dir)?;
        let state = database.keyspace("state")?;
        let plans = database.keyspace("plans")?;
        let mut store =
            Self { id: LogId(String::new()), partitions, segments: Vec::new(), plans, state, database };
        match store.get(LOG)? {
            None => store.create(partitions, now_ms)?,
            Some(identity) => store.load(&identity)?,
        }
        store.remove_orphans();
        Ok(store)
    }

    fn load(&mut self, mut identity: &[u8]) -> Result<(), String> {
        self.partitions = identity.try_get_u32_le().map_err(|_| "its identity is unreadable")?;
        self.id = LogId(String::from_utf8_lossy(identity).into_owned());
        for guard in self.state.prefix(segment::ENTRIES) {
            let (key, value) = guard.into_inner().map_err(|cause| cause.to_string())?;
            let entry = Segment::id_of(&key).zip(segment::decode(&value));
            let Some((id, (began_at_ms, base))) = entry else {
                return Err(format!("the entry {} is unreadable", String::from_utf8_lossy(&key)));
            };
            let name = Segment::keyspace(id);
            // Its removal was not recorded in time. Removal begins with the oldest, so nothing precedes a gap.
            if !self.database.has_keyspace(&name) {
                self.segments.clear();
                continue;
            }
            let groups = self.database.keyspace(&name)?;
            self.segments.push(Segment { id, began_at_ms, base, groups });
        }
        let complete = self.segments.last().is_some_and(|last| last.base.len() == self.partitions as usize);
        if complete { Ok(()) } else { Err("its newest segment is missing".to_owned()) }
    }

    /// A new log: a new id, one empty segment, and no trace of segments that were there before.
    pub(super) fn create(&mut self, partitions: u32, now_ms: i64) -> Result<(), String> {
        let id = LogId(uuid::Uuid::new_v4().to_string());
        let segment_id = self.segments.last().map_or(0, |last| last.id + 1);
        let base = vec![Mark::default(); partitions as usize];
        let groups = self.database.keyspace(&Segment::keyspace(segment_id))?;
        let mut identity = Vec::new();
        identity.put_u32_le(partitions);
        identity.put_slice(id.0.as_bytes());
        let created = self.database.commit(Durability::PowerCut, |batch| {
            for old in &self.segments {
                batch.remove(&self.state, Segment::entry(old.id));
            }
            batch.remove(&self.state, RELEASED);
            batch.insert(&self.state, LOG, identity);
            batch.insert(&self.state, Segment::entry(segment_id), segment::encode(now_ms, &base));
        });
        created.map_err(CommitError::cause)?;
        self.segments = vec![Segment { id: segment_id, began_at_ms: now_ms, base, groups }];
        (self.id, self.partitions) = (id, partitions);
        self.remove_orphans();
        Ok(())
    }

    /// Segments without an entry: a crash came between the two steps of a creation or a removal.
    fn remove_orphans(&self) {
        let known: Vec<String> = self.segments.iter().map(|segment| Segment::keyspace(segment.id)).collect();
        for name in self.database.keyspaces() {
            if name.starts_with("records.")
                && !known.contains(&name)
                && let Ok(orphan) = self.database.keyspace(&name)
            {
                self.database.delete(orphan);
            }
        }
    }

    /// What it takes and does now.
    pub(super) fn engine(&self) -> EngineState {
        EngineState {
            segments: self.segments.len() as u64,
            table_bytes: self.segments.iter().map(|segment| segment.groups.disk_space()).sum(),
            ..self.database.state()
        }
    }

    /// Where each partition ends.
    pub(super) fn ends(&self) -> Result<Vec<Mark>, String> {
        let Some(newest) = self.segments.last() else { return Ok(Vec::new()) };
        let ends = newest.base.iter().zip(0..).map(|(base, partition)| {
            let Some(last) = newest.last(partition).map_err(|cause| cause.to_string())? else {
                return Ok(*base);
            };
            last.verify()?;
            Ok(last.end())
        });
        ends.collect()
    }

    /// Where each partition begins.
    pub(super) fn firsts(&self) -> impl Iterator<Item = u64> {
        self.segments.iter().take(1).flat_map(|oldest| oldest.base.iter().map(|mark| mark.offset))
    }

    /// The released offsets as they were last persisted; missing ones are 0.
    pub(super) fn released(&self) -> Result<Vec<u64>, String> {
        let stored = self.get(RELEASED)?.unwrap_or_default();
        let mut stored = stored.as_slice();
        Ok((0..self.partitions).map(|_| stored.try_get_u64_le().unwrap_or(0)).collect())
    }

    /// Persists the released offsets so far that a kill does not lose them.
    pub(super) fn save_released(&self, released: &[u64]) -> Result<(), CommitError> {
        let offsets: Vec<u8> = released.iter().flat_map(|offset| offset.to_le_bytes()).collect();
        self.database.commit(Durability::Kill, |batch| batch.insert(&self.state, RELEASED, offsets))
    }

    /// Makes the groups durable.
    pub(super) fn append(&self, groups: &[Group]) -> Result<(), CommitError> {
        let Some(newest) = self.segments.last() else { return Ok(()) };
        self.database.commit(Durability::PowerCut, |batch| {
            for group in groups {
                let key = segment::key(group.partition, group.first);
                batch.insert(&newest.groups, key, compressed::compress(&group.packed));
            }
        })
    }

    /// Creates the segment that follows the newest one; the caller adds it.
    pub(super) fn next_segment(&self, base: &[Mark], now_ms: i64) -> Result<Segment, CommitError> {
        let id = self.segments.last().map_or(0, |last| last.id + 1);
        let groups = self.database.keyspace(&Segment::keyspace(id)).map_err(CommitError::Untouched)?;
        self.database.commit(Durability::PowerCut, |batch| {
            batch.insert(&self.state, Segment::entry(id), segment::encode(now_ms, base));
        })?;
        // Its memtable would otherwise wait for more, in memory and in the journal.
        if let Some(finished) = self.segments.last()
            && let Err(cause) = finished.groups.rotate_memtable()
        {
            tracing::warn!(%cause, "the log could not flush a finished segment yet");
        }
        Ok(Segment { id, began_at_ms: now_ms, base: base.to_vec(), groups })
    }

    /// Removes the entries of the `count` oldest segments; the caller removes them themselves.
    pub(super) fn forget_oldest(&self, count: usize) -> Result<(), CommitError> {
        self.database.commit(Durability::Kill, |batch| {
            for segment in self.segments.iter().take(count) {
                batch.remove(&self.state, Segment::entry(segment.id));
            }
        })
    }

    /// The group that contains offset `from` and the following ones, until they hold `max_bytes`; none that begins
    /// at `end` or later.
    pub(super) fn read(
        &self,
        partition: u32,
        from: u64,
        end: u64,
        max_bytes: usize,
    ) -> Result<Vec<Group>, String> {
        let begins = |segment: &Segment| segment.base.get(partition as usize).map_or(0, |base| base.offset);
        let start = self.segments.partition_point(|segment| begins(segment) <= from).saturating_sub(1);
        let mut groups: Vec<Group> = Vec::new();
        let mut left = max_bytes;
        for segment in self.segments.iter().skip(start).take_while(|segment| begins(segment) < end) {
            let read = segment.read(partition, from, end, left).map_err(|cause| cause.to_string())?;
            let bytes: usize = read.iter().map(|group| group.packed.len()).sum();
            groups.extend(read);
            match left.checked_sub(bytes) {
                Some(rest) if rest > 0 => left = rest,
                _ => break,
            }
        }
        groups.iter().try_for_each(Group::verify)?;
        Ok(groups)
    }

    fn get(&self, entry: &str) -> Result<Option<Vec<u8>>, String> {
        let value = self.state.get(entry).map_err(|cause| cause.to_string())?;
        Ok(value.map(|value| value.to_vec()))
    }
}

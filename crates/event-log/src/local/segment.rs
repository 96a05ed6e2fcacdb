//! A segment: the records of a stretch of time, in a fjall keyspace of their own, so that retention removes them
//! without rewriting anything. Its entry in the state keyspace says where every partition stood when it began.
//!
//! Keys are partition u32 and first offset u64, big endian; values are packed groups, compressed.

use bytes::{Buf, BufMut};
use fjall::{Keyspace, UserKey};

use super::compressed;
use super::group::{Group, Mark};

/// The prefix of all segments' entries in the state keyspace.
pub(super) const ENTRIES: &str = "segment/";

/// One segment of the log.
pub(super) struct Segment {
    /// Counts up.
    pub(super) id: u64,
    /// When it began, UTC milliseconds.
    pub(super) began_at_ms: i64,
    /// Where each partition stood then.
    pub(super) base: Vec<Mark>,
    /// Its groups.
    pub(super) groups: Keyspace,
}

impl Segment {
    /// The name of a segment's keyspace.
    pub(super) fn keyspace(id: u64) -> String {
        format!("records.{id}")
    }

    /// The key of a segment's entry.
    pub(super) fn entry(id: u64) -> String {
        format!("{ENTRIES}{id:020}")
    }

    /// The id in the key of an entry.
    pub(super) fn id_of(entry: &[u8]) -> Option<u64> {
        std::str::from_utf8(entry).ok()?.strip_prefix(ENTRIES)?.parse().ok()
    }

    /// The group that contains offset `from`, else the first after it, and the following ones, until they hold
    /// `max_bytes`; none that begins at `end` or later.
    pub(super) fn read(
        &self,
        partition: u32,
        from: u64,
        end: u64,
        max_bytes: usize,
    ) -> Result<Vec<Group>, fjall::Error> {
        let before = self.groups.range(key(partition, 0)..=key(partition, from)).next_back();
        let start = match before {
            Some(guard) => guard.key()?,
            None => key(partition, from).into(),
        };
        let mut groups = Vec::new();
        let mut bytes = 0;
        for guard in self.groups.range(start..key(partition, end).into()) {
            let group = group(guard.into_inner()?);
            bytes += group.packed.len();
            groups.push(group);
            if bytes >= max_bytes {
                break;
            }
        }
        Ok(groups)
    }

    /// The partition's last group in this segment.
    pub(super) fn last(&self, partition: u32) -> Result<Option<Group>, fjall::Error> {
        let range = self.groups.range(key(partition, 0)..=key(partition, u64::MAX));
        { range }.next_back().map(|guard| guard.into_inner().map(group)).transpose()
    }
}

/// Where a group is stored.
pub(super) fn key(partition: u32, first: u64) -> [u8; 12] {
    let mut key = [0; 12];
    let mut rest = key.as_mut_slice();
    rest.put_u32(partition);
    rest.put_u64(first);
    key
}

fn group((key, stored): (UserKey, fjall::UserValue)) -> Group {
    let mut key: &[u8] = &key;
    let partition = key.try_get_u32().unwrap_or(u32::MAX);
    Group { partition, first: key.try_get_u64().unwrap_or(u64::MAX), packed: compressed::expand(&stored) }
}

/// The value of a segment's entry.
pub(super) fn encode(began_at_ms: i64, base: &[Mark]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(8 + size_of_val(base));
    entry.put_i64_le(began_at_ms);
    for mark in base {
        entry.put_u64_le(mark.offset);
        entry.put_u64_le(mark.bytes);
        entry.put_i64_le(mark.appended_at_ms);
    }
    entry
}

/// What [`encode`] encoded.
pub(super) fn decode(mut entry: &[u8]) -> Option<(i64, Vec<Mark>)> {
    let began_at_ms = entry.try_get_i64_le().ok()?;
    let mut base = Vec::new();
    while !entry.is_empty() {
        base.push(Mark {
            offset: entry.try_get_u64_le().ok()?,
            bytes: entry.try_get_u64_le().ok()?,
            appended_at_ms: entry.try_get_i64_le().ok()?,
        });
    }
    Some((began_at_ms, base))
}

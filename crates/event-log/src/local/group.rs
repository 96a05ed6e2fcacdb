//! A group: what one commit appends to one partition, packed into one stored value. Written by `writer.rs`, read by
//! `mod.rs`; both sides share the buffer without copying.
//!
//! Little endian: checksum u64 (xxh3 of all that follows), count u32, append time i64, bytes of the partition before
//! this group u64, then per record its length u32 and value. The checksum tells a truncated or corrupted value.

use bytes::{Buf, Bytes};
use xxhash_rust::xxh3::xxh3_64;

use super::queue::Request;
use crate::LogRecord;

const HEADER_BYTES: usize = 28;
const LENGTH_BYTES: usize = 4;

/// A place in a partition, between two groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// The next record's offset.
    pub(super) offset: u64,
    /// Bytes of all groups before, since the log began.
    pub(super) bytes: u64,
    /// The largest append time before, UTC milliseconds.
    pub(super) appended_at_ms: i64,
}

/// A packed group and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) partition: u32,
    pub(super) first: u64,
    pub(super) packed: Bytes,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    checksum: u64,
    count: u32,
    appended_at_ms: i64,
    preceding_bytes: u64,
}

impl Group {
    fn header(&self) -> Option<Header> {
        let mut head = self.packed.get(..HEADER_BYTES)?;
        Some(Header {
            checksum: head.get_u64_le(),
            count: head.get_u32_le(),
            appended_at_ms: head.get_i64_le(),
            preceding_bytes: head.get_u64_le(),
        })
    }

    /// Says what is wrong if the stored value is not what was written.
    pub(super) fn verify(&self) -> Result<(), String> {
        let intact = self
            .header()
            .is_some_and(|header| self.packed.get(8..).is_some_and(|rest| xxh3_64(rest) == header.checksum));
        if intact {
            return Ok(());
        }
        let Self { partition, first, packed } = self;
        Err(format!(
            "partition {partition}, group at offset {first}: {} bytes with a wrong checksum",
            packed.len()
        ))
    }

    /// The place before this group.
    pub(super) fn preceding_bytes(&self) -> u64 {
        self.header().map_or(0, |header| header.preceding_bytes)
    }

    /// The place after this group.
    pub(super) fn end(&self) -> Mark {
        self.header().map_or_else(Mark::default, |header| Mark {
            offset: self.first + u64::from(header.count),
            bytes: header.preceding_bytes + self.packed.len() as u64,
            appended_at_ms: header.appended_at_ms,
        })
    }

    /// Pushes the records from offset `from` on until `budget` is used up; takes what it pushed off the budget.
    pub(super) fn unpack(&self, from: u64, budget: &mut usize, records: &mut Vec<LogRecord>) {
        let Some(header) = self.header() else { return };
        let mut at = HEADER_BYTES;
        for offset in self.first..self.first + u64::from(header.count) {
            let Some(mut length) = self.packed.get(at..at + LENGTH_BYTES) else { return };
            let start = at + LENGTH_BYTES;
            at = start + length.get_u32_le() as usize;
            if offset < from {
                continue;
            }
            if *budget == 0 || at > self.packed.len() {
                return;
            }
            *budget = budget.saturating_sub(at - start);
            let value = self.packed.slice(start..at);
            records.push(LogRecord { offset, appended_at_ms: header.appended_at_ms, value });
        }
    }
}

/// Packs the messages of many calls, per partition in the order of the calls. Keeps its tables between groups; the
/// only allocation of a group is one buffer per partition that it touches.
#[derive(Debug)]
pub(super) struct Packer {
    partitions: Vec<Packing>,
}

#[derive(Debug, Default)]
struct Packing {
    bytes: usize,
    count: u32,
    buffer: Vec<u8>,
}

impl Packer {
    pub(super) fn new(partitions: u32) -> Self {
        Self { partitions: (0..partitions).map(|_| Packing::default()).collect() }
    }

    /// One group per partition that `requests` name, standing at `ends`, appended at `now_ms` or at the partition's
    /// last append time, whichever is later.
    pub(super) fn pack(&mut self, requests: &[Request], ends: &[Mark], now_ms: i64) -> Vec<Group> {
        self.measure(requests);
        for (packing, end) in self.partitions.iter_mut().zip(ends) {
            packing.begin(end, now_ms);
        }
        for message in requests.iter().flat_map(|request| &request.messages) {
            if let Some(packing) = self.partitions.get_mut(message.partition as usize) {
                packing.buffer.extend_from_slice(&(message.value.len() as u32).to_le_bytes());
                packing.buffer.extend_from_slice(&message.value);
            }
        }
        let packed = self.partitions.iter_mut().zip(ends).zip(0..);
        packed.filter_map(|((packing, end), partition)| packing.finish(partition, end.offset)).collect()
    }

    fn measure(&mut self, requests: &[Request]) {
        for message in requests.iter().flat_map(|request| &request.messages) {
            if let Some(packing) = self.partitions.get_mut(message.partition as usize) {
                packing.bytes += LENGTH_BYTES + message.value.len();
                packing.count += 1;
            }
        }
    }
}

impl Packing {
    fn begin(&mut self, end: &Mark, now_ms: i64) {
        if self.count == 0 {
            return;
        }
        self.buffer = Vec::with_capacity(HEADER_BYTES + self.bytes);
        self.buffer.extend_from_slice(&[0; 8]);
        self.buffer.extend_from_slice(&self.count.to_le_bytes());
        self.buffer.extend_from_slice(&now_ms.max(end.appended_at_ms).to_le_bytes());
        self.buffer.extend_from_slice(&end.bytes.to_le_bytes());
    }

    fn finish(&mut self, partition: u32, first: u64) -> Option<Group> {
        let mut packed = std::mem::take(self).buffer;
        let checksum = xxh3_64(packed.get(8..)?);
        packed.get_mut(..8)?.copy_from_slice(&checksum.to_le_bytes());
        Some(Group { partition, first, packed: Bytes::from(packed) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, Receipt};

    fn request(messages: &[(u32, &'static str)]) -> Request {
        let messages = messages
            .iter()
            .map(|(partition, text)| Message { partition: *partition, value: Bytes::from(*text) })
            .collect();
        Request { messages, bytes: 0, answer: Receipt::pending().0 }
    }

    fn unpacked(group: &Group, from: u64, mut budget: usize) -> Vec<(u64, Bytes)> {
        let mut records = Vec::new();
        group.unpack(from, &mut budget, &mut records);
        records.into_iter().map(|record| (record.offset, record.value)).collect()
    }

    #[test]
    fn a_group_keeps_order_offsets_and_time_and_can_be_entered_in_the_middle() {
        let ends = [Mark::default(), Mark { offset: 5, bytes: 100, appended_at_ms: 70 }];
        let requests = [request(&[(1, "a"), (0, "b")]), request(&[(1, ""), (1, "c")])];
        let groups = Packer::new(2).pack(&requests, &ends, 50);
        assert_eq!(groups.len(), 2);
        assert!(groups.iter().all(|group| group.verify().is_ok()));
        assert_eq!(unpacked(&groups[1], 6, 100), vec![(6, Bytes::new()), (7, Bytes::from("c"))]);
        assert_eq!(unpacked(&groups[1], 5, 1), vec![(5, Bytes::from("a"))]);
        let end = groups[1].end();
        assert_eq!((end.offset, end.appended_at_ms), (8, 70), "the clock stepped back, the time does not");
        assert_eq!(end.bytes, 100 + groups[1].packed.len() as u64);
    }

    #[test]
    fn any_changed_or_missing_byte_is_detected() {
        let packed = Packer::new(1).pack(&[request(&[(0, "hello"), (0, "you")])], &[Mark::default()], 1);
        for index in 0..packed[0].packed.len() {
            let mut changed = packed[0].packed.to_vec();
            changed[index] ^= 1;
            assert!(Group { packed: changed.into(), ..packed[0].clone() }.verify().is_err(), "byte {index}");
            let cut = packed[0].packed.slice(..index);
            assert!(Group { packed: cut, ..packed[0].clone() }.verify().is_err(), "cut at {index}");
        }
    }
}

//! Where somebody reads a partition: a position and the queue into which records from there on are fetched ahead.
//!
//! A partition has up to [`CURSORS`]: the lane reads at the end while a build reads far behind. A read takes the cursor
//! that stands where it wants to go on, else a free place, else the cursor that was not used for longest. Cursors that
//! rest while another one works are given up, so that what they fetched ahead does not stay in memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rdkafka::Message as _;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rungs_proto::view::packed;

use super::offsets::{self, PLACES};
use super::reader::{Fetched, Reader};
use super::source::Ends;
use crate::LogRecord;

/// Readers of one partition at the same time whose fetched records are kept; more of them take each other's places.
pub(super) const CURSORS: usize = 3;
/// A cursor that was not used for so long is given up, unless it is the partition's last.
const REST_LIMIT: Duration = Duration::from_secs(30);
/// How long a read waits for records that are known or thought to be there.
const FETCH_LIMIT: Duration = Duration::from_secs(2);

/// Room for the values of a read to begin with; it doubles as they come.
const FIRST_BYTES: usize = 4_096;

/// A cursor of a partition.
pub(super) struct Cursor {
    partition: u32,
    queue: Fetched,
    /// Who fetches; after the queue, because its client goes last.
    reader: Arc<Reader>,
    /// The offset after the last record that was given out; shared with the queue's callback.
    next: Arc<AtomicU64>,
    /// Whether everything before the partition's end was given out.
    at_end: bool,
    used: Instant,
}

/// Why a cursor gives no records.
pub(super) enum Broken {
    /// The offset is not in the log.
    OutOfRange,
    /// Brokers do not answer, or refuse.
    Failed(String),
}

impl Cursor {
    /// Begins to read a partition.
    pub(super) fn open(
        reader: &Arc<Reader>,
        ends: &Arc<Ends>,
        partition: u32,
        from: u64,
    ) -> Result<Self, String> {
        let next = Arc::new(AtomicU64::new(from));
        let (seen, ends) = (Arc::clone(&next), Arc::clone(ends));
        // At least one more record; which offset it has is not known here. Statistics tell more within a second.
        let on_arrival = move || {
            let record = offsets::topic_offset(seen.load(Ordering::Acquire));
            ends.raise(partition, offsets::first_of(record + 1));
        };
        let queue = reader.fetch(raw(partition), offsets::topic_offset(from), on_arrival)?;
        let reader = Arc::clone(reader);
        Ok(Self { partition, queue, reader, next, at_end: false, used: Instant::now() })
    }

    /// Goes on elsewhere.
    pub(super) fn seek(&mut self, to: u64) -> Result<(), String> {
        self.next.store(to, Ordering::Release);
        self.at_end = false;
        self.reader.seek(raw(self.partition), offsets::topic_offset(to))
    }

    /// Whether this reader fetches for it.
    pub(super) fn is_of(&self, reader: &Arc<Reader>) -> bool {
        Arc::ptr_eq(&self.reader, reader)
    }

    /// Ends fetching.
    pub(super) fn end(self) -> Result<(), String> {
        let (reader, partition) = (Arc::clone(&self.reader), raw(self.partition));
        drop(self);
        reader.end(partition)
    }

    /// Where it stands.
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// Records until about `max_bytes`, or to the end. Waits only for records that are known to be there.
    pub(super) fn read(&mut self, ends: &Ends, max_bytes: usize) -> Result<Vec<LogRecord>, Broken> {
        self.used = Instant::now();
        let mut batch = Batch::new(max_bytes);
        let deadline = self.used + FETCH_LIMIT;
        while batch.has_room() {
            let missing = batch.is_empty() && !self.at_end && ends.get(self.partition) > self.next();
            let wait = match missing {
                true => deadline.saturating_duration_since(Instant::now()),
                false => Duration::ZERO,
            };
            match self.queue.poll(wait) {
                Some(Ok(message)) => {
                    self.at_end = false;
                    if let Some(last) = batch.push(&message, self.next()) {
                        self.next.store(last + 1, Ordering::Release);
                    }
                }
                Some(Err(ClientError::PartitionEOF(_))) => self.at_end = true,
                Some(Err(error)) if batch.is_empty() => return Err(broken(&error)),
                // What was read before the error is given out; the error comes again.
                Some(Err(_)) => break,
                // What was thought to be there is no record. The queue is looked at once more: whatever comes after that
                // raises the end again.
                None if self.at_end && ends.get(self.partition) > self.next() => {
                    ends.lower(self.partition, self.next());
                }
                None if missing => {
                    let waited = FETCH_LIMIT.as_secs();
                    return Err(Broken::Failed(format!("no broker sent its records within {waited} s")));
                }
                None => break,
            }
        }
        Ok(batch.finish())
    }
}

fn broken(error: &ClientError) -> Broken {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => Broken::OutOfRange,
        _ => Broken::Failed(error.to_string()),
    }
}

/// A partition's number as Kafka counts; there are never so many that it does not fit.
pub(super) fn raw(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// Records that are being collected. Those of a pack share its bytes; the others lie in one buffer, so that a record costs no
/// allocation.
struct Batch {
    max_bytes: usize,
    bytes: usize,
    records: Vec<LogRecord>,
    singles: BytesMut,
    /// Offset, time and end in the buffer of each record there.
    waiting: Vec<(u64, i64, usize)>,
}

impl Batch {
    fn new(max_bytes: usize) -> Self {
        let (records, waiting, singles) = (Vec::new(), Vec::new(), BytesMut::new());
        Self { max_bytes: max_bytes.max(1), bytes: 0, records, singles, waiting }
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.waiting.is_empty()
    }

    fn has_room(&self) -> bool {
        self.bytes < self.max_bytes
    }

    /// Takes a record of the topic, or those of its pack, but for what stands before `next`; gives the last one's offset.
    fn push(&mut self, message: &BorrowedMessage<'_>, next: u64) -> Option<u64> {
        let record = message.offset();
        let last = offsets::offset_of(record, 0);
        if last < next {
            return None;
        }
        let value = message.payload().unwrap_or_default();
        let appended_at_ms = message.timestamp().to_millis().unwrap_or(0);
        self.bytes += value.len();
        let Some(places) = packed(value, PLACES as usize) else {
            if self.singles.is_empty() {
                self.singles.reserve(self.max_bytes.min(FIRST_BYTES));
            }
            self.singles.extend_from_slice(value);
            self.waiting.push((last, appended_at_ms, self.singles.len()));
            return Some(last);
        };
        self.take_singles();
        let value = Bytes::copy_from_slice(value);
        let offsets = (0..places.len()).rev().map(|behind| offsets::offset_of(record, behind));
        let records = offsets.zip(places).filter(|(offset, _)| *offset >= next);
        self.records.extend(records.map(|(offset, place)| LogRecord {
            offset,
            appended_at_ms,
            value: value.slice(place),
        }));
        Some(last)
    }

    fn take_singles(&mut self) {
        let values = std::mem::take(&mut self.singles).freeze();
        let mut begin = 0;
        self.records.extend(self.waiting.drain(..).map(|(offset, appended_at_ms, end)| {
            let value = values.slice(begin..end);
            begin = end;
            LogRecord { offset, appended_at_ms, value }
        }));
    }

    fn finish(mut self) -> Vec<LogRecord> {
        self.take_singles();
        self.records
    }
}

/// The cursors of a partition; the place in the list is the reader's.
#[derive(Default)]
pub(super) struct Cursors {
    /// Held while a place is chosen, so that a place is in use or free and never just being looked at.
    choosing: Mutex<()>,
    places: [Mutex<Option<Cursor>>; CURSORS],
}

/// The place for a read, held for its time.
pub(super) struct Place<'a> {
    /// Which reader the cursor belongs to.
    pub(super) reader: usize,
    pub(super) cursor: MutexGuard<'a, Option<Cursor>>,
}

impl Cursors {
    /// The place whose cursor stands at `from`, else the best one to be moved there. Waits if all are reading.
    pub(super) fn place(&self, from: u64) -> Place<'_> {
        let chosen = self.free_place(from);
        chosen.unwrap_or_else(|| {
            let [.., last] = &self.places;
            Place { reader: CURSORS - 1, cursor: last.lock().unwrap_or_else(PoisonError::into_inner) }
        })
    }

    fn free_place(&self, from: u64) -> Option<Place<'_>> {
        let _choosing = self.choosing();
        let rank = |place: &Place<'_>| match place.cursor.as_ref() {
            Some(cursor) if cursor.next() == from => (0, None),
            None => (1, None),
            Some(cursor) => (2, Some(cursor.used)),
        };
        self.free().min_by_key(rank)
    }

    /// Whether nobody reads here.
    pub(super) fn is_empty(&self) -> bool {
        let _choosing = self.choosing();
        self.free().count() == CURSORS && self.free().all(|place| place.cursor.is_none())
    }

    /// Takes the cursors that rest while another one works, or all of them.
    pub(super) fn take(&self, all: bool) -> Vec<Cursor> {
        let _choosing = self.choosing();
        let latest = self.free().filter_map(|place| place.cursor.as_ref().map(|cursor| cursor.used)).max();
        let rests = |cursor: &Cursor| cursor.used.elapsed() > REST_LIMIT && Some(cursor.used) < latest;
        let taken = self.free().filter_map(|mut place| {
            let goes = place.cursor.as_ref().is_some_and(|cursor| all || rests(cursor));
            goes.then(|| place.cursor.take()).flatten()
        });
        taken.collect()
    }

    fn free(&self) -> impl Iterator<Item = Place<'_>> {
        self.places.iter().enumerate().filter_map(|(reader, place)| match place.try_lock() {
            Ok(cursor) => Some(Place { reader, cursor }),
            Err(TryLockError::Poisoned(poisoned)) => Some(Place { reader, cursor: poisoned.into_inner() }),
            Err(TryLockError::WouldBlock) => None,
        })
    }

    fn choosing(&self) -> MutexGuard<'_, ()> {
        self.choosing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

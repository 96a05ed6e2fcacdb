//! The reading side on Kafka. [`Source::read`] gives out what was fetched ahead and asks brokers only when it moves
//! elsewhere; where the log ends is told by the fetches themselves (`Ends`), never by polling.
//!
//! Offsets of the log have gaps (`offsets.rs`; transactions of other producers leave some too). A record is readable shortly
//! after its receipt, not at once. `read` waits for records that are known to be there, at most two seconds.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use super::KafkaError;
use super::cursor::{Broken, CURSORS, Cursor, Cursors, raw};
use super::membership::Membership;
use super::plans::KafkaPlans;
use super::reader::{OnDemand, Reader};
use super::settings::KafkaSettings;
use super::{identity, offsets, topics};
use crate::assignments::{self, Assignment};
use crate::{LogId, LogRecord, ReadError, Source};

/// How often a read looks for cursors that rest.
const REST_CHECK_MS: u128 = 5_000;

/// Reads `rungs.events.v1`. Dropping it leaves the consumer group: end the channel of assignments before.
pub struct KafkaSource {
    id: LogId,
    membership: Option<Membership>,
    fetches: Arc<Fetches>,
}

/// The readers and cursors of all partitions.
pub(super) struct Fetches {
    id: LogId,
    settings: KafkaSettings,
    ends: Arc<Ends>,
    /// Before the readers: their threads are to be the last that hold the clients.
    partitions: Vec<Cursors>,
    readers: [OnDemand; CURSORS],
    rested: Mutex<Instant>,
}

/// Where the partitions end, as far as it is known: exact when a reader stands at the end, else at least this.
pub(super) struct Ends(Vec<watch::Sender<u64>>);

impl Ends {
    fn new(partitions: u32) -> Self {
        Self((0..partitions).map(|_| watch::Sender::new(0)).collect())
    }

    /// As far as it is known.
    pub(super) fn get(&self, partition: u32) -> u64 {
        self.0.get(partition as usize).map_or(0, |sender| *sender.borrow())
    }

    /// The partition ends at `end` or later.
    pub(super) fn raise(&self, partition: u32, end: u64) {
        let Some(sender) = self.0.get(partition as usize) else { return };
        sender.send_if_modified(|known| {
            let later = end > *known;
            *known = end.max(*known);
            later
        });
    }

    /// Nothing that can be read stands at `end` or later: what was thought to was no record.
    pub(super) fn lower(&self, partition: u32, end: u64) {
        let Some(sender) = self.0.get(partition as usize) else { return };
        sender.send_if_modified(|known| {
            let earlier = end < *known;
            *known = end.min(*known);
            earlier
        });
    }
}

impl KafkaSource {
    /// Reads all partitions, in no group: for tools and tests, or where one process serves all.
    ///
    /// # Errors
    /// As [`ensure_topics`](super::ensure_topics), which it calls.
    pub fn open(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        topics::ensure(settings)?;
        Self::of(settings)
    }

    fn of(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        let id = identity::log_id(settings, &settings.events_topic())?;
        let fetches = Arc::new(Fetches::new(settings, id.clone()));
        Ok(Self { id, membership: None, fetches })
    }

    /// Reads the partitions that the consumer group gives to this process; see [`Source::assignments`].
    ///
    /// # Errors
    /// As [`KafkaSource::open`].
    pub fn join(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        Self::open(settings)?.joined()
    }

    /// As [`KafkaSource::join`], where the plan topic was opened already, and so all topics were verified.
    ///
    /// # Errors
    /// [`KafkaError::Unreachable`] if no broker answers.
    pub fn join_beside(plans: &KafkaPlans) -> Result<Self, KafkaError> {
        Self::of(plans.settings())?.joined()
    }

    fn joined(mut self) -> Result<Self, KafkaError> {
        self.membership = Some(Membership::open(&self.fetches.settings, &self.fetches)?);
        Ok(self)
    }
}

impl Fetches {
    fn new(settings: &KafkaSettings, id: LogId) -> Self {
        Self {
            id,
            ends: Arc::new(Ends::new(settings.partitions)),
            readers: Default::default(),
            partitions: (0..settings.partitions).map(|_| Cursors::default()).collect(),
            rested: Mutex::new(Instant::now()),
            settings: settings.clone(),
        }
    }

    /// Nothing of this partition is to be fetched any more.
    pub(super) fn forget(&self, partition: i32) {
        let cursors = usize::try_from(partition).ok().and_then(|partition| self.partitions.get(partition));
        if let Some(cursors) = cursors {
            cursors.take(true).into_iter().for_each(end);
        }
    }

    fn reader(&self, place: usize) -> Result<Arc<Reader>, String> {
        let reader = self.readers.get(place).ok_or_else(|| format!("there is no reader {place}"))?;
        let reader = reader.get(&self.settings, &self.ends, || self.is_same_log())?;
        if reader.is_replaced() {
            return Err(self.replaced());
        }
        Ok(reader)
    }

    /// A new consumer would not notice that the topic was another one before.
    fn is_same_log(&self) -> Result<(), String> {
        let id = identity::log_id(&self.settings, &self.settings.events_topic());
        match id.map_err(|error| error.to_string())? == self.id {
            true => Ok(()),
            false => Err(self.replaced()),
        }
    }

    fn replaced(&self) -> String {
        format!(
            "topic {} was deleted and created again: it is another log now; start again to follow it",
            self.settings.events_topic()
        )
    }

    fn read(&self, partition: u32, from: u64, max_bytes: usize) -> Result<Vec<LogRecord>, ReadError> {
        let cursors = self.partitions.get(partition as usize);
        let cursors = cursors.ok_or_else(|| ReadError::Storage(self.no_partition(partition)))?;
        self.give_up_rested();
        let mut place = cursors.place(from);
        let reader = self.reader(place.reader).map_err(ReadError::Storage)?;
        let cursor = self.cursor(&reader, &mut place.cursor, partition, from)?;
        let read = cursor.read(&self.ends, max_bytes);
        read.map_err(|broken| {
            // The next read begins anew.
            *place.cursor = None;
            if let Err(cause) = reader.end(raw(partition)) {
                tracing::debug!(partition, cause, "a partition is still fetched");
            }
            match broken {
                Broken::Failed(cause) => ReadError::Storage(cause),
                Broken::OutOfRange => self.check_range(&reader, partition, from).err().unwrap_or_else(|| {
                    ReadError::Storage(format!(
                        "offset {from} of partition {partition} was out of range just now"
                    ))
                }),
            }
        })
    }

    /// The place's cursor, brought to `from`.
    fn cursor<'a>(
        &self,
        reader: &Arc<Reader>,
        place: &'a mut Option<Cursor>,
        partition: u32,
        from: u64,
    ) -> Result<&'a mut Cursor, ReadError> {
        if let Some(former) = place.take_if(|cursor| !cursor.is_of(reader)) {
            end(former);
        }
        let stands = place.as_ref().map(Cursor::next);
        if stands != Some(from) {
            self.check_range(reader, partition, from)?;
            let moved = place.as_mut().map(|cursor| cursor.seek(from));
            if let Some(Err(cause)) = moved {
                tracing::debug!(partition, from, cause, "a cursor could not be moved; it is opened anew");
                *place = None;
                reader.end(raw(partition)).map_err(ReadError::Storage)?;
            }
        }
        if place.is_none() {
            *place = Some(Cursor::open(reader, &self.ends, partition, from).map_err(ReadError::Storage)?);
        }
        place.as_mut().ok_or_else(|| ReadError::Storage("the cursor is gone".to_owned()))
    }

    /// Whether the offset is in the log or its end; brings what is known of the end up to date.
    fn check_range(&self, reader: &Reader, partition: u32, wanted: u64) -> Result<(), ReadError> {
        let (first, end) = reader.bounds(raw(partition)).map_err(ReadError::Storage)?;
        if wanted < first {
            return Err(ReadError::Gone { partition, wanted, first });
        }
        if wanted > end {
            return Err(ReadError::Storage(format!(
                "partition {partition} ends at {end}, but offset {wanted} was known before: the brokers lost records that \
                 they had acknowledged"
            )));
        }
        self.ends.raise(partition, end);
        Ok(())
    }

    /// Gives up cursors that rest, every few seconds.
    fn give_up_rested(&self) {
        let Ok(mut rested) = self.rested.try_lock() else { return };
        if rested.elapsed().as_millis() < REST_CHECK_MS {
            return;
        }
        *rested = Instant::now();
        for cursors in &self.partitions {
            cursors.take(false).into_iter().for_each(end);
        }
    }

    fn end(&self, partition: u32) -> watch::Receiver<u64> {
        let Some(sender) = self.ends.0.get(partition as usize) else { return watch::channel(0).1 };
        let unread = self.partitions.get(partition as usize).is_some_and(Cursors::is_empty);
        if unread && let Ok(reader) = self.reader(0) {
            match reader.bounds(raw(partition)) {
                Ok((_, end)) => self.ends.raise(partition, end),
                Err(cause) => tracing::warn!(partition, cause, "where the partition ends is not known yet"),
            }
        }
        sender.subscribe()
    }

    fn no_partition(&self, partition: u32) -> String {
        format!("there is no partition {partition}: the log has {}", self.settings.partitions)
    }
}

/// Gives a cursor up.
fn end(cursor: Cursor) {
    if let Err(cause) = cursor.end() {
        tracing::warn!(cause, "a partition is fetched on although nobody reads it");
    }
}

impl Source for KafkaSource {
    fn id(&self) -> LogId {
        self.id.clone()
    }

    fn partitions(&self) -> u32 {
        self.fetches.settings.partitions
    }

    fn read(&self, partition: u32, from: u64, max_bytes: usize) -> Result<Vec<LogRecord>, ReadError> {
        self.fetches.read(partition, from, max_bytes)
    }

    /// Where nobody reads yet, the brokers are asked, which blocks; 0 if they do not answer.
    fn end(&self, partition: u32) -> watch::Receiver<u64> {
        self.fetches.end(partition)
    }

    fn places(&self) -> u64 {
        offsets::PLACES
    }

    /// Tells the consumer group, for people who watch it; nothing is removed, and nothing is read from there.
    fn release(&self, partition: u32, offset: u64) {
        if let Some(membership) = &self.membership {
            membership.release(partition, offset);
        }
    }

    fn assignments(&self) -> mpsc::Receiver<Assignment> {
        match &self.membership {
            Some(membership) => membership.assignments(),
            None => assignments::all(self.fetches.settings.partitions),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::kafka::KafkaPublisher;
    use crate::kafka::offsets::{first_of, offset_of};
    use crate::{Message, Publisher};

    const RECORDS: i64 = 10;

    /// A partition with records on brokers that answer as they are told.
    fn written() -> (MockCluster<'static, rdkafka::producer::DefaultProducerContext>, KafkaSettings) {
        let brokers = MockCluster::new(1).unwrap();
        let mut settings = KafkaSettings::new(brokers.bootstrap_servers());
        settings.partitions = 1;
        brokers.create_topic(&settings.events_topic(), 1, 1).unwrap();
        let publisher = KafkaPublisher::open(&settings).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for number in 0..RECORDS {
            let value = Bytes::from(number.to_string());
            let receipt = publisher.publish(vec![Message { partition: 0, value }]).unwrap();
            runtime.block_on(receipt).unwrap();
        }
        (brokers, settings)
    }

    #[test]
    fn a_reader_that_does_not_find_its_partition_any_more_is_replaced_and_the_records_are_read() {
        let (brokers, settings) = written();
        let id = identity::log_id(&settings, &settings.events_topic()).unwrap();
        let fetches = Fetches::new(&settings, id);
        let first = fetches.reader(0).unwrap();
        fetches.check_range(&first, 0, 0).unwrap();

        let unknown = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART; 200];
        brokers.request_errors(RDKafkaApiKey::ListOffsets, &unknown);
        let mut refused = 0;
        while Arc::ptr_eq(&first, &fetches.reader(0).unwrap()) {
            assert!(fetches.read(0, 0, 1 << 20).is_err());
            refused += 1;
            assert!(refused < 10, "it is not replaced");
        }
        assert!(refused > 1, "one answer is not enough");
        brokers.clear_request_errors(RDKafkaApiKey::ListOffsets);

        let (mut found, mut attempts) = (Vec::<LogRecord>::new(), 0);
        while found.len() < RECORDS as usize {
            attempts += 1;
            assert!(attempts < 20, "{found:?}");
            let next = found.last().map_or(0, |last| last.offset + 1);
            found.extend(fetches.read(0, next, 1 << 20).unwrap_or_default());
        }
        let offsets: Vec<u64> = found.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, (0..RECORDS).map(|record| offset_of(record, 0)).collect::<Vec<_>>());
        assert!(!Arc::ptr_eq(&first, &fetches.reader(0).unwrap()));
    }

    #[test]
    fn how_far_a_reader_lags_is_known_although_it_fetches_no_more() {
        let (_brokers, mut settings) = written();
        (settings.fetch_buffer_bytes, settings.record_bytes) = (1, 0);
        let id = identity::log_id(&settings, &settings.events_topic()).unwrap();
        let fetches = Fetches::new(&settings, id);
        assert!(!fetches.read(0, 0, 1).unwrap().is_empty());
        let publisher = KafkaPublisher::open(&settings).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut written = RECORDS;
        // The first of these fill the buffer; of the others nothing is fetched.
        for more in [3_000, 500, 500, 500] {
            let message = || Message { partition: 0, value: Bytes::from_static(b"a record") };
            runtime.block_on(publisher.publish((0..more).map(|_| message()).collect()).unwrap()).unwrap();
            written += more;
            let deadline = Instant::now() + std::time::Duration::from_secs(30);
            while fetches.ends.get(0) < first_of(written) {
                assert!(Instant::now() < deadline, "{} of {written}", fetches.ends.get(0));
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn a_reader_is_not_replaced_by_one_of_another_log() {
        let (brokers, settings) = written();
        let fetches = Fetches::new(&settings, LogId("a log before".to_owned()));
        let first = fetches.reader(0).unwrap();
        brokers.request_errors(
            RDKafkaApiKey::ListOffsets,
            &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART; 200],
        );
        let refused = (0..10).find_map(|_| {
            assert!(fetches.check_range(&first, 0, 0).is_err());
            fetches.reader(0).err()
        });
        assert!(refused.is_some_and(|why| why.contains("it is another log now")));
    }
}

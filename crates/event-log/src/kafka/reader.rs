//! A Kafka consumer that only fetches: it is in no group, and each partition that is read through it has a queue of its
//! own, so that lanes read in parallel. Used by `cursor.rs`; its own thread hands over errors, log lines and statistics.
//!
//! It also watches that the topic stays the one it was: librdkafka would go on reading from a topic that was deleted and
//! created again.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::statistics::Statistics;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::KafkaError;
use super::client::{self, ANSWER_LIMIT, LOST_LIMIT, POLL, is_unknown};
use super::identity;
use super::offsets;
use super::settings::{self, KafkaSettings};
use super::source::Ends;

/// Fetched bytes of one partition that wait to be read: at least and at most, whatever the settings divide to.
const MIN_BUFFER_KBYTES: u64 = 1_024;
const MAX_BUFFER_KBYTES: u64 = 65_536;

/// What a fetched record takes in librdkafka's memory beside its bytes, about: most of it, where records are small.
const RECORD_OVERHEAD_BYTES: u64 = 500;

/// A leader that does not tell its partition's bounds within this time is away.
const BOUNDS_LIMIT: Duration = Duration::from_secs(3);

/// The consumer of a [`Reader`].
pub(super) type Fetching = BaseConsumer<Watching>;

/// What it fetched of a partition.
pub(super) type Fetched = PartitionQueue<Watching>;

/// What a reader's consumer tells.
pub(super) struct Watching {
    topic: String,
    ends: Arc<Ends>,
    replaced: AtomicBool,
    /// Partitions with records that wait to be read, as the last statistics told.
    waiting: Mutex<Vec<i32>>,
}

/// A fetching consumer and the thread that serves it, and that ends it: librdkafka may wait for a broker then.
pub(super) struct Reader {
    topic: String,
    consumer: Arc<Fetching>,
    ended: Arc<AtomicBool>,
    /// Times in a row that a partition was not found.
    lost: AtomicU32,
}

impl Reader {
    /// Makes one; brokers need not be there.
    pub(super) fn open(settings: &KafkaSettings, ends: &Arc<Ends>) -> Result<Self, KafkaError> {
        let topic = settings.events_topic();
        let context = Watching {
            topic: topic.clone(),
            ends: Arc::clone(ends),
            replaced: AtomicBool::new(false),
            waiting: Mutex::default(),
        };
        let consumer: Arc<Fetching> = Arc::new(configured(settings)?.create_with_context(context)?);
        let ended = Arc::new(AtomicBool::new(false));
        let (served, until) = (Arc::clone(&consumer), Arc::clone(&ended));
        let thread = std::thread::Builder::new().name("kafka-reader".to_owned());
        let started = thread.spawn(move || serve(&served, &until));
        started.map_err(|cause| KafkaError::Client(format!("no thread: {cause}")))?;
        Ok(Self { topic, consumer, ended, lost: AtomicU32::new(0) })
    }

    /// Begins to fetch a partition; `on_arrival` is called whenever its empty queue got something, from one of
    /// librdkafka's threads.
    pub(super) fn fetch(
        &self,
        partition: i32,
        from: i64,
        on_arrival: impl Fn() + Send + Sync + 'static,
    ) -> Result<Fetched, String> {
        // Split before it is assigned: nothing goes to the consumer's common queue.
        let queue = self.consumer.split_partition_queue(&self.topic, partition);
        let mut queue = queue.ok_or_else(|| format!("partition {partition} has no queue"))?;
        queue.set_nonempty_callback(on_arrival);
        let list = self.list(partition, Offset::Offset(from))?;
        if let Err(error) = self.consumer.incremental_assign(&list) {
            // It may still be assigned, from a cursor that could not be ended in order.
            tracing::debug!(partition, %error, "fetching a partition begins anew");
            self.end(partition)?;
            self.consumer.incremental_assign(&list).map_err(|error| error.to_string())?;
        }
        Ok(queue)
    }

    /// Ends fetching a partition.
    pub(super) fn end(&self, partition: i32) -> Result<(), String> {
        let list = self.list(partition, Offset::Invalid)?;
        self.consumer.incremental_unassign(&list).map_err(|error| error.to_string())
    }

    /// Goes on from another offset. What was fetched before is not given out any more once this returns.
    pub(super) fn seek(&self, partition: i32, to: i64) -> Result<(), String> {
        let sought = self.consumer.seek(&self.topic, partition, Offset::Offset(to), ANSWER_LIMIT);
        sought.map_err(|error| error.to_string())
    }

    /// Where the partition begins and ends, as offsets of the log, asked from its leader.
    pub(super) fn bounds(&self, partition: i32) -> Result<(u64, u64), String> {
        let bounds = self.consumer.fetch_watermarks(&self.topic, partition, BOUNDS_LIMIT);
        match &bounds {
            Err(error) if is_unknown(error) => drop(self.lost.fetch_add(1, Ordering::AcqRel)),
            _ => self.lost.store(0, Ordering::Release),
        }
        let (first, end) = bounds.map_err(|error| error.to_string())?;
        Ok((offsets::first_of(first), offsets::first_of(end)))
    }

    /// Whether the topic was deleted and created again since this reader began.
    pub(super) fn is_replaced(&self) -> bool {
        self.consumer.context().replaced.load(Ordering::Acquire)
    }

    /// Whether it does not find partitions any more.
    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire) >= LOST_LIMIT
    }

    fn list(&self, partition: i32, offset: Offset) -> Result<TopicPartitionList, String> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&self.topic, partition, offset).map_err(|error| error.to_string())?;
        Ok(list)
    }
}

/// A reader that is made when it is first needed, and again when it does not find its partitions any more.
#[derive(Default)]
pub(super) struct OnDemand(Mutex<Option<Arc<Reader>>>);

impl OnDemand {
    /// The reader; `is_same` says whether a new one would read the same log as the one before.
    pub(super) fn get(
        &self,
        settings: &KafkaSettings,
        ends: &Arc<Ends>,
        is_same: impl Fn() -> Result<(), String>,
    ) -> Result<Arc<Reader>, String> {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match place.as_ref() {
            Some(reader) if !reader.is_lost() => return Ok(Arc::clone(reader)),
            Some(_) => {
                is_same()?;
                tracing::warn!(
                    "a Kafka consumer does not find its partitions any more; a new one takes its place"
                );
            }
            None => {}
        }
        let reader = Arc::new(Reader::open(settings, ends).map_err(|error| error.to_string())?);
        Ok(Arc::clone(place.insert(reader)))
    }
}

/// librdkafka fetches ahead until a partition's buffer is full and looks again after `fetch.queue.backoff.ms` (a second
/// by default, in which a reader would run dry). Full means either bound, of bytes or of records. A partition's end is
/// told, since `read` must know it.
fn configured(settings: &KafkaSettings) -> Result<ClientConfig, KafkaError> {
    let mut config = settings::client(settings)?;
    let share = settings.fetch_buffer_bytes / 1_000 / u64::from(settings.partitions.max(1));
    let buffer = share.clamp(MIN_BUFFER_KBYTES, MAX_BUFFER_KBYTES);
    let (records, buffer) = ((buffer * 1_000 / RECORD_OVERHEAD_BYTES).to_string(), buffer.to_string());
    let defaults = [
        ("fetch.queue.backoff.ms", "5"),
        ("queued.min.messages", records.as_str()),
        ("queued.max.messages.kbytes", buffer.as_str()),
        ("fetch.max.bytes", "16777216"),
        ("fetch.error.backoff.ms", "100"),
        // A broker has one fetch at a time from a reader; a cursor that moves waits for it.
        ("fetch.wait.max.ms", "100"),
    ];
    for (key, value) in defaults {
        if config.get(key).is_none() {
            config.set(key, value);
        }
    }
    identity::log_ids(&mut config);
    // The group is named because librdkafka assigns partitions only with one; it is not joined.
    config.set("group.id", settings.group()).set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false").set("auto.offset.reset", "error");
    config.set("enable.partition.eof", "true").set("statistics.interval.ms", "1000");
    Ok(config)
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
    }
}

/// Until the reader is dropped.
fn serve(consumer: &Arc<Fetching>, ended: &AtomicBool) {
    while !ended.load(Ordering::Acquire) {
        // Messages come by the partitions' queues; here come errors of the client, which its context logged.
        drop(consumer.poll(POLL));
        tell_ends(consumer);
    }
}

/// Asks where partitions end whose records wait: once its buffer is full nothing is fetched, so that nothing tells how far
/// the reader lags.
fn tell_ends(consumer: &Fetching) {
    let Watching { topic, ends, waiting, .. } = consumer.context().as_ref();
    let waiting = std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
    for partition in waiting {
        // A leader that is away tells nothing; the others are asked a second later.
        let Ok((_, end)) = consumer.fetch_watermarks(topic, partition, BOUNDS_LIMIT) else { return };
        if let Ok(partition) = u32::try_from(partition) {
            ends.raise(partition, offsets::first_of(end));
        }
    }
}

impl ClientContext for Watching {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if let Some((Some(_), _)) = identity::changed_id(message, &self.topic) {
            self.replaced.store(true, Ordering::Release);
            tracing::error!(topic = self.topic, "the topic was deleted and created again");
        } else if !matches!(level, RDKafkaLogLevel::Debug) {
            client::log("reader", level, facility, message);
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        client::log_error("reader", &error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.topic) else { return };
        let waiting = topic.partitions.values().filter(|partition| partition.fetchq_cnt > 0);
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) =
            waiting.map(|partition| partition.partition).collect();
        for partition in topic.partitions.values() {
            let visible = offsets::first_of(partition.ls_offset);
            if let Ok(partition) = u32::try_from(partition.partition) {
                self.ends.raise(partition, visible);
            }
        }
    }
}

impl ConsumerContext for Watching {}

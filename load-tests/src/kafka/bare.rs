//! What librdkafka does by itself, the limit that ours is compared with: produces the events that a collector wrote, each as
//! a record of its own, or reads those and looks at nothing. Each runs in a process of its own, so that its CPU time is
//! its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use event_log::kafka::PLACES;
use event_log::write_key;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};
use rungs_proto::view::{packed, visitor_of};

use super::cluster::PARTITIONS;
use super::counted::Counted;
use crate::BenchError;

/// Where the events are.
pub(super) const TOPIC: &str = "rungs.events.v1";
const BARE_TOPIC: &str = "bench.bare";
/// Records that are produced over and over.
const SAMPLE: usize = 100_000;
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Reads what [`produce`] wrote: a queue and a thread a partition, as lanes read.
pub(super) fn drain(brokers: &str) -> Result<Counted, BenchError> {
    let consumer = consumer(brokers)?;
    let counted = Counted::begin();
    let events = AtomicU64::new(0);
    let mut list = TopicPartitionList::new();
    let mut queues = Vec::new();
    for partition in 0..PARTITIONS as i32 {
        let (_, end) = consumer.fetch_watermarks(BARE_TOPIC, partition, ANSWER_LIMIT)?;
        let queue = consumer.split_partition_queue(BARE_TOPIC, partition);
        queues.push((queue.ok_or_else(|| BenchError::other("no queue"))?, end));
        list.add_partition_offset(BARE_TOPIC, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while Arc::strong_count(&consumer) > 1 {
                drop(consumer.poll(Duration::from_millis(20)))
            }
        });
        let held = Arc::clone(&consumer);
        let readers: Vec<_> = queues
            .into_iter()
            .map(|(queue, end)| {
                let events = &events;
                scope.spawn(move || {
                    let mut next = 0;
                    while next < end {
                        if let Some(Ok(message)) = queue.poll(Duration::from_secs(1)) {
                            next = message.offset() + 1;
                            std::hint::black_box(message.payload().map(<[u8]>::len));
                            events.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        readers.into_iter().for_each(|reader| drop(reader.join()));
        drop(held);
    });
    Ok(counted.end(events.into_inner()))
}

/// The settings that the log reads with.
fn consumer(brokers: &str) -> Result<Arc<BaseConsumer>, BenchError> {
    let config = config(&[
        ("bootstrap.servers", brokers),
        ("group.id", "bench"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "earliest"),
        ("fetch.queue.backoff.ms", "5"),
        ("queued.min.messages", "1000000"),
        ("queued.max.messages.kbytes", "8192"),
        ("fetch.max.bytes", "16777216"),
        ("fetch.wait.max.ms", "100"),
    ]);
    Ok(Arc::new(config.create()?))
}

pub(super) fn config(options: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in options {
        config.set(*key, *value);
    }
    config
}

/// Counts what was acknowledged.
#[derive(Clone, Default)]
struct Acknowledged(Arc<AtomicU64>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        self.0.fetch_add(u64::from(delivered.is_ok()), Ordering::Relaxed);
    }
}

/// Produces events of the events' topic to another one for `time`.
pub(super) fn produce(brokers: &str, time: Duration) -> Result<Counted, BenchError> {
    create_topic(brokers, BARE_TOPIC)?;
    let sample = sample(brokers)?;
    let acknowledged = Acknowledged::default();
    let producer: ThreadedProducer<Acknowledged> =
        config(&producing(brokers)).create_with_context(acknowledged.clone())?;
    let counted = Counted::begin();
    let until = Instant::now() + time;
    for (partition, key, value) in sample.iter().cycle() {
        let mut record =
            BaseRecord::to(BARE_TOPIC).key(key.as_slice()).payload(value.as_slice()).partition(*partition);
        while let Err((error, refused)) = producer.send(record) {
            if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
                return Err(error.into());
            }
            std::thread::sleep(Duration::from_millis(1));
            record = refused;
        }
        if Instant::now() > until {
            break;
        }
    }
    producer.flush(ANSWER_LIMIT)?;
    Ok(counted.end(acknowledged.0.load(Ordering::Relaxed)))
}

/// The guarantees and the compression of ours, and large batches.
pub(super) fn producing(brokers: &str) -> [(&'static str, &str); 7] {
    [
        ("bootstrap.servers", brokers),
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("linger.ms", "1"),
        ("batch.size", "1000000"),
        ("compression.type", "lz4"),
        ("queue.buffering.max.messages", "500000"),
    ]
}

/// Creates a topic that is not there yet.
pub(super) fn create_topic(brokers: &str, name: &str) -> Result<(), BenchError> {
    let admin: AdminClient<DefaultClientContext> =
        AdminClient::from_config(&config(&[("bootstrap.servers", brokers)]))?;
    let topic = NewTopic::new(name, PARTITIONS as i32, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()))?;
    Ok(())
}

/// Partition, key and value.
type Sampled = (i32, Vec<u8>, Vec<u8>);

/// Some events of the events' topic, as records of their own.
fn sample(brokers: &str) -> Result<Vec<Sampled>, BenchError> {
    let consumer = consumer(brokers)?;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS as i32 {
        list.add_partition_offset(TOPIC, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let mut sample = Vec::with_capacity(SAMPLE);
    while sample.len() < SAMPLE {
        let Some(message) = consumer.poll(ANSWER_LIMIT) else { break };
        let message = message?;
        let value = message.payload().unwrap_or_default();
        let alone = std::iter::once(0..value.len()).collect();
        for place in packed(value, PLACES as usize).unwrap_or(alone) {
            let event = value.get(place).unwrap_or_default();
            if let Some((site, visitor)) = visitor_of(event) {
                let mut key = Vec::new();
                write_key(site, visitor, &mut key);
                sample.push((message.partition(), key, event.to_vec()));
            }
        }
    }
    match sample.is_empty() {
        true => Err(BenchError::other("there are no events to produce again")),
        false => Ok(sample),
    }
}

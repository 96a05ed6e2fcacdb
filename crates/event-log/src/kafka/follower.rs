//! A topic of one partition that is followed from its beginning, and records that are written to it one by one: what the
//! plan topic (`plans.rs`) and the topic of salts (`salts.rs`) have in common. What is read they say themselves ([`Follow`]).
//!
//! A topic that is deleted and created again (Kafka was lost) is followed from its beginning once more: librdkafka would go
//! on at the old offset.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{BorrowedMessage, OwnedHeaders};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, POLL};
use super::identity::{self, DEBUG_CONTEXT};
use super::publisher::{KafkaPublisher, Target};
use super::settings::{self, KafkaSettings};
use super::{DELIVERY_LIMIT_MS, KafkaError};
use crate::PublishError;

/// An append waits this long for its record's acknowledgement: longer than the producer tries.
const APPEND_LIMIT: Duration = Duration::from_millis(DELIVERY_LIMIT_MS + 5_000);

/// What becomes of a topic's records, in their order. Called by the following thread.
pub(super) trait Follow: Send + Sync + 'static {
    fn take(&self, message: &BorrowedMessage<'_>);

    /// Everything that was there was taken, also if the last offsets hold no record.
    fn at_end(&self);

    /// The topic is another one under the same name; its records follow, from the first.
    fn begin_anew(&self);
}

/// What the consumer tells.
struct Following {
    what: &'static str,
    topic: String,
    /// The topic's id, once it is known.
    id: Mutex<Option<String>>,
    replaced: AtomicBool,
}

/// The thread that follows a topic; dropping it ends it.
pub(super) struct Follower {
    what: &'static str,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Begins; `what` names the topic in log lines.
    pub(super) fn start(
        settings: &KafkaSettings,
        topic: &str,
        what: &'static str,
        records: Arc<impl Follow>,
    ) -> Result<Self, KafkaError> {
        let consumer = consumer(settings, topic, what)?;
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let thread = std::thread::Builder::new().name(format!("kafka-{what}"));
        let thread = thread.spawn(move || follow(&consumer, records.as_ref(), &until));
        let thread = thread.map_err(|cause| KafkaError::Client(format!("no thread: {cause}")))?;
        Ok(Self { what, ended, thread: Some(thread) })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            client::end(thread, self.what);
        }
    }
}

fn follow(consumer: &BaseConsumer<Following>, records: &impl Follow, ended: &AtomicBool) {
    while !ended.load(Ordering::Acquire) {
        if consumer.context().replaced.swap(false, Ordering::AcqRel) {
            begin_anew(consumer, records);
        }
        match consumer.poll(POLL) {
            Some(Ok(message)) => records.take(&message),
            Some(Err(ClientError::PartitionEOF(_))) => records.at_end(),
            // Logged by the context; librdkafka goes on by itself.
            Some(Err(_)) | None => {}
        }
    }
}

fn begin_anew(consumer: &BaseConsumer<Following>, records: &impl Follow) {
    let Following { topic, replaced, .. } = consumer.context().as_ref();
    tracing::warn!(topic, "the topic was deleted and created again; it is followed from its beginning");
    records.begin_anew();
    if let Err(error) = begin(consumer, topic) {
        tracing::error!(%error, topic, "it cannot be followed yet; trying again");
        replaced.store(true, Ordering::Release);
        std::thread::sleep(POLL);
    }
}

fn begin(consumer: &BaseConsumer<Following>, topic: &str) -> Result<(), ClientError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&list)
}

/// Reads from the beginning and tells the end.
fn consumer(
    settings: &KafkaSettings,
    topic: &str,
    what: &'static str,
) -> Result<BaseConsumer<Following>, KafkaError> {
    let mut config = settings::client(settings)?;
    let debug = config.get("debug").map_or(DEBUG_CONTEXT.to_owned(), |own| format!("{own},{DEBUG_CONTEXT}"));
    config.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
    config.set("group.id", settings.group()).set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false").set("auto.offset.reset", "earliest");
    config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "100");
    let (topic, id, replaced) = (topic.to_owned(), Mutex::new(None), AtomicBool::new(false));
    let context = Following { what, topic, id, replaced };
    let consumer: BaseConsumer<Following> = config.create_with_context(context)?;
    begin(&consumer, &consumer.context().topic)?;
    Ok(consumer)
}

impl ClientContext for Following {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if let Some((_, new)) = identity::changed_id(message, &self.topic) {
            let mut id = self.id.lock().unwrap_or_else(PoisonError::into_inner);
            if id.replace(new.to_owned()).is_some_and(|old| old != new) {
                self.replaced.store(true, Ordering::Release);
            }
        } else if !matches!(level, RDKafkaLogLevel::Debug) {
            client::log(self.what, level, facility, message);
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        client::log_error(self.what, &error, reason);
    }
}

impl ConsumerContext for Following {}

/// Writes a record (no value: a tombstone) to such a topic and gives its offset. Blocks until Kafka has it.
pub(super) fn append(
    publisher: &KafkaPublisher,
    topic: &str,
    key: &[u8],
    value: Option<&[u8]>,
    headers: Option<OwnedHeaders>,
) -> Result<i64, PublishError> {
    let (sender, answer) = std::sync::mpsc::sync_channel(1);
    // Whoever waited for too long is not interested any more.
    let on_end = Box::new(move |answer| drop(sender.send(answer)));
    publisher.send_to(&Target { topic, partition: 0 }, key, value, headers, on_end)?;
    match answer.recv_timeout(APPEND_LIMIT) {
        Ok(offset) => offset.map_err(PublishError::from),
        Err(_) => Err(PublishError::Storage("Kafka did not answer".to_owned())),
    }
}

//! A topic of one partition that is followed from its beginning, and records that are written to it one by one: what the
//! plan topic (`plans.rs`) and the topic of salts (`salts.rs`) have in common. What is read they say themselves ([`Follow`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{BorrowedMessage, OwnedHeaders};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, POLL, Plain};
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

fn follow(consumer: &BaseConsumer<Plain>, records: &impl Follow, ended: &AtomicBool) {
    while !ended.load(Ordering::Acquire) {
        match consumer.poll(POLL) {
            Some(Ok(message)) => records.take(&message),
            Some(Err(ClientError::PartitionEOF(_))) => records.at_end(),
            // Logged by the context; librdkafka goes on by itself.
            Some(Err(_)) | None => {}
        }
    }
}

/// Reads from the beginning and tells the end.
fn consumer(
    settings: &KafkaSettings,
    topic: &str,
    what: &'static str,
) -> Result<BaseConsumer<Plain>, KafkaError> {
    let mut config = settings::client(settings)?;
    config.set("group.id", settings.group()).set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false").set("auto.offset.reset", "earliest");
    config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "100");
    let consumer: BaseConsumer<Plain> = config.create_with_context(Plain(what))?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&list)?;
    Ok(consumer)
}

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

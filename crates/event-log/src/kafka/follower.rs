//! A topic of one partition that is followed from its beginning, and records that are written to it one by one: what the
//! plan topic (`plans.rs`) and the topic of salts (`salts.rs`) have in common. What is read they say themselves ([`Follow`]).
//!
//! A topic that is deleted and created again (Kafka was lost) is followed from its beginning once more: librdkafka would go
//! on at the old offset.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{BorrowedMessage, Message as _, OwnedHeaders};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, LOST_LIMIT, POLL, is_unknown};
use super::identity;
use super::producer::Target;
use super::publisher::KafkaPublisher;
use super::settings::{self, KafkaSettings};
use super::{DELIVERY_LIMIT_MS, KafkaError};
use crate::PublishError;

/// An append waits this long for its record's acknowledgement: longer than the producer tries.
const APPEND_LIMIT: Duration = Duration::from_millis(DELIVERY_LIMIT_MS + 5_000);

/// Where a topic is read from. Not [`Offset::Beginning`]: librdkafka asks the leader where that is, and when it does not know
/// the leader yet, tries again after half a second. Records that are gone are passed over by `auto.offset.reset`.
const BEGINNING: Offset = Offset::Offset(0);
/// How often it is looked whether the topic is found, and how long its leader has for an answer.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
const LOOK_LIMIT: Duration = Duration::from_secs(3);

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
        let reading = Reading::new(settings, topic, what)?;
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let thread = std::thread::Builder::new().name(format!("kafka-{what}"));
        let thread = thread.spawn(move || reading.follow(records.as_ref(), &until));
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

/// Reads a topic's one partition, from its beginning to its end and on.
struct Reading {
    settings: KafkaSettings,
    topic: String,
    what: &'static str,
    consumer: BaseConsumer<Following>,
    /// Where a consumer goes on that replaces this one.
    next: Offset,
    /// When it is looked whether the partition is found.
    look_at: Instant,
    /// Times in a row that it was not.
    lost: u32,
}

impl Reading {
    fn new(settings: &KafkaSettings, topic: &str, what: &'static str) -> Result<Self, KafkaError> {
        Ok(Self {
            settings: settings.clone(),
            topic: topic.to_owned(),
            what,
            consumer: consumer(settings, Following::new(what, topic, None), BEGINNING)?,
            next: BEGINNING,
            look_at: Instant::now() + LOOK_INTERVAL,
            lost: 0,
        })
    }

    fn follow(mut self, records: &impl Follow, ended: &AtomicBool) {
        while !ended.load(Ordering::Acquire) {
            if self.consumer.context().replaced.swap(false, Ordering::AcqRel) {
                self.begin_anew(records);
            }
            self.poll(records);
            if Instant::now() >= self.look_at {
                self.look();
            }
        }
    }

    fn begin_anew(&mut self, records: &impl Follow) {
        let topic = &self.topic;
        tracing::warn!(topic, "the topic was deleted and created again; it is followed from its beginning");
        records.begin_anew();
        self.next = BEGINNING;
        if let Err(error) = begin(&self.consumer, self.next) {
            tracing::error!(%error, topic, "it cannot be followed yet; trying again");
            self.consumer.context().replaced.store(true, Ordering::Release);
            std::thread::sleep(POLL);
        }
    }

    fn poll(&mut self, records: &impl Follow) {
        match self.consumer.poll(POLL) {
            Some(Ok(message)) => {
                records.take(&message);
                self.next = Offset::Offset(message.offset() + 1);
            }
            Some(Err(ClientError::PartitionEOF(_))) => records.at_end(),
            // Logged by the context; librdkafka goes on by itself.
            Some(Err(_)) | None => {}
        }
    }

    /// Looks whether the partition is found. A consumer that lost sight of it does not ask again for minutes
    /// ([`LOST_LIMIT`]); a new one does.
    fn look(&mut self) {
        self.look_at = Instant::now() + LOOK_INTERVAL;
        let bounds = self.consumer.fetch_watermarks(&self.topic, 0, LOOK_LIMIT);
        self.lost = if bounds.is_err_and(|error| is_unknown(&error)) { self.lost + 1 } else { 0 };
        if self.lost < LOST_LIMIT {
            return;
        }
        self.lost = 0;
        // The new one tells the topic from another of its name that was made meanwhile.
        let context = Following::new(self.what, &self.topic, self.consumer.context().id());
        match consumer(&self.settings, context, self.next) {
            Ok(consumer) => {
                tracing::info!(
                    topic = self.topic,
                    "the topic is not found any more; a new consumer looks for it"
                );
                self.consumer = consumer;
            }
            Err(error) => tracing::warn!(topic = self.topic, %error, "no new consumer; trying again"),
        }
    }
}

/// Reads from an offset and tells the end.
fn consumer(
    settings: &KafkaSettings,
    context: Following,
    from: Offset,
) -> Result<BaseConsumer<Following>, KafkaError> {
    let mut config = settings::client(settings)?;
    identity::log_ids(&mut config);
    config.set("group.id", settings.group()).set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false").set("auto.offset.reset", "earliest");
    config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "100");
    let consumer: BaseConsumer<Following> = config.create_with_context(context)?;
    begin(&consumer, from)?;
    Ok(consumer)
}

fn begin(consumer: &BaseConsumer<Following>, from: Offset) -> Result<(), ClientError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&consumer.context().topic, 0, from)?;
    consumer.assign(&list)
}

impl Following {
    fn new(what: &'static str, topic: &str, id: Option<String>) -> Self {
        Self { what, topic: topic.to_owned(), id: Mutex::new(id), replaced: AtomicBool::new(false) }
    }

    fn id(&self) -> Option<String> {
        self.id.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;

    const TOPIC: &str = "followed";

    /// The values of what is read.
    #[derive(Default)]
    struct Values(Mutex<Vec<Vec<u8>>>);

    impl Follow for Values {
        fn take(&self, message: &BorrowedMessage<'_>) {
            self.0.lock().unwrap().push(message.payload().unwrap_or_default().to_vec());
        }

        fn at_end(&self) {}

        fn begin_anew(&self) {}
    }

    #[test]
    fn a_topic_that_is_not_found_any_more_is_looked_for_anew_and_read_on_where_it_was() {
        let brokers = MockCluster::new(1).unwrap();
        let settings = KafkaSettings::new(brokers.bootstrap_servers());
        for topic in [TOPIC, &settings.events_topic()] {
            brokers.create_topic(topic, 1, 1).unwrap();
        }
        let publisher = KafkaPublisher::open(&settings).unwrap();
        let write = |value: &[u8]| append(&publisher, TOPIC, b"key", Some(value), None).unwrap();
        let values = Arc::new(Values::default());
        let mut reading = Reading::new(&settings, TOPIC, "test").unwrap();
        let first = reading.consumer.client().native_ptr();
        let read_until = |reading: &mut Reading, count: usize| {
            let deadline = Instant::now() + Duration::from_secs(60);
            while values.0.lock().unwrap().len() < count {
                assert!(Instant::now() < deadline, "{:?}", values.0.lock().unwrap());
                reading.poll(values.as_ref());
            }
        };
        write(b"one");
        read_until(&mut reading, 1);

        let unknown = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART; 200];
        brokers.request_errors(RDKafkaApiKey::ListOffsets, &unknown);
        (1..LOST_LIMIT).for_each(|_| reading.look());
        assert_eq!(reading.consumer.client().native_ptr(), first, "it may be there again at once");
        reading.look();
        assert_ne!(reading.consumer.client().native_ptr(), first);
        brokers.clear_request_errors(RDKafkaApiKey::ListOffsets);

        write(b"two");
        read_until(&mut reading, 2);
        assert_eq!(*values.0.lock().unwrap(), [b"one".to_vec(), b"two".to_vec()]);
    }
}

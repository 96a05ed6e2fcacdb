//! The writing side on Kafka: an idempotent producer with acks=all.
//!
//! [`KafkaPublisher::publish`] hands each message to librdkafka (which copies it) and returns; librdkafka's threads batch
//! and send; the polling thread takes the acknowledgements and ends the calls ([`Call`]). A message's key is its site and
//! visitor, so that producers in other languages choose the same partition; control records have none.
//!
//! What is in flight is bounded by `max_in_flight_bytes`, and a message that is not acknowledged within
//! [`DELIVERY_LIMIT_MS`] fails its call. An idempotent producer can end for good (a fatal error), or lose sight of a
//! partition ([`Sight`]); then a new one takes its place and the calls of the old one fail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig};
use rungs_proto::view::visitor_of;

use super::KafkaError;
use super::call::{Call, InFlight, OnEnd, SendError};
use super::client::{self, POLL};
use super::settings::{self, KafkaSettings};
use super::sight::{Place, Sight};
use crate::{Message, PublishError, Publisher, Receipt, partitioner};

/// A message that is not acknowledged within this time fails; milliseconds.
pub const DELIVERY_LIMIT_MS: u64 = 30_000;
/// A new client after a fatal error is made at most this often.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);
/// Messages of a partition fail for so long before it is looked whether the producer lost sight of it.
const BLIND_LIMIT: Duration = Duration::from_secs(10);
/// How long brokers may take to say whether a partition has a leader.
const LEADER_LIMIT: Duration = Duration::from_secs(2);
/// How long the calls of a client that ended may take to be answered.
const PURGE_LIMIT: Duration = Duration::from_secs(5);

/// What a message takes in librdkafka's memory beside key and value, about.
const OVERHEAD_BYTES: u64 = 200;

type Client = BaseProducer<Deliveries>;

/// Writes messages to `rungs.events.v1`. Dropping it fails what is in flight; see [`KafkaPublisher::close`].
pub struct KafkaPublisher {
    shared: Arc<Shared>,
    polling: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    settings: KafkaSettings,
    topic: String,
    in_flight: Arc<InFlight>,
    client: RwLock<Arc<Client>>,
    closed: AtomicBool,
    ended: AtomicBool,
    blind_limit: Duration,
}

/// Where a record goes.
pub(crate) struct Target<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
}

impl KafkaPublisher {
    /// Makes the producer. Brokers need not be there; [`topics::ensure`](super::ensure_topics) tells whether they are.
    pub fn open(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        Self::open_with(settings, BLIND_LIMIT)
    }

    fn open_with(settings: &KafkaSettings, blind_limit: Duration) -> Result<Self, KafkaError> {
        settings::partition_count(settings)?;
        let shared = Arc::new(Shared {
            topic: settings.events_topic(),
            in_flight: Arc::default(),
            client: RwLock::new(Arc::new(client(settings)?)),
            closed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            blind_limit,
            settings: settings.clone(),
        });
        let polled = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("kafka-producer".to_owned());
        let polling = thread.spawn(move || polled.poll());
        let polling = polling.map_err(|cause| KafkaError::Client(format!("no thread: {cause}")))?;
        Ok(Self { shared, polling: Mutex::new(Some(polling)) })
    }

    /// Bytes of messages that are not acknowledged, about.
    pub fn in_flight_bytes(&self) -> u64 {
        self.shared.in_flight.bytes()
    }

    /// Refuses further messages, waits for the acknowledgements of those in flight at most for `limit`, and fails the
    /// rest. Blocks.
    pub fn close(&self, limit: Duration) {
        self.shared.closed.store(true, Ordering::Release);
        let deadline = Instant::now() + limit;
        while self.in_flight_bytes() > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.shared.ended.store(true, Ordering::Release);
        let polling = self.polling.lock().unwrap_or_else(PoisonError::into_inner).take();
        if polling.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the Kafka producer's thread had panicked");
        }
    }

    /// Hands messages over; `on_end` is called once, when all are acknowledged or cannot be any more, unless this fails.
    pub(crate) fn send(&self, messages: &[Message], on_end: OnEnd) -> Result<(), PublishError> {
        let partitions = self.shared.settings.partitions;
        if let Some(stray) = messages.iter().find(|message| message.partition >= partitions) {
            let reason = format!("there is no partition {}: the log has {partitions}", stray.partition);
            return Err(PublishError::Storage(reason));
        }
        let bytes = messages.iter().map(|message| message.value.len() as u64 + OVERHEAD_BYTES).sum();
        let call = self.call(messages.len(), bytes, on_end)?;
        let client = self.shared.client();
        let mut key = Vec::with_capacity(64);
        for (sent, message) in messages.iter().enumerate() {
            key.clear();
            if let Some((site, visitor)) = visitor_of(&message.value) {
                partitioner::write_key(site, visitor, &mut key);
            }
            let key = (!key.is_empty()).then_some(key.as_slice());
            let target = Target {
                topic: &self.shared.topic,
                partition: i32::try_from(message.partition).unwrap_or(-1),
            };
            if let Err(error) = hand_over(&client, &target, key, &message.value, &call) {
                call.fail(unsent(&client, &target, &error));
                call.ended(messages.len() - sent);
                break;
            }
        }
        call.ended(1);
        Ok(())
    }

    /// Hands one record to any topic over; otherwise as [`KafkaPublisher::send`].
    pub(crate) fn send_to(
        &self,
        target: &Target<'_>,
        key: &[u8],
        value: Option<&[u8]>,
        headers: Option<OwnedHeaders>,
        on_end: OnEnd,
    ) -> Result<(), PublishError> {
        let bytes = value.map_or(0, <[u8]>::len) as u64 + OVERHEAD_BYTES;
        let call = self.call(1, bytes, on_end)?;
        let client = self.shared.client();
        let mut record =
            BaseRecord::<[u8], [u8], Arc<Call>>::with_opaque_to(target.topic, Arc::clone(&call)).key(key);
        record.payload = value;
        record.headers = headers;
        if target.partition >= 0 {
            record = record.partition(target.partition);
        }
        if let Err((error, record)) = client.send(record) {
            drop(record);
            call.fail(unsent(&client, target, &error));
            call.ended(1);
        }
        call.ended(1);
        Ok(())
    }

    /// Fails everything that is not acknowledged, also what may have reached a broker: the spill has it.
    pub(crate) fn purge(&self) {
        self.shared.client().purge(PurgeConfig::default().queue().inflight());
    }

    /// Takes room for a call.
    fn call(&self, messages: usize, bytes: u64, on_end: OnEnd) -> Result<Arc<Call>, PublishError> {
        if self.shared.closed.load(Ordering::Acquire) {
            return Err(PublishError::Closed);
        }
        if !self.shared.in_flight.take(bytes, self.shared.settings.max_in_flight_bytes) {
            return Err(PublishError::Full { limit: "[kafka] max_in_flight" });
        }
        Ok(Call::new(messages, bytes, Arc::clone(&self.shared.in_flight), on_end))
    }
}

impl Publisher for KafkaPublisher {
    fn partitions(&self) -> u32 {
        self.shared.settings.partitions
    }

    fn publish(&self, messages: Vec<Message>) -> Result<Receipt, PublishError> {
        let (sender, receipt) = Receipt::pending();
        // Whoever dropped the receipt does not want the answer.
        self.send(
            &messages,
            Box::new(move |answer| {
                let answer = answer.map(drop).map_err(PublishError::from);
                drop(sender.send(answer));
            }),
        )?;
        Ok(receipt)
    }
}

impl Drop for KafkaPublisher {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}

impl Shared {
    fn client(&self) -> Arc<Client> {
        Arc::clone(&self.client.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The polling thread: takes acknowledgements until the publisher is closed.
    fn poll(&self) {
        while !self.ended.load(Ordering::Acquire) {
            let client = self.client();
            client.poll(POLL);
            if client.context().fatal.load(Ordering::Acquire) {
                tracing::warn!("the Kafka producer ended for good; a new one takes its place");
                self.renew(&client);
            } else if let Some((topic, partition)) = client.context().sight.suspect(self.blind_limit)
                && has_leader(&client, &(topic.clone(), partition))
            {
                tracing::warn!(
                    topic,
                    partition,
                    "the Kafka producer does not find a partition's leader any more; a new one takes its place"
                );
                self.renew(&client);
            }
        }
        end(&self.client());
    }

    fn renew(&self, old: &Client) {
        match client(&self.settings) {
            Ok(new) => *self.client.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new),
            Err(error) => {
                tracing::error!(%error, "no new Kafka producer could be made; trying again");
                return std::thread::sleep(RENEWAL_PAUSE);
            }
        }
        end(old);
        std::thread::sleep(RENEWAL_PAUSE);
    }
}

/// Whether the brokers know a leader of a place; not, where they do not answer.
fn has_leader(client: &Client, (topic, partition): &Place) -> bool {
    let metadata = client.client().fetch_metadata(Some(topic), LEADER_LIMIT);
    metadata.is_ok_and(|metadata| {
        let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        partitions.any(|found| (*partition < 0 || found.id() == *partition) && found.leader() >= 0)
    })
}

/// Fails what a client has in flight and answers it.
fn end(client: &Client) {
    client.purge(PurgeConfig::default().queue().inflight());
    let deadline = Instant::now() + PURGE_LIMIT;
    while client.in_flight_count() > 0 && Instant::now() < deadline {
        client.poll(Duration::from_millis(10));
    }
}

/// Measured with events of 183 bytes on a broker of the same two cores, calls of 500 (CPU of the producer and of the broker
/// in microseconds an event, bytes on the wire and the broker's disk):
///
/// | | producer | broker | bytes |
/// |---|---|---|---|
/// | none | 1.9 | 1.4 | 242 |
/// | lz4 | 2.7 | 0.9 | 112 |
/// | snappy | 2.7 | 1.2 | 112 |
/// | zstd | 3.5 | 0.9 | 71 |
///
/// lz4 costs both together what none does, and halves network and disk. Batches close after a millisecond: a lone event
/// is acknowledged in 1.6 ms (0.4 ms without, 6.5 ms with 5), and with 1,024 on their way at once it cost the least.
fn client(settings: &KafkaSettings) -> Result<Client, KafkaError> {
    let mut config = settings::client(settings)?;
    let mut default = |key: &str, value: &str| {
        if config.get(key).is_none() {
            config.set(key, value);
        }
    };
    default("linger.ms", "1");
    default("batch.size", "1000000");
    default("compression.type", "lz4");
    default("message.timeout.ms", &DELIVERY_LIMIT_MS.to_string());
    config.set("enable.idempotence", "true").set("acks", "all");
    // What is in flight is bounded by bytes before librdkafka is asked.
    config.set("queue.buffering.max.messages", "0").set("queue.buffering.max.kbytes", "2097151");
    Ok(config.create_with_context(Deliveries::default())?)
}

fn hand_over(
    client: &Client,
    target: &Target<'_>,
    key: Option<&[u8]>,
    value: &[u8],
    call: &Arc<Call>,
) -> Result<(), ClientError> {
    let mut record = BaseRecord::with_opaque_to(target.topic, Arc::clone(call)).payload(value);
    record.key = key;
    record.partition = Some(target.partition);
    client.send(record).map_err(|(error, _)| error)
}

/// Why the client did not take a message.
fn unsent(client: &Client, target: &Target<'_>, error: &ClientError) -> SendError {
    client.context().failed(target.topic, target.partition, error);
    failure(error)
}

fn failure(error: &ClientError) -> SendError {
    use RDKafkaErrorCode as Code;
    let Some(code) = error.rdkafka_error_code() else { return SendError::Failed(format!("Kafka: {error}")) };
    match code {
        Code::MessageSizeTooLarge
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::InvalidTimestamp
        | Code::PolicyViolation
        | Code::InvalidRecord => SendError::Refused(format!("Kafka: {code}")),
        Code::MessageTimedOut => {
            SendError::Failed(format!("Kafka did not acknowledge within {} s", DELIVERY_LIMIT_MS / 1_000))
        }
        Code::PurgeQueue | Code::PurgeInflight => {
            SendError::Failed("given up before Kafka acknowledged".to_owned())
        }
        code => SendError::Failed(format!("Kafka: {code}")),
    }
}

/// Takes acknowledgements on the polling thread.
#[derive(Default)]
struct Deliveries {
    fatal: AtomicBool,
    sight: Sight,
}

impl Deliveries {
    fn failed(&self, topic: &str, partition: i32, error: &ClientError) {
        if let Some(code) = error.rdkafka_error_code() {
            self.sight.failed(topic, partition, code, Instant::now());
        }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log("producer", level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.fatal.store(true, Ordering::Release);
        }
        client::log_error("producer", &error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Call>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, call: Arc<Call>) {
        call.answered(match delivered {
            Ok(message) => {
                self.sight.acknowledged(message.topic(), message.partition());
                Ok(message.offset())
            }
            Err((error, message)) => {
                self.failed(message.topic(), message.partition(), error);
                Err(failure(error))
            }
        });
    }
}

#[cfg(test)]
mod tests;

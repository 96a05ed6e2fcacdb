//! The librdkafka client of a publisher: how it is set up, what it does with packed records, and what becomes of their
//! acknowledgements. Used by `publisher.rs`, which replaces one that ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig};

use super::KafkaError;
use super::call::SendError;
use super::client;
use super::packing::{HandOver, HandedOver, Packing, Parcel, Record};
use super::settings::{self, KafkaSettings};
use super::sight::{Place, Sight};

/// A message that is not acknowledged within this time fails; milliseconds.
pub const DELIVERY_LIMIT_MS: u64 = 30_000;
/// How long brokers may take to say whether a partition has a leader.
pub(super) const LEADER_LIMIT: Duration = Duration::from_secs(2);
/// How long the calls of a client that ended may take to be answered.
const PURGE_LIMIT: Duration = Duration::from_secs(5);

pub(super) type Client = BaseProducer<Deliveries>;

/// Where a record goes.
pub(crate) struct Target<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
}

/// Whether the brokers know a leader of a place; not, where they do not answer.
pub(super) fn has_leader(client: &Client, (topic, partition): &Place) -> bool {
    let metadata = client.client().fetch_metadata(Some(topic), LEADER_LIMIT);
    metadata.is_ok_and(|metadata| {
        let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        partitions.any(|found| (*partition < 0 || found.id() == *partition) && found.leader() >= 0)
    })
}

/// Fails what a client has in flight and answers it.
pub(super) fn end(client: &Client) {
    client.context().packing.end(&given_up());
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
/// lz4 costs both together what none does, and halves network and disk. Nothing lingers here: what is to go together comes packed
/// (`packing.rs`), and a lone event is acknowledged in 0.4 ms (1.6 ms with a linger of 1 ms, 6.5 ms with 5).
pub(super) fn client(settings: &KafkaSettings) -> Result<Arc<Client>, KafkaError> {
    let mut config = settings::client(settings)?;
    let mut default = |key: &str, value: &str| {
        if config.get(key).is_none() {
            config.set(key, value);
        }
    };
    default("linger.ms", "0");
    default("batch.size", "1000000");
    default("compression.type", "lz4");
    default("message.timeout.ms", &DELIVERY_LIMIT_MS.to_string());
    config.set("enable.idempotence", "true").set("acks", "all");
    // What is in flight is bounded by bytes before librdkafka is asked.
    config.set("queue.buffering.max.messages", "0").set("queue.buffering.max.kbytes", "2097151");
    let client: Arc<Client> = Arc::new(config.create_with_context(Deliveries::new(settings))?);
    // It is set here and nowhere else.
    drop(client.context().client.set(Arc::downgrade(&client)));
    Ok(client)
}

/// Hands packed records over to a client.
pub(super) struct ToTopic<'a>(pub(super) &'a Client);

impl HandOver for ToTopic<'_> {
    fn hand_over(&self, record: Record<'_>, parcel: Parcel) -> HandedOver {
        let Self(client) = self;
        let partition = i32::try_from(record.partition).unwrap_or(-1);
        let target = Target { topic: &client.context().topic, partition };
        let mut to_send =
            BaseRecord::<[u8], [u8], Box<Parcel>>::with_opaque_to(target.topic, Box::new(parcel))
                .payload(record.value)
                .partition(partition);
        to_send.key = (!record.key.is_empty()).then_some(record.key);
        let sent = client.send(to_send);
        sent.map_err(|(error, unsent_record)| {
            (unsent(client, &target, &error), *unsent_record.delivery_opaque)
        })
    }
}

/// Why the client did not take a message.
pub(super) fn unsent(client: &Client, target: &Target<'_>, error: &ClientError) -> SendError {
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
        Code::PurgeQueue | Code::PurgeInflight => given_up(),
        code => SendError::Failed(format!("Kafka: {code}")),
    }
}

pub(super) fn given_up() -> SendError {
    SendError::Failed("given up before Kafka acknowledged".to_owned())
}

/// What a client knows of its records. Acknowledgements come on the polling thread.
pub(super) struct Deliveries {
    topic: String,
    pub(super) packing: Packing,
    pub(super) fatal: AtomicBool,
    pub(super) sight: Sight,
    /// Whose records they are.
    client: OnceLock<Weak<Client>>,
}

impl Deliveries {
    fn new(settings: &KafkaSettings) -> Self {
        Self {
            topic: settings.events_topic(),
            packing: Packing::new(settings.partitions, settings.record_bytes),
            fatal: AtomicBool::new(false),
            sight: Sight::default(),
            client: OnceLock::new(),
        }
    }

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
    type DeliveryOpaque = Box<Parcel>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, parcel: Box<Parcel>) {
        match delivered {
            Ok(message) => {
                self.sight.acknowledged(message.topic(), message.partition());
                let client = self.client.get().and_then(Weak::upgrade);
                let to = client.as_deref().map(ToTopic);
                self.packing.acknowledged(*parcel, message.offset(), to.as_ref());
            }
            Err((error, message)) => {
                self.failed(message.topic(), message.partition(), error);
                let value = message.payload().unwrap_or_default();
                self.packing.failed(*parcel, value, failure(error));
            }
        }
    }
}

//! The writing side on Kafka: an idempotent producer with acks=all.
//!
//! [`KafkaPublisher::publish`] packs messages into records (`packing.rs`), hands those to librdkafka (`producer.rs`, which
//! copies them) that need not wait, and returns; librdkafka's threads send; the pacing thread hands over what waited; the
//! polling thread takes the acknowledgements, ends the calls ([`Call`]) and hands over what is ample behind them. The key of
//! an event that travels alone is its site and visitor, so that producers in other languages choose the same partition;
//! packs and control records have none.
//!
//! What is in flight is bounded by `max_in_flight_bytes`, and a message that is not acknowledged within
//! [`DELIVERY_LIMIT_MS`](super::DELIVERY_LIMIT_MS) fails its call. An idempotent producer can end for good (a fatal error),
//! or lose sight of a partition (`sight.rs`); then a new one takes its place and the calls of the old one fail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseRecord, Producer, PurgeConfig};

use super::KafkaError;
use super::call::{Call, InFlight, OnEnd};
use super::client::POLL;
use super::packing::{PACE, Parcel};
use super::producer::{self, Client, Target, ToTopic};
use super::settings::{self, KafkaSettings};
use crate::{Message, PublishError, Publisher, Receipt};

/// A new client after a fatal error is made at most this often.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);
/// Messages of a partition fail for so long before it is looked whether the producer lost sight of it.
const BLIND_LIMIT: Duration = Duration::from_secs(10);

/// What a message takes in librdkafka's memory beside key and value, about.
const OVERHEAD_BYTES: u64 = 200;

/// Writes messages to `rungs.events.v1`. Dropping it fails what is in flight; see [`KafkaPublisher::close`].
pub struct KafkaPublisher {
    shared: Arc<Shared>,
    polling: Mutex<Option<JoinHandle<()>>>,
    pacing: Thread,
}

struct Shared {
    settings: KafkaSettings,
    in_flight: Arc<InFlight>,
    client: RwLock<Arc<Client>>,
    closed: AtomicBool,
    ended: AtomicBool,
    blind_limit: Duration,
}

impl KafkaPublisher {
    /// Makes the producer. Brokers need not be there; [`topics::ensure`](super::ensure_topics) tells whether they are.
    pub fn open(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        Self::open_with(settings, BLIND_LIMIT)
    }

    fn open_with(settings: &KafkaSettings, blind_limit: Duration) -> Result<Self, KafkaError> {
        settings::partition_count(settings)?;
        let shared = Arc::new(Shared {
            in_flight: Arc::default(),
            client: RwLock::new(producer::client(settings)?),
            closed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            blind_limit,
            settings: settings.clone(),
        });
        let begin = |name: &str, work: fn(&Shared)| {
            let served = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&served));
            thread.map_err(|cause| KafkaError::Client(format!("no thread: {cause}")))
        };
        let polling = begin("kafka-producer", Shared::poll)?;
        let pacing = begin("kafka-pacing", Shared::pace)?;
        Ok(Self { shared, polling: Mutex::new(Some(polling)), pacing: pacing.thread().clone() })
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
        self.pacing.unpark();
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
        if client.context().packing.add(messages, &call, &ToTopic(&client)) {
            self.pacing.unpark();
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
        let parcel = Box::new(Parcel::of(&call));
        let mut record = BaseRecord::<[u8], [u8], Box<Parcel>>::with_opaque_to(target.topic, parcel).key(key);
        record.payload = value;
        record.headers = headers;
        if target.partition >= 0 {
            record = record.partition(target.partition);
        }
        if let Err((error, record)) = client.send(record) {
            drop(record);
            call.fail(producer::unsent(&client, target, &error));
            call.ended(1);
        }
        call.ended(1);
        Ok(())
    }

    /// Fails everything that is not acknowledged, also what may have reached a broker: the spill has it.
    pub(crate) fn purge(&self) {
        let client = self.shared.client();
        client.context().packing.fail_waiting(&producer::given_up());
        client.purge(PurgeConfig::default().queue().inflight());
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

    /// The pacing thread: hands over what waited, while anything does, until the publisher is closed.
    fn pace(&self) {
        let is_ended = || self.ended.load(Ordering::Acquire);
        while !is_ended() {
            std::thread::park();
            loop {
                std::thread::sleep(PACE);
                let client = self.client();
                if is_ended() || !client.context().packing.tick(&ToTopic(&client)) {
                    break;
                }
            }
        }
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
                && producer::has_leader(&client, &(topic.clone(), partition))
            {
                tracing::warn!(
                    topic,
                    partition,
                    "the Kafka producer does not find a partition's leader any more; a new one takes its place"
                );
                self.renew(&client);
            }
        }
        producer::end(&self.client());
    }

    fn renew(&self, old: &Client) {
        match producer::client(&self.settings) {
            Ok(new) => *self.client.write().unwrap_or_else(PoisonError::into_inner) = new,
            Err(error) => {
                tracing::error!(%error, "no new Kafka producer could be made; trying again");
                return std::thread::sleep(RENEWAL_PAUSE);
            }
        }
        producer::end(old);
        std::thread::sleep(RENEWAL_PAUSE);
    }
}

#[cfg(test)]
mod tests;

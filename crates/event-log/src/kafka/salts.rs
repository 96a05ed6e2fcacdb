//! The salts on Kafka: `rungs.salts.v1`, one partition, a record a day with the day as its key. Of two collectors that
//! write a day's salt at once the first offset wins, for everybody. The broker deletes records after a day and a half
//! ([`super::topics`]): written at noon, a salt is there until its day is over, and not much longer.
//!
//! A thread follows the topic from its beginning.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{BorrowedMessage, Message as _};
use tokio::sync::watch;

use super::client::{self, POLL, Plain};
use super::plans;
use super::publisher::{KafkaPublisher, Target};
use super::settings::KafkaSettings;
use super::{DELIVERY_LIMIT_MS, KafkaError, topics};
use crate::PublishError;
use crate::salts::{Salt, SaltTopic, Salts};

/// An append waits this long for its record's acknowledgement: longer than the producer tries.
const APPEND_LIMIT: Duration = Duration::from_millis(DELIVERY_LIMIT_MS + 5_000);

/// The topic of salts. Dropping it ends its thread.
pub struct KafkaSalts {
    shared: Arc<Shared>,
    publisher: Arc<KafkaPublisher>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    topic: String,
    /// What was read so far, before and after the end was seen first.
    read: Mutex<Salts>,
    known: watch::Sender<Option<Arc<Salts>>>,
    ended: AtomicBool,
}

impl KafkaSalts {
    /// Begins to follow the topic; what it writes goes through `publisher`.
    ///
    /// # Errors
    /// As [`ensure_topics`](super::ensure_topics), which it calls.
    pub fn open(settings: &KafkaSettings, publisher: Arc<KafkaPublisher>) -> Result<Self, KafkaError> {
        topics::ensure(settings)?;
        let shared = Arc::new(Shared {
            topic: settings.salts_topic(),
            read: Mutex::default(),
            known: watch::Sender::new(None),
            ended: AtomicBool::new(false),
        });
        let following = Arc::clone(&shared);
        let consumer = plans::follower(settings, &shared.topic)?;
        let thread = std::thread::Builder::new().name("kafka-salts".to_owned());
        let thread = thread.spawn(move || following.follow(&consumer));
        let thread = thread.map_err(|cause| KafkaError::Client(format!("no thread: {cause}")))?;
        Ok(Self { shared, publisher, thread: Some(thread) })
    }
}

impl SaltTopic for KafkaSalts {
    /// Blocks until Kafka has it. That it counts is known when it was read back.
    fn append(&self, day: i64, salt: Salt) -> Result<(), String> {
        let (sender, answer) = std::sync::mpsc::sync_channel(1);
        let target = Target { topic: &self.shared.topic, partition: 0 };
        // Whoever waited for too long is not interested any more.
        let on_end = Box::new(move |answer| drop(sender.send(answer)));
        let (key, value) = (day.to_string(), Some(salt.bytes().as_slice()));
        let sent = self.publisher.send_to(&target, key.as_bytes(), value, None, on_end);
        let failed = |error: PublishError| error.to_string();
        sent.map_err(failed)?;
        match answer.recv_timeout(APPEND_LIMIT) {
            Ok(offset) => offset.map(drop).map_err(|error| failed(error.into())),
            Err(_) => Err("Kafka did not answer".to_owned()),
        }
    }

    fn known(&self) -> watch::Receiver<Option<Arc<Salts>>> {
        self.shared.known.subscribe()
    }

    fn forget_before(&self, day: i64) {
        self.shared.change(|salts| salts.forget_before(day));
    }
}

impl Drop for KafkaSalts {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            client::end(thread, "salts topic's");
        }
    }
}

impl Shared {
    /// The following thread.
    fn follow(&self, consumer: &BaseConsumer<Plain>) {
        while !self.ended.load(Ordering::Acquire) {
            match consumer.poll(POLL) {
                Some(Ok(message)) => self.take(&message),
                Some(Err(ClientError::PartitionEOF(_))) => self.at_end(),
                // Logged by the context; librdkafka goes on by itself.
                Some(Err(_)) | None => {}
            }
        }
    }

    fn take(&self, message: &BorrowedMessage<'_>) {
        match decode(message) {
            Some((day, salt)) => self.change(|salts| salts.take(day, salt)),
            None => {
                let offset = message.offset();
                tracing::warn!(offset, topic = self.topic, "a record that is no salt is passed over");
            }
        }
    }

    /// Everything that was there was taken.
    fn at_end(&self) {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if self.known.borrow().is_none() {
            self.known.send_replace(Some(Arc::new(read.clone())));
        }
    }

    fn change(&self, change: impl FnOnce(&mut Salts) -> bool) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if change(&mut read) && self.known.borrow().is_some() {
            self.known.send_replace(Some(Arc::new(read.clone())));
        }
    }
}

fn decode(message: &BorrowedMessage<'_>) -> Option<(i64, Salt)> {
    let day = std::str::from_utf8(message.key()?).ok()?.parse().ok()?;
    Some((day, Salt::of(message.payload()?)?))
}

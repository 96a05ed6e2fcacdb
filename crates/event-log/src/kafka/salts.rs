//! The salts on Kafka: `rungs.salts.v1`, one partition, a record a day with the day as its key. Of two collectors that
//! write a day's salt at once the first offset wins, for everybody. The broker deletes records after a day and a half
//! ([`super::topics`]): written at noon, a salt is there until its day is over, and not much longer.
//!
//! A thread follows the topic from its beginning.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::message::{BorrowedMessage, Message as _};
use tokio::sync::watch;

use super::follower::{self, Follow, Follower};
use super::publisher::KafkaPublisher;
use super::settings::KafkaSettings;
use super::{KafkaError, topics};
use crate::salts::{Salt, SaltTopic, Salts};

/// The topic of salts. Dropping it ends its thread.
pub struct KafkaSalts {
    shared: Arc<Shared>,
    publisher: Arc<KafkaPublisher>,
    _follower: Follower,
}

struct Shared {
    topic: String,
    /// What was read so far, before and after the end was seen first.
    read: Mutex<Salts>,
    known: watch::Sender<Option<Arc<Salts>>>,
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
        });
        let follower = Follower::start(settings, &shared.topic, "salts", Arc::clone(&shared))?;
        Ok(Self { shared, publisher, _follower: follower })
    }
}

impl SaltTopic for KafkaSalts {
    /// Blocks until Kafka has it. That it counts is known when it was read back.
    fn append(&self, day: i64, salt: Salt) -> Result<(), String> {
        let (topic, key) = (&self.shared.topic, day.to_string());
        let appended =
            follower::append(&self.publisher, topic, key.as_bytes(), Some(salt.bytes().as_slice()), None);
        appended.map(drop).map_err(|error| error.to_string())
    }

    fn known(&self) -> watch::Receiver<Option<Arc<Salts>>> {
        self.shared.known.subscribe()
    }

    fn forget_before(&self, day: i64) {
        self.shared.change(|salts| salts.forget_before(day));
    }
}

impl Follow for Shared {
    fn take(&self, message: &BorrowedMessage<'_>) {
        match decode(message) {
            Some((day, salt)) => self.change(|salts| salts.take(day, salt)),
            None => {
                let offset = message.offset();
                tracing::warn!(offset, topic = self.topic, "a record that is no salt is passed over");
            }
        }
    }

    fn at_end(&self) {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if self.known.borrow().is_none() {
            self.known.send_replace(Some(Arc::new(read.clone())));
        }
    }

    /// What is known stays until the topic has a salt again: that one counts for everybody, also for whoever comes then.
    fn begin_anew(&self) {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Salts::default();
    }
}

impl Shared {
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

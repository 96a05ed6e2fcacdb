//! A collector's connection to the broker, as the spill sees Kafka: healthy, failing, or silent for a while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use event_log::kafka::{KafkaError, SendError};
use event_log::spill::{OnSent, Remote};
use event_log::{Message, PublishError};

use crate::broker::{Broker, Taken};
use crate::disk::{Interruption, interrupt};
use crate::fate::Fate;

/// How the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Takes calls, but for some that fail.
    Healthy,
    /// Takes nothing and says so.
    Away,
    /// Takes some and says that it did not.
    Losing,
    /// Says nothing for a while.
    Silent,
}

/// The connection; clones share it.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

struct Inner {
    fate: Fate,
    broker: Arc<Broker>,
    mood: Mutex<Mood>,
    /// Calls without an answer.
    waiting: Mutex<Vec<(Vec<Message>, OnSent)>>,
    draining: AtomicBool,
    interruption: Interruption,
}

impl Link {
    /// A healthy one. `interruption` happens while a drained round is on its way.
    pub fn new(fate: Fate, broker: Arc<Broker>, interruption: Interruption) -> Self {
        Self(Arc::new(Inner {
            fate,
            broker,
            mood: Mutex::new(Mood::Healthy),
            waiting: Mutex::default(),
            draining: AtomicBool::new(false),
            interruption,
        }))
    }

    /// Changes how it is.
    pub fn set(&self, mood: Mood) {
        *self.0.mood.lock().unwrap() = mood;
    }

    /// Whether what is sent now is drained from the spill: its round waits for the answer.
    pub fn set_draining(&self, draining: bool) {
        self.0.draining.store(draining, Ordering::Relaxed);
    }

    /// Answers the call that waits longest, one way or the other; whether there was one.
    pub fn answer_one(&self) -> bool {
        let mut waiting = self.0.waiting.lock().unwrap();
        if waiting.is_empty() {
            return false;
        }
        let (messages, on_sent) = waiting.remove(0);
        drop(waiting);
        self.answer(&messages, on_sent, *self.0.fate.pick(&[Taken::All, Taken::Some, Taken::Nothing]));
        true
    }

    /// The process ended: what waits may be stored or not, and nobody learns it.
    pub fn break_off(&self) {
        let waiting = std::mem::take(&mut *self.0.waiting.lock().unwrap());
        waiting.iter().for_each(|(messages, _)| self.0.broker.store(messages, Taken::Some));
    }

    fn answer(&self, messages: &[Message], on_sent: OnSent, taken: Taken) {
        self.0.broker.store(messages, taken);
        let failed = || SendError::Failed("told to".to_owned());
        on_sent(if taken == Taken::All { Ok(()) } else { Err(failed()) });
    }
}

impl Remote for Link {
    fn partitions(&self) -> u32 {
        event_log::Publisher::partitions(self.0.broker.as_ref())
    }

    fn ensure(&self) -> Result<(), KafkaError> {
        match *self.0.mood.lock().unwrap() {
            Mood::Healthy | Mood::Losing => Ok(()),
            Mood::Away | Mood::Silent => {
                Err(KafkaError::Unreachable { brokers: "simulated".to_owned(), cause: "told to".to_owned() })
            }
        }
    }

    fn send(&self, messages: &[Message], on_sent: OnSent) -> Result<(), PublishError> {
        let draining = self.0.draining.load(Ordering::Relaxed);
        if draining {
            interrupt(&self.0.interruption);
        }
        let mood = *self.0.mood.lock().unwrap();
        match mood {
            Mood::Silent if !draining => {
                self.0.waiting.lock().unwrap().push((messages.to_vec(), on_sent));
                return Ok(());
            }
            Mood::Healthy => self.answer(messages, on_sent, self.0.broker.draw()),
            Mood::Losing => self.answer(messages, on_sent, Taken::Some),
            Mood::Away | Mood::Silent => self.answer(messages, on_sent, Taken::Nothing),
        }
        Ok(())
    }

    fn purge(&self) {
        let waiting = std::mem::take(&mut *self.0.waiting.lock().unwrap());
        waiting.into_iter().for_each(|(messages, on_sent)| {
            self.0.broker.store(&messages, Taken::Some);
            on_sent(Err(SendError::Failed("purged".to_owned())));
        });
    }
}

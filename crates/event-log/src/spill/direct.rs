//! Calls that were handed straight to Kafka: each keeps its messages until they are acknowledged, so that they can be
//! stored locally instead when Kafka fails.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::kafka::SendError;
use crate::{Message, PublishError};

/// A call on its way.
pub(super) struct Direct {
    began: Instant,
    open: Mutex<Open>,
}

/// What is left of a call.
enum Open {
    /// No answer yet, or one that says that Kafka does not have it.
    Waiting(Waiting),
    /// Answered, or stored locally.
    Done,
}

/// A call without an acknowledgement.
pub(super) struct Waiting {
    pub(super) messages: Arc<Vec<Message>>,
    pub(super) answer: oneshot::Sender<Result<(), PublishError>>,
    failed: bool,
}

impl From<super::Held> for Waiting {
    fn from(held: super::Held) -> Self {
        Self { messages: held.messages.into(), answer: held.answer, failed: false }
    }
}

impl Direct {
    pub(super) fn new(
        messages: Vec<Message>,
        answer: oneshot::Sender<Result<(), PublishError>>,
    ) -> Arc<Self> {
        let waiting = Waiting { messages: messages.into(), answer, failed: false };
        Arc::new(Self { began: Instant::now(), open: Mutex::new(Open::Waiting(waiting)) })
    }

    /// Calls `work` with the messages unless the call is done; the lock is not held meanwhile.
    pub(super) fn with_messages<T>(&self, work: impl FnOnce(&[Message]) -> T) -> Option<T> {
        let messages = match &*self.lock() {
            Open::Waiting(waiting) => Arc::clone(&waiting.messages),
            Open::Done => return None,
        };
        Some(work(&messages))
    }

    /// Kafka's answer. `true` if the call failed and waits to be stored locally.
    pub(super) fn answered(&self, answer: Result<(), SendError>) -> bool {
        let mut open = self.lock();
        let Open::Waiting(waiting) = &mut *open else { return false };
        if matches!(answer, Err(SendError::Failed(_))) {
            waiting.failed = true;
            return true;
        }
        if let Open::Waiting(waiting) = std::mem::replace(&mut *open, Open::Done) {
            // Whoever dropped the receipt does not want the answer.
            drop(waiting.answer.send(answer.map_err(PublishError::from)));
        }
        false
    }

    /// Takes the call, if it is not done.
    pub(super) fn take(&self) -> Option<Waiting> {
        match std::mem::replace(&mut *self.lock(), Open::Done) {
            Open::Waiting(waiting) => Some(waiting),
            Open::Done => None,
        }
    }

    fn is_done(&self) -> bool {
        matches!(*self.lock(), Open::Done)
    }

    fn is_in_trouble(&self, limit: Duration) -> bool {
        match &*self.lock() {
            Open::Waiting(waiting) => waiting.failed || self.began.elapsed() > limit,
            Open::Done => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All calls on their way, in the order in which they came.
#[derive(Default)]
pub(super) struct Calls(VecDeque<Arc<Direct>>);

impl Calls {
    /// Adds a call and forgets those before that are done.
    pub(super) fn push(&mut self, call: Arc<Direct>) {
        self.forget_done();
        self.0.push_back(call);
    }

    /// Whether Kafka failed one, or is slower than `limit`.
    pub(super) fn are_in_trouble(&mut self, limit: Duration) -> bool {
        self.forget_done();
        self.0.iter().any(|call| call.is_in_trouble(limit))
    }

    /// Whether any is without an answer.
    pub(super) fn has_open(&mut self) -> bool {
        self.forget_done();
        !self.0.is_empty()
    }

    /// Takes all that are not done, in order.
    pub(super) fn take(&mut self) -> Vec<Waiting> {
        self.0.drain(..).filter_map(|call| call.take()).collect()
    }

    fn forget_done(&mut self) {
        while self.0.front().is_some_and(|call| call.is_done()) {
            self.0.pop_front();
        }
    }
}

//! One publish call on its way through Kafka: counts its messages as they are acknowledged and tells the outcome once,
//! when the last of them is. A call costs one allocation for this and none a message.
//!
//! Made by `publisher.rs`; [`Call::ended`] runs on the producer's polling thread.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::PublishError;

/// What is done with the outcome; the offset is that of the topic's record acknowledged last. A partition may be locked
/// meanwhile: nothing is to be sent from here.
pub(crate) type OnEnd = Box<dyn FnOnce(Result<i64, SendError>) + Send>;

/// Why messages that were handed over were not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// Kafka will never take one of them, e.g. because it is too large.
    Refused(String),
    /// Kafka did not take them, or did and could not say so.
    Failed(String),
}

impl From<SendError> for PublishError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Refused(reason) | SendError::Failed(reason) => Self::Storage(reason),
        }
    }
}

/// A call whose messages are not all acknowledged.
pub(crate) struct Call {
    /// Messages without an answer, and one for whoever is still handing them over.
    open: AtomicUsize,
    bytes: u64,
    /// Where the bytes are counted until the end.
    in_flight: Arc<InFlight>,
    failure: OnceLock<SendError>,
    offset: AtomicI64,
    on_end: Mutex<Option<OnEnd>>,
}

/// How much is on its way.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    bytes: std::sync::atomic::AtomicU64,
}

impl InFlight {
    /// Takes `bytes` of room if there are so many; a call that is larger than all the room passes alone.
    pub(crate) fn take(&self, bytes: u64, max_bytes: u64) -> bool {
        let fits = |taken: u64| (taken == 0 || taken + bytes <= max_bytes).then_some(taken + bytes);
        self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok()
    }

    /// Bytes without an answer.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }
}

impl Call {
    /// A call of so many messages, for whose `bytes` room was taken.
    pub(crate) fn new(messages: usize, bytes: u64, in_flight: Arc<InFlight>, on_end: OnEnd) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(messages + 1),
            bytes,
            in_flight,
            failure: OnceLock::new(),
            offset: AtomicI64::new(-1),
            on_end: Mutex::new(Some(on_end)),
        })
    }

    /// So many messages were acknowledged or lost.
    pub(crate) fn answered(&self, messages: usize, answer: &Result<i64, SendError>) {
        match answer {
            Ok(offset) => self.offset.store(*offset, Ordering::Release),
            Err(error) => self.fail(error.clone()),
        }
        self.ended(messages);
    }

    /// The call cannot succeed any more; the first reason counts.
    pub(crate) fn fail(&self, error: SendError) {
        // A second reason adds nothing.
        drop(self.failure.set(error));
    }

    /// So many of what was open is not any more.
    pub(crate) fn ended(&self, count: usize) {
        if self.open.fetch_sub(count, Ordering::AcqRel) != count {
            return;
        }
        self.in_flight.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        let on_end = self.on_end.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(on_end) = on_end else { return };
        on_end(match self.failure.get() {
            Some(failure) => Err(failure.clone()),
            None => Ok(self.offset.load(Ordering::Acquire)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Arc<Mutex<Vec<Result<i64, SendError>>>>;

    fn call(messages: usize, in_flight: &Arc<InFlight>) -> (Arc<Call>, Outcome) {
        let outcome = Outcome::default();
        let told = Arc::clone(&outcome);
        assert!(in_flight.take(10, 100));
        let on_end = move |answer: Result<i64, SendError>| told.lock().unwrap().push(answer);
        (Call::new(messages, 10, Arc::clone(in_flight), Box::new(on_end)), outcome)
    }

    #[test]
    fn the_outcome_is_told_once_after_the_last_message_and_the_room_is_given_back() {
        let in_flight = Arc::default();
        let (call, outcome) = call(2, &in_flight);
        call.answered(1, &Ok(7));
        call.answered(1, &Ok(8));
        assert!(outcome.lock().unwrap().is_empty(), "its messages are still being handed over");
        call.ended(1);
        assert_eq!(*outcome.lock().unwrap(), [Ok(8)]);
        assert_eq!(in_flight.bytes(), 0);
    }

    #[test]
    fn one_lost_message_fails_the_call_but_only_when_all_are_answered() {
        let in_flight = Arc::default();
        let (call, outcome) = call(3, &in_flight);
        call.ended(1);
        call.answered(1, &Err(SendError::Failed("lost".to_owned())));
        call.answered(1, &Ok(1));
        assert!(outcome.lock().unwrap().is_empty());
        call.answered(1, &Ok(2));
        assert_eq!(*outcome.lock().unwrap(), [Err(SendError::Failed("lost".to_owned()))]);
    }

    #[test]
    fn room_is_bounded_but_one_call_always_passes() {
        let in_flight = InFlight::default();
        assert!(in_flight.take(500, 100));
        assert!(!in_flight.take(1, 100));
    }
}

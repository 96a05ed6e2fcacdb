//! Which partitions a producer has lost sight of. librdkafka may take a partition for leaderless or unknown long after its
//! leader is back, and then messages wait until they time out, for ever
//! (https://github.com/confluentinc/librdkafka/issues/5430; `reader.rs` has the same for consumers).
//!
//! A partition whose messages fail unsent for a while, with none acknowledged in between, is suspect; if the brokers say
//! that it has a leader, the producer is replaced. Used by `publisher.rs`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

/// (topic, partition); -1: the producer chooses.
pub(super) type Place = (String, i32);
/// When the first and the last message failed.
type Failing = (Instant, Instant);

/// Places whose messages fail.
#[derive(Debug, Default)]
pub(super) struct Sight {
    failing: Mutex<BTreeMap<Place, Failing>>,
    /// Nearly always not: a message that is acknowledged costs no lock then.
    any: AtomicBool,
}

impl Sight {
    /// A message was acknowledged.
    pub(super) fn acknowledged(&self, topic: &str, partition: i32) {
        if self.any.load(Ordering::Acquire) {
            let mut failing = self.failing();
            failing.retain(|(of, at), _| of != topic || (*at != partition && *at >= 0));
            self.any.store(!failing.is_empty(), Ordering::Release);
        }
    }

    /// A message failed; `now` is when.
    pub(super) fn failed(&self, topic: &str, partition: i32, code: RDKafkaErrorCode, now: Instant) {
        use RDKafkaErrorCode as Code;
        let unsent = [
            Code::MessageTimedOut,
            Code::PurgeQueue,
            Code::UnknownTopic,
            Code::UnknownPartition,
            Code::UnknownTopicOrPartition,
            Code::LeaderNotAvailable,
        ];
        if unsent.contains(&code) {
            self.failing().entry((topic.to_owned(), partition)).or_insert((now, now)).1 = now;
            self.any.store(true, Ordering::Release);
        }
    }

    /// A place that is suspect, its messages having failed for `limit`, not only once. One of all that are is told, once:
    /// they have to fail for as long again.
    pub(super) fn suspect(&self, limit: Duration) -> Option<Place> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut failing = self.failing();
        let is_due = |(first, last): &Failing| last.saturating_duration_since(*first) >= limit;
        let place = failing.iter().find(|(_, times)| is_due(times)).map(|(place, _)| place.clone())?;
        failing.retain(|_, times| !is_due(times));
        self.any.store(!failing.is_empty(), Ordering::Release);
        Some(place)
    }

    fn failing(&self) -> MutexGuard<'_, BTreeMap<Place, Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const TIMED_OUT: RDKafkaErrorCode = RDKafkaErrorCode::MessageTimedOut;

    #[test]
    fn a_partition_is_suspect_once_its_messages_failed_for_the_limit() {
        let (sight, began) = (Sight::default(), Instant::now());
        sight.failed("t", 3, TIMED_OUT, began);
        sight.failed("t", 3, TIMED_OUT, began + LIMIT - Duration::from_millis(1));
        assert_eq!(sight.suspect(LIMIT), None);
        sight.failed("t", 3, TIMED_OUT, began + LIMIT);
        assert_eq!(sight.suspect(LIMIT), Some(("t".to_owned(), 3)));
        assert_eq!(sight.suspect(LIMIT), None, "told once");
    }

    #[test]
    fn one_that_is_acknowledged_in_between_is_not_suspect_and_others_are() {
        let (sight, began) = (Sight::default(), Instant::now());
        let fail = |now| (0..3).for_each(|partition| sight.failed("t", partition, TIMED_OUT, now));
        fail(began);
        sight.acknowledged("t", 0);
        sight.acknowledged("other", 1);
        fail(began + LIMIT);
        assert_eq!(sight.suspect(LIMIT), Some(("t".to_owned(), 1)));
        assert_eq!(sight.suspect(LIMIT), None);
    }

    #[test]
    fn what_a_broker_refuses_or_has_in_hand_is_no_loss_of_sight() {
        let (sight, began) = (Sight::default(), Instant::now());
        for code in [RDKafkaErrorCode::MessageSizeTooLarge, RDKafkaErrorCode::PurgeInflight] {
            sight.failed("t", 0, code, began);
            sight.failed("t", 0, code, began + LIMIT);
        }
        assert_eq!(sight.suspect(LIMIT), None);
    }
}

//! When the next step of a flush is due. Journeys can wait, events cannot: the next step waits until ClickHouse has the
//! last one, and then rests for twice as long as that took. So a slow warehouse gives at most a third of its time to
//! journeys, and a lane that lags folds on between two steps instead of making the next one because time passed while it
//! waited.

use tokio::sync::oneshot;

use super::is_due;
use crate::store::Write;

/// A rest, in times of what the step before it took.
const RESTS: i64 = 2;
/// After an outage a flush goes on this soon, however long its last step took.
const LONGEST_REST_MS: i64 = 5_000;

/// The pace of a flush's steps.
pub(super) struct Pace {
    began_ms: i64,
    /// Closed or answered once the warehouse has the step.
    stored: oneshot::Receiver<()>,
    rested_ms: Option<i64>,
}

impl Pace {
    /// After a step that began at `began_ms`; the barrier follows its writes.
    pub(super) fn after_step(began_ms: i64) -> (Self, Write) {
        let (sender, stored) = oneshot::channel();
        (Self { began_ms, stored, rested_ms: None }, Write::Barrier(sender))
    }

    /// Whether the next step may be made; at the earliest `interval_ms` after the last one began.
    pub(super) fn is_due(&mut self, now_ms: i64, interval_ms: i64) -> bool {
        let rested_ms = match self.rested_ms {
            Some(rested_ms) => rested_ms,
            None if self.stored.try_recv() == Err(oneshot::error::TryRecvError::Empty) => return false,
            None => {
                let rest_ms = RESTS.saturating_mul(now_ms - self.began_ms).clamp(0, LONGEST_REST_MS);
                *self.rested_ms.insert(now_ms + rest_ms)
            }
        };
        let is_rested = now_ms >= rested_ms || now_ms < self.began_ms;
        is_rested && is_due(now_ms, self.began_ms, interval_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(barrier: Write) {
        match barrier {
            Write::Barrier(done) => done.send(()).unwrap(),
            other => panic!("no barrier: {other:?}"),
        }
    }

    #[test]
    fn a_step_waits_for_the_last_one_and_rests_twice_as_long_as_that_took() {
        let (mut pace, barrier) = Pace::after_step(1_000);
        assert!(!pace.is_due(9_000, 500), "the warehouse does not have it yet");
        stored(barrier);
        assert!(!pace.is_due(3_000, 500));
        assert!(!pace.is_due(6_999, 500));
        assert!(pace.is_due(7_000, 500));
    }

    #[test]
    fn a_fast_warehouse_gets_a_step_an_interval() {
        let (mut pace, barrier) = Pace::after_step(1_000);
        stored(barrier);
        assert!(!pace.is_due(1_020, 500));
        assert!(!pace.is_due(1_499, 500));
        assert!(pace.is_due(1_500, 500));
    }

    #[test]
    fn a_long_outage_and_a_clock_that_was_set_back_hold_nothing_up() {
        let (mut pace, barrier) = Pace::after_step(1_000);
        stored(barrier);
        assert!(!pace.is_due(101_000, 500));
        assert!(pace.is_due(101_000 + LONGEST_REST_MS, 500));
        assert!(pace.is_due(10, 500));
    }

    #[test]
    fn a_writer_that_is_gone_counts_as_done() {
        let (mut pace, barrier) = Pace::after_step(1_000);
        drop(barrier);
        assert!(!pace.is_due(1_100, 500));
        assert!(pace.is_due(1_600, 500));
    }
}

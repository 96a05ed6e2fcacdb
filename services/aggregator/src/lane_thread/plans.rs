//! Plans come by a topic of their own, which is followed beside the log, and may come later than the record that applies
//! them: the lane waits for its plan then. To go on without it would have one partition count by another plan than the
//! others, for good.

use std::time::{Duration, Instant};

use event_log::PlanTopic;
use prost::Message as _;
use rungs_proto::v1::{Control, control::Action};
use rungs_proto::view::{Malformed, RecordView};

use super::{IDLE_TICK, LaneThread};
use crate::store::Store;

/// A plan that is awaited this long is worth a line in the log.
const LATE: Duration = Duration::from_secs(5);
/// How often it is said.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// A plan that the log applies and the plan topic has not told yet.
pub(crate) struct AwaitedPlan {
    number: u64,
    /// When it is said that it is late.
    tell_at: Instant,
}

impl<S: Store> LaneThread<S> {
    /// The first of these records that applies a plan which is not known yet: where it stands, and the plan's number.
    pub(super) fn unknown_plan(&self, records: &[Result<RecordView<'_>, Malformed>]) -> Option<(usize, u64)> {
        let in_force = self.lane.in_force().number;
        let unknown = |number: &u64| *number > in_force && *number > number_of(self.plans.as_ref());
        let applied = |record: &Result<RecordView<'_>, Malformed>| applied_plan(record).filter(unknown);
        records.iter().enumerate().find_map(|(at, record)| Some((at, applied(record)?)))
    }

    /// Notes that the log cannot be read on without a plan.
    pub(super) fn await_plan(&mut self, number: u64) {
        self.awaited = Some(AwaitedPlan { number, tell_at: Instant::now() + LATE });
    }

    /// Whether the plan that is awaited is still unknown; waits for it a moment.
    pub(super) fn is_without_plan(&mut self) -> bool {
        let Some(awaited) = &mut self.awaited else { return false };
        let number = awaited.number;
        let mut latest = self.plans.latest();
        let stop = self.stop.clone();
        self.runtime.block_on(async {
            tokio::select! {
                _ = latest.wait_for(|plan| plan.as_ref().is_some_and(|plan| plan.number >= number)) => {}
                () = stop.asked().requested() => {}
                () = tokio::time::sleep(IDLE_TICK) => {}
            }
        });
        let known = number_of(self.plans.as_ref());
        if known >= number {
            self.awaited = None;
            return false;
        }
        if Instant::now() >= awaited.tell_at {
            awaited.tell_at = Instant::now() + TELL_INTERVAL;
            tracing::error!(
                partition = self.lane.partition.partition,
                offset = self.lane.next_offset(),
                plan = number,
                latest = known,
                "the log applies a plan that the plan topic has not told yet; the partition waits for it. If the topic lost \
                 it, apply the plan again until its number is reached"
            );
        }
        true
    }
}

/// The number of the latest plan that is known; 0 where there is none.
fn number_of(plans: &dyn PlanTopic) -> u64 {
    plans.latest().borrow().as_ref().map_or(0, |plan| plan.number)
}

/// The plan that a record applies.
fn applied_plan(record: &Result<RecordView<'_>, Malformed>) -> Option<u64> {
    let Ok(RecordView::Control(bytes)) = record else { return None };
    match Control::decode(*bytes).ok()?.action? {
        Action::PlanApplied(applied) => Some(applied.number),
        _ => None,
    }
}

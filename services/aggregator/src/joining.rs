//! How a built funnel joins its lane. [`Orders`] tells builds whether they are still wanted; [`Waiting`] holds those that
//! are done until the lane stands where they do, and hands them over. The lane's thread drives both, and so does the
//! simulation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_log::Source;

use crate::build::{Built, follow};
use crate::funnel_lane::FunnelLane;
use crate::lane::{BuildOrder, Effects, Lane};
use crate::panics::Panicked;

/// Bytes of the log that are read at once, by a lane and to bring a built funnel to it.
pub(crate) const READ_BYTES: usize = 1 << 20;

/// The builds that a lane waits for. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Orders(Arc<Mutex<Vec<BuildOrder>>>);

impl Orders {
    /// Learns what the lane waits for now. To be called after whatever may have changed it: a build that nobody waits for
    /// must end, for others wait for their turn behind it, and the log keeps no records for it.
    pub fn follow(&self, lane: &Lane) {
        lane.building().clone_into(&mut self.lock());
    }

    /// The lane has ended and waits for nothing.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Whether the lane waits for it.
    pub fn contains(&self, order: &BuildOrder) -> bool {
        self.lock().iter().any(|known| known.is(order))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<BuildOrder>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Built funnels that do not stand where their lane does.
#[derive(Default)]
pub struct Waiting(Vec<Built>);

impl Waiting {
    /// Adds a funnel that was built.
    pub fn push(&mut self, built: Built) {
        self.0.push(built);
    }

    /// Hands over those that are still wanted and reach the lane's position; the others wait on, or are forgotten. One that
    /// a record makes panic is ordered anew; the records are returned, to be refused from now on.
    pub fn join(
        &mut self,
        lane: &mut Lane,
        source: &dyn Source,
        now_ms: i64,
        effects: &mut Effects,
    ) -> Vec<Panicked> {
        let mut panicked = Vec::new();
        for mut built in std::mem::take(&mut self.0) {
            if !lane.wants(&built.order) {
                continue;
            }
            match bring(&mut built.lane, lane, source, effects) {
                Ok(true) => {
                    tracing::info!(
                        site = built.lane.key.site,
                        funnel = built.lane.key.funnel,
                        generation = built.lane.generation,
                        visitors = built.lane.fold().visitors(),
                        "funnel built from raw events"
                    );
                    lane.adopt(built.lane, now_ms, effects);
                }
                Ok(false) => self.0.push(built),
                Err(found) => {
                    tracing::error!(error = %found, funnel = built.order.funnel.id, "a build begins again");
                    lane.order_again(built.order, effects);
                    panicked.push(found);
                }
            }
        }
        panicked
    }
}

/// Brings a built funnel over the records that its lane took meanwhile; whether it stands at the lane's position now.
fn bring(
    built: &mut FunnelLane,
    lane: &Lane,
    source: &dyn Source,
    effects: &mut Effects,
) -> Result<bool, Panicked> {
    let (position, mut clock_ms) = (lane.next_offset(), built.fold().clock_ms());
    while built.joins_at < position {
        match source.read(lane.partition.partition, built.joins_at, READ_BYTES) {
            // What the lane has taken cannot be read just now.
            Ok(records) if records.is_empty() => break,
            Ok(mut records) => {
                let mut rows = Vec::new();
                let reaches = records.iter().any(|record| record.offset >= position);
                records.retain(|record| record.offset < position);
                follow(built, &records, &mut clock_ms, &lane.partition, &mut rows)?;
                effects.rolling(rows);
                if reaches {
                    // Offsets may have gaps: nothing is left before the lane's position.
                    built.joins_at = position;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the log between a build and its lane cannot be read; trying again");
                break;
            }
        }
    }
    Ok(built.joins_at == position)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use event_log::memory::MemoryLog;
    use event_log::{ManualClock, Message, Publisher};
    use prost::Message as _;
    use rungs_proto::v1::{Control, PlanApplied, Record, control::Action, record::Body};

    use super::*;
    use crate::funnel_lane::PartitionId;
    use crate::small_lane::{PLAN, counters, first_of, flush_limits, fold_settings};

    const NOW_MS: i64 = 1_700_000_000_000;

    #[test]
    fn a_record_that_panics_on_the_way_to_the_lane_is_named_and_its_build_ordered_again() {
        let clock = Arc::new(ManualClock::at(NOW_MS));
        let log = MemoryLog::new(1, Arc::clone(&clock) as Arc<dyn event_log::Clock>);
        let publish = |value: Vec<u8>| {
            drop(log.publish(vec![Message { partition: 0, value: Bytes::from(value) }]).unwrap());
        };
        let action = Some(Action::PlanApplied(PlanApplied { number: 1 }));
        let control = Record { body: Some(Body::Control(Control { generation: 7, action })) }.encode_to_vec();
        publish(control.clone());
        // No time is later: the minute that it opens cannot end.
        clock.set(i64::MAX);
        publish(b"what breaks".to_vec());

        // Not the warehouse's first log, so that the funnel has to be built.
        let partition = PartitionId { epoch: 2, ..first_of(1, "log".into()) };
        let mut lane = Lane::new(partition, fold_settings(), flush_limits(), counters());
        let (plan, mut effects) = (|_| Some(PLAN.to_owned()), Effects::default());
        lane.record(0, NOW_MS, &control, &plan, &mut effects);
        let order = effects.builds.remove(0);
        // The lane took it without harm.
        lane.record(1, NOW_MS, b"what breaks", &plan, &mut effects);
        let funnel = Arc::clone(&order.funnel);
        let built = FunnelLane::new(funnel, order.generation, &fold_settings(), NOW_MS, order.cutoff);

        let mut waiting = Waiting::default();
        waiting.push(Built { lane: built, order: order.clone() });
        let mut effects = Effects::default();
        let panicked = waiting.join(&mut lane, &log, NOW_MS, &mut effects);
        assert_eq!(panicked.len(), 1);
        assert_eq!((panicked[0].record.offset, &panicked[0].record.value[..]), (1, &b"what breaks"[..]));
        assert!(waiting.0.is_empty(), "what panicked is not used any more");
        assert!(effects.builds.len() == 1 && effects.builds[0].is(&order) && effects.builds[0].repairs());
        assert!(lane.funnels_mut().is_empty() && lane.wants(&effects.builds[0]));
    }
}

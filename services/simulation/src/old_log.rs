//! What a log that is no more has left under the first plan: the run's log announces that plan again, under the generation that
//! it had. Rows of journeys, of minutes and of the open minute name no log, and the offsets of the old one were larger.

use aggregator::counters::LaneCounters;
use aggregator::funnel_lane::PartitionId;
use aggregator::lane::{Effects, FlushLimits, Lane};
use aggregator::memory::MemoryStore;
use aggregator::store::Write;
use funnel::windows::MINUTE_MS;
use prost::Message as _;
use rungs_proto::v1::control::Action;
use rungs_proto::v1::record::Body;
use rungs_proto::v1::{Control, Event, PlanApplied, Record};

use crate::partition_life::fold_settings;
use crate::plans::{self, CHANNELS, T0};

/// Its id.
pub const ID: &str = "log before";
/// Its records have these offsets and those after them: larger than any of a run.
const FIRST_OFFSET: u64 = 1 << 30;
const VISITORS: u64 = 5;

/// Stores what the partitions of the old log had counted. Its raw events are gone, by retention.
pub fn leave(tables: &MemoryStore, partitions: u32, counters: &LaneCounters) {
    for partition in 0..partitions {
        let mut effects = Effects::default();
        let mut lane = lane(partition, partitions, counters.clone());
        for (offset, body) in (FIRST_OFFSET..).zip(bodies()) {
            let value = Record { body: Some(body) }.encode_to_vec();
            lane.record(offset, T0, &value, &|number| Some(plans::text(number)), &mut effects);
        }
        lane.tick(T0 + 3 * MINUTE_MS, true, &mut effects);
        lane.flush(T0 + 3 * MINUTE_MS, &mut effects);
        let stored = effects.writes.iter().filter(|write| !matches!(write, Write::Events(..)));
        stored.for_each(|write| tables.tables().apply(write));
    }
}

fn lane(partition: u32, partitions: u32, counters: LaneCounters) -> Lane {
    let id = PartitionId { log_id: ID.to_owned(), epoch: 1, generation_floor: 0, partition, partitions };
    let limits = FlushLimits {
        events_interval_ms: 1,
        events_batch_rows: 100,
        journeys_interval_ms: 1,
        journeys_batch_rows: 100,
    };
    Lane::new(id, fold_settings(), limits, counters)
}

/// The plan under its generation, then each visitor's way; those of other partitions are refused.
fn bodies() -> impl Iterator<Item = Body> {
    let action = Some(Action::PlanApplied(PlanApplied { number: 1 }));
    let plan = Body::Control(Control { generation: T0.cast_unsigned(), action });
    let events = (0..VISITORS).flat_map(|visitor| {
        ["s", "t"].into_iter().flat_map(move |site| ["a", "b"].map(|name| event(site, visitor, name)))
    });
    std::iter::once(plan).chain(events)
}

fn event(site: &str, visitor: u64, name: &str) -> Body {
    Body::Event(Event {
        site: site.to_owned(),
        visitor_id: format!("v{visitor}"),
        message_id: format!("old {visitor} {name}"),
        event: name.to_owned(),
        ts_ms: T0,
        own_ts_ms: T0,
        received_at_ms: T0,
        channel: CHANNELS[0].to_owned(),
        ..Event::default()
    })
}

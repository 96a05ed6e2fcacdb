//! What the unit tests of this crate fold by: an hour's horizon, a day of history, one funnel of two steps, and every
//! write as soon as there is something to write.

use std::sync::Arc;

use event_log::rejected::{QueuedRejections, queue};
use rungs_proto::v1::{Event, record::Body};
use runtime::Metrics;

use crate::counters::LaneCounters;
use crate::funnel_lane::{FoldSettings, PartitionId};
use crate::lane::FlushLimits;
use crate::refused::Refusals;
use crate::refused_raw::RefusedRaw;
use crate::run::Foreign;
use crate::screened::{Poisonous, Translate};

/// Site `s` with funnel `f`: event `a`, then event `b` within 15 minutes.
pub(crate) const PLAN: &str = "[[sites]]\nid = \"s\"\nwrite_keys = [\"wk_s\"]\norigins = [\"*\"]\n\
    [[funnels]]\nsite = \"s\"\nid = \"f\"\nconversion_window = \"15m\"\nrolling_windows = [\"5m\"]\n\
    [[funnels.steps]]\nid = \"a\"\nevent = \"a\"\n[[funnels.steps]]\nid = \"b\"\nevent = \"b\"\n";

pub(crate) fn fold_settings() -> FoldSettings {
    FoldSettings {
        horizon_ms: 3_600_000,
        max_tail_events: 100,
        minute_history_ms: 86_400_000,
        hour_history_ms: 86_400_000,
    }
}

pub(crate) fn flush_limits() -> FlushLimits {
    FlushLimits {
        events_interval_ms: 1,
        events_batch_rows: 100,
        journeys_interval_ms: 1,
        journeys_batch_rows: 100,
    }
}

/// Partition 0 of a log that is the first to feed the warehouse.
pub(crate) fn first_of(partitions: u32, log_id: String) -> PartitionId {
    PartitionId { log_id, epoch: 1, generation_floor: 0, partition: 0, partitions }
}

/// An event `a` of site `s`.
pub(crate) fn event(visitor: &str, message: &str, ts_ms: i64) -> Body {
    let (site, visitor_id, message_id, event) = ("s".into(), visitor.into(), message.into(), "a".into());
    Body::Event(Event { site, visitor_id, message_id, event, ts_ms, ..Event::default() })
}

/// What is not taken of a partition, and where it is shown.
pub(crate) fn refusals(partition: u32) -> (Refusals, QueuedRejections) {
    let (rejections, shown) = queue(Box::new(|| ()));
    let translate: Translate = Arc::new(|_, _| unreachable!("there is no JSON"));
    let foreign = Foreign { topic: "log".into(), rejections: Arc::new(rejections), translate };
    let (poisonous, panicked) = (Poisonous::default(), counters().panicked);
    let (place, raw) = ((partition, partition + 1), RefusedRaw::default());
    (Refusals { foreign, place, places: 1, poisonous, raw, panicked }, shown)
}

/// Counters that nobody scrapes.
pub(crate) fn counters() -> LaneCounters {
    LaneCounters::register(&Metrics::new().unwrap()).unwrap()
}

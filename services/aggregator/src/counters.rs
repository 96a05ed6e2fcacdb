//! What a lane counts for `/metrics`: this process's work only.

use funnel::fold::Folded;
use prometheus::local::LocalIntCounter;
use prometheus::{IntCounter, IntCounterVec};
use runtime::metrics::{Metrics, MetricsError};

use crate::timing::Timing;

/// Counters that all lanes of a process share.
#[derive(Debug, Clone)]
pub struct LaneCounters {
    /// Events taken from the log.
    pub events: IntCounter,
    /// Of them, those that no funnel knows by name.
    pub unmatched: IntCounter,
    /// Of them, those of visitors who were erased.
    pub erased: IntCounter,
    /// Records that were not taken.
    pub undecodable: IntCounter,
    /// Records and raw events that made counting panic.
    pub panicked: IntCounter,
    /// How long things take.
    pub timing: Timing,
    outcomes: [IntCounter; OUTCOMES.len()],
    /// Beside the outcomes: late ones of imports.
    imported: IntCounter,
}

/// What can become of a matched event, as the metric's label says it.
const OUTCOMES: [(Folded, &str); 7] = [
    (Folded::Counted, "counted"),
    (Folded::Duplicate, "duplicate"),
    (Folded::Late, "late"),
    (Folded::TailFull, "tail_full"),
    (Folded::Restored, "restored"),
    (Folded::Damaged, "damaged"),
    (Folded::Linked, "linked"),
];

impl LaneCounters {
    /// Registers the counters, all at 0.
    pub fn register(metrics: &Metrics) -> Result<Self, MetricsError> {
        let folded: IntCounterVec = metrics.counter_vec(
            "rungs_aggregator_folded_events_total",
            "Matched events by what became of them, once for each funnel they match: counted, duplicate, late (older than \
             the horizon), imported (late too, but of an import, whose build counts it), tail_full (too many recent events of one visitor), restored (already part of a stored \
             journey), damaged (a stored journey could not be read and began anew), linked (its id is one of a visitor's who \
             goes by another; counted by the next build).",
            &["outcome"],
        )?;
        Ok(Self {
            events: metrics.counter("rungs_aggregator_events_total", "Events taken from the log.")?,
            unmatched: metrics.counter(
                "rungs_aggregator_unmatched_events_total",
                "Events taken from the log whose name no step and no offer of their site's funnels has: stored, and counted \
                 nowhere. `rungs report` and the console's API say which names.",
            )?,
            erased: metrics.counter(
                "rungs_aggregator_erased_events_total",
                "Events taken from the log whose visitor was erased before (`rungs forget`): not stored, and counted nowhere.",
            )?,
            undecodable: metrics.counter(
                "rungs_aggregator_undecodable_records_total",
                "Records of the log that were not taken: neither an event nor a control record, or an event that lacks what every \
                 event has or is not in its visitor's partition. They are in the table rejected_events, on Kafka also in the topic \
                 rungs.rejected.v1.",
            )?,
            panicked: metrics.counter(
                "rungs_aggregator_panicked_records_total",
                "Records of the log, and raw events in a build from raw, that made counting panic, a defect of this program: each is \
                 refused from then on, counted nowhere or in no build, and found by `rungs trace` as `panicked`.",
            )?,
            timing: Timing::register(metrics)?,
            outcomes: OUTCOMES.map(|(_, outcome)| folded.with_label_values(&[outcome])),
            imported: folded.with_label_values(&["imported"]),
        })
    }

    /// What one lane counts of every event.
    pub(crate) fn of_lane(&self) -> LaneCounts {
        LaneCounts {
            events: self.events.local(),
            unmatched: self.unmatched.local(),
            outcomes: self.outcomes.each_ref().map(IntCounter::local),
            imported: self.imported.local(),
        }
    }
}

/// What one lane counts of every event, told now and then: a number that all lanes add to wanders between the cores' caches,
/// which took a fifteenth of the time of folding.
pub(crate) struct LaneCounts {
    /// Events taken from the log.
    pub(crate) events: LocalIntCounter,
    /// Of them, those that no funnel knows by name.
    pub(crate) unmatched: LocalIntCounter,
    outcomes: [LocalIntCounter; OUTCOMES.len()],
    imported: LocalIntCounter,
}

impl LaneCounts {
    /// Counts what became of a matched event. The past that an import brings is not late: the build that ends the import counts it.
    pub(crate) fn folded(&self, folded: Folded, is_imported: bool) {
        if is_imported && folded == Folded::Late {
            self.imported.inc();
            return;
        }
        let known = OUTCOMES.iter().zip(&self.outcomes).find(|((outcome, _), _)| *outcome == folded);
        if let Some((_, counter)) = known {
            counter.inc();
        }
    }

    /// Adds to the process's counters what was counted since.
    pub(crate) fn tell(&self) {
        let rest = [&self.events, &self.unmatched, &self.imported];
        self.outcomes.iter().chain(rest).for_each(LocalIntCounter::flush);
    }
}

/// A lane that ends, by a panic too, has told all.
impl Drop for LaneCounts {
    fn drop(&mut self) {
        self.tell();
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use rungs_proto::v1::record::Body;
    use rungs_proto::v1::{Control, Event, PlanApplied, Record, control::Action};

    use super::*;
    use crate::lane::{Effects, Lane};
    use crate::small_lane::{PLAN, first_of, flush_limits, fold_settings};

    const NOW_MS: i64 = 1_700_000_000_000;
    const YEAR_MS: i64 = 366 * 86_400_000;

    fn event(message: &str, import: &str, ts_ms: i64) -> Body {
        let (site, visitor_id, event) = ("s".into(), "v".into(), "a".into());
        let (message_id, import_id) = (message.into(), import.into());
        Body::Event(Event {
            site,
            visitor_id,
            message_id,
            event,
            import_id,
            ts_ms,
            own_ts_ms: ts_ms,
            ..Event::default()
        })
    }

    #[test]
    fn the_past_that_an_import_brings_is_not_among_what_came_late() {
        let metrics = Metrics::new().unwrap();
        let counters = LaneCounters::register(&metrics).unwrap();
        let mut lane = Lane::new(first_of(1, "log".into()), fold_settings(), flush_limits(), counters);
        let plan = Action::PlanApplied(PlanApplied { number: 1 });
        let bodies = [
            Body::Control(Control { generation: 1, action: Some(plan) }),
            event("1", "", NOW_MS - YEAR_MS),
            event("2", "i", NOW_MS - YEAR_MS),
            event("3", "i", NOW_MS - YEAR_MS),
            event("4", "i", NOW_MS),
        ];
        for body in bodies {
            let value = Record { body: Some(body) }.encode_to_vec();
            lane.record(lane.next_offset(), NOW_MS, &value, &|_| Some(PLAN.into()), &mut Effects::default());
        }
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        for (outcome, events) in [("late", 1), ("imported", 2), ("counted", 1)] {
            let line = format!("rungs_aggregator_folded_events_total{{outcome=\"{outcome}\"}} {events}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}

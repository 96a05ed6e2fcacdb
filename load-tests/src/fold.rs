//! Decoded events in memory through the fold: three funnels of five steps, one core. Counted in CPU time of the folding
//! thread, so that what else the machine does changes little.
//!
//! Three figures of the same stream: a hash map of anchors only (the limit: no windows, no duplicates, no late events,
//! nothing to store), the fold alone, and the aggregator's lane (matching by name, hashing ids, closing minutes).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aggregator::funnel_lane::{FoldSettings, FunnelLane, PartitionId};
use funnel::Plan;
use funnel::fold::{Fold, FoldEvent, Spec};
use funnel::intake::{Incoming, message_hash, visitor_hash};
use funnel::plan::limits::MAX_BREAKDOWNS;
use funnel::plan::{CompiledFunnel, Derived, EventFields};
use funnel::track::UNSET;
use funnel::values::Values;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::BenchError;
use crate::process::thread_cpu;
use crate::stream::{BEGIN_MS, DAY_MS, NAMES, PLAN, Shape, StreamEvent, stream};
use crate::table::{Row, millions};

/// Events whose ids are written out ahead of the clock.
const CHUNK: usize = 65_536;
/// Visitors whose journeys are warmed together, as the aggregator does.
pub const WARM: usize = 32;
const GOAL: f64 = 2e6;

/// An event with its ids hashed.
struct Hashed {
    event: StreamEvent,
    visitor: u128,
    message: u64,
}

fn hashed(events: &[StreamEvent]) -> Vec<Hashed> {
    let hash = |event: &StreamEvent| Hashed {
        event: *event,
        visitor: xxh3_128(event.visitor_id().as_bytes()),
        message: xxh3_64(event.message_id().as_bytes()),
    };
    events.iter().map(hash).collect()
}

/// The benchmark's plan.
pub fn plan() -> Result<Plan, BenchError> {
    Plan::parse("tracking-plan.toml", PLAN).map_err(|problems| BenchError::other(format!("{problems:?}")))
}

/// What lanes fold by.
pub fn settings() -> FoldSettings {
    FoldSettings {
        horizon_ms: DAY_MS,
        max_tail_events: 256,
        minute_history_ms: 7 * DAY_MS,
        hour_history_ms: 730 * DAY_MS,
    }
}

/// Runs all three over one stream.
pub fn run(shape: &Shape) -> Result<Vec<Row>, BenchError> {
    let (plan, events) = (plan()?, stream(shape));
    let rate = |cpu: Duration| events.len() as f64 / cpu.as_secs_f64().max(1e-9);
    let bare = rate(bare(&plan, &events));
    let alone = rate(alone(&plan, &events));
    let lanes = rate(lanes(&plan, &events));
    let ratio = |figure: f64| {
        format!("{:.3} of the bare hash map; {:.2} us CPU an event", figure / bare, 1e6 / figure)
    };
    Ok(vec![
        Row::plain("fold: bare hash map of anchors (limit)", millions(bare), "3 maps, 5 anchors a visitor"),
        Row::goal("fold: 3 funnels of 5 steps", millions(alone), ">= 2 M/s", alone >= GOAL, ratio(alone)),
        Row::goal(
            "fold: the same through the aggregator's lanes",
            millions(lanes),
            ">= 2 M/s",
            lanes >= GOAL,
            ratio(lanes),
        ),
    ])
}

/// Bits that an event of each name matches, by funnel.
fn masks(plan: &Plan) -> Vec<Vec<u32>> {
    let of = |compiled: CompiledFunnel| {
        NAMES
            .iter()
            .map(|(event, _)| compiled.matches(&EventFields { event, ..EventFields::default() }))
            .collect()
    };
    plan.funnels.iter().map(CompiledFunnel::new).map(of).collect()
}

fn mask(masks: &[u32], event: &StreamEvent) -> u32 {
    masks.get(usize::from(event.name)).copied().unwrap_or(0)
}

fn bare(plan: &Plan, events: &[StreamEvent]) -> Duration {
    let masks = masks(plan);
    let mut maps: Vec<HashMap<u128, [i64; 5]>> = vec![HashMap::new(); masks.len()];
    let mut spent = Duration::ZERO;
    for chunk in events.chunks(CHUNK).map(hashed) {
        let started = thread_cpu();
        for Hashed { event, visitor, .. } in &chunk {
            for (map, masks) in maps.iter_mut().zip(&masks) {
                let matches = mask(masks, event);
                if matches != 0 {
                    climb(map.entry(*visitor).or_insert([UNSET; 5]), event.ts, matches);
                }
            }
        }
        spent += thread_cpu() - started;
    }
    spent
}

fn climb(anchors: &mut [i64; 5], ts: i64, matches: u32) {
    let mut below = ts;
    for (index, anchor) in anchors.iter_mut().enumerate() {
        if matches & (1 << index) != 0 && below != UNSET && ts - below <= 7 * DAY_MS {
            *anchor = below;
        }
        below = *anchor;
    }
}

fn alone(plan: &Plan, events: &[StreamEvent]) -> Duration {
    let masks = masks(plan);
    let fold = |funnel| Fold::new(Spec::new(funnel, DAY_MS, 256), Values::default(), BEGIN_MS);
    let mut folds: Vec<Fold> = plan.funnels.iter().map(fold).collect();
    let (mut spent, mut offset) = (Duration::ZERO, 0);
    for chunk in events.chunks(CHUNK).map(hashed) {
        let started = thread_cpu();
        for group in chunk.chunks(WARM) {
            for (fold, masks) in folds.iter_mut().zip(&masks) {
                let matching = || group.iter().filter(|hashed| mask(masks, &hashed.event) != 0);
                fold.warm(matching().map(|hashed| hashed.visitor));
                for (index, hashed) in matching().enumerate() {
                    fold_one(fold, hashed, mask(masks, &hashed.event), offset + index as u64);
                }
            }
            offset += WARM as u64;
        }
        spent += thread_cpu() - started;
    }
    spent
}

fn fold_one(fold: &mut Fold, hashed: &Hashed, matches: u32, offset: u64) {
    let Hashed { event, visitor, message } = *hashed;
    while event.arrival_ms >= fold.open_minute_end_ms() {
        let end_ms = fold.open_minute_end_ms();
        std::hint::black_box(fold.counts_at(end_ms));
        fold.advance(end_ms);
    }
    fold.advance(event.arrival_ms);
    let values = [0; MAX_BREAKDOWNS];
    fold.fold(&FoldEvent { visitor, message, ts: event.ts, own_ts: event.ts, matches, values }, offset);
}

fn lanes(plan: &Plan, events: &[StreamEvent]) -> Duration {
    let settings = settings();
    let partition =
        PartitionId { log_id: "bench".into(), epoch: 0, generation_floor: 0, partition: 0, partitions: 1 };
    let lane =
        |funnel: &funnel::plan::Funnel| FunnelLane::new(Arc::new(funnel.clone()), 1, &settings, BEGIN_MS, 0);
    let mut lanes: Vec<FunnelLane> = plan.funnels.iter().map(lane).collect();
    let (mut spent, mut offset, mut rows) = (Duration::ZERO, 0, Vec::new());
    for chunk in events.chunks(CHUNK) {
        let ids: Vec<(String, String)> =
            chunk.iter().map(|event| (event.visitor_id(), event.message_id())).collect();
        let started = thread_cpu();
        for (events, ids) in chunk.chunks(WARM).zip(ids.chunks(WARM)) {
            for lane in &lanes {
                lane.fold().warm(ids.iter().map(|(visitor, _)| visitor_hash(visitor)));
            }
            for (event, (visitor, message)) in events.iter().zip(ids) {
                let incoming = incoming(event, visitor, message);
                for lane in &mut lanes {
                    if event.arrival_ms >= lane.open_end_ms() {
                        lane.tick(offset, event.arrival_ms, usize::MAX, &mut rows, &partition);
                        rows.clear();
                    }
                    lane.fold_event(&incoming, offset, event.arrival_ms);
                }
                offset += 1;
            }
        }
        spent += thread_cpu() - started;
    }
    spent
}

fn incoming<'a>(event: &StreamEvent, visitor_id: &'a str, message_id: &'a str) -> Incoming<'a> {
    let derived = Derived { channel: event.channel(), ..Derived::default() };
    let fields = EventFields { event: event.name(), properties: "", context: "", derived };
    let (visitor, message) = (visitor_hash(visitor_id), message_hash(message_id));
    Incoming { fields, visitor, user_id: "", message, ts: event.ts, own_ts: event.ts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bare_map_climbs_in_order_only() {
        let mut anchors = [UNSET; 5];
        climb(&mut anchors, 5, 0b10);
        assert_eq!(anchors, [UNSET; 5]);
        climb(&mut anchors, 6, 0b1);
        climb(&mut anchors, 7, 0b10);
        assert_eq!(anchors, [6, 6, UNSET, UNSET, UNSET]);
    }

    #[test]
    fn a_small_stream_runs_through_all_three() {
        let rows = run(&Shape { events: 20_000, visitors: 500, ..Shape::default() }).unwrap();
        assert_eq!(rows.len(), 3);
    }
}

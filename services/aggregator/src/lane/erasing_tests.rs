//! A visitor is erased: what is counted, what is written in which order, and what a restore and a build find.

use std::sync::Arc;

use bytes::Bytes;
use event_log::LogRecord;
use prost::Message as _;
use rungs_proto::v1::record::Body;
use rungs_proto::v1::{Control, PlanApplied, Record, control::Action};
use warehouse::rows::PROGRESS;

use super::*;
use crate::build::follow;
use crate::funnel_lane::{FunnelLane, PartitionId};
use crate::memory::MemoryStore;
use crate::restore::restore;
use crate::small_lane::{self, PLAN, counters, first_of, flush_limits, fold_settings};

const NOW_MS: i64 = 1_700_000_000_000;

fn partition() -> PartitionId {
    first_of(1, "log".into())
}

fn plan() -> Body {
    Body::Control(Control { generation: 1, action: Some(Action::PlanApplied(PlanApplied { number: 1 })) })
}

fn erase(visitor: &str) -> Body {
    let erase = Erase { site: "s".into(), visitors: vec![visitor.into()] };
    Body::Control(Control { generation: 0, action: Some(Action::Erase(erase)) })
}

fn event(visitor: &str, message: &str) -> Body {
    small_lane::event(visitor, message, NOW_MS)
}

fn take(lane: &mut Lane, body: Body, effects: &mut Effects) {
    let value = Record { body: Some(body) }.encode_to_vec();
    lane.record(lane.next_offset(), NOW_MS, &value, &|_| Some(PLAN.into()), effects);
}

fn lane() -> Lane {
    Lane::new(partition(), fold_settings(), flush_limits(), counters())
}

/// Visitors of the first step now.
fn entered(funnel: &mut FunnelLane) -> u32 {
    funnel.open_counts(NOW_MS)[0].2.visitors[0]
}

#[test]
fn an_erased_visitor_leaves_the_counts_and_comes_back_by_no_event() {
    let (mut lane, mut effects) = (lane(), Effects::default());
    for body in [plan(), event("v", "1"), event("w", "2")] {
        take(&mut lane, body, &mut effects);
    }
    assert_eq!(entered(&mut lane.funnels_mut()[0]), 2);
    take(&mut lane, erase("v"), &mut effects);
    assert_eq!((entered(&mut lane.funnels_mut()[0]), lane.journeys()), (1, 1));
    for message in ["1", "3"] {
        take(&mut lane, event("v", message), &mut effects);
    }
    assert_eq!((entered(&mut lane.funnels_mut()[0]), lane.journeys()), (1, 1));
    assert_eq!((lane.counters.erased.get(), lane.counters.events.get()), (2, 4));
    assert_eq!(lane.events.rows(), 2, "what came before waits to be stored, what came after is not");
}

#[test]
fn who_was_erased_is_written_once_and_before_the_progress_that_passes_the_record() {
    let (mut lane, mut effects) = (lane(), Effects::default());
    for body in [plan(), event("v", "1"), erase("v"), erase("v")] {
        take(&mut lane, body, &mut effects);
    }
    lane.flush(NOW_MS, &mut effects);
    let erasures: Vec<&Vec<ErasureRow>> = effects
        .writes
        .iter()
        .filter_map(|write| if let Write::Erasures(rows) = write { Some(rows) } else { None })
        .collect();
    assert_eq!(erasures, [&vec![ErasureRow::new("s", "v", (1, 2))]]);
    let is_past = |write: &Write| match write {
        Write::Progress(rows) => rows.iter().any(|row| row.kind == PROGRESS && row.next_offset > 2),
        _ => false,
    };
    let place = |is: &dyn Fn(&Write) -> bool| effects.writes.iter().position(is).unwrap();
    assert!(place(&|write| matches!(write, Write::Erasures(_))) < place(&is_past));
    assert!(!effects.writes.iter().any(|write| matches!(write, Write::Journeys(_))), "nobody is left");
}

#[tokio::test]
async fn a_journey_that_is_still_stored_is_not_restored_and_the_visitor_stays_erased() {
    let (store, mut lane, mut effects) = (MemoryStore::default(), lane(), Effects::default());
    for body in [plan(), event("v", "1"), event("w", "2")] {
        take(&mut lane, body, &mut effects);
    }
    lane.flush(NOW_MS, &mut effects);
    let journeys: Vec<Write> =
        effects.writes.extract_if(.., |write| matches!(write, Write::Journeys(_))).collect();
    take(&mut lane, erase("v"), &mut effects);
    lane.flush(NOW_MS, &mut effects);
    // A writer that was away stores what it had last.
    effects.writes.iter().chain(&journeys).for_each(|write| store.tables().apply(write));
    assert_eq!(store.tables().journeys.len(), 2);

    let restored = restore(&store, &partition(), &fold_settings()).await.unwrap();
    assert_eq!((restored.next_offset, restored.funnels[0].fold().visitors()), (4, 1));
    let mut again = Lane::new(partition(), fold_settings(), flush_limits(), counters());
    again.resume(restored, &mut effects);
    take(&mut again, event("v", "4"), &mut effects);
    assert_eq!((entered(&mut again.funnels_mut()[0]), again.counters.erased.get()), (1, 1));

    let another_log = PartitionId { epoch: 2, log_id: "another".into(), ..partition() };
    let restored = restore(&store, &another_log, &fold_settings()).await.unwrap();
    assert_eq!(restored.next_offset, 0);
    assert!(restored.erased.contains("s", funnel::intake::visitor_hash("v")), "whichever log brings events");
}

#[test]
fn a_build_that_follows_the_log_erases_where_its_lane_did() {
    let (mut lane, mut effects) = (lane(), Effects::default());
    take(&mut lane, plan(), &mut effects);
    let plan = Arc::clone(&lane.funnels_mut()[0].plan);
    let mut built = FunnelLane::new(plan, 2, &fold_settings(), NOW_MS, 1);
    let bodies = [event("v", "1"), event("w", "2"), erase("v"), event("v", "3")];
    let record = |(offset, body): (u64, Body)| {
        let value = Bytes::from(Record { body: Some(body) }.encode_to_vec());
        LogRecord { offset, appended_at_ms: NOW_MS, value }
    };
    let records: Vec<LogRecord> = (1..).zip(bodies).map(record).collect();
    let mut clock_ms = NOW_MS;
    for (visitors, upto) in [(2, 2), (1, 4)] {
        follow(&mut built, &records[..upto], &mut clock_ms, &partition(), &mut Vec::new()).unwrap();
        assert_eq!(entered(&mut built), visitors);
    }
}

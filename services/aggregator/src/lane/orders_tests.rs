//! Control records that partitions get in different orders.

use prost::Message as _;
use rungs_proto::v1::record::Body;
use rungs_proto::v1::{Control, ImportCompleted, PlanApplied, Rebuild, Record, control::Action};

use super::*;
use crate::funnel_lane::PartitionId;
use crate::small_lane::{PLAN, counters, first_of, flush_limits, fold_settings};

/// A lane of a log that is not the warehouse's first: funnels are built.
fn lane() -> Lane {
    lane_of(2)
}

fn lane_of(epoch: u32) -> Lane {
    let partition = PartitionId { epoch, ..first_of(1, "log".into()) };
    Lane::new(partition, fold_settings(), flush_limits(), counters())
}

fn plan() -> Action {
    Action::PlanApplied(PlanApplied { number: 1 })
}

fn import() -> Action {
    let (site, import_id) = ("s".into(), "i".into());
    Action::ImportCompleted(ImportCompleted { site, import_id, accepted_rows: 0 })
}

/// The lane takes a control record; what it orders.
fn take(lane: &mut Lane, generation: u64, action: Action) -> Vec<BuildOrder> {
    let control = Control { generation, action: Some(action) };
    let value = Record { body: Some(Body::Control(control)) }.encode_to_vec();
    let mut effects = Effects::default();
    let offset = lane.next_offset();
    lane.record(offset, 1_700_000_000_000, &value, &|_| Some(PLAN.into()), &mut effects);
    effects.builds
}

/// What was ordered is built at once.
fn finish(lane: &mut Lane) {
    for order in lane.building().to_vec() {
        let built = FunnelLane::new(
            Arc::clone(&order.funnel),
            order.generation,
            &lane.settings,
            order.clock_ms,
            order.cutoff,
        );
        lane.adopt(built, 0, &mut Effects::default());
    }
}

/// The generation and the cut-off in the end, when each build is done before the next record comes, or none is.
fn ends_with(records: &[(u64, Action)], at_once: bool) -> (u64, u64) {
    let mut lane = lane();
    for (generation, action) in records {
        take(&mut lane, *generation, action.clone());
        if at_once {
            finish(&mut lane);
        }
    }
    finish(&mut lane);
    assert_eq!(lane.funnels.len(), 1);
    (lane.funnels[0].generation, lane.funnels[0].cutoff())
}

#[test]
fn partitions_end_with_the_same_generation_in_whatever_order_control_records_come() {
    let (first, second) = ((100, import()), (101, import()));
    let orders = [
        [(5, plan()), first.clone(), second.clone()],
        [(5, plan()), second.clone(), first.clone()],
        [first.clone(), (5, plan()), second.clone()],
        [second.clone(), (5, plan()), first.clone()],
        [second, first, (5, plan())],
    ];
    for order in orders {
        for at_once in [true, false] {
            assert_eq!(ends_with(&order, at_once), (101, 3), "{order:?}");
        }
    }
    for order in [[(7, plan()), (6, import())], [(6, import()), (7, plan())]] {
        for at_once in [true, false] {
            assert_eq!(ends_with(&order, at_once), (7, 2), "a writer whose clock is behind: {order:?}");
        }
    }
}

#[test]
fn no_generation_is_begun_below_the_floor_of_the_log_in_whatever_order_control_records_come() {
    let above = |floor, records: &[(u64, Action)]| {
        let id = PartitionId { generation_floor: floor, epoch: 2, ..first_of(1, "log".into()) };
        let mut lane = Lane::new(id, fold_settings(), flush_limits(), counters());
        for (generation, action) in records {
            take(&mut lane, *generation, action.clone());
        }
        finish(&mut lane);
        (lane.funnels[0].generation, lane.funnels[0].cutoff())
    };
    assert_eq!(above(50, &[(5, plan())]), (51, 1), "a plan that a log before had");
    assert_eq!(above(50, &[(70, plan())]), (70, 1));
    let records = [(5, plan()), (40, import()), (60, rebuild("f"))];
    for [first, second, third] in [[0, 1, 2], [1, 0, 2], [2, 1, 0], [0, 2, 1]] {
        let records = [first, second, third].map(|at| records[at].clone());
        assert_eq!(above(50, &records), (60, 3), "{records:?}");
        assert_eq!(above(80, &records), (81, 3), "{records:?}");
    }
}

#[test]
fn only_a_number_that_a_rebuild_may_have_used_is_begun_without_what_is_stored_under_it() {
    let id = PartitionId { generation_floor: 50, epoch: 2, ..first_of(1, "log".into()) };
    let mut lane = Lane::new(id.clone(), fold_settings(), flush_limits(), counters());
    let ordered = take(&mut lane, 5, plan());
    assert!(ordered[0].generation == 51 && !ordered[0].repairs(), "the first plan's, on this log");
    let mut lane = Lane::new(id, fold_settings(), flush_limits(), counters());
    take(&mut lane, 60, import());
    let ordered = take(&mut lane, 5, plan());
    assert!(ordered[0].generation == 60 && ordered[0].repairs());
}

#[test]
fn a_build_that_was_replaced_under_its_own_number_is_not_wanted() {
    let mut lane = lane();
    let first = take(&mut lane, 9, plan());
    let second = take(&mut lane, 8, import());
    assert_eq!((first[0].generation, second[0].generation), (9, 9));
    assert!(second[0].repairs(), "what the first one stored under the number goes first");
    assert!(!lane.wants(&first[0]) && lane.wants(&second[0]));
}

#[test]
fn a_record_that_is_read_again_orders_nothing() {
    let mut lane = lane();
    take(&mut lane, 5, plan());
    take(&mut lane, 6, import());
    finish(&mut lane);
    lane.next_offset = 1;
    assert!(take(&mut lane, 6, import()).is_empty());
}

fn rebuild(funnel: &str) -> Action {
    Action::Rebuild(Rebuild { site: "s".into(), funnel: funnel.into() })
}

#[test]
fn one_funnel_is_built_anew_and_ends_with_the_same_generation_in_whatever_order_records_come() {
    for at_once in [false, true] {
        let (plan, one, other) = ((5, plan()), (100, rebuild("f")), (200, rebuild("other")));
        let orders = [[plan.clone(), one.clone(), other.clone()], [one, other, plan]];
        let generations = orders.map(|records| ends_with(&records, at_once).0);
        assert_eq!(generations, [100, 100], "at once: {at_once}");
    }
    let mut lane = lane();
    take(&mut lane, 5, plan());
    finish(&mut lane);
    assert!(take(&mut lane, 6, rebuild("other")).is_empty(), "another funnel is meant");
    assert_eq!(take(&mut lane, 7, rebuild("f")).len(), 1);
    let kept = rebuilt_of_values(&lane.partition_row().values);
    assert_eq!(kept, BTreeMap::from([("s/f".to_owned(), 7), ("s/other".to_owned(), 6)]));
}

#[test]
fn generations_of_rebuilds_are_kept_in_progress() {
    let mut lane = lane();
    take(&mut lane, 9, import());
    let row = lane.partition_row();
    assert_eq!(rebuilt_of_values(&row.values), BTreeMap::from([("s".to_owned(), 9)]));
}

fn event() -> Vec<u8> {
    let event = rungs_proto::v1::Event {
        site: "s".into(),
        visitor_id: "v".into(),
        message_id: "m".into(),
        event: "a".into(),
        ts_ms: 1_700_000_000_000,
        ..Default::default()
    };
    Record { body: Some(Body::Event(event)) }.encode_to_vec()
}

#[test]
fn a_funnel_is_built_unless_nothing_ever_came_before_it() {
    let (mut first, mut later_log, mut later_event) = (lane_of(1), lane_of(2), lane_of(1));
    assert!(take(&mut first, 7, plan()).is_empty());
    let live: Vec<_> = first.funnels_mut().iter().map(|lane| (lane.generation, lane.cutoff())).collect();
    assert_eq!(live, [(7, 1)]);
    assert_eq!(take(&mut later_log, 7, plan()).len(), 1);
    later_event.record(0, 1_700_000_000_000, &event(), &|_| None, &mut Effects::default());
    assert_eq!(take(&mut later_event, 7, plan()).len(), 1);
}

#[test]
fn a_log_that_lost_its_beginning_has_a_past() {
    let mut lane = lane_of(1);
    assert!(lane.begin_at(500));
    assert_eq!(take(&mut lane, 7, plan()).len(), 1);
}

#[test]
fn a_funnel_without_a_past_is_shown_to_readers_at_the_next_look_at_the_clock() {
    let mut lane = lane_of(1);
    take(&mut lane, 7, plan());
    let mut effects = Effects::default();
    lane.tick(1_700_000_000_000, true, &mut effects);
    let progress = effects.writes.iter().filter_map(|write| match write {
        Write::Progress(rows) => Some(rows),
        _ => None,
    });
    let rows: Vec<_> = progress.flatten().map(|row| (row.funnel.as_str(), row.next_offset)).collect();
    assert_eq!(rows, [("f", 1), ("", 1)]);
}

#[test]
fn the_end_of_an_import_is_noted_behind_its_rows() {
    let mut lane = lane();
    take(&mut lane, 5, plan());
    let event = rungs_proto::v1::Event {
        site: "s".into(),
        event: "a".into(),
        visitor_id: "v".into(),
        message_id: "m".into(),
        ts_ms: 1_700_000_000_000,
        received_at_ms: 1_700_000_000_000,
        import_id: "i".into(),
        ..rungs_proto::v1::Event::default()
    };
    let mut effects = Effects::default();
    for body in [Body::Event(event), Body::Control(Control { generation: 9, action: Some(import()) })] {
        let value = Record { body: Some(body) }.encode_to_vec();
        let offset = lane.next_offset();
        lane.record(offset, 1_700_000_000_000, &value, &|_| None, &mut effects);
    }
    let is_note = |write: &Write| match write {
        Write::Progress(rows) => rows.iter().any(|row| row.kind == warehouse::rows::IMPORT),
        _ => false,
    };
    let note = effects.writes.iter().position(is_note).unwrap();
    let rows = effects.writes.iter().position(|write| matches!(write, Write::Events(..))).unwrap();
    assert!(rows < note, "{:?}", effects.writes);
    let Write::Progress(noted) = &effects.writes[note] else { unreachable!() };
    let noted = &noted[0];
    assert_eq!((noted.site.as_str(), noted.funnel.as_str(), noted.next_offset), ("s", "import:i", 3));
    assert_eq!(noted.values, ["0"]);
}

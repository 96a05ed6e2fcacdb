//! What people read of an event.

use warehouse::raw::RawEvent;
use warehouse::trace::Stored;

use super::*;

const HOUR_MS: i64 = 3_600_000;
const LIMITS: Limits = Limits { horizon_ms: HOUR_MS, max_tail_events: 256 };

fn plan() -> Plan {
    let text = r#"
        [[sites]]
        id = "shop"
        write_keys = ["wk"]
        [[funnels]]
        site = "shop"
        id = "purchase"
        conversion_window = "7d"
        rolling_windows = ["7d"]
        [[funnels.steps]]
        id = "view"
        event = "product_view"
        offer = "card_seen"
        [[funnels.steps]]
        id = "buy"
        event = "order"
        where = { property = "plan", in = ["pro"] }
        commitment = "purchase"
    "#;
    Plan::parse("plan.toml", text).unwrap()
}

fn traced(name: &str, offset: u64) -> Traced {
    let event = RawEvent {
        visitor_id: "ann".into(),
        message_id: "m".into(),
        event: name.into(),
        ts: 1_700_000_000_000,
        own_ts: 1_700_000_000_000,
        properties: r#"{"plan":"free"}"#.into(),
        ..RawEvent::default()
    };
    let stored = Stored {
        received_at: 1_700_000_000_500,
        written_at: 1_700_000_001,
        log_epoch: 1,
        offset,
        import_id: String::new(),
    };
    Traced { site: "shop".into(), event, stored }
}

/// Told by all that is stored of ann.
fn told(rows: &[Traced]) -> String {
    told_by(&plan(), rows, rows)
}

fn told_by(plan: &Plan, rows: &[Traced], of_ann: &[Traced]) -> String {
    let mut climbs = plan.climbs("shop");
    let mut in_time = of_ann.to_vec();
    in_time.sort_by_key(|row| row.event.ts);
    in_time.iter().for_each(|row| climbs.push(&row.event.incoming()));
    let climbs = Climbs::from([("ann".to_owned(), climbs.footings())]);
    facts(plan, &climbs, &Builds::default(), &WithoutRoom::new()).stored(rows)
}

fn facts<'a>(
    plan: &'a Plan,
    climbs: &'a Climbs<'a>,
    builds: &'a Builds,
    without_room: &'a WithoutRoom<'a>,
) -> Facts<'a> {
    Facts { plan, climbs, builds, without_room, reached: &[], limits: LIMITS }
}

/// An order that its step asks for, so many hours later.
fn order(hours: i64) -> Traced {
    let mut order = traced("order", 2);
    order.event.message_id = format!("order {hours}");
    order.event.properties = r#"{"plan":"pro"}"#.into();
    order.event.ts += hours * HOUR_MS;
    order.event.own_ts += hours * HOUR_MS;
    order.stored.received_at += hours * HOUR_MS;
    order
}

#[test]
fn an_event_is_told_with_its_steps_or_why_it_is_none() {
    assert!(told(&[traced("product_view", 1)]).contains("is step 1 (view) of the funnel purchase"));
    assert!(told(&[traced("card_seen", 1)]).contains("is the offer of step 1"));
    assert!(
        told(&[traced("order", 1)]).contains("step 2 (buy) of the funnel purchase, but not what its `where`")
    );
    assert!(told(&[traced("prodct_view", 1)]).contains("no step of shop has the event prodct_view"));
}

#[test]
fn a_later_step_counts_only_where_the_visitor_took_those_before() {
    let alone = told(&[order(1)]);
    assert!(
        alone.contains("matches step 2 (buy) of the funnel purchase, and does not count: the visitor had not taken step 1 (view)"),
        "{alone}"
    );
    assert!(!alone.contains("is step 2"), "{alone}");
    let climbed = told(&[order(2), order(1), traced("product_view", 1)]);
    let lines: Vec<&str> = climbed.lines().filter(|line| line.contains(" step ")).collect();
    let [view, first, again] = lines[..] else { panic!("the oldest first: {climbed}") };
    assert!(view.contains("is step 1 (view)") && view.contains("a climb begins"), "{view}");
    assert!(first.contains("is step 2 (buy)") && first.contains("counts: the steps before it"), "{first}");
    assert!(again.contains("once more"), "{again}");
    let mut late = traced("product_view", 1);
    late.stored.received_at += 2 * HOUR_MS;
    assert!(told(&[late]).contains("is step 1 (view) of the funnel purchase, and will count there"));
}

#[test]
fn a_step_of_a_visitor_of_whom_nothing_is_known_is_not_called_counted() {
    let text = told_by(&plan(), &[order(1)], &[]);
    assert!(text.contains("matches step 2 (buy)") && text.contains("counts if the visitor"), "{text}");
}

#[test]
fn everything_that_a_lenient_schema_says_of_an_event_is_told_once() {
    let mut plan = plan();
    let schema = "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\n[[sites.events]]\nname = \"order\"\n\
        required = [\"order_id\"]\nproperties = { plan = \"number\" }\n";
    plan.sites = Plan::parse("plan.toml", schema).unwrap().sites;
    let order = order(1);
    let text = told_by(&plan, std::slice::from_ref(&order), &[]);
    assert!(text.contains("against the schema: the property \"order_id\""), "{text}");
    assert!(text.contains("against the schema: the property \"plan\""), "{text}");
    let sample = |message: &str| RejectedRow {
        reason: "stored_required_missing".into(),
        message_id: message.into(),
        visitor_id: "ann".into(),
        ..RejectedRow::default()
    };
    let (climbs, builds, without_room) = (Climbs::new(), Builds::default(), WithoutRoom::new());
    let facts = facts(&plan, &climbs, &builds, &without_room);
    let beside = facts.beside(&[order], vec![sample("order 1"), sample("another")]);
    assert_eq!(beside.iter().map(|row| row.message_id.as_str()).collect::<Vec<_>>(), ["another"]);
}

#[test]
fn the_first_copy_by_the_log_is_the_event() {
    let text = told(&[traced("product_view", 9), traced("order", 4)]);
    assert!(text.contains("stored: order") && text.contains("2 copies are stored"), "{text}");
    assert_eq!(text.matches("stored: ").count(), 1, "{text}");
}

#[test]
fn a_late_event_is_told_to_be_late() {
    let mut late = traced("product_view", 1);
    assert!(!told(&[late.clone()]).contains("late"));
    late.stored.received_at += HOUR_MS;
    assert!(told(&[late.clone()]).contains("late: older than [aggregator] horizon (1h)"));
    late.stored.import_id = "i".into();
    assert!(!told(&[late]).contains("late"), "imports are counted by builds anyway");
}

#[test]
fn a_late_event_counts_once_a_build_took_it() {
    let mut late = traced("product_view", 7);
    late.stored.received_at += 2 * HOUR_MS;
    let plan = plan();
    let mut climbs = plan.climbs("shop");
    climbs.push(&late.event.incoming());
    let climbs = Climbs::from([("ann".to_owned(), climbs.footings())]);
    let told = |builds: Builds| facts(&plan, &climbs, &builds, &WithoutRoom::new()).stored(&[late.clone()]);
    for (builds, expected) in [
        (Builds::of("purchase", 1, 8, false), "and counts there: a build from raw events took it"),
        (
            Builds::of("purchase", 1, 7, false),
            "will count there: the next build from raw events counts it (rungs rebuild",
        ),
        (Builds::of("another", 1, 8, false), "will count there"),
    ] {
        let text = told(builds);
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn where_ids_are_joined_a_step_that_is_missing_may_be_another_ids() {
    let mut plan = plan();
    let site = "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\nidentity = \"links\"\n";
    plan.sites = Plan::parse("plan.toml", site).unwrap().sites;
    let order = order(1);
    let mut climbs = plan.climbs("shop");
    climbs.push(&order.event.incoming());
    let climbs = Climbs::from([("ann".to_owned(), climbs.footings())]);
    let told = |builds: Builds| {
        facts(&plan, &climbs, &builds, &WithoutRoom::new()).stored(std::slice::from_ref(&order))
    };
    for (builds, expected) in [
        (Builds::of("purchase", 1, 3, true), "the event counts since the last build"),
        (Builds::of("purchase", 1, 2, true), "the next build from raw events counts it"),
        (Builds::of("purchase", 1, 3, false), "the next build from raw events counts it"),
    ] {
        let text = told(builds);
        assert!(
            text.contains("by this id alone it does not count") && text.contains(expected),
            "{expected}: {text}"
        );
    }
}

#[test]
fn an_event_that_found_no_room_is_told_to_wait_for_a_build_unless_it_counts_nowhere_anyway() {
    let plan = plan();
    let (view, seen) = (traced("product_view", 1), traced("card_seen", 1));
    let without = |row: &Traced| (message_hash(&row.event.message_id), "purchase");
    let without_room = WithoutRoom::from([("ann".to_owned(), [without(&view), without(&order(1))].into())]);
    let told = |row: Traced| {
        let mut climbs = plan.climbs("shop");
        climbs.push(&row.event.incoming());
        let climbs = Climbs::from([("ann".to_owned(), climbs.footings())]);
        facts(&plan, &climbs, &Builds::default(), &without_room).stored(&[row])
    };
    for (row, what) in [(view, "matches step 1 (view)"), (seen, "is the offer of step 1 (view)")] {
        let text = told(row);
        let to_do = "rungs rebuild --site shop --funnel purchase";
        for expected in [what, "was not counted live", "had 256 events", "horizon (1h)", to_do] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(!text.contains("and counts"), "{text}");
    }
    let alone = told(order(1));
    assert!(
        alone.contains("does not count: the visitor had not taken") && !alone.contains("rebuild"),
        "{alone}"
    );
}

#[test]
fn a_rejection_is_told_with_its_place_in_the_log() {
    let row = RejectedRow {
        reason: "invalid_visitor".into(),
        message: "too long".into(),
        endpoint: "log".into(),
        topic: "rungs.events.v1".into(),
        log_partition: 3,
        log_offset: 9,
        sample: "a\nb".into(),
        ..RejectedRow::default()
    };
    let text = rejected(&[row]);
    assert!(text.contains("rejected: an event, invalid_visitor: too long"), "{text}");
    assert!(text.contains("rungs.events.v1 at partition 3, offset 9") && text.contains("a\\nb"), "{text}");
}

#[test]
fn what_is_stored_against_a_lenient_schema_is_not_told_as_rejected() {
    let row = RejectedRow {
        reason: "stored_required_missing".into(),
        message: "no id".into(),
        ..RejectedRow::default()
    };
    let text = rejected(&[row]);
    assert!(text.contains("stored, but against the schema: an event, required_missing: no id"), "{text}");
}

#[test]
fn nothing_that_was_sent_reaches_the_terminal_as_a_command() {
    let hostile = "\u{1b}]0;x\u{7}\nstored: ";
    let mut row = traced(hostile, 1);
    row.event.visitor_id = hostile.into();
    row.event.message_id = hostile.into();
    row.stored.import_id = hostile.into();
    let text = told(&[row]);
    assert!(text.contains("\\u{1b}]0;x\\u{7}\\nstored: "), "{text}");
    let text = text
        + &rejected(&[RejectedRow {
            event: hostile.into(),
            visitor_id: hostile.into(),
            endpoint: hostile.into(),
            reason: hostile.into(),
            message: hostile.into(),
            topic: hostile.into(),
            sample: hostile.into(),
            ..RejectedRow::default()
        }]);
    assert!(text.lines().all(|line| !line.contains(char::is_control)), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("stored: ")).count(), 1, "{text}");
}

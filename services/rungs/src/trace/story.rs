//! The story of an event that was found, as text. Each line passes [`on_one_line`]: most of what it says came from outside.

use std::collections::HashSet;
use std::fmt::Write;

use checked_toml::units;
use event_log::partition_of;
use funnel::plan::{Identity, Place, Plan, Role, STORED_PREFIX};
use warehouse::rejected::RejectedRow;
use warehouse::trace::{Reached, Traced};

use super::time;
use crate::terminal::on_one_line;

/// Stored events, newest first; of the copies of one the first by the log is told of as the event.
pub(super) fn stored(rows: &[Traced], plan: &Plan, reached: &[Reached], horizon_ms: i64) -> String {
    let mut out = String::new();
    let mut told = HashSet::new();
    for row in rows {
        let key = (row.event.visitor_id.as_str(), row.event.message_id.as_str());
        if !told.insert(key) {
            continue;
        }
        let copies = || {
            rows.iter()
                .filter(|other| (other.event.visitor_id.as_str(), other.event.message_id.as_str()) == key)
        };
        let first = copies().min_by_key(|copy| (copy.stored.log_epoch, copy.stored.offset)).unwrap_or(row);
        one(&mut out, first, copies().count(), plan, reached, horizon_ms);
    }
    out
}

/// A visitor of whom nothing else is told any more.
pub(super) fn erased(visitor: &str, at_ms: i64) -> String {
    let text = format!(
        "erased: visitor {visitor}, {}. Nothing of theirs is counted, listed or taken any more",
        time(at_ms)
    );
    on_one_line(&text) + "\n"
}

fn one(out: &mut String, row: &Traced, copies: usize, plan: &Plan, reached: &[Reached], horizon_ms: i64) {
    let (event, stored) = (&row.event, &row.stored);
    let mut line = |text: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", on_one_line(&text));
    };
    line(format!("stored: {} of visitor {}, message {}", event.event, event.visitor_id, event.message_id));
    let corrected = if event.own_ts == event.ts {
        String::new()
    } else {
        format!(" (the client said {})", time(event.own_ts))
    };
    line(format!("  happened {}{corrected}", time(event.ts)));
    line(format!(
        "  received {}, written to ClickHouse {}",
        time(stored.received_at),
        time(i64::from(stored.written_at) * 1_000)
    ));
    let partition = place(&event.visitor_id, &row.site, reached);
    let partition = partition.map(|partition| format!("partition {partition}, ")).unwrap_or_default();
    line(format!("  in the log at {partition}offset {}", stored.offset));
    if !stored.import_id.is_empty() {
        line(format!("  came with the import {}", stored.import_id));
    }
    if copies > 1 {
        line(format!("  {copies} copies are stored; this one, the first by the log, counts"));
    }
    if row.is_late(horizon_ms) {
        line(format!(
            "  late: older than [aggregator] horizon ({}) when it came, so the next build from raw events counts it",
            units::duration_text(horizon_ms)
        ));
    }
    for text in steps(row, plan) {
        line(text);
    }
    if plan.site(&row.site).is_some_and(|site| site.policy.identity == Identity::Links) {
        let text =
            "  the site joins ids: if another id stands for this visitor, the next build counts the event";
        line(text.to_owned());
    }
}

/// The partition of a visitor in the log in use.
fn place(visitor: &str, site: &str, reached: &[Reached]) -> Option<u32> {
    let partitions = reached.first()?.log_partitions;
    (partitions > 0).then(|| partition_of(site, visitor, partitions))
}

/// Which steps and offers it is, funnel by funnel; why of none.
fn steps(row: &Traced, plan: &Plan) -> Vec<String> {
    let places = plan.place_finder(&row.site).places(&row.event.incoming().fields);
    if !places.is_empty() {
        return places.iter().map(step).collect();
    }
    vec![match plan.site(&row.site) {
        Some(_) => {
            format!("  is no step of any funnel: no step of {} has the event {}", row.site, row.event.event)
        }
        None => format!("  is no step of any funnel: the plan in force has no site {}", row.site),
    }]
}

fn step(place: &Place<'_>) -> String {
    let at = format!("step {} ({}) of the funnel {}", place.position + 1, place.step.id, place.funnel.id);
    match place.role {
        Role::Step => format!("  is {at}"),
        Role::Filtered => format!("  has the name of {at}, but not what its `where` asks for"),
        Role::Offer => format!("  is the offer of {at}"),
    }
}

/// Rejected events, newest first.
pub(super) fn rejected(rows: &[RejectedRow]) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", on_one_line(&text));
    };
    for row in rows {
        let name = if row.event.is_empty() { "an event" } else { row.event.as_str() };
        let visitor =
            if row.visitor_id.is_empty() { String::new() } else { format!(" of visitor {}", row.visitor_id) };
        let what = match row.reason.strip_prefix(STORED_PREFIX) {
            Some(broken) => format!("stored, but against the schema: {name}{visitor}, {broken}"),
            None => format!("rejected: {name}{visitor}, {}", row.reason),
        };
        line(format!("{what}: {}", row.message));
        line(format!("  received {} ({})", time(row.received_at), row.endpoint));
        if !row.topic.is_empty() {
            line(format!("  in {} at partition {}, offset {}", row.topic, row.log_partition, row.log_offset));
        }
        if !row.sample.is_empty() {
            line(format!("  {}", row.sample));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use warehouse::raw::RawEvent;
    use warehouse::trace::Stored;

    use super::*;

    const HOUR_MS: i64 = 3_600_000;

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

    fn told(rows: &[Traced]) -> String {
        stored(rows, &plan(), &[], HOUR_MS)
    }

    #[test]
    fn an_event_is_told_with_its_steps_or_why_it_is_none() {
        assert!(told(&[traced("product_view", 1)]).contains("is step 1 (view) of the funnel purchase"));
        assert!(told(&[traced("card_seen", 1)]).contains("is the offer of step 1"));
        assert!(
            told(&[traced("order", 1)])
                .contains("step 2 (buy) of the funnel purchase, but not what its `where`")
        );
        assert!(told(&[traced("prodct_view", 1)]).contains("no step of shop has the event prodct_view"));
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
        assert!(
            text.contains("rungs.events.v1 at partition 3, offset 9") && text.contains("a\\nb"),
            "{text}"
        );
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
}

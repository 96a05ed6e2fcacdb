//! The story of events that were found, as text. Each line passes [`on_one_line`]: most of what it says came from outside.

use std::collections::HashMap;
use std::fmt::Write;

use checked_toml::units;
use event_log::partition_of;
use funnel::climb::Footing;
use funnel::intake::message_hash;
use funnel::plan::{CompiledSchema, Identity, Place, Plan, Role, STORED_PREFIX, Violation};
use warehouse::rejected::RejectedRow;
use warehouse::trace::{MAX_TRACED, Reached, Traced};

use super::builds::Builds;
use super::room::WithoutRoom;
use super::{Climbs, Limits, time};
use crate::terminal::on_one_line;

/// What events are told by.
pub(super) struct Facts<'a> {
    pub(super) plan: &'a Plan,
    pub(super) climbs: &'a Climbs<'a>,
    pub(super) builds: &'a Builds,
    pub(super) without_room: &'a WithoutRoom<'a>,
    pub(super) reached: &'a [Reached],
    pub(super) limits: Limits,
}

/// Names a message of a site.
type Key<'r> = (&'r str, &'r str);

fn key(row: &Traced) -> Key<'_> {
    (&row.event.visitor_id, &row.event.message_id)
}

/// A visitor of whom nothing else is told any more.
pub(super) fn erased(visitor: &str, at_ms: i64) -> String {
    let text = format!(
        "erased: visitor {visitor}, {}. Nothing of theirs is counted, listed or taken any more",
        time(at_ms)
    );
    on_one_line(&text) + "\n"
}

impl Facts<'_> {
    /// Stored events in the order in which they happened; of the copies of one the first by the log is told of as the event.
    pub(super) fn stored(&self, rows: &[Traced]) -> String {
        let mut copies: HashMap<Key<'_>, Vec<&Traced>> = HashMap::new();
        for row in rows {
            copies.entry(key(row)).or_default().push(row);
        }
        let mut events: Vec<(&Traced, usize)> = Vec::new();
        for copies in copies.values() {
            let first = copies.iter().min_by_key(|copy| (copy.stored.log_epoch, copy.stored.offset));
            events.extend(first.map(|first| (*first, copies.len())));
        }
        events.sort_by_key(|&(row, _)| (row.event.ts, row.stored.received_at, key(row)));
        let mut out = String::new();
        if rows.len() >= MAX_TRACED as usize {
            out.push_str(&format!("the {MAX_TRACED} rows that came last, the oldest event first\n"));
        }
        for (row, copies) in events {
            for line in self.event(row, copies) {
                out.push_str(&on_one_line(&line));
                out.push('\n');
            }
        }
        out
    }

    fn event(&self, row: &Traced, copies: usize) -> Vec<String> {
        let (event, stored) = (&row.event, &row.stored);
        let corrected = match event.own_ts == event.ts {
            true => String::new(),
            false => format!(" (the client said {})", time(event.own_ts)),
        };
        let mut lines = vec![
            format!("stored: {} of visitor {}, message {}", event.event, event.visitor_id, event.message_id),
            format!("  happened {}{corrected}", time(event.ts)),
            format!(
                "  received {}, written to ClickHouse {}",
                time(stored.received_at),
                time(i64::from(stored.written_at) * 1_000)
            ),
            format!("  in the log at {}offset {}", self.partition(row), stored.offset),
        ];
        if !stored.import_id.is_empty() {
            lines.push(format!("  came with the import {}", stored.import_id));
        }
        if copies > 1 {
            lines.push(format!(
                "  {copies} copies are stored; it was sent again, or written again after a crash. This one, the first by the \
                 log, counts"
            ));
        }
        if row.is_late(self.limits.horizon_ms) {
            let horizon = units::duration_text(self.limits.horizon_ms);
            lines.push(format!(
                "  late: older than [aggregator] horizon ({horizon}) when it came, so builds from raw events count it, and nothing before"
            ));
        }
        lines.extend(self.steps(row));
        lines.extend(
            self.violations(row).iter().map(|broken| format!("  against the schema: {}", broken.message)),
        );
        lines
    }

    /// The partition of its visitor in the log in use.
    fn partition(&self, row: &Traced) -> String {
        match self.reached.first().map(|partition| partition.log_partitions) {
            Some(count) if count > 0 => {
                format!("partition {}, ", partition_of(&row.site, &row.event.visitor_id, count))
            }
            _ => String::new(),
        }
    }

    /// Which steps and offers it is, funnel by funnel; why of none.
    fn steps(&self, row: &Traced) -> Vec<String> {
        let (site, event) = (&row.site, &row.event.event);
        let places = self.plan.place_finder(site).places(&row.event.incoming().fields);
        if !places.is_empty() {
            return places.iter().map(|place| self.place(row, place)).collect();
        }
        vec![match self.plan.site(site) {
            Some(_) => format!("  is no step of any funnel: no step of {site} has the event {event}"),
            None if self.reached.is_empty() => {
                "  which steps it matches is not known yet: no aggregator has stored by which plan it counts; ask again".to_owned()
            }
            None => format!("  is no step of any funnel: the plan in force has no site {site}"),
        }]
    }

    fn place(&self, row: &Traced, place: &Place<'_>) -> String {
        let at = format!("{} of the funnel {}", step(place, place.position), place.funnel.id);
        match place.role {
            Role::Step => self.footing(row, place, &at),
            Role::Filtered => format!("  has the name of {at}, but not what its `where` asks for"),
            Role::Offer if self.is_without_room(row, place) => {
                self.without_room(row, place, &format!("is the offer of {at}"))
            }
            Role::Offer => format!("  is the offer of {at}"),
        }
    }

    fn is_without_room(&self, row: &Traced, place: &Place<'_>) -> bool {
        let event = (message_hash(&row.event.message_id), place.funnel.id.as_str());
        self.without_room.get(&row.event.visitor_id).is_some_and(|without| without.contains(&event))
    }

    fn without_room(&self, row: &Traced, place: &Place<'_>, what: &str) -> String {
        let Limits { horizon_ms, max_tail_events } = self.limits;
        format!(
            "  {what}, and was not counted live: when it came, the funnel had {max_tail_events} events of the visitor within \
             [aggregator] horizon ({}), and remembers no more ([aggregator] max_tail_events): {}",
            units::duration_text(horizon_ms),
            self.next_build(row, place)
        )
    }

    fn next_build(&self, row: &Traced, place: &Place<'_>) -> String {
        format!(
            "the next build from raw events counts it (rungs rebuild --site {} --funnel {})",
            row.site, place.funnel.id
        )
    }

    fn joins_ids(&self, row: &Traced) -> bool {
        self.plan.site(&row.site).is_some_and(|site| site.policy.identity == Identity::Links)
    }

    /// Whether a step that it matches counts for its visitor, as far as that is known.
    fn footing(&self, row: &Traced, place: &Place<'_>, at: &str) -> String {
        let of_visitor = self.climbs.get(&row.event.visitor_id);
        let hold = (message_hash(&row.event.message_id), place.funnel.id.as_str(), place.position);
        let window = units::duration_text(place.funnel.conversion_window.ms);
        match of_visitor.and_then(|footings| footings.get(&hold)) {
            None => format!("  matches {at}; it counts if the visitor took the steps before it"),
            Some(Footing::Begins | Footing::Counts) if self.is_without_room(row, place) => {
                self.without_room(row, place, &format!("matches {at}"))
            }
            Some(Footing::Begins | Footing::Counts) if row.is_late(self.limits.horizon_ms) => {
                match self.builds.took(&place.funnel.id, row) {
                    true => format!("  is {at}, and counts there: a build from raw events took it"),
                    false => format!("  is {at}, and will count there: {}", self.next_build(row, place)),
                }
            }
            Some(Footing::Begins) => format!("  is {at}, and counts: a climb begins"),
            Some(Footing::Counts) => format!("  is {at}, and counts: the steps before it were taken"),
            Some(Footing::Again) => format!("  is {at} once more: the visitor had taken it, and counts once"),
            Some(Footing::Without(missing)) if self.joins_ids(row) => format!(
                "  matches {at}: by this id alone it does not count, for {} was not taken before it. The site joins ids: if \
                 another id of the visitor took it, {}",
                step(place, *missing),
                match self.builds.joined(&place.funnel.id, row) {
                    true => "the event counts since the last build".to_owned(),
                    false => self.next_build(row, place),
                }
            ),
            Some(Footing::Without(missing)) => format!(
                "  matches {at}, and does not count: the visitor had not taken {} before it (steps count in order, within \
                 {window} of the first); who never does is among its `skipped`",
                step(place, *missing)
            ),
        }
    }

    /// What it breaks of its site's schema, by the plan in force.
    fn violations(&self, row: &Traced) -> Vec<Violation> {
        let schema = self.plan.site(&row.site).and_then(|site| site.schema.as_ref()).map(CompiledSchema::new);
        schema.map(|schema| schema.check(&row.event.event, &row.event.properties)).unwrap_or_default()
    }

    /// Rejections without the samples of events that are stored: of those [`Facts::stored`] tells all that they break.
    pub(super) fn beside(&self, stored: &[Traced], rejected: Vec<RejectedRow>) -> Vec<RejectedRow> {
        let is_told = |sample: &RejectedRow| {
            let is_of = |row: &&Traced| key(row) == (sample.visitor_id.as_str(), sample.message_id.as_str());
            sample.reason.starts_with(STORED_PREFIX)
                && stored.iter().filter(is_of).any(|row| !self.violations(row).is_empty())
        };
        rejected.into_iter().filter(|sample| !is_told(sample)).collect()
    }
}

/// A step of a place's funnel, as people count: from 1.
fn step(place: &Place<'_>, position: usize) -> String {
    let id = place.funnel.steps.get(position).map_or("", |step| step.id.as_str());
    format!("step {} ({id})", position + 1)
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
#[path = "story_tests.rs"]
mod tests;

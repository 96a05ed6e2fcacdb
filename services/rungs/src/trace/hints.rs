//! What it may mean that nothing is found: another site has it, the aggregator is behind, or it was rejected without
//! a name.

use std::fmt::Write;

use event_log::partition_of;
use warehouse::Warehouse;
use warehouse::trace::{Reached, RejectedLately, Wanted};

use super::{plan_in_force, time};
use crate::failure::Failure;
use crate::plural::plural;
use crate::terminal::on_one_line;

/// The text of a message that says so and gives what hints there are.
pub(super) async fn find(
    warehouse: &Warehouse,
    wanted: &Wanted,
    reached: &[Reached],
    now_ms: i64,
) -> Result<String, Failure> {
    let sites = match &wanted.message_id {
        Some(message_id) => warehouse.sites_of_message(message_id).await?,
        None => Vec::new(),
    };
    let rejected = warehouse.rejected_lately(&wanted.site).await?;
    let is_planned = plan_in_force(reached)?.site(&wanted.site).is_some();
    Ok(text(wanted, &sites, is_planned, reached, &rejected, now_ms))
}

fn text(
    wanted: &Wanted,
    sites: &[String],
    is_planned: bool,
    reached: &[Reached],
    rejected: &[RejectedLately],
    now_ms: i64,
) -> String {
    let nothing = format!("nothing of {} is stored or rejected in the site {}", name(wanted), wanted.site);
    let mut out = on_one_line(&nothing);
    let mut hint = |text: String| {
        // Writing to a String cannot fail. Sites and reasons stand in the tables as they were sent.
        let _ = write!(out, "\n  {}", on_one_line(&text));
    };
    let others: Vec<&str> = sites.iter().map(String::as_str).filter(|site| *site != wanted.site).collect();
    if !others.is_empty() {
        hint(format!("the site {} has it: was it sent with that site's key?", others.join(", ")));
    }
    if !is_planned && !reached.is_empty() {
        hint(format!("the plan in force has no site {}: its key is refused with 401", wanted.site));
    }
    hint(position(wanted, reached, now_ms));
    for RejectedLately { reason, count } in rejected {
        hint(format!(
            "{} of the site, or of no known one, {} rejected in the last hour: {reason}",
            plural(*count, "event"),
            if *count == 1 { "was" } else { "were" }
        ));
    }
    if wanted.visitor.is_none() {
        hint("a visitor who was erased leaves no event: --visitor tells of one".to_owned());
    }
    hint(
        "was it sent at all? A request that was not answered with 200 stored nothing (rungs_collector_requests_total by \
         status)"
            .to_owned(),
    );
    out
}

fn name(wanted: &Wanted) -> String {
    match (&wanted.message_id, &wanted.visitor) {
        (Some(message), Some(visitor)) => format!("the message {message} of visitor {visitor}"),
        (Some(message), None) => format!("the message {message}"),
        (None, visitor) => format!("the visitor {}", visitor.as_deref().unwrap_or_default()),
    }
}

/// How far the aggregator has read where the event would be.
fn position(wanted: &Wanted, reached: &[Reached], now_ms: i64) -> String {
    let partitions = reached.first().map_or(0, |partition| partition.log_partitions);
    let own = wanted.visitor.as_deref().filter(|_| partitions > 0);
    let own = own.map(|visitor| partition_of(&wanted.site, visitor, partitions));
    let oldest = reached
        .iter()
        .filter(|partition| own.is_none_or(|own| own == partition.log_partition))
        .min_by_key(|partition| partition.clock_ms);
    match oldest {
        None => "no aggregator has written anything yet: is one running, on this ClickHouse?".to_owned(),
        Some(partition) => format!(
            "partition {} is counted up to offset {} of {} ({} s ago; without events it stands still): what came \
             later may not be read yet (rungs_aggregator_lag_records)",
            partition.log_partition,
            partition.next_offset,
            time(partition.clock_ms),
            (now_ms - partition.clock_ms).max(0) / 1_000
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(log_partition: u32, clock_ms: i64) -> Reached {
        Reached {
            log_partition,
            log_partitions: 2,
            next_offset: 40,
            clock_ms,
            plan_number: 1,
            plan_text: String::new(),
        }
    }

    #[test]
    fn another_site_an_unknown_site_and_a_partition_that_is_behind_are_hinted_at() {
        let wanted = Wanted { site: "shop".into(), message_id: Some("m".into()), visitor: None };
        let lately = [RejectedLately { reason: "invalid_json".into(), count: 3 }];
        let partitions = [reached(0, 90_000), reached(1, 60_000)];
        let text = text(&wanted, &["blog".into(), "shop".into()], false, &partitions, &lately, 100_000);
        for expected in [
            "nothing of the message m",
            "the site blog has it",
            "no site shop",
            "partition 1 is counted up to offset 40 of 1970-01-01T00:01:00Z (40 s ago",
            "3 events of the site, or of no known one, were rejected",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    #[test]
    fn what_was_sent_is_no_command_in_a_hint() {
        let wanted = Wanted { site: "shop".into(), message_id: Some("m\u{1b}c".into()), visitor: None };
        let lately = [RejectedLately { reason: "a\u{9b}2J".into(), count: 3 }];
        let text = text(&wanted, &["blog\u{7}\n".into()], true, &[], &lately, 0);
        assert!(text.lines().all(|line| !line.contains(char::is_control)), "{text}");
        assert!(text.contains("m\\u{1b}c") && text.contains("blog\\u{7}\\n"), "{text}");
    }

    #[test]
    fn a_visitors_own_partition_is_looked_at() {
        let own = partition_of("shop", "ann", 2);
        let wanted = Wanted { site: "shop".into(), message_id: None, visitor: Some("ann".into()) };
        let partitions = [reached(own, 90_000), reached(1 - own, 1_000)];
        assert!(position(&wanted, &partitions, 100_000).contains("(10 s ago"));
        assert!(position(&wanted, &[], 100_000).contains("no aggregator"));
    }
}

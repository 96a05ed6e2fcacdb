//! Which of the events that were found were not counted live because their visitor had sent as many within the horizon as a
//! lane remembers, and which of these no build has counted since.

use std::collections::{BTreeSet, HashMap, HashSet};

use funnel::Plan;
use funnel::intake::message_hash;
use funnel::room::Without;
use warehouse::trace::Traced;
use warehouse::{Warehouse, WarehouseError};

use super::Limits;
use super::builds::Builds;

/// By visitor, events that are counted by the next build, each with the funnel.
pub(super) type WithoutRoom<'p> = HashMap<String, HashSet<Without<'p>>>;

/// Reads as much of each visitor as was ever stored; only visitors who have more events than are remembered cost more.
pub(super) async fn without<'p>(
    warehouse: &Warehouse,
    plan: &'p Plan,
    site: &str,
    stored: &[Traced],
    builds: &Builds,
    limits: Limits,
) -> Result<WithoutRoom<'p>, WarehouseError> {
    let mut found = WithoutRoom::new();
    let names = plan.event_names(site);
    if names.is_empty() {
        return Ok(found);
    }
    let visitors: BTreeSet<&str> = stored.iter().map(|row| row.event.visitor_id.as_str()).collect();
    for visitor in visitors {
        let mut rooms = plan.rooms(site, limits.horizon_ms, limits.max_tail_events);
        let mut arrivals = warehouse.arrivals(site, visitor, &names)?;
        while let Some(row) = arrivals.next().await? {
            rooms.push(&row.event.incoming(), row.stored.received_at);
        }
        let mut waiting = HashSet::new();
        for (message, funnel) in rooms.without() {
            // Of copies the first by the log is the event.
            let copies = stored.iter().filter(|row| is(row, visitor, message));
            let first = copies.min_by_key(|row| (row.stored.log_epoch, row.stored.offset));
            let Some(row) = first else { continue };
            if !builds.took(funnel, row) {
                waiting.insert((message, funnel));
            }
        }
        found.insert(visitor.to_owned(), waiting);
    }
    Ok(found)
}

fn is(row: &Traced, visitor: &str, message: u64) -> bool {
    row.event.visitor_id == visitor && message_hash(&row.event.message_id) == message
}

//! Answers where an event went, from what ClickHouse holds: stored, which steps it matches and whether it counts there, late or
//! a copy, rejected and why ([`story`] tells each), or not there, with what that may mean ([`hints`]).

mod builds;
mod hints;
mod room;
mod story;

use std::collections::{BTreeSet, HashMap};

use funnel::Plan;
use funnel::climb::{Foothold, Footing};
use runtime::now_ms;
use warehouse::raw::RawQuery;
use warehouse::trace::{Reached, Traced, Wanted};
use warehouse::{Warehouse, WarehouseError};

use self::builds::Builds;
use crate::failure::Failure;

/// What of the aggregator's settings decides what is counted live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) horizon_ms: i64,
    pub(crate) max_tail_events: usize,
}

/// Prints what is found to standard output.
pub(crate) async fn run(warehouse: &Warehouse, wanted: &Wanted, limits: Limits) -> Result<(), Failure> {
    if let Some(visitor) = &wanted.visitor
        && let Some(erased_at) = warehouse.erased_at(&wanted.site, visitor).await?
    {
        print!("{}", story::erased(visitor, erased_at));
        return Ok(());
    }
    let stored = warehouse.trace_stored(wanted).await?;
    let rejected = warehouse.trace_rejected(wanted).await?;
    let reached = warehouse.reached().await?;
    if stored.is_empty() && rejected.is_empty() {
        let hints = hints::find(warehouse, wanted, &reached, now_ms()).await?;
        return Err(Failure::new(hints));
    }
    let plan = plan_in_force(&reached)?;
    let climbs = climbs(warehouse, &plan, &wanted.site, &stored).await?;
    let builds = Builds::read(warehouse, &plan, &wanted.site, &reached, limits.horizon_ms).await?;
    let without_room = room::without(warehouse, &plan, &wanted.site, &stored, &builds, limits).await?;
    let facts = story::Facts {
        plan: &plan,
        climbs: &climbs,
        builds: &builds,
        without_room: &without_room,
        reached: &reached,
        limits,
    };
    print!("{}", facts.stored(&stored));
    print!("{}", story::rejected(&facts.beside(&stored, rejected)));
    Ok(())
}

/// Where each visitor's events stand in their climbs, by all that is stored of the visitor.
async fn climbs<'p>(
    warehouse: &Warehouse,
    plan: &'p Plan,
    site: &str,
    stored: &[Traced],
) -> Result<Climbs<'p>, WarehouseError> {
    let mut found = Climbs::new();
    let names = plan.event_names(site);
    if names.is_empty() {
        return Ok(found);
    }
    let visitors: BTreeSet<&str> = stored.iter().map(|row| row.event.visitor_id.as_str()).collect();
    for visitor in visitors {
        let mut climbs = plan.climbs(site);
        let mut events = warehouse.raw_events(&RawQuery {
            site: site.to_owned(),
            visitor: Some(visitor.to_owned()),
            events: names.clone(),
            ..RawQuery::default()
        })?;
        while let Some(event) = events.next().await? {
            climbs.push(&event.incoming());
        }
        found.insert(visitor.to_owned(), climbs.footings());
    }
    Ok(found)
}

/// By visitor, what the steps are that an event matches.
type Climbs<'p> = HashMap<String, HashMap<Foothold<'p>, Footing>>;

/// The newest plan that a partition folds by.
fn plan_in_force(reached: &[Reached]) -> Result<Plan, Failure> {
    let Some(newest) = reached.iter().max_by_key(|partition| partition.plan_number) else {
        return Ok(Plan::default());
    };
    Plan::parse("tracking-plan.toml", &newest.plan_text).map_err(|problems| {
        let problem = problems.first().map(ToString::to_string).unwrap_or_default();
        Failure::new(format!(
            "this version refuses plan {}, which is in force: {problem}",
            newest.plan_number
        ))
    })
}

/// A time as people read it.
fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}

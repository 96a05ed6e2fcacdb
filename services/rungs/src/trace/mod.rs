//! Answers where an event went, from what ClickHouse holds: stored and counted by which steps, late or a copy, rejected
//! and why ([`story`] tells each), or not there, with what that may mean ([`hints`]).

mod hints;
mod story;

use funnel::Plan;
use runtime::now_ms;
use warehouse::Warehouse;
use warehouse::trace::{Reached, Wanted};

use crate::failure::Failure;

/// Prints what is found to standard output.
pub(crate) async fn run(warehouse: &Warehouse, wanted: &Wanted, horizon_ms: i64) -> Result<(), Failure> {
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
    print!("{}", story::stored(&stored, &plan, &reached, horizon_ms));
    print!("{}", story::rejected(&rejected));
    Ok(())
}

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

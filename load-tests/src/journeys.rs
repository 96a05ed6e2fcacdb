//! Memory of a million visitors in a funnel of five steps without breakdowns, each with three events in the tail over a
//! checkpoint: what [`Fold::bytes`] adds up, and what the process grew by.

use funnel::fold::{Fold, FoldEvent, Spec};
use funnel::plan::limits::MAX_BREAKDOWNS;
use funnel::values::Values;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::BenchError;
use crate::process::own_resident;
use crate::stream::BEGIN_MS;
use crate::table::Row;

const HOUR_MS: i64 = 3_600_000;
/// Small, so that copies of what changed do not count as memory of the fold.
const TAKEN_AT_ONCE: usize = 1_000;
const GOAL_BYTES: f64 = 300.0;

/// Fills a funnel and measures it.
pub fn run(visitors: u64) -> Result<Vec<Row>, BenchError> {
    let plan = crate::fold::plan()?;
    let funnel = plan.funnels.first().ok_or_else(|| BenchError::other("the plan has no funnel"))?;
    let before = own_resident();
    let mut fold = Fold::new(Spec::new(funnel, 24 * HOUR_MS, 256), Values::default(), BEGIN_MS);
    fill(&mut fold, visitors);
    let grown = own_resident().saturating_sub(before);
    let each = |bytes: u64| bytes as f64 / visitors as f64;
    let (journeys, histograms) = fold.bytes();
    let (counted, resident) = (each(journeys as u64), each(grown));
    let bytes = |bytes: f64| format!("{bytes:.0} B");
    let note = format!("{visitors} visitors on all 5 steps; histograms {} KiB in all", histograms / 1_024);
    Ok(vec![
        Row::goal(
            "memory a visitor, journeys as counted",
            bytes(counted),
            "<= 300 B",
            counted <= GOAL_BYTES,
            note,
        ),
        Row::goal(
            "memory a visitor, resident memory of the process",
            bytes(resident),
            "<= 300 B",
            resident <= GOAL_BYTES,
            "with the histograms, the list of changed journeys and the allocator's slack",
        ),
    ])
}

/// Two steps that are older than the horizon when the last three are taken, hours apart; every visitor at times of
/// their own.
fn fill(fold: &mut Fold, visitors: u64) {
    const AT_HOURS: [i64; 5] = [0, 5, 26, 28, 29];
    for (step, hours) in AT_HOURS.into_iter().enumerate() {
        for visitor in 0..visitors {
            let ts = BEGIN_MS + hours * HOUR_MS + (visitor * 3_599_999 / visitors) as i64;
            fold.advance(ts);
            let event = FoldEvent {
                visitor: xxh3_128(&visitor.to_le_bytes()),
                message: xxh3_64(&(visitor * 8 + step as u64).to_le_bytes()),
                ts,
                own_ts: ts,
                matches: 1 << step,
                values: [0; MAX_BREAKDOWNS],
            };
            fold.fold(&event, visitor);
        }
        while !fold.take_changed(TAKEN_AT_ONCE).is_empty() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_climbs_to_the_last_step() {
        let plan = crate::fold::plan().unwrap();
        let mut fold = Fold::new(Spec::new(&plan.funnels[0], 24 * HOUR_MS, 256), Values::default(), BEGIN_MS);
        fill(&mut fold, 100);
        let end_ms = fold.open_minute_end_ms();
        let counts = fold.counts_at(end_ms);
        let everybody = &counts[0].1;
        assert!((0..5).all(|step| everybody.at(&everybody.visitors, step, 3) == 100));
    }
}

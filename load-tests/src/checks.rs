//! What a plan's checks cost the plain path: the collector by itself with a plan of limits, a strict schema, shares of several
//! sites, signals and the list of bots, beside one with none of these. Both take the same events from browsers; they have
//! turns, each is compared with the other of its turn, and the middle ratio counts.

use std::path::Path;
use std::time::Duration;

use crate::BenchError;
use crate::collector::{Alone, Plans};
use crate::http::Load;
use crate::ingest::{Phase, Rounds, batches, singles};
use crate::rungs::data_root;
use crate::table::{Row, grouped, millions};
use crate::template::{Form, Wire};

/// Less is looked for than elsewhere, so there are more turns.
const ROUNDS: u32 = 5;
const VISITORS: u64 = 200_000;
const GOAL: f64 = 0.95;

/// Single events and batches; `time` is each plan's over all turns.
pub fn run(binary: &Path, time: Duration) -> Result<Vec<Row>, BenchError> {
    let time = time / ROUNDS;
    let per_second = |rate| format!("{}/s", grouped(rate));
    let mut rows = both(binary, "single POST", singles(time, VISITORS), per_second)?;
    rows.extend(both(binary, "NDJSON of 500", batches(time, VISITORS), millions)?);
    Ok(rows)
}

fn both(
    binary: &Path,
    what: &str,
    load: Load,
    shown: impl Fn(f64) -> String,
) -> Result<Vec<Row>, BenchError> {
    let load = Load { form: Form { wire: Wire::Browser, ..load.form }, ..load };
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Who begins has a machine that rested.
        if round % 2 == 0 {
            without.push(against(binary, &load, Plans::Unchecked)?);
            with.push(against(binary, &load, Plans::Checked)?);
        } else {
            with.push(against(binary, &load, Plans::Checked)?);
            without.push(against(binary, &load, Plans::Unchecked)?);
        }
    }
    let rates: Vec<f64> = without.iter().map(Phase::rate).collect();
    let (without, with) = (Rounds::of(without, &rates), Rounds::of(with, &rates));
    let dearer = with.middle.cpu_us() / without.middle.cpu_us().max(1e-9) * 100.0 - 100.0;
    Ok(vec![
        Row::plain(
            &format!("{what}: plan without checks (limit)"),
            shown(without.rate),
            without.middle.note(),
        ),
        Row::goal(
            &format!("{what}: limits, schema, shares, bots"),
            shown(with.rate),
            ">= 0.95 of it",
            with.ratio() >= GOAL,
            format!("{}; CPU {dearer:+.1} %", with.note("it")),
        ),
    ])
}

fn against(binary: &Path, load: &Load, plan: Plans) -> Result<Phase, BenchError> {
    let collector = Alone::start(&data_root(binary), plan)?;
    Phase::run(&Load { address: collector.address, ..load.clone() }, &collector.server)
}

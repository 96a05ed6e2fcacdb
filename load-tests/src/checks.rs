//! What a plan's checks cost the plain path: a collector with a plan of limits, a strict schema, shares of several sites,
//! signals and the list of bots, beside one with none of these. Both take the same events from browsers. Measured twice:
//! each by itself over HTTP, a process of its own and fsync behind it, in turns of seconds, as `ingest` does; and both in
//! this process in turns of milliseconds (`slices`), which tells apart what the first drowns in the machine's own noise.
//!
//! The goal is about the second figure: what checks add, as a share of what the plain path takes from request to answer.

mod slices;

use std::path::Path;
use std::time::Duration;

use crate::BenchError;
use crate::collector::{Alone, Plans};
use crate::http::Load;
use crate::ingest::{Phase, Rounds, batches, singles};
use crate::rungs::data_root;
use crate::table::{Row, grouped, millions};
use crate::template::{Form, Wire};

use slices::Costs;

/// Less is looked for than elsewhere, so there are more turns.
const ROUNDS: u32 = 5;
const VISITORS: u64 = 200_000;
/// What checks may add to the plain path.
const GOAL: f64 = 0.05;
/// Without checks, and as the events of a secret key are not counted by visitor, without that either. Looking for a secret
/// key costs a request more, which a batch does not notice.
const UNCOUNTED_PLAN: &str = r#"
[[sites]]
id = "bench"
secret_keys_sha256 = ["8f9ba3c149b18053997779c7558d3dbc54d16ac9dc1637e4e5f2d0158fbb674b"]
origins = ["*"]
bots = "keep"
"#;
/// The places of the plans that take turns.
const UNCHECKED: usize = 0;
const CHECKED: usize = 1;
const UNCOUNTED: usize = 2;

/// Single events and batches; `time` is each plan's over all turns, over HTTP, and `slices` how many turns it has in this
/// process.
pub fn run(binary: &Path, time: Duration, slices: usize) -> Result<Vec<Row>, BenchError> {
    let time = time / ROUNDS;
    let per_second = |rate| format!("{}/s", grouped(rate));
    let mut rows = both(binary, "single POST", singles(time, VISITORS), slices, per_second)?;
    rows.extend(both(binary, "NDJSON of 500", batches(time, VISITORS), slices, millions)?);
    Ok(rows)
}

fn both(
    binary: &Path,
    what: &str,
    load: Load,
    slices: usize,
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
    let plain_ns = without.middle.cpu_us() * 1_000.0;
    let dearer = with.middle.cpu_us() * 1_000.0 / plain_ns.max(1e-9) * 100.0 - 100.0;
    let mut rows = vec![
        Row::plain(
            &format!("{what}: plan without checks (limit)"),
            shown(without.rate),
            without.middle.note(),
        ),
        Row::plain(
            &format!("{what}: limits, schema, shares, bots"),
            shown(with.rate),
            format!("{}; CPU {dearer:+.1} %", with.note("it")),
        ),
    ];
    rows.extend(in_process(what, &load.form, slices, plain_ns)?);
    Ok(rows)
}

fn against(binary: &Path, load: &Load, plan: Plans) -> Result<Phase, BenchError> {
    let collector = Alone::start(&data_root(binary), plan)?;
    Phase::run(&Load { address: collector.address, ..load.clone() }, &collector.server)
}

/// What checks add in this process, as a share of the plain path, which takes `plain_ns` over HTTP; of batches also what
/// counting events by visitor adds, which no plan leaves out.
fn in_process(what: &str, form: &Form, slices: usize, plain_ns: f64) -> Result<Vec<Row>, BenchError> {
    let costs =
        Costs::measure(&[Plans::Unchecked.text(), Plans::Checked.text(), UNCOUNTED_PLAN], form, slices)?;
    let added = |plan, than| {
        let ((ns, error), own_ns) = (costs.dearer_ns(plan, than), costs.ns(than));
        let note = format!(
            "{ns:+.0} +- {error:.0} ns an event, {:.1} % of {own_ns:.0} ns in this process; plain {plain_ns:.0} ns over HTTP",
            ns / own_ns.max(1e-9) * 100.0,
        );
        (ns / plain_ns.max(1e-9), note)
    };
    let percent = |share: f64| format!("{:+.1} %", share * 100.0);
    let (share, note) = added(CHECKED, UNCHECKED);
    let name = format!("{what}: what these checks add");
    let mut rows = vec![Row::goal(&name, percent(share), "< 5 % of plain", share < GOAL, note)];
    if form.events > 1 {
        let (share, note) = added(UNCHECKED, UNCOUNTED);
        rows.push(Row::plain(&format!("{what}: what counting visitors adds"), percent(share), note));
    }
    Ok(rows)
}

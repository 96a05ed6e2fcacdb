//! What the collector takes, each request answered after fsync, beside a bare actix-web handler: single events over 1,024
//! connections, and NDJSON in batches of 500, each event parsed and validated. Measured twice: the collector by itself
//! (what receiving costs), and `rungs up` with fold and ClickHouse behind it (what a machine carries).

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::BenchError;
use crate::collector::{Alone, Plans};
use crate::http::{Load, Outcome};
use crate::process::Server;
use crate::rungs::{Rungs, data_root};
use crate::table::{Row, grouped, millions};
use crate::template::{Form, Wire};

const CONNECTIONS: u32 = 1_024;
const BATCH_CONNECTIONS: u32 = 16;
const BATCH_EVENTS: usize = 500;
const VISITORS: u64 = 200_000;
/// How often each server has its turn.
pub(crate) const ROUNDS: u32 = 3;

/// A phase under load with the server's CPU time.
pub struct Phase {
    pub outcome: Outcome,
    pub cpu: Duration,
}

impl Phase {
    /// After a second of warming up.
    pub fn run(load: &Load, server: &Server) -> Result<Self, BenchError> {
        let warm_up = Load { time: load.time.min(Duration::from_secs(1)), run: load.run + 1, ..load.clone() };
        warm_up.run()?;
        let before = server.cpu();
        let outcome = load.run()?;
        Ok(Self { outcome, cpu: server.cpu() - before })
    }

    /// Events a second.
    pub fn rate(&self) -> f64 {
        self.outcome.events_a_second()
    }

    /// The server's CPU microseconds an event.
    pub fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.outcome.events.max(1) as f64
    }

    /// CPU and latency, for a row.
    pub fn note(&self) -> String {
        let failed =
            if self.outcome.failed > 0 { format!(", {} failed", self.outcome.failed) } else { String::new() };
        format!(
            "{:.2} us CPU an event; p50 {:.1} ms, p99 {:.1} ms{failed}",
            self.cpu_us(),
            self.outcome.latency_ms(0.5),
            self.outcome.latency_ms(0.99)
        )
    }
}

/// A way of sending events, and the load in that way.
struct Way {
    name: &'static str,
    load: Load,
    rate: fn(f64) -> String,
}

/// The goal of the collector by itself.
type Goal = (&'static str, fn(&Rounds) -> bool);

/// What several phases found: the machine's own pace changes by a fifth from one minute to the next, so the servers are
/// measured in turn, each compared with the limit of its own turn, and the middle of the ratios counts.
pub(crate) struct Rounds {
    /// Events a second, the middle.
    pub(crate) rate: f64,
    /// To the limit of the same turn, ascending.
    ratios: Vec<f64>,
    /// The phase whose rate is the middle.
    pub(crate) middle: Phase,
}

impl Rounds {
    pub(crate) fn of(mut phases: Vec<Phase>, limit_rates: &[f64]) -> Self {
        let mut ratios: Vec<f64> =
            phases.iter().zip(limit_rates).map(|(phase, limit)| phase.rate() / limit).collect();
        ratios.sort_by(f64::total_cmp);
        phases.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
        let middle = phases.swap_remove(phases.len() / 2);
        Self { rate: middle.rate(), ratios, middle }
    }

    pub(crate) fn ratio(&self) -> f64 {
        self.ratios.get(self.ratios.len() / 2).copied().unwrap_or_default()
    }

    /// The ratio, to what is named, and what else to know.
    pub(crate) fn note(&self, limit: &str) -> String {
        let (least, most) = (self.ratios.first(), self.ratios.last());
        format!(
            "{:.2} of {limit} ({:.2} to {:.2}); {}",
            self.ratio(),
            least.copied().unwrap_or_default(),
            most.copied().unwrap_or_default(),
            self.middle.note()
        )
    }
}

/// Closed loop against the bare handler, the collector alone, and `rungs up`, in turn; `time` is each server's in all.
pub fn run(binary: &Path, time: Duration) -> Result<Vec<Row>, BenchError> {
    let time = time / ROUNDS;
    let mut rows = Way::single(time).rows(binary, (">= 0.7 of bare", |ours| ours.ratio() >= 0.7))?;
    rows.extend(Way::batches(time).rows(binary, (">= 1.5 M/s", |ours| ours.rate >= 1.5e6))?);
    Ok(rows)
}

impl Way {
    fn single(time: Duration) -> Self {
        let rate = |rate| format!("{}/s", grouped(rate));
        Self { name: "single POST", load: singles(time, VISITORS), rate }
    }

    fn batches(time: Duration) -> Self {
        Self { name: "NDJSON of 500", load: batches(time, VISITORS), rate: millions }
    }

    fn rows(&self, binary: &Path, (goal, is_reached): Goal) -> Result<Vec<Row>, BenchError> {
        let (mut limits, mut alone, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            limits.push(self.against_bare()?);
            alone.push(self.against_collector(binary)?);
            all.push(self.against_rungs(binary)?);
        }
        let limit_rates: Vec<f64> = limits.iter().map(Phase::rate).collect();
        let [limit, alone, all] = [limits, alone, all].map(|phases| Rounds::of(phases, &limit_rates));
        let what = |server: &str| format!("{}: {server}", self.name);
        let reached = is_reached(&alone);
        Ok(vec![
            Row::plain(&what("bare actix-web, 204 (limit)"), (self.rate)(limit.rate), limit.middle.note()),
            Row::goal(
                &what("collector alone, after fsync"),
                (self.rate)(alone.rate),
                goal,
                reached,
                alone.note("bare"),
            ),
            Row::plain(&what("rungs up, after fsync"), (self.rate)(all.rate), all.note("bare")),
        ])
    }

    fn against_bare(&self) -> Result<Phase, BenchError> {
        against_bare(&self.load)
    }

    fn against_collector(&self, binary: &Path) -> Result<Phase, BenchError> {
        let collector = Alone::start(&data_root(binary), Plans::Benchmark)?;
        Phase::run(&Load { address: collector.address, ..self.load.clone() }, &collector.server)
    }

    fn against_rungs(&self, binary: &Path) -> Result<Phase, BenchError> {
        let rungs = Rungs::start(binary)?;
        Phase::run(&Load { address: rungs.collector, ..self.load.clone() }, &rungs.server)
    }
}

/// A load against the bare handler.
pub fn against_bare(load: &Load) -> Result<Phase, BenchError> {
    let mut bare = Server::start(Command::new(std::env::current_exe()?).arg("bare"))?;
    let address = bare.first_address()?;
    Phase::run(&Load { address, ..load.clone() }, &bare)
}

/// Single events, as fast as they are answered; the address is still to be set.
pub fn singles(time: Duration, visitors: u64) -> Load {
    load(Form { path: "/v1/track", wire: Wire::Lines, events: 1, visitors }, CONNECTIONS, time, 10)
}

/// Batches, as fast as they are answered; the address is still to be set.
pub fn batches(time: Duration, visitors: u64) -> Load {
    load(
        Form { path: "/v1/events", wire: Wire::Lines, events: BATCH_EVENTS, visitors },
        BATCH_CONNECTIONS,
        time,
        20,
    )
}

pub(crate) fn load(form: Form, connections: u32, time: Duration, run: u16) -> Load {
    let address = ([127, 0, 0, 1], 0).into();
    Load { address, connections, form, events_a_second: None, time, threads: 2, run }
}

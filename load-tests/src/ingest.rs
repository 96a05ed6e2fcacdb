//! What the collector takes, each request answered after fsync, beside a bare actix-web handler: single events over 1,024
//! connections, and NDJSON in batches of 500, each event parsed and validated. Measured twice: the collector by itself
//! (what receiving costs), and `rungs up` with fold and ClickHouse behind it (what a machine carries).

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::BenchError;
use crate::collector::Alone;
use crate::http::{Load, Outcome};
use crate::process::Server;
use crate::rungs::{Rungs, data_root};
use crate::table::{Row, grouped, millions};
use crate::template::Form;

const CONNECTIONS: u32 = 1_024;
const BATCH_CONNECTIONS: u32 = 16;
const BATCH_EVENTS: usize = 500;
const VISITORS: u64 = 200_000;

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
type Goal = (&'static str, fn(ours: f64, limit: f64) -> bool);

/// Closed loop against the bare handler, the collector alone, and `rungs up`, one after the other.
pub fn run(binary: &Path, time: Duration) -> Result<Vec<Row>, BenchError> {
    let mut rows = Way::single(time).rows(binary, (">= 0.7 of bare", |ours, limit| ours >= 0.7 * limit))?;
    rows.extend(Way::batches(time).rows(binary, (">= 1.5 M/s", |ours, _| ours >= 1.5e6))?);
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
        let limit = self.against_bare()?;
        let alone = self.against_collector(binary)?;
        let all = self.against_rungs(binary)?;
        let rate = |phase: &Phase| phase.outcome.events_a_second();
        let ratio = |phase: &Phase| rate(phase) / rate(&limit);
        let note = |phase: &Phase| format!("{:.2} of bare; {}", ratio(phase), phase.note());
        let what = |server: &str| format!("{}: {server}", self.name);
        let reached = is_reached(rate(&alone), rate(&limit));
        Ok(vec![
            Row::plain(&what("bare actix-web, 204 (limit)"), (self.rate)(rate(&limit)), limit.note()),
            Row::goal(
                &what("collector alone, after fsync"),
                (self.rate)(rate(&alone)),
                goal,
                reached,
                note(&alone),
            ),
            Row::plain(&what("rungs up, after fsync"), (self.rate)(rate(&all)), note(&all)),
        ])
    }

    fn against_bare(&self) -> Result<Phase, BenchError> {
        against_bare(&self.load)
    }

    fn against_collector(&self, binary: &Path) -> Result<Phase, BenchError> {
        let collector = Alone::start(&data_root(binary))?;
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
    load(Form { path: "/v1/track", events: 1, visitors }, CONNECTIONS, time, 10)
}

/// Batches, as fast as they are answered; the address is still to be set.
pub fn batches(time: Duration, visitors: u64) -> Load {
    load(Form { path: "/v1/events", events: BATCH_EVENTS, visitors }, BATCH_CONNECTIONS, time, 20)
}

fn load(form: Form, connections: u32, time: Duration, run: u16) -> Load {
    let address = ([127, 0, 0, 1], 0).into();
    Load { address, connections, form, events_a_second: None, time, threads: 2, run }
}

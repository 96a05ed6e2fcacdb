//! What the collector takes, each request answered after fsync: single events over 1,024 connections beside a bare
//! actix-web handler, and NDJSON in batches of 500, each event validated.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::BenchError;
use crate::http::{Load, Outcome};
use crate::process::Server;
use crate::rungs::Rungs;
use crate::table::{Row, grouped, millions};
use crate::template::Form;

const CONNECTIONS: u32 = 1_024;
const VISITORS: u64 = 200_000;

/// A phase under load with the server's CPU time.
struct Phase {
    outcome: Outcome,
    cpu: Duration,
}

impl Phase {
    fn run(load: &Load, server: &Server) -> Result<Self, BenchError> {
        let warm_up = Load { time: load.time.min(Duration::from_secs(1)), run: load.run + 1, ..load.clone() };
        warm_up.run()?;
        let before = server.cpu();
        let outcome = load.run()?;
        Ok(Self { outcome, cpu: server.cpu() - before })
    }

    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.outcome.events.max(1) as f64
    }

    fn note(&self) -> String {
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

/// Closed loop against both servers, one after the other.
pub fn run(binary: &Path, time: Duration) -> Result<Vec<Row>, BenchError> {
    let single = Form { path: "/v1/track", events: 1, visitors: VISITORS };
    let batch = Form { path: "/v1/events", events: 500, visitors: VISITORS };
    let mut load = Load {
        address: ([127, 0, 0, 1], 0).into(),
        connections: CONNECTIONS,
        form: single,
        events_a_second: None,
        time,
        threads: 2,
        run: 10,
    };
    let mut bare = Server::start(Command::new(std::env::current_exe()?).arg("bare"))?;
    let address = bare.first_line()?;
    load.address = address.parse().map_err(|_| BenchError::other(format!("no address: {address}")))?;
    let limit = Phase::run(&load, &bare)?;
    let batches = Load { connections: 16, form: batch, run: 20, ..load.clone() };
    let batch_limit = Phase::run(&batches, &bare)?;
    drop(bare);

    let rungs = Rungs::start(binary)?;
    let ours = Phase::run(&Load { address: rungs.collector, ..load }, &rungs.server)?;
    drop(rungs);
    let rungs = Rungs::start(binary)?;
    let ours_batch =
        Phase::run(&Load { address: rungs.collector, time: time / 2, ..batches }, &rungs.server)?;
    Ok(rows(&limit, &ours, &batch_limit, &ours_batch))
}

fn rows(limit: &Phase, ours: &Phase, batch_limit: &Phase, ours_batch: &Phase) -> Vec<Row> {
    let rate = |phase: &Phase| phase.outcome.events_a_second();
    let a_second = |phase: &Phase| format!("{}/s", grouped(rate(phase)));
    let ratio = rate(ours) / rate(limit);
    vec![
        Row::plain("single POST: bare actix-web, 204 (limit)", a_second(limit), limit.note()),
        Row::plain("single POST: rungs up, acked after fsync", a_second(ours), ours.note()),
        Row::goal(
            "single POST: ratio",
            format!("{ratio:.2}"),
            ">= 0.7",
            ratio >= 0.7,
            "rungs up also folds and stores",
        ),
        Row::plain(
            "NDJSON of 500: bare actix-web, 204 (limit)",
            millions(rate(batch_limit)),
            batch_limit.note(),
        ),
        Row::goal(
            "NDJSON of 500: rungs up, acked after fsync",
            millions(rate(ours_batch)),
            ">= 1.5 M/s",
            rate(ours_batch) >= 1.5e6,
            ours_batch.note(),
        ),
    ]
}

//! Through everything: HTTP, the local log, the fold, the embedded ClickHouse, all on this machine. Events come at a
//! fixed rate; the sustained rate is what ClickHouse holds over the time until it holds all of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::BenchError;
use crate::http::Load;
use crate::process::Server;
use crate::rungs::Rungs;
use crate::table::{Row, grouped};
use crate::template::{Form, Wire};

/// Until ClickHouse holds what was acknowledged, at most.
const PATIENCE: Duration = Duration::from_secs(180);
const VISITORS: u64 = 1_000_000;
const GOAL: f64 = 200_000.0;

/// Batches of 500 over 16 connections.
pub fn load(rungs: &Rungs, rate: Option<f64>, time: Duration, run: u16) -> Load {
    let form = Form { path: "/v1/events", wire: Wire::Lines, events: 500, visitors: VISITORS };
    Load { address: rungs.collector, connections: 16, form, events_a_second: rate, time, threads: 1, run }
}

/// What a run came to.
pub struct Sustained {
    pub rows: Vec<Row>,
    /// Events a second.
    pub rate: f64,
}

/// Sends at `rate` for `time` and waits until everything is in ClickHouse; `before` events are there already.
pub fn run(rungs: &Rungs, rate: f64, time: Duration, before: u64) -> Result<Sustained, BenchError> {
    let started = Instant::now();
    let cpu = rungs.server.cpu();
    let (outcome, resident) = watched(&rungs.server, || load(rungs, Some(rate), time, 30).run())?;
    let expected = before + outcome.events;
    rungs.wait_for_events("bench", expected, PATIENCE)?;
    let elapsed = started.elapsed();
    let stored = rungs.distinct_events("bench")?;
    let cpu_us = (rungs.server.cpu() - cpu).as_secs_f64() * 1e6 / outcome.events.max(1) as f64;
    let sustained = outcome.events as f64 / elapsed.as_secs_f64();
    let mib = in_mib(&resident);
    let rows = vec![
        Row::goal(
            "end to end: sustained into ClickHouse",
            format!("{}/s", grouped(sustained)),
            ">= 200,000/s",
            sustained >= GOAL,
            format!(
                "{} sent at {}/s in {:.0} s, all stored after {:.1} s; {cpu_us:.2} us CPU an event; acks p99 {:.0} ms",
                grouped(outcome.events as f64),
                grouped(rate),
                outcome.elapsed.as_secs_f64(),
                elapsed.as_secs_f64(),
                outcome.latency_ms(0.99)
            ),
        ),
        Row::goal(
            "end to end: distinct rows = acknowledged events",
            grouped(stored as f64),
            "equal",
            stored == expected,
            format!("{} acknowledged, {} requests failed", grouped(expected as f64), outcome.failed),
        ),
        Row::plain(
            "end to end: memory over time (MiB)",
            mib.last().cloned().unwrap_or_default(),
            mib.join(" "),
        ),
    ];
    Ok(Sustained { rows, rate: sustained })
}

/// Sends as fast as it is taken until `events` are stored in all; tells how many there are.
pub fn fill(rungs: &Rungs, events: u64, stored: u64, run: u16) -> Result<u64, BenchError> {
    let mut stored = stored;
    let mut run = run;
    while stored < events {
        // Half a million at a time, so that the queue before ClickHouse stays short.
        let outcome = load(rungs, Some(250_000.0), Duration::from_secs(2), run).run()?;
        stored = rungs.wait_for_events("bench", stored + outcome.events, PATIENCE)?;
        run += 1;
    }
    Ok(stored)
}

/// Does something and reads a server's memory every second meanwhile.
pub fn watched<T>(
    server: &Server,
    doing: impl FnOnce() -> Result<T, BenchError>,
) -> Result<(T, Vec<u64>), BenchError> {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut resident = Vec::new();
            while !ended.load(Ordering::Acquire) {
                resident.push(server.resident());
                std::thread::sleep(Duration::from_secs(1));
            }
            resident
        });
        let done = doing();
        ended.store(true, Ordering::Release);
        let resident = watcher.join().unwrap_or_default();
        Ok((done?, resident))
    })
}

/// Memory readings for a row's note.
pub fn in_mib(resident: &[u64]) -> Vec<String> {
    resident.iter().map(|bytes| (bytes >> 20).to_string()).collect()
}

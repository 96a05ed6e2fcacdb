//! What a live answer costs, whatever the number of raw events, and what ClickHouse's `windowFunnel` over these events
//! takes for the same funnel.

use std::time::Instant;

use crate::BenchError;
use crate::rungs::Rungs;
use crate::table::{Row, grouped, quantile};

const ASKS: usize = 300;
const SCANS: usize = 5;
const GOAL_MS: f64 = 10.0;
const LIVE: &str = "/api/v1/funnels/bench/purchase/live?window=7d";

/// The funnel "purchase" of the benchmark's plan, as one would ask ClickHouse.
const WINDOW_FUNNEL: &str = "SELECT level, count() FROM (SELECT visitor_id, windowFunnel(604800000)(\
    toUInt64(toUnixTimestamp64Milli(ts)), event = 'page_view', event = 'product_view', event = 'cart_add', \
    event = 'checkout', event = 'purchase') AS level FROM rungs.events WHERE site = 'bench' AND event IN ('page_view', \
    'product_view', 'cart_add', 'checkout', 'purchase') AND ts >= now() - INTERVAL 7 DAY GROUP BY visitor_id) GROUP BY level";

/// Milliseconds of each ask, ascending.
fn asks(rungs: &Rungs) -> Result<Vec<f64>, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = reqwest::Client::new();
    let url = format!("http://{}{LIVE}", rungs.console);
    let mut taken = Vec::with_capacity(ASKS);
    for _ in 0..ASKS {
        let started = Instant::now();
        runtime.block_on(async { client.get(&url).send().await?.error_for_status()?.bytes().await })?;
        taken.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(taken)
}

/// The live answer with this many raw events stored.
pub fn run(rungs: &Rungs, stored: u64) -> Result<Row, BenchError> {
    let taken = asks(rungs)?;
    let p99 = quantile(&taken, 0.99);
    Ok(Row::goal(
        &format!("live at {} M raw events, p99", grouped(stored as f64 / 1e6)),
        format!("{p99:.1} ms"),
        "< 10 ms",
        p99 < GOAL_MS,
        format!("p50 {:.1} ms of {ASKS} asks, one after the other", quantile(&taken, 0.5)),
    ))
}

/// How much longer `windowFunnel` takes than a live answer (medians).
pub fn against_window_funnel(rungs: &Rungs, stored: u64) -> Result<Row, BenchError> {
    let mut scans = Vec::with_capacity(SCANS);
    for _ in 0..SCANS {
        let started = Instant::now();
        rungs.query(WINDOW_FUNNEL)?;
        scans.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let (scan, live) = (quantile(&scans, 0.5), quantile(&asks(rungs)?, 0.5));
    Ok(Row::goal(
        &format!("live beside windowFunnel over {} M raw events", grouped(stored as f64 / 1e6)),
        format!("{:.0} x", scan / live),
        ">= 20 x",
        scan / live >= 20.0,
        format!("windowFunnel {scan:.0} ms, live {live:.2} ms (medians)"),
    ))
}

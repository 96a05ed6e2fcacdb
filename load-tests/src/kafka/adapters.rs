//! Batches of 100 in the forms of Segment's and PostHog's clients, gzipped, answered after Kafka has acknowledged, and NDJSON
//! beside them. Everything has its turn with the bare handler, and the middle ratio counts.
//!
//! The goal is that of DESIGN: three times what PostHog's own capture takes, which had 0.14 M events/s where the bare
//! handler had 115 K requests/s. So the ratio is of events to requests of the bare handler.

use std::time::Duration;

use super::cluster::Service;
use crate::BenchError;
use crate::http::Load;
use crate::ingest::{Phase, ROUNDS, Rounds, against_bare, batches, load, singles};
use crate::table::{Row, grouped, millions};
use crate::template::{Form, Wire};

/// Events a second of PostHog's capture, and requests a second of the bare handler beside it.
const CAPTURE: f64 = 140_000.0;
const BARE_BESIDE_IT: f64 = 115_000.0;
const TIMES: f64 = 3.0;

const EVENTS: usize = 100;
const CONNECTIONS: u32 = 64;
pub(super) const VISITORS: u64 = 200_000;

/// All ways; `time` is each one's over all turns.
pub(super) fn run(collector: &Service, time: Duration) -> Result<Vec<Row>, BenchError> {
    let time = time / ROUNDS;
    let ways = [
        ("kafka: Segment batches of 100, gzipped", vendor(Wire::Segment, "/v1/batch", time)),
        ("kafka: PostHog batches of 100, gzipped", vendor(Wire::PostHog, "/batch/", time)),
        ("kafka: NDJSON of 500", batches(time, VISITORS)),
    ];
    let (mut bare, mut phases) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        bare.push(against_bare(&singles(time, VISITORS))?);
        for ((_, load), phases) in ways.iter().zip(&mut phases) {
            let load = Load { address: collector.address, ..load.clone() };
            phases.push(Phase::run(&load, &collector.server)?);
        }
    }
    let limits: Vec<f64> = bare.iter().map(Phase::rate).collect();
    let bare = Rounds::of(bare, &limits);
    let mut rows = vec![Row::plain(
        "kafka: bare actix-web, 204 (limit)",
        format!("{}/s", grouped(bare.rate)),
        bare.middle.note(),
    )];
    rows.extend(ways.iter().zip(phases).map(|((what, load), phases)| {
        let ours = Rounds::of(phases, &limits);
        row(what, &ours, load.form.wire)
    }));
    Ok(rows)
}

fn row(what: &str, ours: &Rounds, wire: Wire) -> Row {
    let goal = TIMES * CAPTURE / BARE_BESIDE_IT;
    let times = ours.ratio() / CAPTURE * BARE_BESIDE_IT;
    let note = format!("{times:.1} times PostHog's capture; {}", ours.note("bare"));
    match wire {
        Wire::Lines | Wire::Browser => Row::plain(what, millions(ours.rate), note),
        Wire::Segment | Wire::PostHog => {
            let goal_text = format!(">= {goal:.2} of bare");
            Row::goal(what, millions(ours.rate), &goal_text, ours.ratio() >= goal, note)
        }
    }
}

fn vendor(wire: Wire, path: &'static str, time: Duration) -> Load {
    load(Form { path, wire, events: EVENTS, visitors: VISITORS }, CONNECTIONS, time, 40)
}

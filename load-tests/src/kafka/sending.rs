//! What the collector takes, answered after Kafka has acknowledged.

use std::time::Duration;

use super::Sizes;
use super::cluster::{Cluster, Service};
use super::counted::Counted;
use super::handler;
use crate::BenchError;
use crate::http::Load;
use crate::ingest::{Phase, ROUNDS, Rounds, against_bare, batches, singles};
use crate::table::{Row, grouped, millions, quantile};

const GOAL_SINGLE: f64 = 0.6;
const GOAL_BATCH: f64 = 0.9;
const GOAL_MIB: u64 = 150;

/// So many batches wait at once, of 32,000 events: librdkafka by itself has 500,000 under way, and neither is to wait for the
/// other side.
const BATCH_CONNECTIONS: u32 = 64;

/// Java compiles what a broker does often while it does it, which takes half a core for half a minute: no broker in service
/// is like that. So nothing is measured before its compiler took less than [`COMPILING`] of a core in such a time.
const WARM_UP: Duration = Duration::from_secs(4);
const COMPILING: f64 = 0.05;
/// It is never warmed for more than so many of these times.
const MAX_WARM_UPS: u16 = 20;

/// Single events beside the bare handler, batches beside librdkafka's own producing, and both beside a handler that does
/// nothing but give them to rdkafka. The broker is warm when it begins; each has its turns, and the middle ratio counts.
pub(super) fn run(
    cluster: &Cluster,
    collector: &Service,
    sizes: &Sizes,
    show: &dyn Fn(Row),
) -> Result<(), BenchError> {
    warm_up(cluster, sizes.visitors)?;
    let time = sizes.sending / ROUNDS;
    let brokers = cluster.kafka.bootstrap();
    let single = singles(time, sizes.visitors);
    let batch = Load { connections: BATCH_CONNECTIONS, ..batches(time, sizes.visitors) };
    let (mut bare, mut produced) = (vec![], vec![]);
    let (mut singles, mut batches) = (Turns::default(), Turns::default());
    for round in 0..ROUNDS as u16 {
        // Other events in each turn: copies are stored once.
        let of_turn = |load: &Load| Load { run: load.run + 100 * round, ..load.clone() };
        bare.push(against_bare(&single)?);
        singles.handled.push(handler::against(&single, &brokers)?);
        singles.measure(cluster, collector, &of_turn(&single))?;
        produced.push(Counted::of(&["on-kafka", "produce", &brokers])?);
        batches.handled.push(handler::against(&batch, &brokers)?);
        batches.measure(cluster, collector, &of_turn(&batch))?;
    }
    let mib = collector.server.resident() >> 20;
    let bare_rates: Vec<f64> = bare.iter().map(Phase::rate).collect();
    show(Row::plain(
        "kafka: bare actix-web, 204 (limit)",
        format!("{}/s", grouped(middle(&bare, Phase::rate))),
        format!("{:.2} us CPU an event", middle(&bare, Phase::cpu_us)),
    ));
    show(Row::plain(
        "kafka: single POST, rdkafka in a bare handler",
        format!("{}/s", grouped(middle(&singles.handled, Phase::rate))),
        singles.handled_beside(&bare_rates, "bare"),
    ));
    let (single, note) = singles.beside(&bare_rates, "bare");
    show(Row::goal(
        "kafka: single POST, acknowledged by Kafka",
        format!("{}/s", grouped(single.rate)),
        ">= 0.6 of bare",
        single.ratio() >= GOAL_SINGLE,
        note,
    ));
    let produced_rates: Vec<f64> = produced.iter().map(Counted::rate).collect();
    show(Row::plain(
        "kafka: librdkafka's own produce (limit)",
        millions(middle(&produced, Counted::rate)),
        format!(
            "the same events, a record each, acks=all, lz4; {:.2} us CPU an event",
            middle(&produced, Counted::cpu_us)
        ),
    ));
    show(Row::plain(
        "kafka: NDJSON of 500, rdkafka in a bare handler",
        millions(middle(&batches.handled, Phase::rate)),
        batches.handled_beside(&produced_rates, "librdkafka's"),
    ));
    let (batch, note) = batches.beside(&produced_rates, "librdkafka's");
    show(Row::goal(
        "kafka: NDJSON of 500, acknowledged by Kafka",
        millions(batch.rate),
        ">= 0.9 of that",
        batch.ratio() >= GOAL_BATCH,
        note,
    ));
    show(Row::goal("kafka: collector's memory", format!("{mib} MiB"), "< 150 MiB", mib < GOAL_MIB, ""));
    Ok(())
}

/// The middle of what is told of several.
fn middle<T>(of: &[T], told: impl Fn(&T) -> f64) -> f64 {
    quantile(&of.iter().map(told).collect::<Vec<_>>(), 0.5)
}

/// The middle of the ratios of turns.
fn middle_ratio(phases: &[Phase], limits: &[f64]) -> f64 {
    let ratios: Vec<f64> = phases.iter().zip(limits).map(|(phase, limit)| phase.rate() / limit).collect();
    middle(&ratios, |ratio| *ratio)
}

/// The turns of one way of sending.
#[derive(Default)]
struct Turns {
    phases: Vec<Phase>,
    /// Of the handler that gives to rdkafka what it receives.
    handled: Vec<Phase>,
    /// The broker's CPU microseconds an event.
    broker_us: Vec<f64>,
}

impl Turns {
    fn measure(&mut self, cluster: &Cluster, collector: &Service, load: &Load) -> Result<(), BenchError> {
        let (before, sent) = (cluster.broker_cpu(), collector.accepted());
        let phase = Phase::run(&Load { address: collector.address, ..load.clone() }, &collector.server)?;
        let (cpu, sent) = (cluster.broker_cpu() - before, collector.accepted() - sent);
        self.broker_us.push(cpu.as_secs_f64() * 1e6 / sent.max(1) as f64);
        self.phases.push(phase);
        Ok(())
    }

    /// Beside the limit's rates of the same turns, with a note.
    fn beside(self, limits: &[f64], limit: &str) -> (Rounds, String) {
        let broker_us = middle(&self.broker_us, |us| *us);
        let handled_rates: Vec<f64> = self.handled.iter().map(Phase::rate).collect();
        let of_handler = middle_ratio(&self.phases, &handled_rates);
        let rounds = Rounds::of(self.phases, limits);
        let note = format!(
            "{}; broker {broker_us:.2} us; {of_handler:.2} of rdkafka in a bare handler",
            rounds.note(limit)
        );
        (rounds, note)
    }

    /// The handler's own note.
    fn handled_beside(&self, limits: &[f64], limit: &str) -> String {
        let ratio = middle_ratio(&self.handled, limits);
        format!("{ratio:.2} of {limit}; {:.2} us CPU an event", middle(&self.handled, Phase::cpu_us))
    }
}

/// Sends in both ways, to other topics, until the broker is warm.
pub(super) fn warm_up(cluster: &Cluster, visitors: u64) -> Result<(), BenchError> {
    let collector = cluster.collector_apart()?;
    for round in 0..MAX_WARM_UPS {
        let before = cluster.compiler_cpu()?;
        for load in [singles(WARM_UP / 2, visitors), batches(WARM_UP / 2, visitors)] {
            Load { address: collector.address, run: load.run + 20 * round, ..load }.run()?;
        }
        if (cluster.compiler_cpu()? - before).as_secs_f64() < COMPILING * WARM_UP.as_secs_f64() {
            break;
        }
    }
    Ok(())
}

/// Sends until the topic holds about so many events; how many the collector accepted in all.
pub(super) fn fill(collector: &Service, sizes: &Sizes) -> Result<u64, BenchError> {
    let mut run = 1_000;
    while collector.accepted() < sizes.events {
        let load = batches(Duration::from_secs(2), sizes.visitors);
        Load { address: collector.address, run, ..load }.run()?;
        run += 1;
    }
    Ok(collector.accepted())
}

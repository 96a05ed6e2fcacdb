//! The aggregator from a full topic: folding only, beside a drain that looks at nothing, and into ClickHouse. Then events
//! at half of that rate, and how soon they can be seen.

use std::time::Duration;

use super::cluster::{Cluster, Service, within};
use super::counted::Counted;
use crate::BenchError;
use crate::end_to_end::{in_mib, watched};
use crate::http::Load;
use crate::ingest::batches;
use crate::markers::{self, Doors};
use crate::table::{Row, grouped, millions};

const GOAL_FOLD: f64 = 0.6;
const GOAL_CPU_US: f64 = 1.5;
const GOAL_STORED: f64 = 400_000.0;
const PATIENCE: Duration = Duration::from_secs(300);
const MARKERS: Duration = Duration::from_secs(15);
const VISITORS: u64 = 1_000_000;

/// Folding without a store.
pub(super) fn folding(cluster: &Cluster, events: u64, show: &dyn Fn(Row)) -> Result<(), BenchError> {
    let brokers = cluster.kafka.bootstrap();
    let bare = Counted::of(&["on-kafka", "drain", &brokers])?;
    let ours = Counted::of(&["on-kafka", "fold", &brokers])?;
    let ratio = ours.rate() / bare.rate();
    show(Row::plain(
        "kafka: librdkafka's own drain (limit)",
        millions(bare.rate()),
        format!("{} records; {:.2} us CPU an event", grouped(bare.events as f64), bare.cpu_us()),
    ));
    show(Row::goal(
        "kafka: aggregator, folding only",
        millions(ours.rate()),
        ">= 0.6 of that",
        ratio >= GOAL_FOLD,
        format!("{ratio:.2} of librdkafka's; {} of {events} events", ours.events),
    ));
    let cpu = ours.cpu_us();
    show(Row::goal(
        "kafka: aggregator, folding only: CPU an event",
        format!("{cpu:.2} us"),
        "< 1.5 us",
        cpu < GOAL_CPU_US,
        "",
    ));
    Ok(())
}

/// What a drain came to.
pub(super) struct Drained {
    /// Events a second.
    pub(super) rate: f64,
}

/// Waits until an aggregator that began just now has everything in ClickHouse.
pub(super) fn drain(
    cluster: &Cluster,
    aggregator: &Service,
    events: u64,
    show: &dyn Fn(Row),
) -> Result<Drained, BenchError> {
    let clickhouse_before = cluster.clickhouse_cpu();
    let stored = || cluster.stored().is_ok_and(|stored| stored >= events);
    let (taken, resident) =
        watched(&aggregator.server, || within(PATIENCE, "all events are in ClickHouse", stored))?;
    let rate = events as f64 / taken.as_secs_f64();
    let us = |cpu: Duration| cpu.as_secs_f64() * 1e6 / events as f64;
    let (cpu_us, clickhouse_us) =
        (us(aggregator.server.cpu()), us(cluster.clickhouse_cpu() - clickhouse_before));
    show(Row::goal(
        "kafka: from a full topic into ClickHouse",
        format!("{}/s", grouped(rate)),
        ">= 400,000/s",
        rate >= GOAL_STORED,
        format!(
            "{} events in {:.1} s; {cpu_us:.2} us CPU of the aggregator an event, {clickhouse_us:.2} of ClickHouse",
            grouped(events as f64),
            taken.as_secs_f64()
        ),
    ));
    let mib = in_mib(&resident);
    show(Row::plain(
        "kafka: aggregator's memory over time (MiB)",
        mib.last().cloned().unwrap_or_default(),
        mib.join(" "),
    ));
    Ok(Drained { rate })
}

/// Markers under load at half of the rate at which events are stored.
pub(super) fn latency(
    cluster: &Cluster,
    collector: &Service,
    aggregator: &Service,
    rate: f64,
    show: &dyn Fn(Row),
) -> Result<(), BenchError> {
    let doors =
        Doors { collector: collector.address, admin: aggregator.admin, clickhouse: cluster.clickhouse };
    let load = batches(MARKERS, VISITORS);
    let load =
        Load { address: collector.address, events_a_second: Some(rate / 2.0), threads: 1, run: 900, ..load };
    markers::run(&doors, &load, "kafka: ")?.into_iter().for_each(show);
    Ok(())
}

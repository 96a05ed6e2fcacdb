//! What the collector takes, answered after Kafka has acknowledged.

use std::time::Duration;

use super::Sizes;
use super::cluster::{Cluster, Service};
use super::counted::Counted;
use crate::BenchError;
use crate::http::Load;
use crate::ingest::{Phase, against_bare, batches, singles};
use crate::table::{Row, grouped, millions};

const GOAL_SINGLE: f64 = 0.6;
const GOAL_BATCH: f64 = 0.9;
const GOAL_MIB: u64 = 150;

/// Single events beside the bare handler, batches beside librdkafka's own producing.
pub(super) fn run(
    cluster: &Cluster,
    collector: &Service,
    sizes: &Sizes,
    show: &dyn Fn(Row),
) -> Result<(), BenchError> {
    let at = |load: Load| Load { address: collector.address, ..load };
    let load = singles(sizes.sending, sizes.visitors);
    let bare = against_bare(&load)?;
    let ours = Phase::run(&at(load), &collector.server)?;
    let ratio = ours.rate() / bare.rate();
    show(Row::plain(
        "kafka: bare actix-web, 204 (limit)",
        format!("{}/s", grouped(bare.rate())),
        bare.note(),
    ));
    show(Row::goal(
        "kafka: single POST, acknowledged by Kafka",
        format!("{}/s", grouped(ours.rate())),
        ">= 0.6 of bare",
        ratio >= GOAL_SINGLE,
        format!("{ratio:.2} of bare; {}", ours.note()),
    ));
    let ours = Phase::run(&at(batches(sizes.sending, sizes.visitors)), &collector.server)?;
    let mib = collector.server.resident() >> 20;
    let bare = Counted::of(&["on-kafka", "produce", &cluster.kafka.bootstrap()])?;
    let ratio = ours.rate() / bare.rate();
    show(Row::plain(
        "kafka: librdkafka's own produce (limit)",
        millions(bare.rate()),
        format!("the same records, acks=all, lz4; {:.2} us CPU an event", bare.cpu_us()),
    ));
    show(Row::goal(
        "kafka: NDJSON of 500, acknowledged by Kafka",
        millions(ours.rate()),
        ">= 0.9 of that",
        ratio >= GOAL_BATCH,
        format!("{ratio:.2} of librdkafka's; {}", ours.note()),
    ));
    show(Row::goal("kafka: collector's memory", format!("{mib} MiB"), "< 150 MiB", mib < GOAL_MIB, ""));
    Ok(())
}

/// Sends until the topic holds about so many events; how many the collector accepted in all.
pub(super) fn fill(collector: &Service, sizes: &Sizes) -> Result<u64, BenchError> {
    let accepted = || collector.metric("rungs_collector_events_total", "outcome=\"accepted\"") as u64;
    let mut run = 300;
    while accepted() < sizes.events {
        let load = batches(Duration::from_secs(2), sizes.visitors);
        Load { address: collector.address, run, ..load }.run()?;
        run += 1;
    }
    Ok(accepted())
}

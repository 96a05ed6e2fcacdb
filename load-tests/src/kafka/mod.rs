//! The services of production on one real Kafka broker, beside what librdkafka does by itself, all on this machine's cores:
//! what the collector takes until Kafka has acknowledged, what the aggregator folds from a full topic, what it brings into
//! ClickHouse, how soon it is back after a restart, and how soon others have the partitions of one that was killed.

use std::path::Path;
use std::time::Duration;

use crate::BenchError;
use crate::table::Row;

mod adapters;
mod bare;
mod cluster;
mod counted;
mod fold_only;
mod handler;
mod recovering;
mod sending;
mod storing;

use cluster::Cluster;

/// How much is done.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// How long each way of sending is measured.
    pub sending: Duration,
    /// Events in the topic that is drained.
    pub events: u64,
    /// Of so many visitors.
    pub visitors: u64,
}

/// All of it, on one broker; `show` prints a row as soon as it is there.
pub fn run(binary: &Path, sizes: &Sizes, show: &dyn Fn(Row)) -> Result<(), BenchError> {
    let cluster = Cluster::start(binary)?;
    measure(&cluster, sizes, show).map_err(|error| BenchError::other(format!("{error}\n{}", cluster.said())))
}

/// Batches in the forms of other vendors' clients, on a broker of their own; `time` is each way's in all.
pub fn adapters(binary: &Path, time: Duration) -> Result<Vec<Row>, BenchError> {
    let cluster = Cluster::start(binary)?;
    sending::warm_up(&cluster, adapters::VISITORS)?;
    let collector = cluster.collector()?;
    adapters::run(&collector, time).map_err(|error| BenchError::other(format!("{error}\n{}", cluster.said())))
}

fn measure(cluster: &Cluster, sizes: &Sizes, show: &dyn Fn(Row)) -> Result<(), BenchError> {
    let collector = cluster.collector()?;
    sending::run(cluster, &collector, sizes, show)?;
    let events = sending::fill(&collector, sizes)?;
    storing::folding(cluster, events, show)?;
    let aggregator = cluster.aggregator("bench-0")?;
    let stored = storing::drain(cluster, &aggregator, events, show)?;
    storing::latency(cluster, &collector, &aggregator, stored.rate, show)?;
    recovering::run(cluster, aggregator, show)
}

/// How long librdkafka produces by itself, in each of its turns.
const PRODUCED: Duration = Duration::from_secs(4);

/// A process of its own: measures one thing, prints it, ends; or serves until it is ended.
pub fn part(name: &str, brokers: &str) -> Result<(), BenchError> {
    let counted = match name {
        "handler" => return handler::serve(brokers),
        "produce" => bare::produce(brokers, PRODUCED)?,
        "drain" => bare::drain(brokers)?,
        "fold" => fold_only::run(brokers)?,
        other => return Err(BenchError::other(format!("there is no part {other}"))),
    };
    counted.print();
    Ok(())
}

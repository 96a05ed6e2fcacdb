//! `rungs-bench`: runs the benchmarks and prints their table. `bench` runs all of them, the others one part each.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use load_tests::collector::Plans;
use load_tests::rungs::Rungs;
use load_tests::stream::Shape;
use load_tests::table::Row;
use load_tests::{
    BenchError, bare, checks, collector, end_to_end, fold, ingest, journeys, kafka, live, markers,
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Throughput and latency of Rungs, as ratios to the bare limits of this machine
#[derive(Debug, Parser)]
#[command(name = "rungs-bench", version)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Smaller and shorter: a first impression in two minutes
    #[arg(long, global = true)]
    quick: bool,
    /// The `rungs` binary under test
    #[arg(long, global = true, value_name = "FILE", default_value = "target/release/rungs")]
    rungs: PathBuf,
    /// How long the end-to-end part sends
    #[arg(long, global = true, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Events a second that the end-to-end part sends
    #[arg(long, global = true, value_name = "EVENTS", default_value_t = 220_000.0)]
    rate: f64,
}

#[derive(Debug, Clone, Subcommand)]
enum Part {
    /// Everything below, one after the other (also without a command)
    Bench,
    /// Folds decoded events in memory
    Fold,
    /// Memory of a million visitors
    Memory,
    /// Single events and batches over HTTP, answered after fsync
    Ingest,
    /// What limits, schemas and the list of bots cost the collector
    Checks,
    /// HTTP, log, fold and ClickHouse together; markers; live answers
    EndToEnd,
    /// The same services on Kafka: collector, fold, ClickHouse, restart and take-over
    Kafka,
    /// Batches in the forms of Segment and PostHog, gzipped, acknowledged by Kafka
    Adapters,
    /// One of the processes of `kafka`: `produce`, `drain`, `fold` or `handler`
    #[command(hide = true)]
    OnKafka {
        /// Which
        part: String,
        /// The brokers
        brokers: String,
    },
    /// Serves the bare handler that `ingest` compares with
    #[command(hide = true)]
    Bare,
    /// Serves the collector without anything behind its log, for `ingest`
    #[command(hide = true)]
    Collector {
        /// The log's folder
        log: PathBuf,
        /// Its plan
        #[arg(default_value = "benchmark")]
        plan: Plans,
    },
}

fn main() -> Result<(), BenchError> {
    let arguments = Arguments::parse();
    runtime::descriptors::raise();
    match arguments.part.as_ref().unwrap_or(&Part::Bench) {
        Part::Bare => return Ok(bare::serve()?),
        Part::Collector { log, plan } => return collector::serve(log, *plan),
        Part::Fold => folding(&arguments)?,
        Part::Memory => memory(&arguments)?,
        Part::Ingest => ingesting(&arguments)?,
        Part::Checks => checking(&arguments)?,
        Part::EndToEnd => everything(&arguments)?,
        Part::Kafka => on_kafka(&arguments)?,
        Part::Adapters => adapters(&arguments)?,
        Part::OnKafka { part, brokers } => kafka::part(part, brokers)?,
        Part::Bench => {
            memory(&arguments)?;
            folding(&arguments)?;
            ingesting(&arguments)?;
            checking(&arguments)?;
            everything(&arguments)?;
            on_kafka(&arguments)?;
            adapters(&arguments)?;
        }
    }
    Ok(())
}

fn print(rows: &[Row]) {
    rows.iter().for_each(|row| println!("{row}"));
}

fn memory(arguments: &Arguments) -> Result<(), BenchError> {
    print(&journeys::run(if arguments.quick { 200_000 } else { 1_000_000 })?);
    Ok(())
}

fn folding(arguments: &Arguments) -> Result<(), BenchError> {
    let events = if arguments.quick { 1_000_000 } else { 5_000_000 };
    print(&fold::run(&Shape { events, ..Shape::default() })?);
    Ok(())
}

fn ingesting(arguments: &Arguments) -> Result<(), BenchError> {
    print(&ingest::run(&arguments.rungs, seconds(if arguments.quick { 3 } else { 12 }))?);
    Ok(())
}

fn checking(arguments: &Arguments) -> Result<(), BenchError> {
    let (time, slices) = if arguments.quick { (seconds(3), 20) } else { (seconds(15), 150) };
    print(&checks::run(&arguments.rungs, time, slices)?);
    Ok(())
}

fn adapters(arguments: &Arguments) -> Result<(), BenchError> {
    print(&kafka::adapters(&arguments.rungs, seconds(if arguments.quick { 3 } else { 12 }))?);
    Ok(())
}

/// The parts that share one running `rungs up`, so that its raw events grow from one to the next.
fn everything(arguments: &Arguments) -> Result<(), BenchError> {
    let (small, large) = if arguments.quick { (200_000, 2_000_000) } else { (1_000_000, 10_000_000) };
    let time = seconds(arguments.seconds.unwrap_or(if arguments.quick { 5 } else { 20 }));
    let rungs = Rungs::start(&arguments.rungs)?;
    let stored = end_to_end::fill(&rungs, small, 0, 100)?;
    print(&[live::run(&rungs, stored)?]);
    let sustained = end_to_end::run(&rungs, arguments.rate, time, stored)?;
    print(&sustained.rows);
    let half = end_to_end::load(&rungs, Some(sustained.rate / 2.0), time, 40);
    print(&markers::run(&rungs.doors(), &half, "")?);
    let stored = rungs.wait_for_events("bench", 0, Duration::ZERO)?;
    let stored = end_to_end::fill(&rungs, large, stored, 200)?;
    print(&[live::run(&rungs, stored)?, live::against_window_funnel(&rungs, stored)?]);
    Ok(())
}

fn on_kafka(arguments: &Arguments) -> Result<(), BenchError> {
    let sizes = match arguments.quick {
        true => kafka::Sizes { sending: seconds(3), events: 2_000_000, visitors: 200_000 },
        false => kafka::Sizes { sending: seconds(8), events: 10_000_000, visitors: 1_000_000 },
    };
    kafka::run(&arguments.rungs, &sizes, &|row| println!("{row}"))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

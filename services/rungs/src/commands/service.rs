//! `rungs collector|aggregator|console`: one service a process, on Kafka. This build has no Kafka log, and says so
//! instead of starting something that would not hold.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;

/// One service alone, on Kafka and a ClickHouse server (not in this build)
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// The settings file, with [kafka] brokers and [clickhouse] url
    #[arg(long, value_name = "FILE", default_value = "rungs.toml")]
    settings: PathBuf,
}

const EXAMPLE: &str = "Needs a log that several processes share, which this build does not have; everything in one \
process, on one machine:\n  rungs collector      ends with exit code 2\n  rungs aggregator     ends with exit code 2\n  \
rungs console        ends with exit code 2\n  rungs up --settings rungs.toml --plan tracking-plan.toml";

pub(crate) fn run(service: &str) -> Result<(), Failure> {
    Err(Failure::usage(format!(
        "`rungs {service}` needs the Kafka log, which this build does not have. `rungs up` runs collector, aggregator \
         and console in one process on one machine; with [clickhouse] url in its settings it writes to your ClickHouse"
    )))
}

//! `rungs aggregator`: an aggregator alone, on Kafka and a ClickHouse server.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::{production, settings};

/// Count events from Kafka into ClickHouse; several share the work
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// The settings file, with [kafka] brokers and [clickhouse] url; without it, defaults and RUNGS_… variables
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Where metrics and readiness are [default: [admin] listen, 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
}

const EXAMPLE: &str = "Keeps no disk: a partition's state is read back from ClickHouse by whoever serves it. Give each process a \
name of its own in [kafka] instance_id (RUNGS_KAFKA__INSTANCE_ID): one that is back within seconds goes on with its \
partitions. Ready (/readyz) when its first partitions are read back.

Examples:
  rungs aggregator --settings rungs.toml
  RUNGS_KAFKA__BROKERS=kafka:9092 RUNGS_KAFKA__INSTANCE_ID=aggregator-0 RUNGS_CLICKHOUSE__URL=http://clickhouse:8123 rungs aggregator";

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut settings = settings::load(arguments.settings.as_deref())?;
    settings::start_logging(&settings.logging)?;
    settings.admin.listen = arguments.admin.unwrap_or(settings.admin.listen);
    production::run_aggregator(settings).await
}

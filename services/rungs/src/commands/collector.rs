//! `rungs collector`: the collector alone, on Kafka.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::{production, settings};

/// Take events over HTTP and hand them to Kafka
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// The settings file, with [kafka] brokers; without it, defaults and RUNGS_… variables
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The folder of the spill, which keeps events while Kafka is away; created if missing
    #[arg(long, value_name = "DIR", default_value = "data")]
    data_dir: PathBuf,
    /// Where events come in [default: [collector] listen, 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where metrics and readiness are [default: [admin] listen, 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Take no events: hand over what is in the spill and end
    #[arg(long, conflicts_with = "listen")]
    drain_only: bool,
}

const EXAMPLE: &str = "Answers when an event is acknowledged by Kafka (acks=all), or, while Kafka is away or slow, fsynced \
in the spill; that is handed over in order when Kafka is back, also after a restart. With [clickhouse] url it can tell how \
far an import is. Ctrl-C (or SIGTERM) answers what is in flight and ends. The folder of a collector that does not come back \
is emptied with --drain-only: exit code 0 when nothing is left in it.

Examples:
  rungs collector --settings rungs.toml --data-dir /var/lib/rungs
  RUNGS_KAFKA__BROKERS=kafka:9092 rungs collector --listen 0.0.0.0:8080
  rungs collector --settings rungs.toml --data-dir /mnt/of-another --drain-only";

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut settings = settings::load(arguments.settings.as_deref())?;
    settings::start_logging(&settings.logging)?;
    settings.collector.listen = arguments.listen.unwrap_or(settings.collector.listen);
    settings.admin.listen = arguments.admin.unwrap_or(settings.admin.listen);
    match arguments.drain_only {
        true => production::drain_spill(settings, arguments.data_dir).await,
        false => production::run_collector(settings, arguments.data_dir).await,
    }
}

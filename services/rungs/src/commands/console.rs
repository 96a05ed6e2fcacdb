//! `rungs console`: the live page and its API alone, on Kafka's plan topic and a ClickHouse server.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::{production, settings};

/// Serve the live page and its API
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// The settings file, with [kafka] brokers and [clickhouse] url; without it, defaults and RUNGS_… variables
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Where the page and the API are [default: [console] listen, 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS")]
    console: Option<SocketAddr>,
    /// Where metrics and readiness are [default: [admin] listen, 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
}

const EXAMPLE: &str =
    "Reads the plan from Kafka and the numbers from ClickHouse; keeps nothing. Whoever reads needs the \
token of [console] token; where none is set, only this machine's programs may.

Examples:
  rungs console --settings rungs.toml
  rungs console --settings rungs.toml --console 0.0.0.0:8081";

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut settings = settings::load(arguments.settings.as_deref())?;
    settings::start_logging(&settings.logging)?;
    settings.console.listen = arguments.console.unwrap_or(settings.console.listen);
    settings.admin.listen = arguments.admin.unwrap_or(settings.admin.listen);
    production::run_console(settings).await
}

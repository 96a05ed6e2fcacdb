//! `rungs migrate`: brings a ClickHouse server to this program's schema. `rungs up` does so by itself.

use std::path::PathBuf;

use clap::Args;
use warehouse::{Retention, Warehouse, migrate};

use crate::failure::Failure;
use crate::settings;

/// Bring the ClickHouse of [clickhouse] url to this version's tables
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// The settings file; without it, defaults and RUNGS_… variables
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
}

const EXAMPLE: &str = "Safe to repeat, and to run in two places at once. `rungs up` migrates by itself.

Examples:
  rungs migrate --settings rungs.toml
  RUNGS_CLICKHOUSE__URL=http://127.0.0.1:8123 rungs migrate";

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = settings::load(arguments.settings.as_deref())?;
    settings::start_logging(&settings.logging)?;
    let warehouse = Warehouse::connect(&settings.clickhouse)?;
    let retention = Retention::from(&settings.aggregator);
    let migrated = warehouse.retry(|| migrate(&warehouse, &retention)).await;
    let url = settings.clickhouse.url.unwrap_or_default();
    let schema = migrated.map_err(|error| Failure::new(format!("{error} ([clickhouse] url = \"{url}\")")))?;
    eprintln!("the database {} has schema version {}", warehouse.database(), schema.version);
    Ok(())
}

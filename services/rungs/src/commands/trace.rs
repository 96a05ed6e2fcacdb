//! `rungs trace`: where an event went.

use std::path::PathBuf;

use clap::Args;
use runtime::settings::ClickHouseSettings;
use warehouse::trace::Wanted;
use warehouse::{Warehouse, WarehouseError};

use crate::failure::Failure;
use crate::{settings, trace};

/// Find out where an event went: counted by which steps or why not, late, a copy, rejected, or never seen
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// The site that should have it
    #[arg(long, value_name = "SITE")]
    site: String,
    /// The event's messageId
    #[arg(long, value_name = "ID", required_unless_present = "visitor")]
    message_id: Option<String>,
    /// The visitor's anonymousId, or userId where there is none: the newest 50 events, the oldest of them first
    #[arg(long, value_name = "VISITOR")]
    visitor: Option<String>,
    /// The settings file, whose [clickhouse] is read and what [aggregator] counts live; without it, defaults and RUNGS_… variables
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// ClickHouse's HTTP interface [default: [clickhouse] url, or that of `rungs up`, http://127.0.0.1:8123]
    #[arg(long, value_name = "URL")]
    clickhouse: Option<String>,
}

const OF_RUNGS_UP: &str = "http://127.0.0.1:8123";

const EXAMPLE: &str =
    "Reads ClickHouse, so an event is found a second or two after it was answered. Exit code 1: nothing was \
found; the hints say what may be the reason.

Examples:
  rungs trace --site shop --message-id 6f0c8a1e
  rungs trace --site shop --visitor ann@example.org
  rungs trace --settings rungs.toml --site shop --message-id 6f0c8a1e";

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = settings::load(arguments.settings.as_deref())?;
    settings::start_logging(&settings.logging)?;
    let configured = settings.clickhouse;
    let url = arguments.clickhouse.or(configured.url).unwrap_or_else(|| OF_RUNGS_UP.to_owned());
    let warehouse = Warehouse::connect(&ClickHouseSettings { url: Some(url.clone()), ..configured })?;
    warehouse.ping().await.map_err(|error| unreachable(&url, &error))?;
    let Arguments { site, message_id, visitor, .. } = arguments;
    let wanted = Wanted { site, message_id, visitor };
    let aggregator = settings.aggregator;
    let limits =
        trace::Limits { horizon_ms: aggregator.horizon_ms, max_tail_events: aggregator.max_tail_events };
    trace::run(&warehouse, &wanted, limits).await
}

fn unreachable(url: &str, error: &WarehouseError) -> Failure {
    Failure::new(format!(
        "there is no ClickHouse to ask at {url}: {error}. Does `rungs up` run there? --clickhouse names another address, \
         --settings a file with [clickhouse]"
    ))
}

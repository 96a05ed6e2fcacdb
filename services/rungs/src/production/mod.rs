//! One service a process, on Kafka and a ClickHouse server: what `rungs collector`, `rungs aggregator` and `rungs console`
//! run. The services are those of [`standalone`](crate::standalone); here each opens its own side of the log and of the
//! warehouse, starts whatever the others do, and waits for what is away as long as it must.

mod aggregator;
mod collector;
mod console;
mod drain;
pub(crate) mod kafka;
pub(crate) mod plans;

use std::path::Path;

use runtime::retry::until_it_works;
use runtime::{AdminServer, Settings};
use warehouse::{Retention, Warehouse, WarehouseError, migrate};

use crate::failure::Failure;
use crate::process::Process;

pub(crate) use aggregator::run as run_aggregator;
pub(crate) use collector::run as run_collector;
pub(crate) use console::run as run_console;
pub(crate) use drain::run as drain_spill;

/// The ClickHouse server of `[clickhouse] url`.
fn warehouse(settings: &Settings) -> Result<Warehouse, Failure> {
    match settings.clickhouse.url {
        Some(_) => Ok(Warehouse::connect(&settings.clickhouse)?),
        None => Err(Failure::usage(
            "this service needs a ClickHouse server: set [clickhouse] url in the settings, or RUNGS_CLICKHOUSE__URL",
        )),
    }
}

/// Brings ClickHouse to this program's schema; waits for a server that is away. `false` if a stop was asked for meanwhile.
async fn migrated(process: &Process, warehouse: &Warehouse, settings: &Settings) -> Result<bool, Failure> {
    let retention = Retention::from(&settings.aggregator);
    let attempt = || migrate(warehouse, &retention);
    let what = format!("ClickHouse at {}", settings.clickhouse.url.as_deref().unwrap_or_default());
    let migrated = until_it_works(&process.shutdown, &what, WarehouseError::is_retryable, attempt).await?;
    Ok(migrated.is_some())
}

fn start_admin(process: &Process, settings: &Settings) -> Result<AdminServer, Failure> {
    let Process { metrics, health, tasks, shutdown } = process.clone();
    Ok(AdminServer::start(settings.admin.listen, metrics, health, &tasks, shutdown)?)
}

/// Where a service that is ready can be reached, for people.
fn announce(
    service: &str,
    address: Option<std::net::SocketAddr>,
    admin: &AdminServer,
    data_dir: Option<&Path>,
) {
    let listens = address.map(|address| format!(" on http://{address}")).unwrap_or_default();
    let data = data_dir.map(|dir| format!(", spill in {}", dir.display())).unwrap_or_default();
    eprintln!("rungs {service}{listens}; metrics and readiness on http://{}{data}", admin.address());
}

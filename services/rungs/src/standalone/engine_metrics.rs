//! The metrics of the engines below `rungs up`: looks at the log and at the embedded ClickHouse every few seconds.

use std::sync::Arc;
use std::time::Duration;

use event_log::local::{LocalLog, LocalLogMetrics};
use warehouse::Warehouse;
use warehouse::embedded::ClickHouseMetrics;

use super::engine::{CLICKHOUSE_MEMORY_BYTES, Engines};
use crate::failure::Failure;
use crate::process::Process;

/// How often they are looked at: each look is a few stats of files and two small queries.
const LOOK: Duration = Duration::from_secs(5);

/// Registers the metrics of the engines, and shows them until the process is to stop.
///
/// # Errors
/// Only if they are registered twice.
pub(super) fn show(process: &Process, engines: &Engines) -> Result<(), Failure> {
    let log = LocalLogMetrics::register(&process.metrics)?;
    let clickhouse = match engines.clickhouse_address() {
        Some(_) => Some(ClickHouseMetrics::register(&process.metrics, CLICKHOUSE_MEMORY_BYTES)?),
        None => None,
    };
    let (source, warehouse) = (Arc::clone(&engines.log), engines.warehouse.clone());
    let shutdown = process.shutdown.clone();
    drop(process.tasks.spawn("engine metrics", async move {
        tokio::select! {
            () = keep_showing(source, Arc::new(log), &warehouse, clickhouse) => {}
            () = shutdown.requested() => {}
        }
    }));
    Ok(())
}

async fn keep_showing(
    source: Arc<LocalLog>,
    log: Arc<LocalLogMetrics>,
    warehouse: &Warehouse,
    clickhouse: Option<ClickHouseMetrics>,
) {
    loop {
        let (shown, seen) = (Arc::clone(&log), Arc::clone(&source));
        if let Err(error) = tokio::task::spawn_blocking(move || shown.show(&seen)).await {
            tracing::error!(%error, "looking at the log failed");
        }
        if let Some(metrics) = &clickhouse {
            match warehouse.engine_state().await {
                Ok(state) => metrics.show(&state),
                Err(error) => tracing::warn!(%error, "the embedded ClickHouse does not tell what it does"),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

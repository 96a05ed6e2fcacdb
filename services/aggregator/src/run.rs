//! Runs the aggregator: serves the partitions that the log gives to this process, and gives them back when it is told.
//!
//! ```text
//! log --read 1 MiB--> lane thread ---writes----> writer task --> ClickHouse
//!                       |    ^
//!                 order |    | built funnel (1)
//!                       v    |
//!                    build thread <-- raw events, log from the cut-off
//! ```
//! A thread a partition reads the log and folds, a task a partition writes, and a thread at a time builds funnels from raw
//! events. A warehouse that is away fills the queue of writes and so stops the lane; the log
//! keeps what it does not read.

use std::sync::Arc;
use std::time::Duration;

use event_log::rejected::{RejectedSource, Rejections};
use event_log::{Assignment, PlanTopic, Publisher, Source};
use runtime::health::{Condition, Health};
use runtime::metrics::{Metrics, MetricsError};
use runtime::retry::until_it_works;
use runtime::settings::AggregatorSettings;
use runtime::{Shutdown, Tasks};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use warehouse::logs::KnownLog;
use warehouse::{Warehouse, WarehouseError};

use crate::clock_watch::ClockWatch;
use crate::counters::LaneCounters;
use crate::ending::Ending;
use crate::erased_rows;
use crate::linking::{self, Linking};
use crate::metrics::FunnelMetrics;
use crate::partitions::Partitions;
use crate::rejected;
use crate::restore::RestoreError;
use crate::screened::Translate;
use crate::site_retention::SiteRetention;
use crate::snapshot::Board;
use crate::store::Store;

/// How often it is looked whether all partitions are restored.
const RESTORED_INTERVAL: Duration = Duration::from_millis(100);
/// How often generations that were replaced are looked for.
const CLEAN_UP_INTERVAL: Duration = Duration::from_secs(300);

/// The aggregator's parts.
pub struct Aggregator {
    pub settings: AggregatorSettings,
    pub source: Arc<dyn Source>,
    pub plans: Arc<dyn PlanTopic>,
    /// The same log, to order builds.
    pub publisher: Arc<dyn Publisher>,
    pub foreign: Foreign,
    /// What was not taken, here or by collectors, to be stored.
    pub rejected: Option<Box<dyn RejectedSource>>,
    pub warehouse: Warehouse,
    pub metrics: Metrics,
    pub health: Health,
    pub tasks: Tasks,
    /// At shutdown the rest of the log is taken for at most this long; zero where another process goes on with it.
    pub drain_limit: Duration,
}

/// What it takes to read a log that others may write to as well.
#[derive(Clone)]
pub struct Foreign {
    /// The log, as people know it: the topic, or that of a folder.
    pub topic: String,
    /// Where records are shown that nobody can take.
    pub rejections: Arc<Rejections>,
    /// Reads JSON.
    pub translate: Translate,
}

/// Why the aggregator ended.
#[derive(Debug, thiserror::Error)]
pub enum AggregatorError {
    #[error("the aggregator's metrics could not be registered: {0}")]
    Metrics(#[from] MetricsError),
    #[error("the aggregator could not start a thread: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the aggregator could not read its state: {0}")]
    Warehouse(#[from] WarehouseError),
    #[error("the aggregator could not restore a partition: {0}")]
    Restore(#[from] RestoreError),
    #[error("a lane of the aggregator ended early; its log line says why")]
    LaneEnded,
}

/// Runs until shutdown is requested, then takes the rest of the log (for the drain limit), flushes and returns.
pub async fn run(mut aggregator: Aggregator, shutdown: Shutdown) -> Result<(), AggregatorError> {
    let restored = aggregator.health.condition("partitions restored");
    let counters = LaneCounters::register(&aggregator.metrics)?;
    let board = Board::new(aggregator.source.partitions());
    FunnelMetrics::register(&aggregator.metrics, board.clone())?;
    let linked_ids = linking::register(&aggregator.metrics)?;
    let Some(log) = until_it_answers(&aggregator, &shutdown).await? else { return Ok(()) };
    let cleaning = clean_up(aggregator.warehouse.clone(), shutdown.clone());
    drop(aggregator.tasks.spawn("aggregator-clean-up", cleaning));
    let watching = ClockWatch::default().run(board.clone(), aggregator.settings.horizon_ms, shutdown.clone());
    drop(aggregator.tasks.spawn("aggregator-clock-watch", watching));
    let retention =
        SiteRetention::new(aggregator.warehouse.clone(), aggregator.plans.latest(), board.clone());
    drop(aggregator.tasks.spawn("aggregator-retention", retention.run(shutdown.clone())));
    let interval = Duration::from_millis(aggregator.settings.erasure_interval_ms);
    let erasing = erased_rows::run(aggregator.warehouse.clone(), board.clone(), interval, shutdown.clone());
    drop(aggregator.tasks.spawn("aggregator-erased-rows", erasing));
    let linking = Linking {
        warehouse: aggregator.warehouse.clone(),
        plans: aggregator.plans.latest(),
        board: board.clone(),
        publisher: Arc::clone(&aggregator.publisher),
        log,
        interval_ms: aggregator.settings.link_interval_ms.cast_signed(),
        ids: linked_ids,
    };
    drop(aggregator.tasks.spawn("aggregator-linking", linking.run(shutdown.clone())));
    if let Some(source) = aggregator.rejected.take() {
        let (warehouse, runtime, shutdown) =
            (aggregator.warehouse.clone(), Handle::current(), shutdown.clone());
        let store = move || rejected::run(source, &warehouse, &runtime, &shutdown);
        aggregator.tasks.spawn_thread("aggregator-rejected", store)?;
    }
    let ending = if aggregator.drain_limit.is_zero() { Ending::Flush } else { Ending::Drain };
    let assignments = aggregator.source.assignments();
    let mut partitions = Partitions::new(aggregator, log, board, counters);
    let served = serve(&mut partitions, assignments, &restored, &shutdown).await;
    restored.set(false);
    served.and(partitions.stop_all(ending).await)
}

/// Follows the assignments until shutdown is requested; a partition that ends unasked ends the aggregator.
async fn serve(
    partitions: &mut Partitions,
    mut assignments: mpsc::Receiver<Assignment>,
    restored: &Condition,
    shutdown: &Shutdown,
) -> Result<(), AggregatorError> {
    let (mut joined, mut may_change) = (false, true);
    let mut look = tokio::time::interval(RESTORED_INTERVAL);
    loop {
        tokio::select! {
            () = shutdown.requested() => return Ok(()),
            error = partitions.failure() => return Err(error),
            _ = look.tick() => {}
            change = assignments.recv(), if may_change => match change {
                Some(change) => {
                    joined = true;
                    follow(partitions, change).await?;
                }
                None => may_change = false,
            },
        }
        restored.set(joined && partitions.are_restored());
    }
}

async fn follow(partitions: &mut Partitions, change: Assignment) -> Result<(), AggregatorError> {
    match change {
        Assignment::Assigned(assigned) => partitions.start(assigned),
        Assignment::Revoked { partitions: revoked, lost, acknowledgement } => {
            let ending = if lost { Ending::Abandon } else { Ending::Flush };
            partitions.stop(&revoked, ending).await?;
            acknowledgement.acknowledge();
        }
    }
    Ok(())
}

/// What the warehouse knows of the log; asked for until the warehouse answers or shutdown is requested.
async fn until_it_answers(
    aggregator: &Aggregator,
    shutdown: &Shutdown,
) -> Result<Option<KnownLog>, AggregatorError> {
    let (log_id, partitions) = (aggregator.source.id().0, aggregator.source.partitions());
    let ask = || Store::register_log(&aggregator.warehouse, &log_id, partitions);
    Ok(until_it_works(shutdown, "ClickHouse", WarehouseError::is_retryable, ask).await?)
}

/// Removes what no reader uses any more, now and then.
async fn clean_up(warehouse: Warehouse, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(CLEAN_UP_INTERVAL) => {}
        }
        match warehouse.remove_superseded().await {
            Ok(0) => {}
            Ok(generations) => tracing::info!(generations, "replaced generations were removed"),
            Err(error) => {
                tracing::warn!(%error, "replaced generations could not be removed; trying again later")
            }
        }
    }
}

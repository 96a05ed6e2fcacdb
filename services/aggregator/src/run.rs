//! Runs the lanes: restores each partition, then a thread a partition reads the log and folds, a task a partition writes,
//! and a thread at a time builds funnels from raw events.
//!
//! ```text
//! log --read 1 MiB--> lane thread --16 writes--> writer task --> ClickHouse
//!                       |    ^
//!                 order |    | built funnel (1)
//!                       v    |
//!                    build thread <-- raw events, log from the cut-off
//! ```
//! A warehouse that is away fills the queue of writes and so stops the lane; the log keeps what it does not read.

use std::sync::Arc;
use std::time::Duration;

use event_log::{PlanTopic, Source};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use runtime::health::{Condition, Health};
use runtime::metrics::{Metrics, MetricsError};
use runtime::settings::AggregatorSettings;
use runtime::{Shutdown, Tasks};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, watch};
use warehouse::{Warehouse, WarehouseError};

use crate::counters::LaneCounters;
use crate::funnel_lane::{FoldSettings, PartitionId};
use crate::lane::{Effects, FlushLimits, Lane};
use crate::lane_thread::LaneThread;

use crate::metrics::FunnelMetrics;
use crate::restore::{RestoreError, Restored, restore};
use crate::snapshot::{Board, LaneBoard};
use crate::store::Store;
use crate::writer;

/// A warehouse that is away at the start is asked again after this long.
const RESTORE_PAUSE: Duration = Duration::from_secs(1);
/// How often generations that were replaced are looked for.
const CLEAN_UP_INTERVAL: Duration = Duration::from_secs(300);
const DAY_MS: i64 = 86_400_000;

/// The aggregator's parts.
pub struct Aggregator {
    pub settings: AggregatorSettings,
    pub source: Arc<dyn Source>,
    pub plans: Arc<dyn PlanTopic>,
    pub warehouse: Warehouse,
    pub metrics: Metrics,
    pub health: Health,
    pub tasks: Tasks,
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

/// Runs until shutdown is requested, then folds the rest of the log (for 5 s at most), flushes and returns.
pub async fn run(aggregator: Aggregator, shutdown: Shutdown) -> Result<(), AggregatorError> {
    let restored = aggregator.health.condition("partitions restored");
    let counters = LaneCounters::register(&aggregator.metrics)?;
    let partitions = aggregator.source.partitions();
    let board = Board::new(partitions as usize, partitions);
    FunnelMetrics::register(&aggregator.metrics, board.clone())?;
    let Some(epoch) = until_it_answers(&aggregator, &shutdown).await? else { return Ok(()) };
    let (mut lanes, one_at_a_time) = (Vec::new(), Arc::new(Mutex::new(())));
    for (partition, board) in (0..partitions).zip(board.lanes.iter()) {
        let id = PartitionId { log_id: aggregator.source.id().0, epoch, partition, partitions };
        let Some(found) = restored_partition(&aggregator, &id, &shutdown).await? else { return Ok(()) };
        let mut lane = Lane::new(
            id,
            fold_settings(&aggregator.settings),
            flush_limits(&aggregator.settings),
            counters.clone(),
        );
        let effects = resume(&mut lane, found);
        lanes.push(start_lane(&aggregator, lane, effects, Arc::clone(board), &one_at_a_time, &shutdown)?);
    }
    restored.set(true);
    let cleaning = clean_up(aggregator.warehouse.clone(), shutdown.clone());
    drop(aggregator.tasks.spawn("aggregator-clean-up", cleaning));
    wait_for(lanes, restored, &shutdown).await
}

/// The log's number; asked for until the warehouse answers or shutdown is requested.
async fn until_it_answers(
    aggregator: &Aggregator,
    shutdown: &Shutdown,
) -> Result<Option<u32>, AggregatorError> {
    let log_id = aggregator.source.id().0;
    loop {
        match Store::log_epoch(&aggregator.warehouse, &log_id, aggregator.source.partitions()).await {
            Ok(epoch) => return Ok(Some(epoch)),
            Err(error) if error.is_retryable() => tracing::warn!(%error, "waiting for ClickHouse"),
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = shutdown.requested() => return Ok(None),
            () = tokio::time::sleep(RESTORE_PAUSE) => {}
        }
    }
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

/// Waits for all lanes; the first one that ends before shutdown is requested ends the aggregator.
async fn wait_for(
    lanes: Vec<watch::Receiver<bool>>,
    restored: Condition,
    shutdown: &Shutdown,
) -> Result<(), AggregatorError> {
    // An error means that the lane's writer is gone, which counts as its end.
    let end = |mut ended: watch::Receiver<bool>| async move { drop(ended.wait_for(|ended| *ended).await) };
    let mut ends: FuturesUnordered<_> = lanes.into_iter().map(end).collect();
    while ends.next().await.is_some() {
        if !shutdown.is_requested() {
            restored.set(false);
            return Err(AggregatorError::LaneEnded);
        }
    }
    Ok(())
}

fn fold_settings(settings: &AggregatorSettings) -> FoldSettings {
    FoldSettings {
        horizon_ms: settings.horizon_ms,
        max_tail_events: settings.max_tail_events,
        minute_history_ms: i64::from(settings.minute_history_days) * DAY_MS,
        hour_history_ms: i64::from(settings.hour_history_days) * DAY_MS,
    }
}

fn flush_limits(settings: &AggregatorSettings) -> FlushLimits {
    FlushLimits {
        events_interval_ms: settings.events_interval_ms as i64,
        events_batch_rows: settings.events_batch_rows,
        journeys_interval_ms: settings.journeys_interval_ms as i64,
        journeys_batch_rows: settings.journeys_batch_rows,
    }
}

/// Restores a partition; tried again until the warehouse answers or shutdown is requested.
async fn restored_partition(
    aggregator: &Aggregator,
    id: &PartitionId,
    shutdown: &Shutdown,
) -> Result<Option<Restored>, AggregatorError> {
    let settings = fold_settings(&aggregator.settings);
    loop {
        let restored = tokio::select! {
            () = shutdown.requested() => return Ok(None),
            restored = restore(&aggregator.warehouse, id, &settings) => restored,
        };
        match restored {
            Ok(restored) => return Ok(Some(restored)),
            Err(RestoreError::Warehouse(error)) if error.is_retryable() => {
                tracing::warn!(%error, partition = id.partition, "a partition could not be restored; trying again");
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(RESTORE_PAUSE).await;
    }
}

fn resume(lane: &mut Lane, restored: Restored) -> Effects {
    let (offset, funnels) = (restored.next_offset, restored.funnels.len());
    tracing::info!(partition = lane.partition.partition, offset, funnels, "partition restored");
    let mut effects = Effects::default();
    lane.resume(
        restored.in_force,
        restored.next_offset,
        restored.clock_ms,
        restored.funnels,
        restored.unfinished,
        &mut effects,
    );
    effects
}

/// Starts a partition's thread and its writer; the receiver turns true when both have ended.
fn start_lane(
    aggregator: &Aggregator,
    lane: Lane,
    effects: Effects,
    board: LaneBoard,
    one_at_a_time: &Arc<Mutex<()>>,
    shutdown: &Shutdown,
) -> Result<watch::Receiver<bool>, AggregatorError> {
    let (writes, queue) = mpsc::channel(writer::QUEUE);
    let (built_sender, built) = mpsc::channel(1);
    let (ended_sender, ended) = watch::channel(false);
    let (source, partition) = (Arc::clone(&aggregator.source), lane.partition.partition);
    let write = writer::run(aggregator.warehouse.clone(), queue, source, partition, shutdown.clone());
    aggregator.tasks.spawn("aggregator-writer", async move {
        write.await;
        ended_sender.send_replace(true);
    });
    let thread = LaneThread {
        lane,
        store: aggregator.warehouse.clone(),
        source: Arc::clone(&aggregator.source),
        plans: Arc::clone(&aggregator.plans),
        settings: fold_settings(&aggregator.settings),
        writes,
        built,
        built_sender,
        waiting: Vec::new(),
        one_at_a_time: Arc::clone(one_at_a_time),
        orders: Arc::default(),
        board,
        tasks: aggregator.tasks.clone(),
        runtime: Handle::current(),
        shutdown: shutdown.clone(),
        last_snapshot_ms: 0,
    };
    aggregator.tasks.spawn_thread("aggregator-lane", move || thread.run(effects))?;
    Ok(ended)
}

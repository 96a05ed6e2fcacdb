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

use event_log::{PlanTopic, ReadError, Source};
use runtime::health::{Condition, Health};
use runtime::metrics::{Metrics, MetricsError};
use runtime::settings::AggregatorSettings;
use runtime::{Shutdown, Tasks};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, watch};
use warehouse::{Warehouse, WarehouseError};

use crate::build::{BuildError, Builder, Built, follow};
use crate::counters::LaneCounters;
use crate::funnel_lane::{FoldSettings, FunnelLane, PartitionId};
use crate::lane::{BuildOrder, Effects, FlushLimits, Lane};

use crate::metrics::FunnelMetrics;
use crate::restore::restore;
use crate::snapshot::{Board, FunnelSnapshot, LaneBoard, LaneSnapshot, LaneState};
use crate::store::{Store, Write};
use crate::writer;

/// Bytes of the log that a lane reads at once.
const READ_BYTES: usize = 1 << 20;
/// A lane at the end of the log looks at the clock this often.
const IDLE_TICK: Duration = Duration::from_millis(100);
/// The scrape sees counts that are at most this old.
const SNAPSHOT_INTERVAL_MS: i64 = 200;
/// A warehouse that is away at the start is asked again after this long.
const RESTORE_PAUSE: Duration = Duration::from_secs(1);
/// How often generations that were replaced are looked for.
const CLEAN_UP_INTERVAL: Duration = Duration::from_secs(300);
/// At shutdown a lane reads on until the end of the log for at most this long.
const DRAIN_LIMIT_MS: i64 = 5_000;
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
    let mut lanes = Vec::new();
    for (partition, board) in (0..partitions).zip(board.lanes.iter()) {
        let id = PartitionId { log_id: aggregator.source.id().0, epoch, partition, partitions };
        lanes.push(start_lane(&aggregator, id, Arc::clone(board), counters.clone(), &shutdown).await?);
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

async fn wait_for(
    lanes: Vec<watch::Receiver<bool>>,
    restored: Condition,
    shutdown: &Shutdown,
) -> Result<(), AggregatorError> {
    for mut ended in lanes {
        // An error means that the lane's thread is gone, which counts as its end.
        let _ = ended.wait_for(|ended| *ended).await;
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

/// Restores a partition and starts its thread and its writer; the receiver turns true when both have ended.
async fn start_lane(
    aggregator: &Aggregator,
    id: PartitionId,
    board: LaneBoard,
    counters: LaneCounters,
    shutdown: &Shutdown,
) -> Result<watch::Receiver<bool>, AggregatorError> {
    let settings = fold_settings(&aggregator.settings);
    let restored = restore(&aggregator.warehouse, &id, &settings).await?;
    tracing::info!(
        partition = id.partition,
        offset = restored.next_offset,
        funnels = restored.funnels.len(),
        "partition restored"
    );
    let mut lane = Lane::new(id.clone(), settings.clone(), flush_limits(&aggregator.settings), counters);
    let mut effects = Effects::default();
    lane.resume(
        restored.in_force,
        restored.next_offset,
        restored.clock_ms,
        restored.funnels,
        restored.unfinished,
        &mut effects,
    );
    let (writes, queue) = mpsc::channel(writer::QUEUE);
    let (built_sender, built) = mpsc::channel(1);
    let (ended_sender, ended) = watch::channel(false);
    let source = Arc::clone(&aggregator.source);
    let write = writer::run(aggregator.warehouse.clone(), queue, source, id.partition, shutdown.clone());
    aggregator.tasks.spawn("aggregator-writer", async move {
        write.await;
        ended_sender.send_replace(true);
    });
    let thread = LaneThread {
        lane,
        store: aggregator.warehouse.clone(),
        source: Arc::clone(&aggregator.source),
        plans: Arc::clone(&aggregator.plans),
        settings,
        writes,
        built,
        built_sender,
        waiting: Vec::new(),
        one_at_a_time: Arc::new(Mutex::new(())),
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

/// A partition's thread.
struct LaneThread<S: Store> {
    lane: Lane,
    store: S,
    source: Arc<dyn Source>,
    plans: Arc<dyn PlanTopic>,
    settings: FoldSettings,
    writes: mpsc::Sender<Write>,
    built: mpsc::Receiver<Built>,
    built_sender: mpsc::Sender<Built>,
    /// Builds that are ahead of the lane.
    waiting: Vec<Built>,
    one_at_a_time: Arc<Mutex<()>>,
    /// The generations that the lane waits for, for builds to look whether they are still wanted.
    orders: Arc<std::sync::Mutex<Vec<(String, String, u64)>>>,
    board: LaneBoard,
    tasks: Tasks,
    runtime: Handle,
    shutdown: Shutdown,
    last_snapshot_ms: i64,
}

/// The lane cannot go on: its writer is gone.
struct WriterGone;

impl<S: Store> LaneThread<S> {
    fn run(mut self, effects: Effects) {
        if self.carry_out(effects).is_err() || self.serve().is_err() {
            tracing::error!(
                partition = self.lane.partition.partition,
                "the lane's writer is gone; the lane ends"
            );
        }
    }

    fn serve(&mut self) -> Result<(), WriterGone> {
        let mut end = self.source.end(self.lane.partition.partition);
        let mut drain_until = i64::MAX;
        loop {
            let at_end = self.read_and_fold()?;
            let now_ms = now_ms();
            let mut effects = Effects::default();
            self.lane.tick(now_ms, at_end, &mut effects);
            self.carry_out(effects)?;
            self.adopt_built()?;
            self.publish(now_ms, *end.borrow());
            if self.shutdown.is_requested() {
                drain_until = drain_until.min(now_ms + DRAIN_LIMIT_MS);
                if at_end || now_ms >= drain_until {
                    return self.finish(now_ms);
                }
            } else if at_end {
                self.wait(&mut end);
            }
        }
    }

    /// Takes what the log has next; whether that was nothing.
    fn read_and_fold(&mut self) -> Result<bool, WriterGone> {
        let partition = self.lane.partition.partition;
        let records = match self.source.read(partition, self.lane.next_offset(), READ_BYTES) {
            Ok(records) => records,
            Err(error) => {
                self.unreadable(&error);
                return Ok(true);
            }
        };
        let mut effects = Effects::default();
        let plans = Arc::clone(&self.plans);
        let plan_text = move |number| plan_text(plans.as_ref(), number);
        for record in &records {
            self.lane.record(record.offset, record.appended_at_ms, &record.value, &plan_text, &mut effects);
        }
        self.carry_out(effects)?;
        Ok(records.is_empty())
    }

    fn unreadable(&mut self, error: &ReadError) {
        tracing::error!(%error, partition = self.lane.partition.partition, "the log cannot be read; trying again");
        std::thread::park_timeout(Duration::from_secs(1));
    }

    fn carry_out(&mut self, effects: Effects) -> Result<(), WriterGone> {
        for write in effects.writes {
            self.writes.blocking_send(write).map_err(|_| WriterGone)?;
        }
        for order in effects.builds {
            let (stored, barrier) = tokio::sync::oneshot::channel();
            self.writes.blocking_send(Write::Barrier(stored)).map_err(|_| WriterGone)?;
            self.start_build(order, barrier);
        }
        Ok(())
    }

    /// Starts a build on a thread of its own: it begins once everything before the cut-off is stored.
    fn start_build(&mut self, order: BuildOrder, barrier: tokio::sync::oneshot::Receiver<()>) {
        let name =
            |order: &BuildOrder| (order.funnel.site.clone(), order.funnel.id.clone(), order.generation);
        let key = name(&order);
        {
            let mut orders = self.orders.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            orders.retain(|known| (&known.0, &known.1) != (&key.0, &key.1));
            orders.push(key.clone());
        }
        let (orders, shutdown) = (Arc::clone(&self.orders), self.shutdown.clone());
        let wanted = move || {
            let orders = orders.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            orders.contains(&key) && !shutdown.is_requested()
        };
        let builder = Builder {
            store: self.store.clone(),
            source: Arc::clone(&self.source),
            partition: self.lane.partition.clone(),
            settings: self.settings.clone(),
            runtime: self.runtime.clone(),
            wanted: Arc::new(wanted),
        };
        let (sender, turn) = (self.built_sender.clone(), Arc::clone(&self.one_at_a_time));
        let started = self.tasks.spawn_thread("aggregator-build", move || {
            let _turn = builder.runtime.block_on(turn.lock());
            if builder.runtime.block_on(barrier).is_ok() {
                build_until_done(&builder, order, &sender);
            }
        });
        if let Err(error) = started {
            tracing::error!(%error, "no thread for a build; it starts with the next start of the service");
        }
    }

    /// Takes over finished builds that are still wanted, once the lane has come as far as they have.
    fn adopt_built(&mut self) -> Result<(), WriterGone> {
        while let Ok(built) = self.built.try_recv() {
            self.waiting.push(built);
        }
        let position = self.lane.next_offset();
        for built in std::mem::take(&mut self.waiting) {
            if built.lane.joins_at > position {
                self.waiting.push(built);
            } else if self.lane.wants(&built.order) {
                self.adopt(built.lane)?;
            }
        }
        Ok(())
    }

    /// Brings a built funnel over the records that the lane took meanwhile, and hands it to the lane.
    fn adopt(&mut self, mut lane: FunnelLane) -> Result<(), WriterGone> {
        let (position, mut clock_ms) = (self.lane.next_offset(), lane.fold().clock_ms());
        let mut rows = Vec::new();
        while lane.joins_at < position {
            match self.source.read(self.lane.partition.partition, lane.joins_at, READ_BYTES) {
                Ok(mut records) => {
                    records.retain(|record| record.offset < position);
                    follow(&mut lane, &records, &mut clock_ms, &self.lane.partition, &mut rows);
                }
                Err(error) => self.unreadable(&error),
            }
        }
        let mut effects = Effects::default();
        effects.writes.push(Write::Rolling(rows));
        tracing::info!(
            site = lane.key.site,
            funnel = lane.key.funnel,
            generation = lane.generation,
            visitors = lane.fold().visitors(),
            "funnel built from raw events"
        );
        self.lane.adopt(lane, now_ms(), &mut effects);
        self.carry_out(effects)
    }

    fn publish(&mut self, now_ms: i64, end: u64) {
        if now_ms - self.last_snapshot_ms < SNAPSHOT_INTERVAL_MS {
            return;
        }
        self.last_snapshot_ms = now_ms;
        let lag_records = end.saturating_sub(self.lane.next_offset());
        let state = if self.lane.builds_under_way() > 0 { LaneState::Rebuilding } else { LaneState::Live };
        let funnels = self.lane.funnels_mut().iter_mut().map(|lane| {
            let mut counts = lane.open_counts(now_ms).into_iter();
            let everybody = counts.next().map(|(_, _, counts)| counts).unwrap_or_default();
            let listed = |by: &str, value: &String| {
                lane.plan
                    .breakdowns
                    .iter()
                    .any(|breakdown| breakdown.by == by && breakdown.values.contains(value))
            };
            let values = counts.filter(|(by, value, _)| listed(by, value));
            let values = values.map(|(by, value, counts)| ((by, value), counts)).collect();
            FunnelSnapshot {
                funnel: Arc::clone(&lane.plan),
                everybody,
                values,
                visitors_in_memory: lane.fold().visitors(),
            }
        });
        let funnels = funnels.collect();
        self.board.store(Arc::new(LaneSnapshot { state, funnels, lag_records }));
    }

    /// Waits for records, a finished build, shutdown, or the next look at the clock.
    fn wait(&mut self, end: &mut watch::Receiver<u64>) {
        let position = self.lane.next_offset();
        let shutdown = self.shutdown.clone();
        self.runtime.clone().block_on(async {
            tokio::select! {
                _ = end.wait_for(|end| *end > position) => {}
                () = shutdown.requested() => {}
                () = tokio::time::sleep(IDLE_TICK) => {}
            }
        });
    }

    fn finish(&mut self, now_ms: i64) -> Result<(), WriterGone> {
        let mut effects = Effects::default();
        self.lane.flush(now_ms, &mut effects);
        self.carry_out(effects)
    }
}

/// Builds, again and again with growing pauses if the warehouse or the log fails.
fn build_until_done<S: Store>(builder: &Builder<S>, mut order: BuildOrder, sender: &mpsc::Sender<Built>) {
    loop {
        match builder.build(order.clone()) {
            Ok(built) => {
                // The lane is gone only when the service ends; the build starts again with the next start.
                let _ = sender.blocking_send(built);
                return;
            }
            Err(BuildError::Cancelled) => return,
            Err(BuildError::Log(ReadError::Gone { first, .. })) => {
                // What the log forgot is stored: the raw events reach further.
                tracing::warn!(
                    funnel = order.funnel.id,
                    first,
                    "the log begins after the build's cut-off; moving it"
                );
                order.cutoff = first;
            }
            Err(error) => {
                tracing::warn!(%error, funnel = order.funnel.id, "a build from raw events failed; trying again");
            }
        }
        std::thread::park_timeout(RESTORE_PAUSE);
    }
}

fn plan_text(plans: &dyn PlanTopic, number: u64) -> Option<String> {
    let latest = plans.latest().borrow().clone();
    if let Some(plan) = latest.filter(|plan| plan.number == number) {
        return Some(plan.text.clone());
    }
    plans.history().ok()?.into_iter().find(|plan| plan.number == number).map(|plan| plan.text)
}

/// Wall time in UTC milliseconds. It decides when things are written, never what is counted.
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

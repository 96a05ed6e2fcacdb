//! The partitions that this process serves. [`run`](crate::run) starts and stops them as it is told; each is restored,
//! then served by a thread that folds ([`lane_thread`](crate::lane_thread)) and a task that writes
//! ([`writer`](crate::writer)).
//!
//! Guarantee: a partition that is started again is served only after its former life here has ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use event_log::Source;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use runtime::retry::until_it_works;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use warehouse::logs::KnownLog;

use crate::counters::LaneCounters;
use crate::ending::{Ending, Stop};
use crate::funnel_lane::{FoldSettings, PartitionId};
use crate::joining::{Orders, Waiting};
use crate::journey_budget::JourneyBudget;
use crate::lane::{Effects, FlushLimits, Lane};
use crate::lane_thread::LaneThread;
use crate::refused::Refusals;
use crate::refused_raw::RefusedRaw;
use crate::restore::{RestoreError, Restored, restore_with};
use crate::restores::{Outstanding, Restores};
use crate::run::{Aggregator, AggregatorError};
use crate::screened::{Poisonous, Screened};
use crate::snapshot::{Board, LaneSnapshot, LaneState};
use crate::writer;

const DAY_MS: i64 = 86_400_000;

/// The partitions in service.
pub(crate) struct Partitions {
    shared: Arc<Shared>,
    running: BTreeMap<u32, Running>,
}

/// What all partitions use.
struct Shared {
    aggregator: Aggregator,
    log: KnownLog,
    board: Board,
    counters: LaneCounters,
    restores: Restores,
    builds: Arc<Mutex<()>>,
    journeys: JourneyBudget,
}

struct Running {
    stop: Stop,
    life: JoinHandle<Result<(), AggregatorError>>,
}

impl Partitions {
    /// None yet.
    pub(crate) fn new(aggregator: Aggregator, log: KnownLog, board: Board, counters: LaneCounters) -> Self {
        let (restores, builds) = (Restores::default(), Arc::default());
        let journeys = JourneyBudget::new(aggregator.settings.max_journeys);
        let shared = Shared { aggregator, log, board, counters, restores, builds, journeys };
        Self { shared: Arc::new(shared), running: BTreeMap::new() }
    }

    /// Begins to serve partitions; those that are served already go on.
    pub(crate) fn start(&mut self, partitions: Vec<u32>) {
        let new = partitions.into_iter().filter(|partition| !self.running.contains_key(partition));
        let new: Vec<(u32, Outstanding)> =
            new.map(|partition| (partition, self.shared.restores.expect())).collect();
        for (partition, outstanding) in new {
            let stop = Stop::default();
            self.shared.show(partition, LaneState::Restoring);
            let life = Arc::clone(&self.shared).serve(partition, stop.clone(), outstanding);
            let life = self.shared.aggregator.tasks.spawn("aggregator-partition", life);
            self.running.insert(partition, Running { stop, life });
        }
    }

    /// Stops serving partitions and waits until they have ended.
    pub(crate) async fn stop(&mut self, partitions: &[u32], ending: Ending) -> Result<(), AggregatorError> {
        let stopped: Vec<Running> =
            partitions.iter().filter_map(|partition| self.running.remove(partition)).collect();
        stopped.iter().for_each(|running| running.stop.ask(ending));
        let mut outcome = Ok(());
        for running in stopped {
            outcome = outcome.and(ended(running.life.await));
        }
        partitions.iter().for_each(|partition| self.shared.show(*partition, LaneState::Elsewhere));
        outcome
    }

    /// Stops serving whatever is served.
    pub(crate) async fn stop_all(&mut self, ending: Ending) -> Result<(), AggregatorError> {
        let all: Vec<u32> = self.running.keys().copied().collect();
        self.stop(&all, ending).await
    }

    /// Waits for a partition that ends unasked; for ever if none does.
    pub(crate) async fn failure(&mut self) -> AggregatorError {
        let mut lives: FuturesUnordered<_> =
            self.running.values_mut().map(|running| &mut running.life).collect();
        let Some(life) = lives.next().await else { return std::future::pending().await };
        drop(lives);
        // What has ended must not be waited for again.
        self.running.retain(|_, running| !running.life.is_finished());
        ended(life).err().unwrap_or(AggregatorError::LaneEnded)
    }

    /// Whether every partition in service has its journeys back.
    pub(crate) fn are_restored(&self) -> bool {
        self.running.keys().all(|partition| self.shared.state(*partition) != Some(LaneState::Restoring))
    }
}

fn ended(life: Result<Result<(), AggregatorError>, tokio::task::JoinError>) -> Result<(), AggregatorError> {
    life.unwrap_or(Err(AggregatorError::LaneEnded))
}

impl Shared {
    /// A partition's life here. A record that makes the fold panic ends the lane; the partition is then restored, and
    /// the record is refused where it comes again.
    async fn serve(
        self: Arc<Self>,
        partition: u32,
        stop: Stop,
        mut outstanding: Outstanding,
    ) -> Result<(), AggregatorError> {
        let Aggregator { settings, source, .. } = &self.aggregator;
        let (log_id, partitions) = (source.id().0, source.partitions());
        let KnownLog { epoch, generation_floor } = self.log;
        let id = PartitionId { log_id, epoch, generation_floor, partition, partitions };
        let (poisonous, raw) = (Poisonous::default(), RefusedRaw::default());
        loop {
            let known = poisonous.len();
            let Some(found) = self.restored(&id, &stop).await? else { return Ok(()) };
            drop(outstanding);
            tokio::select! {
                () = self.restores.others() => {}
                () = stop.asked().requested() => {}
            }
            let (fold, limits) = (fold_settings(settings), flush_limits(settings));
            let mut lane = Lane::new(id.clone(), fold, limits, self.counters.clone());
            let effects = resume(&mut lane, found);
            self.run_lane(lane, effects, &stop, (&poisonous, &raw)).await?;
            match (stop.ending(), poisonous.len() > known) {
                (Some(_), _) => return Ok(()),
                (None, true) => {
                    self.show(partition, LaneState::Restoring);
                    outstanding = self.restores.expect();
                }
                (None, false) => return Err(AggregatorError::LaneEnded),
            }
        }
    }

    /// Restores a partition; tried again until the warehouse answers. `None` once it is to end.
    async fn restored(&self, id: &PartitionId, stop: &Stop) -> Result<Option<Restored>, AggregatorError> {
        let settings = fold_settings(&self.aggregator.settings);
        let told = self.board.lane(id.partition).map(|lane| lane.load().restore.clone()).unwrap_or_default();
        let attempt = || async {
            let _turn = self.restores.turn().await;
            restore_with(&self.aggregator.warehouse, id, &settings, &told).await
        };
        let may_pass =
            |error: &RestoreError| matches!(error, RestoreError::Warehouse(error) if error.is_retryable());
        let what = format!("ClickHouse, to restore partition {}", id.partition);
        Ok(until_it_works(stop.asked(), &what, may_pass, attempt).await?)
    }

    /// Runs a partition's thread and its writer to their ends.
    async fn run_lane(
        &self,
        lane: Lane,
        effects: Effects,
        stop: &Stop,
        (poisonous, raw): (&Poisonous, &RefusedRaw),
    ) -> Result<(), AggregatorError> {
        let Aggregator { settings, source, plans, foreign, warehouse, tasks, drain_limit, .. } =
            &self.aggregator;
        let (partition, poisonous) = (lane.partition.partition, poisonous.clone());
        let refusals = Refusals {
            foreign: foreign.clone(),
            place: (partition, source.partitions()),
            places: source.places(),
            poisonous: poisonous.clone(),
            raw: raw.clone(),
            panicked: self.counters.panicked.clone(),
        };
        let (source, translate) = (Arc::clone(source), Arc::clone(&foreign.translate));
        let source: Arc<dyn Source> = Arc::new(Screened { source, translate, poisonous });
        let (writes, queue) = mpsc::channel(writer::QUEUE);
        let (built_sender, built) = mpsc::channel(1);
        let (asked, timing) = (stop.asked().clone(), self.counters.timing.clone());
        let write = writer::run(warehouse.clone(), queue, Arc::clone(&source), partition, asked, timing);
        let writer = tasks.spawn("aggregator-writer", write);
        let thread = LaneThread {
            lane,
            store: warehouse.clone(),
            source,
            plans: Arc::clone(plans),
            awaited: None,
            refusals,
            journeys: self.journeys.share(),
            last_forgotten: None,
            settings: fold_settings(settings),
            writes,
            built,
            built_sender,
            waiting: Waiting::default(),
            one_at_a_time: Arc::clone(&self.builds),
            orders: Orders::default(),
            board: self.board.lane(partition).cloned().unwrap_or_default(),
            tasks: tasks.clone(),
            runtime: Handle::current(),
            stop: stop.clone(),
            drain_limit: *drain_limit,
            last_snapshot_ms: 0,
            last_at_end_ms: 0,
        };
        tasks.spawn_thread("aggregator-lane", move || thread.run(effects))?;
        // The lane closes its writer's queue when it ends.
        writer.await.map_err(|_| AggregatorError::LaneEnded)
    }

    fn show(&self, partition: u32, state: LaneState) {
        if let Some(lane) = self.board.lane(partition) {
            lane.store(Arc::new(LaneSnapshot { state, ..LaneSnapshot::default() }));
        }
    }

    fn state(&self, partition: u32) -> Option<LaneState> {
        self.board.lane(partition).map(|lane| lane.load().state)
    }
}

fn resume(lane: &mut Lane, restored: Restored) -> Effects {
    let (offset, funnels) = (restored.next_offset, restored.funnels.len());
    tracing::info!(partition = lane.partition.partition, offset, funnels, "partition restored");
    let mut effects = Effects::default();
    lane.resume(restored, &mut effects);
    effects
}

fn fold_settings(settings: &runtime::settings::AggregatorSettings) -> FoldSettings {
    FoldSettings {
        horizon_ms: settings.horizon_ms,
        max_tail_events: settings.max_tail_events,
        minute_history_ms: i64::from(settings.minute_history_days) * DAY_MS,
        hour_history_ms: i64::from(settings.hour_history_days) * DAY_MS,
    }
}

fn flush_limits(settings: &runtime::settings::AggregatorSettings) -> FlushLimits {
    FlushLimits {
        events_interval_ms: settings.events_interval_ms as i64,
        events_batch_rows: settings.events_batch_rows,
        journeys_interval_ms: settings.journeys_interval_ms as i64,
        journeys_batch_rows: settings.journeys_batch_rows,
    }
}

//! A partition's thread: reads the log, drives the [`Lane`], sends its writes to the writer, starts builds and takes them
//! over, and publishes the counts for the scrape. Started by [`crate::run`].

use std::sync::Arc;
use std::time::Duration;

use event_log::kafka::{KafkaRejections, RejectedRecord};
use event_log::{Clock, LogRecord, PlanTopic, ReadError, Source, SystemClock};
use rungs_proto::view::RecordView;
use runtime::Tasks;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, watch};

use crate::build::{BuildError, Builder, Built};
use crate::ending::{Ending, Stop};
use crate::funnel_lane::FoldSettings;
use crate::joining::{Orders, Waiting};
use crate::lane::{BuildOrder, Effects, Lane, Refused};
use crate::snapshot::{FunnelSnapshot, LaneBoard, LaneSnapshot, LaneState};
use crate::store::{Store, Write};

/// Bytes of the log that a lane reads at once.
const READ_BYTES: usize = 1 << 20;
/// Records whose visitors' journeys are read together.
const WARM: usize = 32;
/// A lane at the end of the log looks at the clock this often.
const IDLE_TICK: Duration = Duration::from_millis(100);
/// The scrape sees counts that are at most this old.
const SNAPSHOT_INTERVAL_MS: i64 = 200;
/// A log that cannot be read is tried again after this long.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(1);
/// A build that failed is tried again after this long, then twice as long, and so on.
const FIRST_BUILD_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_BUILD_PAUSE: Duration = Duration::from_secs(60);

/// A partition's thread.
pub(crate) struct LaneThread<S: Store> {
    pub(crate) lane: Lane,
    pub(crate) store: S,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) plans: Arc<dyn PlanTopic>,
    /// Where records go that nobody can take; a local log, which only we write, has none.
    pub(crate) rejections: Option<Arc<KafkaRejections>>,
    pub(crate) settings: FoldSettings,
    pub(crate) writes: mpsc::Sender<Write>,
    pub(crate) built: mpsc::Receiver<Built>,
    pub(crate) built_sender: mpsc::Sender<Built>,
    /// Builds that are ahead of the lane.
    pub(crate) waiting: Waiting,
    pub(crate) one_at_a_time: Arc<Mutex<()>>,
    /// What the lane waits for, for builds to look whether they are still wanted.
    pub(crate) orders: Orders,
    pub(crate) board: LaneBoard,
    pub(crate) tasks: Tasks,
    pub(crate) runtime: Handle,
    pub(crate) stop: Stop,
    /// Asked to drain, it reads on until the end of the log for at most this long.
    pub(crate) drain_limit: Duration,
    pub(crate) last_snapshot_ms: i64,
}

/// Why a lane cannot go on.
#[derive(Debug, thiserror::Error)]
enum LaneError {
    #[error("its writer is gone")]
    WriterGone,
    #[error(
        "the log begins at offset {first}, but the warehouse knows this partition only up to {known}: it is older than the \
         log, as after a backup was restored. Move the log away to begin a new one; the raw events are then counted anew"
    )]
    Behind { first: u64, known: u64 },
}

impl<S: Store> LaneThread<S> {
    /// Serves the partition until shutdown; `effects` come from its restore.
    pub(crate) fn run(mut self, effects: Effects) {
        let served = self.carry_out(effects).and_then(|()| self.serve());
        if let Err(error) = served {
            tracing::error!(partition = self.lane.partition.partition, %error, "the lane ends");
        }
    }

    fn serve(&mut self) -> Result<(), LaneError> {
        let mut end = self.source.end(self.lane.partition.partition);
        let mut drain_until = i64::MAX;
        loop {
            let at_end = self.read_and_fold()?;
            let now_ms = now_ms();
            let mut effects = Effects::default();
            self.lane.tick(now_ms, at_end, &mut effects);
            self.carry_out(effects)?;
            self.adopt_built()?;
            self.publish(now_ms, &end);
            match self.stop.ending() {
                Some(Ending::Abandon) => return Ok(()),
                Some(Ending::Flush) => return self.finish(now_ms),
                Some(Ending::Drain) => {
                    drain_until = drain_until.min(now_ms + self.drain_limit.as_millis() as i64);
                    if at_end || now_ms >= drain_until {
                        return self.finish(now_ms);
                    }
                }
                None if at_end => self.wait(&mut end),
                None => {}
            }
        }
    }

    /// Takes what the log has next; whether the lane stands at its end.
    fn read_and_fold(&mut self) -> Result<bool, LaneError> {
        let partition = self.lane.partition.partition;
        let records = match self.source.read(partition, self.lane.next_offset(), READ_BYTES) {
            Ok(records) => records,
            Err(error) => return self.unreadable(&error).map(|()| false),
        };
        let plans = Arc::clone(&self.plans);
        let plan_text = move |number| plan_text(plans.as_ref(), number);
        let mut effects = Effects::default();
        let mut decoded = Vec::with_capacity(WARM);
        let mut refused = None;
        for group in records.chunks(WARM) {
            decoded.clear();
            decoded.extend(group.iter().map(|record| RecordView::decode(&record.value)));
            self.lane.warm(decoded.iter().flatten());
            for (record, view) in group.iter().zip(decoded.drain(..)) {
                while !self.lane.approach(record.offset, record.appended_at_ms, &mut effects) {
                    self.carry_out(std::mem::take(&mut effects))?;
                }
                self.lane.take(record.offset, record.appended_at_ms, view, &plan_text, &mut effects);
                for found in effects.refused.drain(..) {
                    self.reject(record, found);
                    refused.get_or_insert(found);
                }
            }
        }
        // One line a read, however many they are.
        if let Some(Refused { offset, reason }) = refused {
            tracing::warn!(
                partition,
                offset,
                reason,
                "records of the log are no events of ours, this one first"
            );
        }
        self.carry_out(effects)?;
        Ok(records.is_empty())
    }

    /// Shows people a record that is not taken.
    fn reject(&self, record: &LogRecord, Refused { offset, reason }: Refused) {
        let Some(rejections) = &self.rejections else { return };
        let partition = self.lane.partition.partition;
        let (appended_at_ms, value) = (record.appended_at_ms, record.value.as_ref());
        rejections.write(&RejectedRecord { partition, offset, appended_at_ms, reason, value });
    }

    /// A log that begins after what this lane wants: fine for a warehouse that is new to it. Other errors may pass.
    fn unreadable(&mut self, error: &ReadError) -> Result<(), LaneError> {
        let partition = self.lane.partition.partition;
        if let ReadError::Gone { first, .. } = error {
            let known = self.lane.next_offset();
            if !self.lane.begin_at(*first) {
                return Err(LaneError::Behind { first: *first, known });
            }
            tracing::error!(
                partition,
                first,
                "the warehouse is new to this log; events before this offset are not in it"
            );
            return Ok(());
        }
        tracing::error!(%error, partition, "the log cannot be read; trying again");
        std::thread::park_timeout(UNREADABLE_PAUSE);
        Ok(())
    }

    fn carry_out(&mut self, effects: Effects) -> Result<(), LaneError> {
        for write in effects.writes {
            self.writes.blocking_send(write).map_err(|_| LaneError::WriterGone)?;
        }
        for order in effects.builds {
            let (stored, barrier) = tokio::sync::oneshot::channel();
            self.writes.blocking_send(Write::Barrier(stored)).map_err(|_| LaneError::WriterGone)?;
            self.start_build(order, barrier);
        }
        Ok(())
    }

    /// Starts a build on a thread of its own: it begins once everything before the cut-off is stored.
    fn start_build(&mut self, order: BuildOrder, barrier: tokio::sync::oneshot::Receiver<()>) {
        self.orders.follow(&self.lane);
        let (orders, stop, wanted) = (self.orders.clone(), self.stop.clone(), order.clone());
        let wanted = move || orders.contains(&wanted) && stop.ending().is_none();
        let builder = Builder {
            store: self.store.clone(),
            source: Arc::clone(&self.source),
            partition: self.lane.partition.clone(),
            settings: self.settings.clone(),
            wanted: Arc::new(wanted),
        };
        let (sender, turn) = (self.built_sender.clone(), Arc::clone(&self.one_at_a_time));
        let runtime = self.runtime.clone();
        let started = self.tasks.spawn_thread("aggregator-build", move || {
            let _turn = runtime.block_on(turn.lock());
            if runtime.block_on(barrier).is_ok() {
                build_until_done(&runtime, &builder, &order, &sender);
            }
        });
        if let Err(error) = started {
            tracing::error!(%error, "no thread for a build; it starts with the next start of the service");
        }
    }

    /// Takes over finished builds, once the lane has come as far as they have.
    fn adopt_built(&mut self) -> Result<(), LaneError> {
        while let Ok(built) = self.built.try_recv() {
            self.waiting.push(built);
        }
        self.orders.follow(&self.lane);
        let mut effects = Effects::default();
        self.waiting.join(&mut self.lane, self.source.as_ref(), now_ms(), &mut effects);
        self.carry_out(effects)
    }

    fn publish(&mut self, now_ms: i64, end: &watch::Receiver<u64>) {
        if (0..SNAPSHOT_INTERVAL_MS).contains(&(now_ms - self.last_snapshot_ms)) {
            return;
        }
        self.last_snapshot_ms = now_ms;
        let (position, end) = (self.lane.next_offset(), Some(end.clone()));
        let state = if !self.lane.building().is_empty() { LaneState::Rebuilding } else { LaneState::Live };
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
                definition: lane.key.definition,
                funnel: Arc::clone(&lane.plan),
                everybody,
                values,
                visitors_in_memory: lane.fold().visitors(),
            }
        });
        let funnels = funnels.collect();
        self.board.store(Arc::new(LaneSnapshot { state, funnels, position, end }));
    }

    /// Waits for records, a finished build, shutdown, or the next look at the clock.
    fn wait(&mut self, end: &mut watch::Receiver<u64>) {
        let position = self.lane.next_offset();
        let stop = self.stop.clone();
        self.runtime.clone().block_on(async {
            tokio::select! {
                _ = end.wait_for(|end| *end > position) => {}
                () = stop.asked().requested() => {}
                () = tokio::time::sleep(IDLE_TICK) => {}
            }
        });
    }

    fn finish(&mut self, now_ms: i64) -> Result<(), LaneError> {
        let mut effects = Effects::default();
        self.lane.finish(now_ms, &mut effects);
        loop {
            self.carry_out(std::mem::take(&mut effects))?;
            if !self.lane.go_on_flushing(now_ms, &mut effects) {
                return Ok(());
            }
        }
    }
}

/// Builds, again and again with growing pauses if the warehouse or the log fails.
fn build_until_done<S: Store>(
    runtime: &Handle,
    builder: &Builder<S>,
    order: &BuildOrder,
    sender: &mpsc::Sender<Built>,
) {
    let mut pause = FIRST_BUILD_PAUSE;
    loop {
        match runtime.block_on(builder.build(order.clone())) {
            Ok(built) => {
                // The lane is gone only when the service ends; the build starts again with the next start.
                let _ = sender.blocking_send(built);
                return;
            }
            Err(BuildError::Cancelled) => return,
            Err(error) => {
                tracing::warn!(%error, funnel = order.funnel.id, "a build from raw events failed; trying again");
            }
        }
        std::thread::park_timeout(pause);
        pause = (pause * 2).min(LONGEST_BUILD_PAUSE);
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
    SystemClock.now_ms()
}

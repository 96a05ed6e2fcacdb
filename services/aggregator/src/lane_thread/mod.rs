//! A partition's thread: reads the log, drives the [`Lane`], sends its writes to the writer, starts builds and takes them
//! over, and publishes the counts for the scrape. Started by [`crate::run`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::{LogRecord, PlanTopic, ReadError, Source};
use rungs_proto::view::RecordView;
use runtime::{Tasks, now_ms};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, watch};

use crate::build::Built;
use crate::ending::{Ending, Stop};
use crate::funnel_lane::FoldSettings;
use crate::joining::{Orders, READ_BYTES, Waiting};
use crate::journey_budget::Share;
use crate::lane::{Effects, Lane, Refused};
use crate::panics::text_of;
use crate::refused::Refusals;
use crate::snapshot::LaneBoard;
use crate::store::{Store, Write};

mod builds;
mod pause;
mod plans;
mod publish;

pub(crate) use plans::AwaitedPlan;

/// Records whose visitors' journeys are read together.
const WARM: usize = 32;
/// A lane at the end of the log looks at the clock this often.
const IDLE_TICK: Duration = Duration::from_millis(100);
/// A log that cannot be read is tried again after this long.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(1);

/// A partition's thread.
pub(crate) struct LaneThread<S: Store> {
    pub(crate) lane: Lane,
    pub(crate) store: S,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) plans: Arc<dyn PlanTopic>,
    /// The plan without which it does not read on.
    pub(crate) awaited: Option<AwaitedPlan>,
    pub(crate) refusals: Refusals,
    pub(crate) journeys: Share,
    /// When journeys were forgotten to make room, while that is not enough.
    pub(crate) last_forgotten: Option<Instant>,
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
    /// When it last stood at the end of the log.
    pub(crate) last_at_end_ms: i64,
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
    #[error(
        "counting the record at offset {offset} panicked: {cause}. It is refused from now on; the partition is restored and \
         goes on after it"
    )]
    Panicked { offset: u64, cause: String },
}

impl<S: Store> LaneThread<S> {
    /// Serves the partition until shutdown; `effects` come from its restore.
    pub(crate) fn run(mut self, effects: Effects) {
        let served = self.carry_out(effects).and_then(|()| self.serve());
        if let Err(error) = served {
            tracing::error!(partition = self.lane.partition.partition, %error, "the lane ends");
        }
        // Builds for this lane have nobody to hand their funnels to.
        self.orders.clear();
    }

    fn serve(&mut self) -> Result<(), LaneError> {
        let mut end = self.source.end(self.lane.partition.partition);
        let mut drain_until = i64::MAX;
        loop {
            let is_paused = self.is_paused(&end);
            let asked_ms = now_ms();
            let at_end = !is_paused && self.read_and_fold()?;
            if at_end {
                self.last_at_end_ms = asked_ms;
            }
            let now_ms = now_ms();
            let mut effects = Effects::default();
            self.lane.tick(now_ms, at_end, &mut effects);
            self.carry_out(effects)?;
            self.adopt_built()?;
            self.publish(now_ms, &end, is_paused);
            match self.stop.ending() {
                Some(Ending::Abandon) => return Ok(()),
                Some(Ending::Flush) => return self.finish(now_ms),
                Some(Ending::Drain) => {
                    drain_until = drain_until.min(now_ms + self.drain_limit.as_millis() as i64);
                    // One that holds too many journeys does not read on, however long it waits.
                    if at_end || is_paused || now_ms >= drain_until {
                        return self.finish(now_ms);
                    }
                }
                None if at_end => self.wait(&mut end),
                None if is_paused => self.rest(),
                None => {}
            }
        }
    }

    /// Takes what the log has next, up to a record whose plan is not known yet; whether the lane stands at its end.
    fn read_and_fold(&mut self) -> Result<bool, LaneError> {
        if self.is_without_plan() {
            return Ok(false);
        }
        let partition = self.lane.partition.partition;
        let records = match self.source.read(partition, self.lane.next_offset(), READ_BYTES) {
            Ok(records) => records,
            Err(error) => return self.unreadable(&error).map(|()| false),
        };
        let plans = Arc::clone(&self.plans);
        let plan_text = move |number| plan_text(plans.as_ref(), number);
        let mut freshness = self.lane.counters.timing.folding();
        let mut effects = Effects::default();
        let mut decoded = Vec::with_capacity(WARM);
        let mut refused = None;
        for group in records.chunks(WARM) {
            decoded.clear();
            decoded.extend(group.iter().map(|record| RecordView::decode(&record.value)));
            let unknown_plan = self.unknown_plan(&decoded);
            decoded.truncate(unknown_plan.map_or(decoded.len(), |(at, _)| at));
            self.lane.warm(decoded.iter().flatten());
            freshness.expect(decoded.iter().flatten());
            for (record, view) in group.iter().zip(&mut decoded) {
                let (offset, at_ms) = (record.offset, record.appended_at_ms);
                while !self.guarded(record, |lane| lane.approach(offset, at_ms, &mut effects))? {
                    self.carry_out(std::mem::take(&mut effects))?;
                }
                self.guarded(record, |lane| lane.take(offset, at_ms, view, &plan_text, &mut effects))?;
                for found in effects.refused.drain(..) {
                    self.refusals.refuse(record, found.reason);
                    refused.get_or_insert(found);
                }
            }
            freshness.folded(now_ms());
            if let Some((_, number)) = unknown_plan {
                self.await_plan(number);
                break;
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

    /// Has the lane do something with a record. If that panics, nothing of this lane is used any more: what it held may be
    /// half applied.
    fn guarded<T>(&mut self, record: &LogRecord, act: impl FnOnce(&mut Lane) -> T) -> Result<T, LaneError> {
        let lane = &mut self.lane;
        catch_unwind(AssertUnwindSafe(|| act(lane))).map_err(|panic| {
            self.refusals.condemn(record);
            LaneError::Panicked { offset: record.offset, cause: text_of(panic.as_ref()) }
        })
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

fn plan_text(plans: &dyn PlanTopic, number: u64) -> Option<String> {
    let latest = plans.latest().borrow().clone();
    if let Some(plan) = latest.filter(|plan| plan.number == number) {
        return Some(plan.text.clone());
    }
    plans.history().ok()?.into_iter().find(|plan| plan.number == number).map(|plan| plan.text)
}

#[cfg(test)]
mod tests;

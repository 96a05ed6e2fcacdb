//! A partition's life in one process: restored, served, ended. What the service does with a thread, a task and a thread a
//! build is done here in steps: the lane, its writer, its builds and their joining are the service's own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use aggregator::build::{BuildError, Builder};
use aggregator::counters::LaneCounters;
use aggregator::funnel_lane::{FoldSettings, PartitionId};
use aggregator::lane::{BuildOrder, Effects, FlushLimits, Lane};
use aggregator::memory::MemoryStore;
use aggregator::refused_raw::RefusedRaw;
use aggregator::restore::{RestoreError, Restored, restore};
use aggregator::store::Write;
use event_log::{ReadError, Source};

use crate::broker::Broker;
use crate::fate::{Fate, Task, poll};
use crate::plans::{HORIZON_MS, MAX_TAIL_EVENTS};
use crate::rules::Rule;
use crate::serving::Serving;
use crate::store::SimStore;
use crate::weather::Weather;

const DAY_MS: i64 = 86_400_000;

/// What all lives share.
#[derive(Clone)]
pub struct Surroundings {
    pub fate: Fate,
    pub weather: Weather,
    pub left_out: Option<Rule>,
    pub broker: Arc<Broker>,
    pub tables: MemoryStore,
    pub counters: LaneCounters,
}

/// A partition's life.
pub struct Life {
    around: Surroundings,
    pub name: String,
    pub partition: u32,
    /// The process.
    pub member: usize,
    store: SimStore,
    refused: RefusedRaw,
    stage: Stage,
}

enum Stage {
    Restoring(Task<Result<Restored, RestoreError>>),
    Serving(Box<Serving>),
    /// Only the queue of writes is left, for so many polls.
    Writing(Task<()>, u64),
    Over,
}

impl Life {
    /// Begins with a restore.
    pub fn begin(around: &Surroundings, member: usize, partition: u32, number: u64) -> Self {
        let around = around.clone();
        let name = format!("member {member} partition {partition} life {number}");
        let store = SimStore::new(
            around.tables.clone(),
            around.fate.clone(),
            &around.weather,
            around.left_out,
            &name,
        );
        let refused = RefusedRaw::default();
        let mut life = Self { around, name, partition, member, store, refused, stage: Stage::Over };
        life.restore();
        life
    }

    fn id(&self) -> PartitionId {
        let (log_id, partitions) = (self.around.broker.id().0, self.around.weather.partitions);
        let generation_floor = self.around.weather.floor_without(self.around.left_out);
        let epoch = self.around.weather.epoch;
        PartitionId { log_id, epoch, generation_floor, partition: self.partition, partitions }
    }

    fn restore(&mut self) {
        let (store, id) = (self.store.clone(), self.id());
        self.stage = Stage::Restoring(Box::pin(async move { restore(&store, &id, &fold_settings()).await }));
    }

    /// The lane, while it is served.
    pub fn serving(&mut self) -> Option<&mut Serving> {
        if let Stage::Serving(serving) = &mut self.stage { Some(serving) } else { None }
    }

    /// Whether nothing is left of it.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// One step: of the restore, of the lane, of its writer or of a build.
    pub fn step(&mut self, wall_ms: i64) {
        match &mut self.stage {
            Stage::Restoring(task) => {
                let Poll::Ready(restored) = poll(task) else { return };
                match restored {
                    Ok(restored) => self.serve(restored),
                    Err(RestoreError::Warehouse(_)) => self.restore(),
                    Err(error) => self.around.fate.fail(error.to_string()),
                }
            }
            Stage::Serving(_) => self.step_lane(wall_ms),
            Stage::Writing(task, left) => {
                *left -= 1;
                if poll(task).is_ready() || *left == 0 {
                    self.stage = Stage::Over;
                }
            }
            Stage::Over => {}
        }
    }

    fn serve(&mut self, restored: Restored) {
        let around = &self.around;
        let limits = FlushLimits {
            events_interval_ms: 500,
            events_batch_rows: 4,
            journeys_interval_ms: 10_000,
            journeys_batch_rows: around.weather.journeys_batch_rows,
        };
        let mut lane = Lane::new(self.id(), fold_settings(), limits, around.counters.clone());
        let (offset, funnels, builds) =
            (restored.next_offset, restored.funnels.len(), restored.unfinished.len());
        around
            .fate
            .say(|| format!("{}: restored at {offset}, {funnels} funnels, {builds} builds", self.name));
        let mut effects = Effects::default();
        lane.resume(restored, &mut effects);
        let source = Arc::clone(&around.broker) as Arc<dyn Source>;
        let mut serving = Serving::new(lane, self.store.clone(), source);
        self.carry_out(&mut serving, effects);
        self.stage = Stage::Serving(Box::new(serving));
    }

    fn step_lane(&mut self, wall_ms: i64) {
        let Stage::Serving(mut serving) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        match self.around.fate.below(100) {
            0..50 => self.read(&mut serving, wall_ms),
            50..85 => serving.write(),
            85..97 => self.build(&mut serving, wall_ms),
            _ if serving.backlog.is_empty() => {
                let mut effects = Effects::default();
                serving.lane.flush(wall_ms, &mut effects);
                self.carry_out(&mut serving, effects);
            }
            _ => {}
        }
        self.stage = Stage::Serving(serving);
    }

    /// What the lane's thread does in a round: reads, folds, looks at the clock.
    fn read(&mut self, serving: &mut Serving, wall_ms: i64) {
        if !serving.backlog.is_empty() {
            return serving.push();
        }
        let (fate, broker) = (self.around.fate.clone(), Arc::clone(&self.around.broker));
        let mut effects = Effects::default();
        let records = match broker.read(self.partition, serving.lane.next_offset(), 1 << 20) {
            Ok(records) => records,
            Err(ReadError::Storage(_)) => return,
            Err(ReadError::Gone { first, .. }) => {
                if !serving.lane.begin_at(first) {
                    fate.fail(format!("{}: the log begins at {first}", self.name));
                }
                return;
            }
        };
        let plan_text = |number| broker.plan_text(number);
        for record in &records {
            while !serving.lane.approach(record.offset, record.appended_at_ms, &mut effects) {}
            serving.lane.record(
                record.offset,
                record.appended_at_ms,
                &record.value,
                &plan_text,
                &mut effects,
            );
        }
        serving.lane.tick(wall_ms, records.is_empty(), &mut effects);
        let next = serving.lane.next_offset();
        fate.say(|| format!("{}: took {} records, next {next}, wall {wall_ms}", self.name, records.len()));
        self.carry_out(serving, effects);
        serving.orders.follow(&serving.lane);
        let mut effects = Effects::default();
        let panicked = serving.waiting.join(&mut serving.lane, broker.as_ref(), wall_ms, &mut effects);
        panicked.into_iter().for_each(|found| fate.fail(found.to_string()));
        self.carry_out(serving, effects);
    }

    fn carry_out(&self, serving: &mut Serving, effects: Effects) {
        serving.backlog.extend(effects.writes);
        for order in effects.builds {
            let (stored, barrier) = tokio::sync::oneshot::channel();
            serving.backlog.push_back(Write::Barrier(stored));
            serving.orders.follow(&serving.lane);
            let waits = self.around.left_out != Some(Rule::BuildBarrier);
            let builder = self.builder(serving, &order);
            let task = {
                let order = order.clone();
                Box::pin(async move {
                    if waits && barrier.await.is_err() {
                        return Err(BuildError::Cancelled);
                    }
                    builder.build(order).await
                })
            };
            self.around.fate.note("a build began");
            self.around
                .fate
                .say(|| format!("{}: orders {} before {}", self.name, order.funnel.id, order.cutoff));
            serving.builds.push((order, task));
        }
    }

    fn builder(&self, serving: &Serving, order: &BuildOrder) -> Builder<SimStore> {
        let (orders, alive, wanted) = (serving.orders.clone(), Arc::clone(&serving.alive), order.clone());
        Builder {
            store: self.store.clone(),
            source: Arc::clone(&self.around.broker) as Arc<dyn Source>,
            partition: self.id(),
            settings: fold_settings(),
            refused: self.refused.clone(),
            wanted: Arc::new(move || orders.contains(&wanted) && alive.load(Ordering::Relaxed)),
        }
    }

    /// A step of each build.
    fn build(&mut self, serving: &mut Serving, wall_ms: i64) {
        let mut under_way = Vec::new();
        for (order, mut task) in std::mem::take(&mut serving.builds) {
            match poll(&mut task) {
                Poll::Pending => under_way.push((order, task)),
                Poll::Ready(Ok(built)) => {
                    let (funnel, stands) = (&order.funnel.id, built.lane.joins_at);
                    self.around.fate.say(|| format!("{}: built {funnel}, it stands at {stands}", self.name));
                    serving.waiting.push(built);
                }
                Poll::Ready(Err(BuildError::Cancelled)) => {}
                Poll::Ready(Err(error)) => {
                    self.around.fate.note("a build began again");
                    self.leave_out(&error);
                    let builder = self.builder(serving, &order);
                    let again = order.clone();
                    under_way.push((order, Box::pin(async move { builder.build(again).await })));
                }
            }
        }
        serving.builds = under_way;
        if serving.backlog.is_empty() {
            let mut effects = Effects::default();
            serving.waiting.join(&mut serving.lane, self.around.broker.as_ref(), wall_ms, &mut effects);
            self.carry_out(serving, effects);
        }
    }

    /// Leaves a raw event out from now on that broke a build.
    fn leave_out(&self, error: &BuildError) {
        if let BuildError::PoisonousRaw(found) = error {
            self.around.fate.note("a raw event was left out");
            self.around.fate.say(|| format!("{}: {found}", self.name));
            self.refused.add(&found.site, &found.event);
        }
    }

    /// Closes what wall time closes while the log is idle, flushes, and writes everything there is.
    pub fn close(&mut self, wall_ms: i64) {
        let Stage::Serving(mut serving) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        let mut effects = Effects::default();
        for _ in 0..5 {
            serving.lane.tick(wall_ms, true, &mut effects);
        }
        serving.lane.flush(wall_ms, &mut effects);
        self.carry_out(&mut serving, effects);
        serving.write_all();
        self.stage = Stage::Serving(serving);
    }

    /// Gives the partition back in order: flushes, then nothing is left but the queue. What it was restoring is forgotten.
    pub fn finish(&mut self, wall_ms: i64) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Serving(mut serving) => {
                let mut effects = Effects::default();
                serving.lane.finish(wall_ms, &mut effects);
                while serving.lane.go_on_flushing(wall_ms, &mut effects) {}
                serving.backlog.extend(effects.writes);
                self.stage = Stage::Writing(serving.into_writing(), u64::MAX);
            }
            Stage::Restoring(_) => {}
            stage => self.stage = stage,
        }
    }

    /// Stops without a flush; what is in the queue is written, or so much of it.
    pub fn abandon(&mut self, polls: u64) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Serving(mut serving) if polls > 0 => {
                serving.backlog.clear();
                self.stage = Stage::Writing(serving.into_writing(), polls);
            }
            Stage::Writing(task, left) if polls > 0 => self.stage = Stage::Writing(task, left.min(polls)),
            _ => {}
        }
    }
}

/// What every lane folds by.
pub fn fold_settings() -> FoldSettings {
    FoldSettings {
        horizon_ms: HORIZON_MS,
        max_tail_events: MAX_TAIL_EVENTS,
        minute_history_ms: 7 * DAY_MS,
        hour_history_ms: 70 * DAY_MS,
    }
}

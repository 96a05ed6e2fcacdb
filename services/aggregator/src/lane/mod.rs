//! One partition of the log: takes its records in offset order, keeps the partition's clock, hands events to the funnels
//! they matter to, and turns what happened into writes. It does no I/O and reads no clock, so that a test can stop it
//! between any two writes.
//!
//! Order of the writes of a flush up to offset F (all go through one ordered queue): raw events; closed minutes; the
//! marker F; journeys, stamped F; progress F; then the log may forget what lies before F. [`crate::restore`] relies on it.

use std::sync::Arc;

use funnel::fold::Folded;
use funnel::plan::{Funnel, FunnelIndex, Plan, PlanMatcher};
use prost::Message;
use rungs_proto::v1::{Control, control::Action};
use rungs_proto::view::{EventView, RecordView};
use warehouse::event_batch::EventBatch;
use warehouse::rows::{COMPLETE, PROGRESS, ProgressRow, RollingRow};

use crate::counters::LaneCounters;
mod event_rows;
mod orders;

pub use event_rows::incoming_of;
use event_rows::row_of;

use crate::funnel_lane::{FoldSettings, FunnelLane, PartitionId};
use crate::store::Write;

/// A batch of raw events goes out at this size, however few they are.
const EVENTS_BATCH_BYTES: usize = 16 << 20;
/// Minute rows in one insert, at most.
const ROWS_PER_WRITE: usize = 5_000;
/// Journeys in one insert, at most.
const JOURNEYS_PER_WRITE: usize = 50_000;
/// An idle partition tells this often that it is alive.
const IDLE_OPEN_INTERVAL_MS: i64 = 10_000;
/// The open minute is shown at most this often.
const OPEN_INTERVAL_MS: i64 = 1_000;
/// How often journeys are looked through for those that nothing can count any more.
const FORGET_INTERVAL_MS: i64 = 3_600_000;
/// Wall time closes a minute this long after its end, so that records on their way to the log come first.
const PROVISIONAL_GRACE_MS: i64 = 2_000;

/// The plan that a lane folds by.
#[derive(Debug, Clone, Default)]
pub struct PlanInForce {
    pub number: u64,
    pub text: String,
    pub plan: Arc<Plan>,
}

/// A build that the lane wants done: the funnel as of everything before `cutoff`.
#[derive(Debug, Clone)]
pub struct BuildOrder {
    pub funnel: Arc<Funnel>,
    pub generation: u64,
    /// The first offset that the build does not take from the raw events.
    pub cutoff: u64,
    /// The partition's clock there.
    pub clock_ms: i64,
    /// The generation's journeys in this partition cannot be read and are removed first.
    pub repairs: bool,
}

/// What the lane asks of its surroundings.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be executed in this order.
    pub writes: Vec<Write>,
    /// To be started once all writes so far are stored.
    pub builds: Vec<BuildOrder>,
}

impl Effects {
    /// Minute rows, in inserts of a bounded size.
    pub fn rolling(&mut self, mut rows: Vec<RollingRow>) {
        while !rows.is_empty() {
            let rest = rows.split_off(rows.len().min(ROWS_PER_WRITE));
            self.writes.push(Write::Rolling(std::mem::replace(&mut rows, rest)));
        }
    }
}

/// Whether an interval has passed; also when wall time was set back, so that nothing waits until it caught up.
fn is_due(now_ms: i64, last_ms: i64, interval_ms: i64) -> bool {
    !(0..interval_ms).contains(&(now_ms - last_ms))
}

/// How often and how much is written.
#[derive(Debug, Clone)]
pub struct FlushLimits {
    pub events_interval_ms: i64,
    pub events_batch_rows: usize,
    pub journeys_interval_ms: i64,
    pub journeys_batch_rows: usize,
}

/// A partition's state.
pub struct Lane {
    pub partition: PartitionId,
    settings: FoldSettings,
    limits: FlushLimits,
    in_force: PlanInForce,
    matcher: PlanMatcher,
    funnels: Vec<FunnelLane>,
    /// Position in `funnels` by index in the plan, if the funnel is live here.
    live: Vec<Option<usize>>,
    /// Builds that the lane waits for, one a funnel: the newest order counts.
    building: Vec<BuildOrder>,
    clock_ms: i64,
    next_offset: u64,
    /// When the next minute ends for some funnel.
    boundary_ms: i64,
    events: EventBatch,
    rolling: Vec<RollingRow>,
    last_events_ms: i64,
    last_flush: (i64, u64),
    last_open: (i64, u64),
    last_forgotten_ms: i64,
    pub counters: LaneCounters,
}

impl Lane {
    /// A lane that nothing happened on.
    pub fn new(
        partition: PartitionId,
        settings: FoldSettings,
        limits: FlushLimits,
        counters: LaneCounters,
    ) -> Self {
        Self {
            partition,
            settings,
            limits,
            in_force: PlanInForce::default(),
            matcher: PlanMatcher::default(),
            funnels: Vec::new(),
            live: Vec::new(),
            building: Vec::new(),
            clock_ms: 0,
            next_offset: 0,
            boundary_ms: i64::MAX,
            events: EventBatch::default(),
            rolling: Vec::new(),
            last_events_ms: 0,
            last_flush: (0, 0),
            last_open: (0, u64::MAX),
            last_forgotten_ms: 0,
            counters,
        }
    }

    /// Continues where a restore found the partition: the plan in force, the position, its live funnels, and the builds
    /// that did not come to their end.
    pub fn resume(
        &mut self,
        in_force: PlanInForce,
        next_offset: u64,
        clock_ms: i64,
        funnels: Vec<FunnelLane>,
        unfinished: Vec<BuildOrder>,
        effects: &mut Effects,
    ) {
        (self.next_offset, self.clock_ms) = (next_offset, clock_ms);
        self.matcher = PlanMatcher::new(&in_force.plan);
        self.in_force = in_force;
        self.funnels = funnels;
        self.last_flush.1 = next_offset;
        for order in unfinished {
            self.order_build(order, effects);
        }
        self.relink();
    }

    /// The next offset that it wants.
    pub fn next_offset(&self) -> u64 {
        self.next_offset
    }

    /// Begins at a later offset, if nothing was ever taken from this log: what lies before is gone. Whether it did.
    pub fn begin_at(&mut self, first: u64) -> bool {
        let fresh = self.next_offset == 0 && self.in_force.number == 0;
        if fresh {
            self.next_offset = first;
        }
        fresh
    }

    /// The partition's clock.
    pub fn clock_ms(&self) -> i64 {
        self.clock_ms
    }

    /// The plan that it folds by.
    pub fn in_force(&self) -> &PlanInForce {
        &self.in_force
    }

    /// Its live funnels.
    pub fn funnels_mut(&mut self) -> &mut [FunnelLane] {
        &mut self.funnels
    }

    /// How many builds it waits for.
    pub fn builds_under_way(&self) -> usize {
        self.building.len()
    }

    /// Takes a record. `plan_text` finds the text of a plan by its number.
    pub fn record(
        &mut self,
        offset: u64,
        appended_at_ms: i64,
        value: &[u8],
        plan_text: &dyn Fn(u64) -> Option<String>,
        effects: &mut Effects,
    ) {
        self.clock_ms = self.clock_ms.max(appended_at_ms);
        if self.clock_ms >= self.boundary_ms {
            self.close_minutes(offset, usize::MAX);
        }
        match RecordView::decode(value) {
            Ok(RecordView::Event(event)) => self.event(offset, &event),
            Ok(RecordView::Control(bytes)) => match Control::decode(bytes) {
                Ok(control) => self.control(offset, &control, plan_text, effects),
                Err(error) => self.undecodable(offset, &error.to_string()),
            },
            Err(_) => self.undecodable(offset, "not a rungs.v1.Record"),
        }
        self.next_offset = offset + 1;
    }

    fn undecodable(&mut self, offset: u64, error: &str) {
        self.counters.undecodable.inc();
        tracing::warn!(partition = self.partition.partition, offset, error, "a record could not be decoded");
    }

    /// Closes some of the minutes that a record will close when it is taken: after a long gap in the log there are many,
    /// and each bunch is to be written before the next. `true` once the record can be taken.
    pub fn approach(&mut self, offset: u64, appended_at_ms: i64, effects: &mut Effects) -> bool {
        self.clock_ms = self.clock_ms.max(appended_at_ms);
        let done = self.clock_ms < self.boundary_ms || self.close_minutes(offset, ROWS_PER_WRITE);
        if !done {
            self.take_events(effects);
        }
        done
    }

    /// Closes the minutes that the record at `offset` closes, until about `limit` rows wait; whether all are closed.
    fn close_minutes(&mut self, offset: u64, limit: usize) -> bool {
        let joined = self.funnels.iter_mut().filter(|funnel| funnel.joins_at <= offset);
        for funnel in joined {
            if !funnel.tick(offset, self.clock_ms, limit, &mut self.rolling, &self.partition) {
                return false;
            }
        }
        self.find_boundary(offset);
        true
    }

    fn find_boundary(&mut self, offset: u64) {
        let waits = self.funnels.iter().any(|funnel| funnel.joins_at > offset);
        let earliest = self.funnels.iter().map(FunnelLane::open_end_ms).min().unwrap_or(i64::MAX);
        self.boundary_ms = if waits { i64::MIN } else { earliest };
    }

    fn event(&mut self, offset: u64, event: &EventView<'_>) {
        let ts = event.ts_ms.min(self.clock_ms);
        let incoming = incoming_of(event, self.clock_ms);
        let mut duplicate = false;
        for FunnelIndex(index) in self.matcher.funnels_for(event.site, event.event) {
            let Some(at) = self.live.get(*index).copied().flatten() else { continue };
            let Some(funnel) = self.funnels.get_mut(at).filter(|funnel| funnel.joins_at <= offset) else {
                continue;
            };
            if let Some(folded) = funnel.fold_event(&incoming, offset, self.clock_ms) {
                self.counters.folded(folded);
                duplicate |= folded == Folded::Duplicate;
            }
        }
        self.counters.events.inc();
        if !duplicate {
            self.events.push(&row_of(event, ts, offset, self.partition.epoch));
        }
    }

    fn control(
        &mut self,
        offset: u64,
        control: &Control,
        plan_text: &dyn Fn(u64) -> Option<String>,
        effects: &mut Effects,
    ) {
        self.next_offset = offset + 1;
        match &control.action {
            Some(Action::PlanApplied(applied)) => {
                self.apply_plan(applied.number, control.generation, plan_text, effects)
            }
            Some(Action::ImportCompleted(import)) => self.rebuild(&import.site, control.generation, effects),
            Some(Action::Rebuild(rebuild)) => self.rebuild(&rebuild.site, control.generation, effects),
            None => {}
        }
    }

    /// Takes over a finished build that stands exactly at this lane's position; its predecessor ends here, and its rows
    /// stay for readers until all partitions have the new generation. The new numbers are written at once, before the
    /// progress that lets readers switch to them.
    pub fn adopt(&mut self, mut built: FunnelLane, now_ms: i64, effects: &mut Effects) {
        if let Some(funnel) = self.in_force.plan.funnel(&built.key.site, &built.key.funnel) {
            built.plan = Arc::new(funnel.clone());
        }
        let same = |lane: &FunnelLane| lane.key.site == built.key.site && lane.key.funnel == built.key.funnel;
        self.building.retain(|order| {
            order.generation != built.generation
                || order.funnel.site != built.key.site
                || order.funnel.id != built.key.funnel
        });
        self.funnels.retain(|lane| !same(lane));
        self.funnels.push(built);
        self.relink();
        self.open(now_ms, effects);
        self.flush(now_ms, effects);
    }

    /// Finds the live funnel of each funnel of the plan.
    fn relink(&mut self) {
        let lanes = &self.funnels;
        let find = |funnel: &Funnel| {
            lanes.iter().position(|lane| lane.key.site == funnel.site && lane.key.funnel == funnel.id)
        };
        self.live = self.in_force.plan.funnels.iter().map(find).collect();
        self.find_boundary(self.next_offset);
    }

    /// What wall time asks for: events and journeys that waited long enough, the open minute, and minute ends while the
    /// log is idle (`at_end`: every record that the log has was taken).
    pub fn tick(&mut self, now_ms: i64, at_end: bool, effects: &mut Effects) {
        if at_end {
            for funnel in &mut self.funnels {
                let until = now_ms - PROVISIONAL_GRACE_MS;
                funnel.provisional(
                    until,
                    self.next_offset,
                    ROWS_PER_WRITE,
                    &self.partition,
                    &mut self.rolling,
                );
            }
        }
        if self.events_are_many() || is_due(now_ms, self.last_events_ms, self.limits.events_interval_ms) {
            self.last_events_ms = now_ms;
            self.take_events(effects);
        }
        let moved = self.next_offset != self.last_open.1;
        let interval = if moved { OPEN_INTERVAL_MS } else { IDLE_OPEN_INTERVAL_MS };
        if is_due(now_ms, self.last_open.0, interval) {
            self.open(now_ms, effects);
        }
        let changed: usize = self.funnels.iter().map(|funnel| funnel.fold().changed()).sum();
        let due = is_due(now_ms, self.last_flush.0, self.limits.journeys_interval_ms)
            && self.next_offset != self.last_flush.1;
        if due || changed >= self.limits.journeys_batch_rows {
            self.flush(now_ms, effects);
        }
        self.forget_idle(now_ms);
    }

    /// Forgets visitors whom nothing can count any more, once an hour.
    fn forget_idle(&mut self, now_ms: i64) {
        if is_due(now_ms, self.last_forgotten_ms, FORGET_INTERVAL_MS) {
            self.last_forgotten_ms = now_ms;
            let forgotten: usize = self.funnels.iter_mut().map(FunnelLane::forget_idle).sum();
            tracing::debug!(forgotten, "idle visitors were forgotten");
        }
    }

    /// Hands over raw events and closed minutes, in this order.
    fn take_events(&mut self, effects: &mut Effects) {
        if self.events.rows() > 0 {
            effects.writes.push(Write::Events(std::mem::take(&mut self.events).seal()));
        }
        effects.rolling(std::mem::take(&mut self.rolling));
    }

    /// Whether the waiting raw events fill a batch, so that the lane should hand them over before it reads on.
    pub fn events_are_many(&self) -> bool {
        self.events.rows() >= self.limits.events_batch_rows || self.events.bytes() >= EVENTS_BATCH_BYTES
    }

    fn open(&mut self, now_ms: i64, effects: &mut Effects) {
        self.last_open = (now_ms, self.next_offset);
        let mut rows = Vec::new();
        for funnel in self.funnels.iter_mut().filter(|funnel| funnel.joins_at <= self.next_offset) {
            funnel.open_rows(now_ms, self.next_offset, &self.partition, &mut rows);
        }
        if !rows.is_empty() {
            effects.writes.push(Write::Open(rows));
        }
    }

    /// A flush up to the present position.
    pub fn flush(&mut self, now_ms: i64, effects: &mut Effects) {
        self.last_flush = (now_ms, self.next_offset);
        self.take_events(effects);
        let at = self.next_offset;
        let (partition, clock_ms) = (&self.partition, self.clock_ms);
        let (mut markers, mut progress, mut journeys) = (Vec::new(), Vec::new(), Vec::new());
        for funnel in self.funnels.iter_mut().filter(|funnel| funnel.joins_at <= at) {
            funnel.stand_at(clock_ms);
            markers.push(funnel.marker_row(at, partition));
            journeys.extend(funnel.journey_rows(at, partition));
            progress.push(funnel.progress_row(at, partition));
        }
        effects.writes.push(Write::Progress(markers));
        while !journeys.is_empty() {
            let rest = journeys.split_off(journeys.len().min(JOURNEYS_PER_WRITE));
            effects.writes.push(Write::Journeys(std::mem::replace(&mut journeys, rest)));
        }
        progress.push(self.partition_row());
        effects.writes.push(Write::Progress(progress));
        let needed = self.building.iter().map(|order| order.cutoff).min().unwrap_or(at);
        effects.writes.push(Write::Reached { next_offset: needed.min(at) });
    }

    /// The partition's own progress: position, clock and plan.
    fn partition_row(&self) -> ProgressRow {
        ProgressRow {
            log_id: self.partition.log_id.clone(),
            log_partition: self.partition.partition,
            log_partitions: self.partition.partitions,
            site: String::new(),
            funnel: String::new(),
            definition: 0,
            generation: 0,
            kind: PROGRESS.into(),
            state: COMPLETE.into(),
            cutoff: 0,
            cutoff_clock_ms: 0,
            next_offset: self.next_offset,
            clock_ms: self.clock_ms,
            plan_number: self.in_force.number,
            plan_text: self.in_force.text.clone(),
            values: Vec::new(),
            done: 1.0,
            truncated: false,
            version: self.next_offset * 4 + 1,
        }
    }
}

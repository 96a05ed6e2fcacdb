//! One partition of the log: takes its records in offset order, keeps the partition's clock, hands events to the funnels
//! they matter to, and turns what happened into writes. It does no I/O and reads no clock, so that a test can stop it
//! between any two writes.
//!
//! Order of the writes of a flush up to offset F (all go through one ordered queue): raw events; closed minutes; the
//! marker F; journeys, stamped F; progress F; then the log may forget what lies before F. [`crate::restore`] relies on it.

use std::sync::Arc;

use funnel::fold::Folded;
use funnel::intake::Incoming;
use funnel::plan::{Derived, EventFields, Funnel, FunnelIndex, Plan, PlanMatcher};
use prost::Message;
use rungs_proto::v1::{Control, control::Action};
use rungs_proto::view::{EventView, RecordView};
use warehouse::event_batch::EventBatch;
use warehouse::rows::{COMPLETE, EventRow, PROGRESS, ProgressRow, RollingRow, event_version};

use crate::counters::LaneCounters;
use crate::funnel_lane::{FoldSettings, FunnelLane, PartitionId};
use crate::store::Write;

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
}

/// What the lane asks of its surroundings.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be executed in this order.
    pub writes: Vec<Write>,
    /// To be started once all writes so far are stored.
    pub builds: Vec<BuildOrder>,
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
    /// (site, funnel id, generation) that is being built; the newest order counts.
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
            self.close_minutes(offset);
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

    fn close_minutes(&mut self, offset: u64) {
        for funnel in self.funnels.iter_mut().filter(|funnel| funnel.joins_at <= offset) {
            funnel.tick(offset, self.clock_ms, &mut self.rolling, &self.partition);
        }
        self.find_boundary(offset);
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

    /// Switches to a plan; a lower number never replaces a higher one. Funnels whose definition stays live on, others are
    /// built from raw.
    fn apply_plan(
        &mut self,
        number: u64,
        generation: u64,
        plan_text: &dyn Fn(u64) -> Option<String>,
        effects: &mut Effects,
    ) {
        if number < self.in_force.number {
            return;
        }
        if number > self.in_force.number {
            let Some(text) = plan_text(number) else {
                tracing::warn!(number, "this plan is no longer stored; a later one follows");
                return;
            };
            match Plan::parse("tracking-plan.toml", &text) {
                Ok(plan) => self.in_force = PlanInForce { number, text, plan: Arc::new(plan) },
                Err(problems) => {
                    tracing::error!(number, problem = %problems.first().map(ToString::to_string).unwrap_or_default(),
                        "this build refuses the plan; the one before stays in force");
                    return;
                }
            }
            self.matcher = PlanMatcher::new(&self.in_force.plan);
            self.drop_unplanned(effects);
        }
        self.build_missing(generation, effects);
        self.relink();
    }

    fn drop_unplanned(&mut self, effects: &mut Effects) {
        let plan = Arc::clone(&self.in_force.plan);
        let horizon_ms = self.settings.horizon_ms;
        let wanted = |site: &str, id: &str, definition: u64| {
            plan.funnel(site, id).is_some_and(|funnel| funnel.definition_hash(horizon_ms) == definition)
        };
        let stays = |lane: &FunnelLane| wanted(&lane.key.site, &lane.key.funnel, lane.key.definition);
        let (kept, dropped): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.funnels).into_iter().partition(stays);
        self.funnels = kept;
        let rows = dropped.iter().map(|lane| lane.dropped_row(self.next_offset, &self.partition)).collect();
        effects.writes.push(Write::Progress(rows));
        self.building.retain(|order| {
            wanted(&order.funnel.site, &order.funnel.id, order.funnel.definition_hash(horizon_ms))
        });
        // The plan may have changed a live funnel's names.
        for lane in &mut self.funnels {
            if let Some(funnel) = plan.funnel(&lane.key.site, &lane.key.funnel) {
                lane.plan = Arc::new(funnel.clone());
            }
        }
    }

    fn build_missing(&mut self, generation: u64, effects: &mut Effects) {
        let plan = Arc::clone(&self.in_force.plan);
        for funnel in &plan.funnels {
            let same = |site: &str, id: &str| site == funnel.site && id == funnel.id;
            let live = self.funnels.iter().any(|lane| same(&lane.key.site, &lane.key.funnel));
            let building = self.building.iter().any(|order| same(&order.funnel.site, &order.funnel.id));
            if !live && !building {
                self.build_from_here(funnel, generation, effects);
            }
        }
    }

    /// Builds all funnels of a site anew; the live ones go on until their successors are there. One that is of this
    /// generation already has been built before a restart.
    fn rebuild(&mut self, site: &str, generation: u64, effects: &mut Effects) {
        let plan = Arc::clone(&self.in_force.plan);
        for funnel in plan.funnels.iter().filter(|funnel| funnel.site == site) {
            let lives = |lane: &FunnelLane| {
                lane.key.site == site && lane.key.funnel == funnel.id && lane.generation >= generation
            };
            if !self.funnels.iter().any(lives) {
                self.build_from_here(funnel, generation, effects);
            }
        }
    }

    /// An order to build a funnel as of this position.
    fn build_from_here(&mut self, funnel: &Funnel, generation: u64, effects: &mut Effects) {
        let (cutoff, clock_ms) = (self.next_offset, self.clock_ms);
        let order = BuildOrder { funnel: Arc::new(funnel.clone()), generation, cutoff, clock_ms };
        self.order_build(order, effects);
    }

    fn order_build(&mut self, order: BuildOrder, effects: &mut Effects) {
        let same =
            |known: &BuildOrder| known.funnel.site == order.funnel.site && known.funnel.id == order.funnel.id;
        self.building.retain(|known| !same(known));
        let funnel = Arc::clone(&order.funnel);
        let lane = FunnelLane::new(funnel, order.generation, &self.settings, order.clock_ms, order.cutoff);
        self.take_events(effects);
        effects.writes.push(Write::Progress(vec![lane.building_row(0.0, &self.partition)]));
        self.building.push(order.clone());
        effects.builds.push(order);
    }

    /// Whether a build is still wanted: no newer one of its funnel was ordered, and the plan has the funnel.
    pub fn wants(&self, order: &BuildOrder) -> bool {
        self.building.iter().any(|known| {
            known.generation == order.generation
                && known.funnel.site == order.funnel.site
                && known.funnel.id == order.funnel.id
        })
    }

    /// Takes over a finished build that stands exactly at this lane's position; its predecessor ends here, and its rows
    /// stay for readers until all partitions have the new generation. The new numbers are written at once, before the
    /// progress that lets readers switch to them.
    pub fn adopt(&mut self, built: FunnelLane, now_ms: i64, effects: &mut Effects) {
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
                funnel.provisional(until, self.next_offset, &self.partition, &mut self.rolling);
            }
        }
        if self.events.rows() >= self.limits.events_batch_rows
            || now_ms - self.last_events_ms >= self.limits.events_interval_ms
        {
            self.last_events_ms = now_ms;
            self.take_events(effects);
        }
        let moved = self.next_offset != self.last_open.1;
        let interval = if moved { OPEN_INTERVAL_MS } else { IDLE_OPEN_INTERVAL_MS };
        if now_ms - self.last_open.0 >= interval {
            self.open(now_ms, effects);
        }
        let changed: usize = self.funnels.iter().map(|funnel| funnel.fold().changed()).sum();
        let due = now_ms - self.last_flush.0 >= self.limits.journeys_interval_ms
            && self.next_offset != self.last_flush.1;
        if due || changed >= self.limits.journeys_batch_rows {
            self.flush(now_ms, effects);
        }
        self.forget_idle(now_ms);
    }

    /// Forgets visitors whom nothing can count any more, once an hour.
    fn forget_idle(&mut self, now_ms: i64) {
        if now_ms - self.last_forgotten_ms >= FORGET_INTERVAL_MS {
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
        if !self.rolling.is_empty() {
            effects.writes.push(Write::Rolling(std::mem::take(&mut self.rolling)));
        }
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

/// An event of the log as a fold takes it; never later than the clock.
pub fn incoming_of<'a>(event: &EventView<'a>, clock_ms: i64) -> Incoming<'a> {
    Incoming {
        fields: fields_of(event),
        visitor_id: event.visitor_id,
        message_id: event.message_id,
        ts: event.ts_ms.min(clock_ms),
        own_ts: event.own_ts_ms,
    }
}

fn fields_of<'a>(event: &EventView<'a>) -> EventFields<'a> {
    let derived = Derived {
        channel: event.channel,
        source: event.source,
        medium: event.medium,
        campaign: event.campaign,
        content: event.content,
        device: event.device,
        browser: event.browser,
        os: event.os,
        country: event.country,
    };
    EventFields { event: event.event, properties: event.properties, context: event.context, derived }
}

fn row_of<'a>(event: &EventView<'a>, ts: i64, offset: u64, epoch: u32) -> EventRow<'a> {
    const KINDS: [&str; 6] = ["track", "page", "screen", "identify", "alias", "group"];
    EventRow {
        site: event.site,
        visitor_id: event.visitor_id,
        message_id: event.message_id,
        event: event.event,
        kind: usize::try_from(event.kind).ok().and_then(|kind| KINDS.get(kind)).copied().unwrap_or("other"),
        user_id: event.user_id,
        ts,
        own_ts: event.own_ts_ms,
        received_at: event.received_at_ms,
        properties: event.properties,
        context: event.context,
        revenue: event.revenue_e4,
        currency: event.currency,
        channel: event.channel,
        source: event.source,
        medium: event.medium,
        campaign: event.campaign,
        content: event.content,
        device: event.device,
        browser: event.browser,
        os: event.os,
        country: event.country,
        import_id: event.import_id,
        log_epoch: epoch,
        offset,
        version: event_version(epoch, offset),
    }
}

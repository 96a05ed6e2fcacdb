//! One partition of the log: takes its records in offset order, keeps the partition's clock, hands events to the funnels
//! they matter to, and turns what happened into writes. It does no I/O and reads no clock, so that a test can stop it
//! between any two writes.
//!
//! Order of the writes of a flush up to offset F: raw events; closed minutes; the marker F; journeys, stamped F; progress F;
//! then the log may forget what lies before F. [`crate::restore`] relies on it, and [`crate::writer`] keeps it where it matters.
//! A flush of many journeys is made in steps, between which the lane reads on ([`round`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use funnel::fold::Folded;
use funnel::plan::{Funnel, FunnelIndex, Plan, PlanMatcher};
use prost::Message;
use rungs_proto::v1::{Control, control::Action};
use rungs_proto::view::{EventView, Malformed, RecordView};
use warehouse::event_batch::EventBatch;
use warehouse::rows::{EventRow, RollingRow};

use crate::counters::{LaneCounters, LaneCounts};
use crate::erased::Erased;
use crate::funnel_lane::{FoldSettings, FunnelLane, PartitionId};
use crate::restore::Restored;
use crate::store::{OnItsWay, ROWS_PER_WRITE};

mod effects;
mod erasing;
mod event_rows;
mod flush;
mod foreign;
mod orders;
mod pace;
mod raw_stored;
mod round;
mod warm;

/// The number of the first log that fed a warehouse.
const FIRST_EPOCH: u32 = 1;

pub use effects::{BuildOrder, Effects, Refused};
pub use event_rows::incoming_of;
use event_rows::row_of;
pub use foreign::admit;
pub(crate) use foreign::{MAX_NAME_BYTES, WRONG_PARTITION, is_at_home};
pub(crate) use orders::rebuilt_of_values;
use raw_stored::RawStored;
use round::Round;

/// The plan that a lane folds by.
#[derive(Debug, Clone, Default)]
pub struct PlanInForce {
    pub number: u64,
    pub text: String,
    pub plan: Arc<Plan>,
}

fn retentions_of(plan: &Plan) -> HashMap<String, u16> {
    plan.sites.iter().filter_map(|site| Some((site.id.clone(), site.retention_days?))).collect()
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
    /// The largest generation of the rebuilds and imports of each site, and of the rebuilds of single funnels ([`orders`]).
    rebuilt: BTreeMap<String, u64>,
    /// Visitors who asked to be forgotten before this position.
    erased: Erased,
    matcher: PlanMatcher,
    /// Sites of the plan that keep their events for a time of their own, in days.
    retentions: HashMap<String, u16>,
    funnels: Vec<FunnelLane>,
    /// Position in `funnels` by index in the plan, if the funnel is live here.
    live: Vec<Option<usize>>,
    /// Builds that the lane waits for, one a funnel: the newest order counts.
    building: Vec<BuildOrder>,
    clock_ms: i64,
    next_offset: u64,
    raw_events: RawStored,
    /// No event of this partition was ever stored: nothing to build a funnel from.
    is_untouched: bool,
    /// When the next minute ends for some funnel.
    boundary_ms: i64,
    events: EventBatch,
    events_on_their_way: OnItsWay,
    rolling: Vec<RollingRow>,
    last_events_ms: i64,
    last_flush: (i64, u64),
    round: Option<Round>,
    last_open: (i64, u64),
    last_forgotten_ms: i64,
    pub counters: LaneCounters,
    counts: LaneCounts,
    /// Room for [`Lane::warm`]: visitors whose events come next, by funnel.
    coming: Vec<Vec<u128>>,
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
            // A log before this one may have had events of these visitors.
            is_untouched: partition.epoch == FIRST_EPOCH,
            partition,
            settings,
            limits,
            in_force: PlanInForce::default(),
            rebuilt: BTreeMap::new(),
            erased: Erased::default(),
            matcher: PlanMatcher::default(),
            retentions: HashMap::new(),
            funnels: Vec::new(),
            live: Vec::new(),
            building: Vec::new(),
            clock_ms: 0,
            next_offset: 0,
            raw_events: RawStored::default(),
            boundary_ms: i64::MAX,
            events: EventBatch::default(),
            events_on_their_way: OnItsWay::default(),
            rolling: Vec::new(),
            last_events_ms: 0,
            last_flush: (0, 0),
            round: None,
            last_open: (0, u64::MAX),
            last_forgotten_ms: 0,
            counts: counters.of_lane(),
            counters,
            coming: Vec::new(),
        }
    }

    /// Continues where a restore found the partition: the plan in force, the largest generation of each site's rebuilds, the
    /// position, its live funnels, and the builds that did not come to their end.
    pub fn resume(&mut self, found: Restored, effects: &mut Effects) {
        (self.next_offset, self.clock_ms) = (found.next_offset, found.clock_ms);
        self.raw_events = RawStored::restored(found.raw_stored, found.next_offset);
        self.is_untouched &= found.next_offset == 0;
        self.matcher = PlanMatcher::new(&found.in_force.plan);
        self.retentions = retentions_of(&found.in_force.plan);
        self.in_force = found.in_force;
        self.rebuilt = found.rebuilt;
        self.erased = found.erased;
        self.funnels = found.funnels;
        self.last_flush.1 = found.next_offset;
        for order in found.unfinished {
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
            self.is_untouched = false;
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

    /// Journeys in memory, over all funnels.
    pub fn journeys(&self) -> usize {
        self.funnels.iter().map(|funnel| funnel.fold().visitors()).sum()
    }

    /// Forgets journeys that nothing can count any more; how many.
    pub fn forget(&mut self) -> usize {
        self.funnels.iter_mut().map(FunnelLane::forget_idle).sum()
    }

    /// The builds it waits for.
    pub fn building(&self) -> &[BuildOrder] {
        &self.building
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
        let mut record = RecordView::decode(value);
        self.take(offset, appended_at_ms, &mut record, plan_text, effects);
        self.counts.tell();
    }

    /// As [`Lane::record`], with the record decoded; what an event leaves out is filled in. What it counts is told by
    /// [`Lane::tick`].
    pub fn take(
        &mut self,
        offset: u64,
        appended_at_ms: i64,
        record: &mut Result<RecordView<'_>, Malformed>,
        plan_text: &dyn Fn(u64) -> Option<String>,
        effects: &mut Effects,
    ) {
        self.clock_ms = self.clock_ms.max(appended_at_ms);
        if self.clock_ms >= self.boundary_ms {
            self.close_minutes(offset, usize::MAX);
        }
        match record {
            Ok(RecordView::Event(event)) => match admit(event, self.clock_ms, &self.partition) {
                Ok(()) => self.event(offset, event),
                Err(reason) => self.refuse(offset, reason, effects),
            },
            Ok(RecordView::Control(bytes)) => match Control::decode(bytes) {
                Ok(control) => self.control(offset, &control, plan_text, effects),
                Err(_) => self.refuse(offset, "not_a_control_record", effects),
            },
            Err(_) => self.refuse(offset, "not_a_record", effects),
        }
        self.next_offset = offset + 1;
    }

    fn refuse(&mut self, offset: u64, reason: &'static str, effects: &mut Effects) {
        self.counters.undecodable.inc();
        self.raw_events.refused(offset);
        effects.refused.push(Refused { offset, reason });
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
        let erased = self.erased.contains(event.site, incoming.visitor);
        let mut duplicate = false;
        let funnels = self.matcher.funnels_for(event.site, event.event);
        if funnels.is_empty() && !erased {
            self.counts.unmatched.inc();
        }
        for FunnelIndex(index) in funnels {
            let Some(at) = self.live.get(*index).copied().flatten() else { continue };
            let Some(funnel) = self.funnels.get_mut(at).filter(|funnel| funnel.joins_at <= offset) else {
                continue;
            };
            if erased {
                funnel.pass_over(&incoming);
            } else if let Some(folded) = funnel.fold_event(&incoming, offset, self.clock_ms) {
                self.counts.folded(folded, !event.import_id.is_empty());
                duplicate |= folded == Folded::Duplicate;
            }
        }
        self.counts.events.inc();
        if erased {
            self.counters.erased.inc();
            return;
        }
        self.is_untouched = false;
        if !duplicate && !self.raw_events.contain(offset) {
            let retention_days = match self.retentions.is_empty() {
                true => 0,
                false => self.retentions.get(event.site).copied().unwrap_or(0),
            };
            self.events.push(&EventRow { retention_days, ..row_of(event, ts, offset, self.partition.epoch) });
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
            Some(Action::ImportCompleted(import)) => {
                self.end_import(import, effects);
                self.rebuild(&import.site, "", control.generation, effects)
            }
            Some(Action::Rebuild(rebuild)) => {
                self.rebuild(&rebuild.site, &rebuild.funnel, control.generation, effects)
            }
            Some(Action::Erase(erase)) => self.erase(offset, erase, effects),
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
        let (joined, set) = built.joined();
        let shares = |lane: &&FunnelLane| lane.key.site == built.key.site && lane.joined().1 == set;
        let joined = self.funnels.iter().find(shares).map_or(joined, |lane| lane.joined().0);
        built.join(joined, set);
        let (site, id) = (built.key.site.as_str(), built.key.funnel.as_str());
        let place = (built.generation, built.cutoff());
        // From here on the lane knows them.
        built.erased = Erased::default();
        self.building.retain(|order| (order.generation, order.cutoff) != place || !order.is_of(site, id));
        self.funnels.retain(|lane| !lane.is_of(site, id));
        self.funnels.push(built);
        self.relink();
        self.open(now_ms, effects);
        self.flush(now_ms, effects);
    }

    /// Finds the live funnel of each funnel of the plan.
    fn relink(&mut self) {
        let lanes = &self.funnels;
        let find = |funnel: &Funnel| lanes.iter().position(|lane| lane.is_of(&funnel.site, &funnel.id));
        self.live = self.in_force.plan.funnels.iter().map(find).collect();
        self.find_boundary(self.next_offset);
    }
}

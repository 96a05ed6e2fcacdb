//! One funnel within a partition's lane: folds its events, closes its minutes, and turns its state into rows ([`rows`]).
//!
//! Minute T is the state after all records appended before T. It is closed by the first record appended at or after T and
//! carries that record's offset as version. While the log is idle, wall time closes it provisionally with the next
//! offset as version; a record that was appended before T after all brings it up again with a higher version.

use std::sync::Arc;

use funnel::fold::{Fold, Folded, Spec};
use funnel::identity::{Joined, Whose};
use funnel::intake::{Incoming, matched};
use funnel::plan::{CompiledFunnel, Funnel, Identity};
use funnel::values::Values;
use funnel::windows::MINUTE_MS;
use warehouse::FunnelKey;
use warehouse::rows::{ProgressRow, RollingRow};

use crate::erased::Erased;
use crate::lane::BuildOrder;

mod rows;

pub(crate) use rows::version_of_repair;

/// A gap in the log as long as this has every minute end, however short the minute history is.
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// What every lane of a process folds by.
#[derive(Debug, Clone)]
pub struct FoldSettings {
    pub horizon_ms: i64,
    pub max_tail_events: usize,
    pub minute_history_ms: i64,
    pub hour_history_ms: i64,
}

/// Which partition of which log.
#[derive(Debug, Clone)]
pub struct PartitionId {
    pub log_id: String,
    pub epoch: u32,
    /// No generation is begun on the log below it: logs before it used those.
    pub generation_floor: u64,
    pub partition: u32,
    pub partitions: u32,
}

/// A funnel's fold in a partition, with its place in the log and in the warehouse.
pub struct FunnelLane {
    pub key: FunnelKey,
    pub generation: u64,
    pub plan: Arc<Funnel>,
    compiled: CompiledFunnel,
    fold: Fold,
    settings: FoldSettings,
    /// Where the raw events end and the log begins in this generation: the first offset that counts by the live rules,
    /// and the partition's clock there. Builds of a generation that start again keep it, so that each of them makes the
    /// same state and another writer's journeys fit.
    cutoff: (u64, i64),
    /// Which ids are one visitor, and the number of the set that says so; nobody and 0 where the site joins none.
    joined: (Arc<Joined>, u64),
    /// Visitors who asked to be forgotten before where it stands, while it follows the log without its lane.
    pub erased: Erased,
    /// Records before this offset are folded already.
    pub joins_at: u64,
    /// The least version of its progress: of a row that it replaces, the versions of later offsets aside.
    least_version: u64,
    /// Journeys may be ahead until this offset: no minute before it is written.
    quiet_until: u64,
    /// Minute ends up to here were written by wall time, with the next offset as version.
    provisional_end_ms: i64,
    steps: Vec<String>,
    windows: Vec<String>,
    /// (value id, breakdown's name, value), by id - 1.
    names: Vec<(String, String)>,
}

impl FunnelLane {
    /// An empty funnel whose clock stands at `clock_ms`; records from `joins_at` on are its.
    pub fn new(
        plan: Arc<Funnel>,
        generation: u64,
        settings: &FoldSettings,
        clock_ms: i64,
        joins_at: u64,
    ) -> Self {
        let definition = plan.definition_hash(settings.horizon_ms);
        let spec = Spec::new(&plan, settings.horizon_ms, settings.max_tail_events);
        Self {
            key: FunnelKey { site: plan.site.clone(), funnel: plan.id.clone(), definition },
            generation,
            compiled: CompiledFunnel::new(&plan),
            fold: Fold::new(spec, Values::new(&plan.breakdowns), clock_ms),
            settings: settings.clone(),
            cutoff: (joins_at, clock_ms),
            joined: (Arc::default(), 0),
            erased: Erased::default(),
            joins_at,
            least_version: 0,
            quiet_until: 0,
            provisional_end_ms: 0,
            steps: plan.steps.iter().map(|step| step.id.clone()).collect(),
            windows: plan.rolling_windows.iter().map(|window| window.label.clone()).collect(),
            names: Vec::new(),
            plan,
        }
    }

    /// As [`FunnelLane::new`], to be built as ordered.
    pub fn ordered(order: &BuildOrder, settings: &FoldSettings) -> Self {
        let plan = Arc::clone(&order.funnel);
        let lane = Self::new(plan, order.generation, settings, order.clock_ms, order.cutoff);
        Self { least_version: order.least_version, ..lane }
    }

    /// As [`FunnelLane::new`], standing where its progress row says; journeys follow by [`FunnelLane::restore`].
    pub fn from_progress(plan: Arc<Funnel>, settings: &FoldSettings, row: &ProgressRow) -> Self {
        let mut lane = Self::new(plan, row.generation, settings, row.clock_ms, row.next_offset);
        let mut values = Values::new(&lane.plan.breakdowns);
        values.restore(&row.values, row.truncated);
        lane.fold = Fold::new(lane.fold.spec().clone(), values, row.clock_ms);
        lane.cutoff = (row.cutoff, row.cutoff_clock_ms);
        lane.least_version = rows::least_version_of(row);
        lane
    }

    /// Whether it folds this funnel.
    pub fn is_of(&self, site: &str, id: &str) -> bool {
        self.key.site == site && self.key.funnel == id
    }

    /// The first offset that this generation counts by the live rules.
    pub fn cutoff(&self) -> u64 {
        self.cutoff.0
    }

    /// Whether its site joins ids.
    pub fn joins_ids(&self) -> bool {
        self.plan.identity == Identity::Links
    }

    /// Counts by a set of links from here on. To be said before it folds anything.
    pub fn join(&mut self, joined: Arc<Joined>, set: u64) {
        self.joined = (joined, set);
    }

    /// The set that it counts by.
    pub fn joined(&self) -> (Arc<Joined>, u64) {
        self.joined.clone()
    }

    /// Puts back a journey; damaged ones are an error that a build from raw mends.
    pub fn restore(
        &mut self,
        visitor: u128,
        state: &[u8],
        folded_to: u64,
    ) -> Result<(), funnel::codec::Damaged> {
        self.fold.restore(visitor, state, folded_to, self.joins_at)
    }

    /// The marker, read last: journeys may be ahead up to it.
    pub fn set_marker(&mut self, marker: u64) {
        self.quiet_until = marker;
    }

    /// Moves the clock to the partition's, which events of other funnels may have moved on within the open minute.
    pub fn stand_at(&mut self, clock_ms: i64) {
        self.fold.advance(clock_ms.min(self.open_end_ms() - 1));
    }

    /// Forgets visitors whom nothing can count any more; returns how many.
    pub fn forget_idle(&mut self) -> usize {
        self.fold.forget_idle()
    }

    /// The fold, to be looked at.
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    /// The time at which the open minute ends.
    pub fn open_end_ms(&self) -> i64 {
        self.fold.open_minute_end_ms()
    }

    /// Takes notice of the record at `offset`, at which the partition's clock stands at `clock_ms`: closes the minutes
    /// that it closes. To be called for every record that may close one, before [`FunnelLane::fold_event`]. Stops early,
    /// with `false`, once `out` holds `limit` rows; it goes on from there.
    pub fn tick(
        &mut self,
        offset: u64,
        clock_ms: i64,
        limit: usize,
        out: &mut Vec<RollingRow>,
        partition: &PartitionId,
    ) -> bool {
        let quiet = self.is_quiet_at(offset);
        for end_ms in self.ends_until(clock_ms) {
            if out.len() >= limit {
                return false;
            }
            if !quiet && end_ms > self.provisional_end_ms {
                self.rows_at(end_ms, offset, true, end_ms, partition, out);
            }
            self.fold.advance(end_ms);
        }
        self.provisional_end_ms = 0;
        self.fold.advance(clock_ms);
        true
    }

    /// Whether journeys may be ahead of the state before `offset`; not any more once the marker is reached.
    fn is_quiet_at(&mut self, offset: u64) -> bool {
        if self.quiet_until > 0 && offset >= self.quiet_until {
            self.quiet_until = 0;
            self.fold.caught_up();
        }
        self.quiet_until > 0
    }

    /// Folds an event of the log, if it matches; `None` if it does not.
    pub fn fold_event(&mut self, event: &Incoming<'_>, offset: u64, clock_ms: i64) -> Option<Folded> {
        let user_id = event.user_id;
        let event = matched(&self.compiled, &mut self.fold, event)?;
        if self.joined.0.waits(event.visitor, user_id) {
            return Some(Folded::Linked);
        }
        self.provisional_end_ms = 0;
        self.fold.advance(clock_ms);
        Some(self.fold.fold(&event, offset))
    }

    /// Passes over an event of a visitor who was erased: its breakdown values get their ids like any others, because ids
    /// depend on the records of the log alone, not on who read them when.
    pub fn pass_over(&mut self, event: &Incoming<'_>) {
        let _ = matched(&self.compiled, &mut self.fold, event);
    }

    /// Removes a visitor from the journeys and from all counts, at a record at which the partition's clock stands there.
    pub fn erase(&mut self, visitor: u128, clock_ms: i64) {
        // The minute may have been written already, with the visitor.
        self.provisional_end_ms = 0;
        self.fold.advance(clock_ms);
        self.fold.erase(visitor);
    }

    /// A raw event as this partition counts it: for the visitor of its id. `None` if it counts in another partition, or by the
    /// next set of links. `is_own`: its id is of this partition.
    pub fn as_counted<'a>(
        &self,
        event: Incoming<'a>,
        is_own: bool,
        partition: &PartitionId,
    ) -> Option<Incoming<'a>> {
        match self.joined.0.whose(event.visitor, event.user_id) {
            Whose::Own => is_own.then_some(event),
            Whose::Unknown => None,
            Whose::Person(person) if person.partition != partition.partition => None,
            Whose::Person(person) if person.visitor == event.visitor => Some(event),
            Whose::Person(person) => {
                // Two devices may number their messages alike.
                let message = event.message ^ event.visitor as u64;
                Some(Incoming { visitor: person.visitor, message, ..event })
            }
        }
    }

    /// Folds one of the distinct raw events, which come in time order; the history up to it was written before.
    pub fn fold_raw(&mut self, event: &Incoming<'_>) {
        if let Some(event) = matched(&self.compiled, &mut self.fold, event) {
            self.fold.fold_raw(&event);
        }
    }

    /// Writes the history of a build up to a time, as of `cutoff`: hour ends, and minute ends where minutes are answered.
    /// Stops early, with `false`, once `out` holds `limit` rows; it goes on from there.
    pub fn history_until(
        &mut self,
        until_ms: i64,
        cutoff: (u64, i64),
        limit: usize,
        partition: &PartitionId,
        out: &mut Vec<RollingRow>,
    ) -> bool {
        let minutes_from = cutoff.1 - self.settings.minute_history_ms;
        for end_ms in ends(self.open_end_ms(), until_ms, minutes_from) {
            if out.len() >= limit {
                return false;
            }
            self.rows_at(end_ms, cutoff.0, true, end_ms, partition, out);
            self.fold.advance(end_ms);
        }
        self.fold.advance(until_ms);
        true
    }

    /// Sets the clock of a funnel that has folded nothing yet: a build's history begins with its first event.
    pub fn start_history_at(&mut self, clock_ms: i64) {
        let values = self.fold.values().clone();
        self.fold = Fold::new(self.fold.spec().clone(), values, clock_ms);
    }

    /// Minute ends that wall time closes while the log is idle; after a long gap a part of them at each call.
    pub fn provisional(
        &mut self,
        wall_ms: i64,
        next_offset: u64,
        limit: usize,
        partition: &PartitionId,
        out: &mut Vec<RollingRow>,
    ) {
        if self.is_quiet_at(next_offset) {
            return;
        }
        for end_ms in self.ends_until(wall_ms) {
            if out.len() >= limit {
                return;
            }
            if end_ms > self.provisional_end_ms {
                self.rows_at(end_ms, next_offset, false, end_ms, partition, out);
                self.provisional_end_ms = end_ms;
            }
        }
    }

    /// Minute ends after the open minute began, up to a time: all of them near it, hour ends only further back.
    fn ends_until(&self, until_ms: i64) -> Vec<i64> {
        let first = self.open_end_ms();
        if until_ms < first {
            return Vec::new();
        }
        let from = first.max(until_ms - self.settings.hour_history_ms);
        ends(from, until_ms, until_ms - self.settings.minute_history_ms.max(DAY_MS)).collect()
    }
}

/// Minute ends from `first` (one itself) up to `until_ms`; before `minutes_from` only those that end an hour.
fn ends(first: i64, until_ms: i64, minutes_from: i64) -> impl Iterator<Item = i64> {
    let next_hour = |end: i64| (end.div_euclid(HOUR_MS) + 1) * HOUR_MS;
    let minutes_from = minutes_from.div_euclid(HOUR_MS) * HOUR_MS;
    let start = if first >= minutes_from || first % HOUR_MS == 0 {
        first
    } else {
        next_hour(first).min(until_ms + 1)
    };
    let step = move |end: &i64| if *end >= minutes_from { end + MINUTE_MS } else { next_hour(*end) };
    std::iter::successors(Some(start), move |end| Some(step(end))).take_while(move |end| *end <= until_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_history_has_every_minute_and_older_history_every_hour() {
        let hour = 100 * HOUR_MS;
        let found: Vec<i64> =
            ends(hour + MINUTE_MS, hour + 2 * HOUR_MS + 3 * MINUTE_MS, hour + 2 * HOUR_MS).collect();
        let expected = [1, 2].map(|h| hour + h * HOUR_MS).into_iter();
        let minutes = [1, 2, 3].map(|m| hour + 2 * HOUR_MS + m * MINUTE_MS).into_iter();
        assert_eq!(found, expected.chain(minutes).collect::<Vec<_>>());
        assert_eq!(ends(hour, hour - 1, 0).count(), 0);
    }
}

//! What a lane counts: switches plans at the record that applies one, and orders the builds of funnels that are new,
//! changed, or to be counted anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use funnel::plan::{Funnel, Plan, PlanMatcher};
use rungs_proto::v1::ImportCompleted;
use warehouse::rows::{IMPORT, ProgressRow, import_key};

use super::{BuildOrder, Effects, Lane, PlanInForce};
use crate::funnel_lane::FunnelLane;
use crate::store::Write;

impl Lane {
    /// Switches to a plan; a lower number never replaces a higher one. Funnels whose definition stays live on, others are
    /// built from raw.
    pub(super) fn apply_plan(
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
            self.retentions = super::retentions_of(&self.in_force.plan);
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
            if self.live_of(funnel).is_none() && self.order_of(funnel).is_none() {
                let own = generation.max(self.least_generation());
                let settled = own.max(self.rebuilt_of(funnel));
                // A rebuild's number may have been this funnel's before a plan took it away.
                let repairs = settled != own;
                if self.is_untouched {
                    self.begin_here(funnel, settled);
                } else {
                    let order = self.build_from_here(funnel, settled);
                    self.order_build(if repairs { order.repairing(0) } else { order }, effects);
                }
            }
        }
    }

    /// Counts a funnel from this position on, without a past. A start on a topic that is full already begins so: builds
    /// would read all of it once more for each funnel.
    fn begin_here(&mut self, funnel: &Funnel, generation: u64) {
        let funnel = Arc::new(funnel.clone());
        self.funnels.push(FunnelLane::new(
            funnel,
            generation,
            &self.settings,
            self.clock_ms,
            self.next_offset,
        ));
        // Readers learn of it by its progress, which the next look at the clock writes.
        self.round = None;
        self.last_flush = (0, u64::MAX);
    }

    /// Notes that all rows of an import in this partition were taken. Behind the rows themselves: whoever reads the note
    /// finds them, and those that it does not find were of erased visitors.
    pub(super) fn end_import(&mut self, import: &ImportCompleted, effects: &mut Effects) {
        self.take_events(effects);
        let row = ProgressRow {
            site: import.site.clone(),
            funnel: import_key(&import.import_id),
            values: vec![import.accepted_rows.to_string()],
            ..self.own_row(IMPORT)
        };
        effects.writes.push(Write::Progress(vec![row]));
    }

    /// Builds all funnels of a site anew, or the `only` one that is named; the live ones go on until their successors
    /// are there. A funnel that was built as of here or later has this record already: it is read again after a
    /// restart.
    ///
    /// Writers have clocks of their own, and partitions get their records in different orders. So a funnel's generation is
    /// the largest one of its site's rebuilds, of its own, of the plan that brought it and of the log's floor, in whatever
    /// order they come.
    pub(super) fn rebuild(&mut self, site: &str, only: &str, generation: u64, effects: &mut Effects) {
        let rebuilt = self.rebuilt.entry(rebuilt_key(site, only)).or_default();
        *rebuilt = generation.max(*rebuilt);
        let plan = Arc::clone(&self.in_force.plan);
        let is_meant = |funnel: &&Funnel| funnel.site == site && (only.is_empty() || funnel.id == only);
        for funnel in plan.funnels.iter().filter(is_meant) {
            let least = self.partition.generation_floor.max(self.rebuilt_of(funnel));
            let live = self.live_of(funnel).map(|lane| (lane.generation, lane.cutoff()));
            let open = self.order_of(funnel).map(|order| (order.generation, order.cutoff));
            let known = [live, open].into_iter().flatten();
            if known.clone().any(|(_, cutoff)| cutoff >= self.next_offset) {
                continue;
            }
            let settled = known.clone().map(|(generation, _)| generation).fold(least, u64::max);
            let reused = known.clone().any(|(generation, _)| generation == settled);
            let ended = self.live_of(funnel).filter(|lane| lane.generation == settled);
            let replaced = ended.map_or(0, |lane| lane.complete_version(self.next_offset));
            if ended.is_some() {
                self.end_live(funnel);
            }
            let order = self.build_from_here(funnel, settled);
            self.order_build(if reused { order.repairing(replaced) } else { order }, effects);
        }
        self.relink();
    }

    /// The largest generation of the rebuilds that a funnel was among.
    fn rebuilt_of(&self, funnel: &Funnel) -> u64 {
        let of = |only| self.rebuilt.get(&rebuilt_key(&funnel.site, only)).copied().unwrap_or(0);
        of("").max(of(&funnel.id))
    }

    /// What a plan that is announced again on another log has in place of its generation, which it had on the log before. Each
    /// plan has another, in all partitions the same: old plans may be read again one after the other.
    fn least_generation(&self) -> u64 {
        match self.partition.generation_floor {
            0 => 0,
            floor => floor + self.in_force.number,
        }
    }

    fn live_of(&self, funnel: &Funnel) -> Option<&FunnelLane> {
        self.funnels.iter().find(|lane| lane.is_of(&funnel.site, &funnel.id))
    }

    fn order_of(&self, funnel: &Funnel) -> Option<&BuildOrder> {
        self.building.iter().find(|order| order.is_of(&funnel.site, &funnel.id))
    }

    /// Ends a live funnel whose number its successor takes over: two of one number would write the same rows.
    fn end_live(&mut self, funnel: &Funnel) {
        self.funnels.retain(|lane| !lane.is_of(&funnel.site, &funnel.id));
        // A flush under way counts on the funnels that there were.
        self.round = None;
    }

    /// An order to build a funnel as of this position.
    fn build_from_here(&self, funnel: &Funnel, generation: u64) -> BuildOrder {
        let (funnel, cutoff, clock_ms) = (Arc::new(funnel.clone()), self.next_offset, self.clock_ms);
        BuildOrder { funnel, generation, cutoff, clock_ms, least_version: 0 }
    }

    /// Orders a build anew whose funnel is lost.
    pub fn order_again(&mut self, order: BuildOrder, effects: &mut Effects) {
        self.order_build(order.repairing(0), effects);
    }

    pub(super) fn order_build(&mut self, order: BuildOrder, effects: &mut Effects) {
        let funnel = Arc::clone(&order.funnel);
        self.building.retain(|known| !known.is_of(&funnel.site, &funnel.id));
        let lane = FunnelLane::ordered(&order, &self.settings);
        self.take_events(effects);
        effects.writes.push(Write::Progress(vec![lane.building_row(0.0, &self.partition)]));
        self.building.push(order.clone());
        effects.builds.push(order);
    }

    /// Whether a build is still wanted: no other one of its funnel was ordered, and the plan has the funnel.
    pub fn wants(&self, order: &BuildOrder) -> bool {
        self.building.iter().any(|known| known.is(order))
    }
}

/// What a rebuild is kept under: a site's, or that of one of its funnels. No id has a slash in it.
fn rebuilt_key(site: &str, only: &str) -> String {
    if only.is_empty() { site.to_owned() } else { format!("{site}/{only}") }
}

/// The largest generation of each site's and funnel's rebuilds, as the partition's progress keeps them.
pub(super) fn rebuilt_to_values(rebuilt: &BTreeMap<String, u64>) -> Vec<String> {
    rebuilt.iter().map(|(site, generation)| format!("{generation}:{site}")).collect()
}

/// Reads what [`rebuilt_to_values`] wrote. What is not of that form is left out.
pub(crate) fn rebuilt_of_values(values: &[String]) -> BTreeMap<String, u64> {
    let read = |value: &String| {
        let (generation, site) = value.split_once(':')?;
        Some((site.to_owned(), generation.parse().ok()?))
    };
    values.iter().filter_map(read).collect()
}

#[cfg(test)]
#[path = "orders_tests.rs"]
mod tests;

//! What a funnel's lane hands to the warehouse: the counts of a minute, journeys that changed, and the rows that say how
//! far it is. [`crate::lane`] and [`crate::build`] put them into writes, in the order that a restore relies on.

use funnel::Counts;
use funnel::counts::to_sparse;
use funnel::windows::MINUTE_MS;
use warehouse::rows::{
    BUILDING, COMPLETE, DROPPED, JourneyRow, MARKER, PROGRESS, ProgressRow, RollingRow, open_version,
};

use super::{FunnelLane, PartitionId};

/// Versions of progress an offset has: those of its states, and room for a generation that is repaired where it stands.
const VERSIONS: u64 = 4;

/// Of these, the first one of a repair.
const REPAIR: u64 = 2;

/// The least version of the progress of a repair with this cut-off; a build that repairs nothing begins below it.
pub(crate) fn version_of_repair(cutoff: u64) -> u64 {
    cutoff * VERSIONS + REPAIR
}

/// Of two progress rows of one offset the later state counts.
fn rank(state: &str) -> u64 {
    [BUILDING, COMPLETE, DROPPED].iter().position(|known| *known == state).unwrap_or(0) as u64
}

/// What the rows that continue a progress row begin with.
pub(super) fn least_version_of(row: &ProgressRow) -> u64 {
    row.version.saturating_sub(rank(&row.state))
}

impl FunnelLane {
    /// The rows of the open minute at `now_ms`; for display.
    pub fn open_rows(
        &mut self,
        now_ms: i64,
        next_offset: u64,
        partition: &PartitionId,
        out: &mut Vec<RollingRow>,
    ) {
        let now_ms = now_ms.max(self.fold.clock_ms());
        let end_ms = (now_ms.div_euclid(MINUTE_MS) + 1) * MINUTE_MS;
        self.rows_at(end_ms, open_version(next_offset), false, now_ms, partition, out);
    }

    /// The counts of the open minute at `now_ms`, by (breakdown, value); everybody's has no breakdown.
    pub fn open_counts(&mut self, now_ms: i64) -> Vec<(String, String, Counts)> {
        let now_ms = now_ms.max(self.fold.clock_ms());
        let counts = self.fold.counts_at((now_ms.div_euclid(MINUTE_MS) + 1) * MINUTE_MS);
        self.learn_names();
        counts
            .into_iter()
            .map(|(id, counts)| {
                let (breakdown, value) = self.name_of(id);
                (breakdown, value, counts)
            })
            .collect()
    }

    /// Up to `limit` journeys that changed, as rows that are folded up to `next_offset`.
    pub fn journey_rows(
        &mut self,
        limit: usize,
        next_offset: u64,
        partition: &PartitionId,
    ) -> Vec<JourneyRow> {
        let changed = self.fold.take_changed(limit);
        let row = |(visitor, state)| JourneyRow {
            site: self.key.site.clone(),
            funnel: self.key.funnel.clone(),
            definition: self.key.definition,
            generation: self.generation,
            log_partition: partition.partition,
            visitor,
            state,
            version: next_offset,
        };
        changed.into_iter().map(row).collect()
    }

    /// The marker that goes before the journeys of a flush.
    pub fn marker_row(&self, next_offset: u64, partition: &PartitionId) -> ProgressRow {
        ProgressRow {
            kind: MARKER.into(),
            version: next_offset,
            ..self.row(next_offset, COMPLETE, partition)
        }
    }

    /// The progress that goes after the journeys of a flush.
    pub fn progress_row(&self, next_offset: u64, partition: &PartitionId) -> ProgressRow {
        ProgressRow {
            values: self.fold.values().learned(),
            truncated: self.fold.values().any_truncated(),
            done: 1.0,
            ..self.row(next_offset, COMPLETE, partition)
        }
    }

    /// Says how far a build is (0..1).
    pub fn building_row(&self, done: f64, partition: &PartitionId) -> ProgressRow {
        ProgressRow { done, ..self.row(self.joins_at, BUILDING, partition) }
    }

    /// Says that the generation is no longer kept up to date.
    pub fn dropped_row(&self, next_offset: u64, partition: &PartitionId) -> ProgressRow {
        self.row(next_offset, DROPPED, partition)
    }

    fn row(&self, next_offset: u64, state: &str, partition: &PartitionId) -> ProgressRow {
        ProgressRow {
            log_id: partition.log_id.clone(),
            log_partition: partition.partition,
            log_partitions: partition.partitions,
            site: self.key.site.clone(),
            funnel: self.key.funnel.clone(),
            definition: self.key.definition,
            generation: self.generation,
            kind: PROGRESS.into(),
            state: state.into(),
            cutoff: self.cutoff.0,
            cutoff_clock_ms: self.cutoff.1,
            next_offset,
            clock_ms: self.fold.clock_ms(),
            version: self.version(next_offset, state),
            ..ProgressRow::default()
        }
    }

    fn version(&self, next_offset: u64, state: &str) -> u64 {
        (next_offset * VERSIONS).max(self.least_version) + rank(state)
    }

    /// The version of the progress of this generation where it is complete up to `next_offset`.
    pub fn complete_version(&self, next_offset: u64) -> u64 {
        self.version(next_offset, COMPLETE)
    }

    /// The counts at the end of a minute, a row for everybody and for each breakdown value.
    pub(super) fn rows_at(
        &mut self,
        end_ms: i64,
        version: u64,
        closed: bool,
        as_of: i64,
        partition: &PartitionId,
        out: &mut Vec<RollingRow>,
    ) {
        let counts = self.fold.counts_at(end_ms);
        self.learn_names();
        for (id, counts) in counts {
            let (breakdown, value) = self.name_of(id);
            let (seconds_cells, seconds_counts) = to_sparse(&counts.seconds);
            let (effort_cells, effort_counts) = to_sparse(&counts.effort);
            out.push(RollingRow {
                site: self.key.site.clone(),
                funnel: self.key.funnel.clone(),
                definition: self.key.definition,
                generation: self.generation,
                minute: (end_ms / 1_000) as u32,
                log_partition: partition.partition,
                breakdown,
                value,
                steps: self.steps.clone(),
                windows: self.windows.clone(),
                visitors: counts.visitors,
                offered: counts.offered,
                committed: counts.committed,
                skipped: counts.skipped,
                open: counts.open,
                seconds_cells,
                seconds_counts,
                effort_cells,
                effort_counts,
                truncated: self.is_truncated(id),
                closed,
                as_of,
                version,
            });
        }
    }

    fn learn_names(&mut self) {
        let values = self.fold.values();
        for id in self.names.len() + 1..=values.len() {
            let (breakdown, value) = values.get(id as u16).unwrap_or((0, ""));
            let by = self.plan.breakdowns.get(breakdown).map_or("", |breakdown| breakdown.by.as_str());
            self.names.push((by.to_owned(), value.to_owned()));
        }
    }

    /// Whether other values of the breakdown that has the value of this id count as `other`.
    fn is_truncated(&self, id: u16) -> bool {
        let values = self.fold.values();
        values.get(id).is_some_and(|(breakdown, _)| values.truncated(breakdown))
    }

    fn name_of(&self, id: u16) -> (String, String) {
        let at = usize::from(id).checked_sub(1);
        at.and_then(|at| self.names.get(at)).cloned().unwrap_or_default()
    }
}

//! A flush, a bounded number of journeys at a time: between two of its steps the lane reads on, so that a million changed
//! journeys neither wait in memory nor hold up the counts.
//!
//! A flush up to F covers what had changed when it began. Each step writes, in this order: raw events; closed minutes; the
//! marker of the lane's position P; journeys, stamped P. When the last one that had changed at F is taken, progress F
//! follows. So at any time ClickHouse holds what a flush up to P would have left that was cut off, which is what
//! [`crate::restore`] is made for.

use warehouse::rows::{MARKER, ProgressRow};

use super::pace::Pace;
use super::{Effects, Lane};
use crate::store::{JOURNEYS_PER_WRITE, Write, in_pieces};

/// A flush under way.
pub(super) struct Round {
    /// F.
    at: u64,
    /// The plan there: another one has other funnels, so the flush begins anew.
    plan: u64,
    /// Journeys still to be taken, a number a funnel of the lane.
    left: Vec<usize>,
    /// Progress of each funnel and of the partition as of F.
    progress: Vec<ProgressRow>,
    /// None before its first step.
    pace: Option<Pace>,
}

impl Lane {
    /// Begins a flush up to the present position, instead of one under way.
    pub(super) fn begin_flush(&mut self, now_ms: i64) {
        let ahead_ms = if self.last_flush.0 == 0 { self.ahead_of_partition_0_ms() } else { 0 };
        self.last_flush = (now_ms - ahead_ms, self.next_offset);
        let (at, partition, clock_ms) = (self.next_offset, &self.partition, self.clock_ms);
        let (mut progress, mut left) = (Vec::new(), Vec::new());
        for funnel in &mut self.funnels {
            let joined = funnel.joins_at <= at;
            left.push(if joined { funnel.fold().changed() } else { 0 });
            if joined {
                funnel.stand_at(clock_ms);
                progress.push(funnel.progress_row(at, partition));
            }
        }
        progress.push(self.partition_row());
        self.round = Some(Round { at, plan: self.in_force.number, left, progress, pace: None });
    }

    /// Partitions that begin together flush one after the other, from the second time on: ClickHouse gets the journeys of all
    /// in a steady stream.
    fn ahead_of_partition_0_ms(&self) -> i64 {
        let (partition, partitions) = (self.partition.partition, self.partition.partitions);
        self.limits.journeys_interval_ms / i64::from(partitions).max(1) * i64::from(partition)
    }

    /// Whether a flush is under way.
    pub(super) fn is_flushing(&self) -> bool {
        self.round.is_some()
    }

    /// Whether the flush under way should make its next step now; at most one an interval.
    pub(super) fn is_step_due(&mut self, now_ms: i64, interval_ms: i64) -> bool {
        match &mut self.round {
            None => false,
            Some(Round { pace: None, .. }) => true,
            Some(Round { pace: Some(pace), .. }) => pace.is_due(now_ms, interval_ms),
        }
    }

    /// A step of the flush under way: at most `limit` (above 0) journeys, and progress at the end.
    pub(super) fn step_flush(&mut self, now_ms: i64, limit: usize, effects: &mut Effects) {
        let Some(mut round) = self.round.take() else { return };
        if round.plan != self.in_force.number {
            return self.begin_flush(now_ms);
        }
        self.take_events(effects);
        let (at, partition) = (self.next_offset, &self.partition);
        let (mut markers, mut journeys) = (Vec::new(), Vec::new());
        for (funnel, left) in self.funnels.iter_mut().zip(&mut round.left) {
            let room = (*left).min(limit - journeys.len());
            if room > 0 {
                markers.push(funnel.marker_row(at, partition));
                journeys.extend(funnel.journey_rows(room, at, partition));
                *left -= room;
            }
        }
        let is_last = round.left.iter().all(|left| *left == 0);
        // That raw events before here are stored; of the last step progress says it, unless the lane has read on.
        if self.raw_events.is_whole() && (at > round.at || !is_last) {
            markers.push(self.own_row(MARKER));
        }
        effects.writes.push(Write::Progress(markers));
        effects.writes.extend(in_pieces(journeys, JOURNEYS_PER_WRITE).map(Write::Journeys));
        if is_last {
            return self.end_flush(round, effects);
        }
        let (pace, barrier) = Pace::after_step(now_ms);
        effects.writes.push(barrier);
        self.round = Some(Round { pace: Some(pace), ..round });
    }

    fn end_flush(&mut self, round: Round, effects: &mut Effects) {
        self.raw_events.flushed(round.at);
        effects.writes.push(Write::Progress(round.progress));
        let needed = self.building.iter().map(|order| order.cutoff).min().unwrap_or(round.at);
        effects.writes.push(Write::Reached { next_offset: needed.min(round.at) });
    }
}

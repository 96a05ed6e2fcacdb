//! When a lane writes: raw events and the open minute by time, journeys and progress in a flush ([`super::round`]), minute
//! ends while the log is idle.

use funnel::windows::minute_of;
use warehouse::rows::{COMPLETE, PROGRESS, ProgressRow};

use super::orders::rebuilt_to_values;
use super::{Effects, Lane, is_due};
use crate::store::{ROWS_PER_WRITE, Write};

/// Bytes of raw events that all partitions of a log collect, each its share: a batch goes out at this size, however few they
/// are. Four more may be on their way ([`crate::writer`]), so one process that serves all of them holds five times as much
/// while it is far behind; more only of a log of more than 128 partitions.
const EVENTS_BYTES: usize = 128 << 20;
/// However many partitions there are, a batch is no smaller and no larger.
const LEAST_BATCH_BYTES: usize = 1 << 20;
const MOST_BATCH_BYTES: usize = 16 << 20;
/// While the lane is behind, a full batch is there soon, and costs less than two halves: it is waited for so many times as
/// long.
const BEHIND: i64 = 4;
/// A lane whose clock is so far from wall time is behind. Under load the log nearly always has something more to read: that
/// alone says little.
const BEHIND_MS: i64 = 1_000;
/// An idle partition tells this often that it is alive.
const IDLE_OPEN_INTERVAL_MS: i64 = 5_000;
/// The open minute is shown at most this often.
const OPEN_INTERVAL_MS: i64 = 1_000;
/// How often journeys are looked through for those that nothing can count any more.
const FORGET_INTERVAL_MS: i64 = 3_600_000;
/// Wall time closes a minute this long after its end, so that records on their way to the log come first.
const PROVISIONAL_GRACE_MS: i64 = 2_000;

impl Lane {
    /// What wall time asks for: events and journeys that waited long enough, the open minute, and minute ends while the
    /// log is idle (`at_end`: every record that the log has was taken).
    pub fn tick(&mut self, now_ms: i64, at_end: bool, effects: &mut Effects) {
        self.counts.tell();
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
        let is_behind = !at_end && now_ms - self.clock_ms > BEHIND_MS;
        let interval = self.limits.events_interval_ms * if is_behind { BEHIND } else { 1 };
        // Behind a write that is not stored they would only wait; until then, more of them share the next one.
        let waits = self.events_on_their_way.is_any();
        let are_due = is_due(now_ms, self.last_events_ms, interval);
        if self.events_are_many() || (are_due && !waits) {
            self.last_events_ms = now_ms;
            self.take_events(effects);
        } else if are_due {
            effects.rolling(std::mem::take(&mut self.rolling));
        }
        // A new minute is shown by all partitions at about the same time: readers add up rows of one minute.
        let moved = self.next_offset != self.last_open.1 || minute_of(now_ms) != minute_of(self.last_open.0);
        let interval = if moved { OPEN_INTERVAL_MS } else { IDLE_OPEN_INTERVAL_MS };
        if is_due(now_ms, self.last_open.0, interval) {
            self.open(now_ms, effects);
        }
        self.tick_flush(now_ms, effects);
        self.forget_idle(now_ms);
    }

    /// Begins a flush or goes on with the one under way, at most as often as raw events are written.
    fn tick_flush(&mut self, now_ms: i64, effects: &mut Effects) {
        let due = is_due(now_ms, self.last_flush.0, self.limits.journeys_interval_ms);
        if due && !self.is_flushing() && self.next_offset != self.last_flush.1 {
            self.begin_flush(now_ms);
        }
        if self.is_step_due(now_ms, self.limits.events_interval_ms) {
            self.step_flush(now_ms, self.limits.journeys_batch_rows, effects);
        }
    }

    /// Forgets visitors whom nothing can count any more, once an hour; a restore leaves them out.
    fn forget_idle(&mut self, now_ms: i64) {
        if self.last_forgotten_ms == 0 {
            self.last_forgotten_ms = now_ms;
        }
        if is_due(now_ms, self.last_forgotten_ms, FORGET_INTERVAL_MS) {
            self.last_forgotten_ms = now_ms;
            let forgotten = self.forget();
            tracing::debug!(forgotten, "idle visitors were forgotten");
        }
    }

    /// Hands over raw events and closed minutes, in this order.
    pub(super) fn take_events(&mut self, effects: &mut Effects) {
        if self.events.rows() > 0 {
            let next = self.events.successor();
            let batch = std::mem::replace(&mut self.events, next).seal();
            effects.writes.push(Write::Events(batch, self.events_on_their_way.clone()));
        }
        effects.rolling(std::mem::take(&mut self.rolling));
    }

    /// Whether the waiting raw events fill a batch, so that the lane should hand them over before it reads on.
    pub fn events_are_many(&self) -> bool {
        let share = EVENTS_BYTES / self.partition.partitions.max(1) as usize;
        self.events.rows() >= self.limits.events_batch_rows
            || self.events.bytes() >= share.clamp(LEAST_BATCH_BYTES, MOST_BATCH_BYTES)
    }

    pub(super) fn open(&mut self, now_ms: i64, effects: &mut Effects) {
        self.last_open = (now_ms, self.next_offset);
        let mut rows = Vec::new();
        for funnel in self.funnels.iter_mut().filter(|funnel| funnel.joins_at <= self.next_offset) {
            funnel.open_rows(now_ms, self.next_offset, &self.partition, &mut rows);
        }
        if !rows.is_empty() {
            effects.writes.push(Write::Open(rows));
        }
    }

    /// The last writes before the end: what readers see until the next start, and a flush, whose steps
    /// [`Lane::go_on_flushing`] makes.
    pub fn finish(&mut self, now_ms: i64, effects: &mut Effects) {
        self.open(now_ms, effects);
        self.begin_flush(now_ms);
    }

    /// The next step of the flush under way; `false` when there is none.
    pub fn go_on_flushing(&mut self, now_ms: i64, effects: &mut Effects) -> bool {
        let under_way = self.round.is_some();
        self.step_flush(now_ms, self.limits.journeys_batch_rows, effects);
        under_way
    }

    /// A whole flush up to the present position.
    pub fn flush(&mut self, now_ms: i64, effects: &mut Effects) {
        self.begin_flush(now_ms);
        while self.go_on_flushing(now_ms, effects) {}
    }

    /// The partition's own progress: position, clock, plan, and the generations of the sites' rebuilds.
    pub(super) fn partition_row(&self) -> ProgressRow {
        ProgressRow {
            plan_number: self.in_force.number,
            plan_text: self.in_force.text.clone(),
            values: rebuilt_to_values(&self.rebuilt),
            ..self.own_row(PROGRESS)
        }
    }

    /// A row about the partition as it stands here.
    pub(super) fn own_row(&self, kind: &str) -> ProgressRow {
        ProgressRow {
            log_id: self.partition.log_id.clone(),
            log_partition: self.partition.partition,
            log_partitions: self.partition.partitions,
            kind: kind.into(),
            state: COMPLETE.into(),
            next_offset: self.next_offset,
            clock_ms: self.clock_ms,
            done: 1.0,
            version: self.next_offset * 4 + 1,
            ..ProgressRow::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use rungs_proto::v1::Record;

    use super::*;
    use crate::funnel_lane::PartitionId;
    use crate::lane::FlushLimits;
    use crate::small_lane::{counters, event, first_of, flush_limits, fold_settings};

    const NOW_MS: i64 = 1_700_000_000_000;
    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn partitions_that_begin_together_flush_one_after_the_other_from_the_second_time_on() {
        for partition in 0..4 {
            let id = PartitionId { partition, ..first_of(4, "log".to_owned()) };
            let limits = FlushLimits { journeys_interval_ms: HOUR_MS, ..flush_limits() };
            let mut lane = Lane::new(id, fold_settings(), limits, counters());
            let flushed_at = (0..8).filter(|quarter| {
                // There is always something to flush.
                lane.next_offset += 1;
                let mut effects = Effects::default();
                lane.tick(NOW_MS + quarter * HOUR_MS / 4, true, &mut effects);
                effects.writes.iter().any(|write| matches!(write, Write::Reached { .. }))
            });
            let second = 4 - i64::from(partition);
            let third = Some(second + 4).filter(|quarter| *quarter < 8);
            assert_eq!(
                flushed_at.collect::<Vec<_>>(),
                [0, second].into_iter().chain(third).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn raw_events_wait_while_some_are_on_their_way() {
        let id = PartitionId { partition: 1, ..first_of(2, "log".to_owned()) };
        let without_flushes = FlushLimits { journeys_interval_ms: HOUR_MS, ..flush_limits() };
        let mut lane = Lane::new(id, fold_settings(), without_flushes, counters());
        let mut handed_over = |message: &str, wall_ms: i64| {
            let value = Record { body: Some(event("v", message, NOW_MS)) }.encode_to_vec();
            let mut effects = Effects::default();
            lane.record(lane.next_offset(), NOW_MS, &value, &|_| None, &mut effects);
            lane.tick(wall_ms, true, &mut effects);
            let events = effects.writes.into_iter().filter(|write| matches!(write, Write::Events(..)));
            events.collect::<Vec<_>>()
        };
        let first = handed_over("m1", NOW_MS);
        assert_eq!(first.len(), 1);
        assert!(handed_over("m2", NOW_MS + 60_000).is_empty());
        drop(first);
        let [Write::Events(batch, _)] = &handed_over("m3", NOW_MS + 60_001)[..] else { unreachable!() };
        assert_eq!(batch.rows(), 2);
    }
}

//! What the scrape sees of a partition, several times a second.

use std::sync::Arc;

use tokio::sync::watch;

use super::LaneThread;
use crate::snapshot::{FunnelSnapshot, LaneSnapshot, LaneState};
use crate::store::Store;

/// The scrape sees counts that are at most this old.
const SNAPSHOT_INTERVAL_MS: i64 = 200;

impl<S: Store> LaneThread<S> {
    pub(super) fn publish(&mut self, now_ms: i64, end: &watch::Receiver<u64>, is_paused: bool) {
        if (0..SNAPSHOT_INTERVAL_MS).contains(&(now_ms - self.last_snapshot_ms)) {
            return;
        }
        self.last_snapshot_ms = now_ms;
        let (position, end) = (self.lane.next_offset(), Some(end.clone()));
        let state = match self.lane.building() {
            _ if is_paused => LaneState::Paused,
            [] => LaneState::Live,
            _ => LaneState::Rebuilding,
        };
        let funnels = self.lane.funnels_mut().iter_mut().map(|lane| {
            let mut counts = lane.open_counts(now_ms).into_iter();
            let everybody = counts.next().map(|(_, _, counts)| counts).unwrap_or_default();
            let listed = |by: &str, value: &String| {
                lane.plan
                    .breakdowns
                    .iter()
                    .any(|breakdown| breakdown.by == by && breakdown.values.contains(value))
            };
            let values = counts.filter(|(by, value, _)| listed(by, value));
            let values = values.map(|(by, value, counts)| ((by, value), counts)).collect();
            FunnelSnapshot {
                definition: lane.key.definition,
                funnel: Arc::clone(&lane.plan),
                everybody,
                values,
                visitors_in_memory: lane.fold().visitors(),
            }
        });
        let funnels = funnels.collect();
        let taken_until_ms = self.lane.clock_ms().max(self.last_at_end_ms);
        let clock_ms = self.lane.clock_ms();
        let shown = LaneSnapshot {
            state,
            funnels,
            position,
            places: self.source.places(),
            taken_until_ms,
            clock_ms,
            end,
            ..LaneSnapshot::default()
        };
        self.board.store(Arc::new(shown));
    }
}

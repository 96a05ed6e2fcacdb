//! Tells when the log's clock is ahead of this machine's. Events are judged by the log's clock, the running maximum of
//! append times: a record that was appended while a clock was years ahead moves it there for good, and from then on every
//! event is late: stored, and not counted live.
//!
//! That is nothing to refuse to work for: what is stored is counted by the builds of the next log, as the alert's page says.
//! Started by [`crate::run`]; looks at the board once a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use runtime::{Shutdown, now_ms};

use crate::snapshot::{Board, LaneSnapshot};

/// Clocks of machines differ by less, unless one is wrong; the alert's limit too.
const MAX_AHEAD_MS: i64 = 5 * 60_000;
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// It is told again after this long.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// What was seen before.
#[derive(Debug, Default)]
pub(crate) struct ClockWatch {
    /// Since when the log's clock is ahead, UTC milliseconds by this machine's clock, and when it was told last.
    ahead: Option<(i64, Instant)>,
}

/// What is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ahead {
    partition: usize,
    log_ms: i64,
    ahead_ms: i64,
    since_ms: i64,
}

impl ClockWatch {
    /// Until shutdown.
    pub(crate) async fn run(mut self, board: Board, horizon_ms: i64, shutdown: Shutdown) {
        loop {
            if let Some(ahead) = self.look(&board.look(), now_ms(), Instant::now()) {
                ahead.tell(horizon_ms);
            }
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }

    /// What to tell now: the partition that is furthest ahead, at once and then once a minute.
    fn look(&mut self, lanes: &[Arc<LaneSnapshot>], now_ms: i64, at: Instant) -> Option<Ahead> {
        let (partition, lane) = lanes.iter().enumerate().max_by_key(|(_, lane)| lane.clock_ms)?;
        let ahead_ms = lane.clock_ahead_ms(now_ms);
        if ahead_ms <= MAX_AHEAD_MS {
            self.ahead = None;
            return None;
        }
        let since_ms = match self.ahead {
            Some((_, told)) if at.saturating_duration_since(told) < TOLD_EVERY => return None,
            Some((since_ms, _)) => since_ms,
            None => now_ms,
        };
        self.ahead = Some((since_ms, at));
        Some(Ahead { partition, log_ms: lane.clock_ms, ahead_ms, since_ms })
    }
}

impl Ahead {
    fn tell(self, horizon_ms: i64) {
        let Self { partition, log_ms, ahead_ms, since_ms } = self;
        let effect = if ahead_ms > horizon_ms {
            "every event that comes now is late: stored, and not counted live"
        } else {
            "events count as older than they are"
        };
        tracing::error!(
            partition,
            log_clock = utc(log_ms),
            ahead_s = ahead_ms / 1_000,
            seen_since = utc(since_ms),
            "the log's clock is ahead of this machine's, because a record was appended while a clock was wrong: {effect}. \
             Set the clocks right, then begin a new log: docs/runbooks/RungsClockAhead.md"
        );
    }
}

fn utc(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.strftime("%F %T UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn lanes(clocks: &[i64]) -> Vec<Arc<LaneSnapshot>> {
        let lane = |clock_ms: &i64| Arc::new(LaneSnapshot { clock_ms: *clock_ms, ..LaneSnapshot::default() });
        clocks.iter().map(lane).collect()
    }

    #[test]
    fn a_clock_that_is_ahead_is_told_at_once_and_then_once_a_minute_until_it_is_not() {
        let (mut watch, began) = (ClockWatch::default(), Instant::now());
        let ahead_ms = MAX_AHEAD_MS + 60_000;
        let lanes = lanes(&[0, NOW_MS + ahead_ms, NOW_MS]);
        let ahead = Ahead { partition: 1, log_ms: NOW_MS + ahead_ms, ahead_ms, since_ms: NOW_MS };
        assert_eq!(watch.look(&lanes, NOW_MS, began), Some(ahead));
        assert_eq!(watch.look(&lanes, NOW_MS + 59_000, began + TOLD_EVERY - LOOK_INTERVAL), None);
        let later = Ahead { ahead_ms: ahead_ms - 59_999, ..ahead };
        assert_eq!(watch.look(&lanes, NOW_MS + 59_999, began + TOLD_EVERY), Some(later));
        // Wall time has caught up, near enough.
        assert_eq!(watch.look(&lanes, NOW_MS + 60_000, began + 2 * TOLD_EVERY), None);
        assert_eq!(
            watch.look(&lanes, NOW_MS, began + 2 * TOLD_EVERY).map(|ahead| ahead.since_ms),
            Some(NOW_MS)
        );
    }

    #[test]
    fn clocks_that_differ_a_little_or_lag_and_partitions_that_are_elsewhere_are_nothing_to_tell() {
        let mut watch = ClockWatch::default();
        for clocks in [vec![], vec![0, 0], vec![NOW_MS - 86_400_000], vec![NOW_MS + MAX_AHEAD_MS, 0]] {
            assert_eq!(watch.look(&lanes(&clocks), NOW_MS, Instant::now()), None, "{clocks:?}");
        }
    }
}

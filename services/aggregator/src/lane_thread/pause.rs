//! The limit of journeys: a partition's thread takes no record while its process holds too many.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{IDLE_TICK, LaneThread};
use crate::lane::Lane;
use crate::store::Store;

/// While a process holds too many journeys, those that nothing counts are looked for this often: it looks at each.
const FORGET_PAUSE: Duration = Duration::from_secs(60);

impl<S: Store> LaneThread<S> {
    /// Whether the process holds as many journeys as it may, so that this lane takes no record. Before, what nothing
    /// counts any more is forgotten, now and then.
    pub(super) fn is_paused(&mut self, end: &watch::Receiver<u64>) -> bool {
        let may_read = |lane: &Lane| *end.borrow() > lane.next_offset();
        if !self.journeys.is_over(self.lane.journeys()) {
            self.last_forgotten = None;
            return false;
        }
        if self.last_forgotten.is_none_or(|last| last.elapsed() >= FORGET_PAUSE) {
            let forgotten = self.lane.forget();
            let first = self.last_forgotten.replace(Instant::now()).is_none();
            let is_over = self.journeys.is_over(self.lane.journeys());
            if is_over && first {
                tracing::error!(
                    partition = self.lane.partition.partition,
                    forgotten,
                    limit = self.journeys.limit(),
                    "this process holds as many journeys as [aggregator] max_journeys allows: it reads no further, and the \
                     numbers stay as they are. Raise it, or run more aggregators"
                );
            }
            return is_over && may_read(&self.lane);
        }
        may_read(&self.lane)
    }

    /// A while without reading.
    pub(super) fn rest(&self) {
        let stop = self.stop.clone();
        self.runtime
            .block_on(async { drop(tokio::time::timeout(IDLE_TICK, stop.asked().requested()).await) });
    }
}

//! The live counts of every funnel as its lanes see them, published by each lane several times a second and read by the
//! scrape: one consistent picture a lane.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use funnel::Counts;
use funnel::plan::Funnel;
use tokio::sync::watch;

/// What a partition is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LaneState {
    /// Is not served by this process.
    #[default]
    Elsewhere,
    /// Reads its journeys back.
    Restoring,
    /// Counts, but some funnel is still being built from raw events.
    Rebuilding,
    /// Counts everything.
    Live,
    /// Reads no further: the process holds as many journeys as it may.
    Paused,
}

/// A funnel in one partition.
#[derive(Debug, Clone)]
pub struct FunnelSnapshot {
    /// Lanes may differ while a plan changes; only equal definitions add up.
    pub definition: u64,
    pub funnel: Arc<Funnel>,
    pub everybody: Counts,
    /// By (breakdown, value): listed values only.
    pub values: BTreeMap<(String, String), Counts>,
    pub visitors_in_memory: usize,
}

/// How far a restore is.
#[derive(Debug, Default)]
pub struct RestoreProgress {
    /// Journeys read.
    read: AtomicU64,
    /// Journeys to read, about; 0 before it is known.
    total: AtomicU64,
}

impl RestoreProgress {
    /// An attempt begins: nothing is read.
    pub(crate) fn begin(&self) {
        self.read.store(0, Ordering::Relaxed);
        self.total.store(0, Ordering::Relaxed);
    }

    /// So many more are to be read.
    pub(crate) fn expect(&self, journeys: u64) {
        self.total.fetch_add(journeys, Ordering::Relaxed);
    }

    /// One was read.
    pub(crate) fn read_one(&self) {
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    /// The share that is read, 0..1; never 1, because there is more to a restore.
    pub fn share(&self) -> f64 {
        let (read, total) = (self.read.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        (read as f64 / total.max(1) as f64).min(0.99)
    }
}

/// A partition.
#[derive(Debug, Clone, Default)]
pub struct LaneSnapshot {
    pub state: LaneState,
    /// How far its restore is, while it is being restored.
    pub restore: Arc<RestoreProgress>,
    pub funnels: Vec<FunnelSnapshot>,
    /// The next offset that the lane takes.
    pub position: u64,
    /// How many offsets one record of the log's storage takes ([`event_log::Source::places`]); 0 where it is not served.
    pub places: u64,
    /// Everything that the log had at this time was taken, UTC milliseconds.
    pub taken_until_ms: i64,
    /// The partition's clock, UTC milliseconds; 0 where it is not known.
    pub clock_ms: i64,
    /// Where the log ends, also while the lane waits for its writer; none where the partition is not served.
    pub end: Option<watch::Receiver<u64>>,
}

impl LaneSnapshot {
    /// Records behind the end of the log, now, as its storage counts them.
    pub fn lag_records(&self) -> u64 {
        let behind = |end: &watch::Receiver<u64>| end.borrow().saturating_sub(self.position);
        self.end.as_ref().map_or(0, behind).div_ceil(self.places.max(1))
    }

    /// For how long the oldest of them has waited, at most; 0 if none does.
    pub fn lag_ms(&self, now_ms: i64) -> i64 {
        if self.lag_records() == 0 { 0 } else { (now_ms - self.taken_until_ms).max(0) }
    }

    /// By how much the partition's clock is ahead of this machine's; 0 if it is not.
    pub fn clock_ahead_ms(&self, now_ms: i64) -> i64 {
        self.clock_ms.saturating_sub(now_ms).max(0)
    }
}

/// Where a lane publishes.
pub type LaneBoard = Arc<ArcSwap<LaneSnapshot>>;

/// The snapshot of every partition of this process.
#[derive(Debug, Clone)]
pub struct Board {
    pub lanes: Arc<Vec<LaneBoard>>,
    /// Partitions of the log, here or elsewhere.
    pub log_partitions: u32,
}

impl Board {
    /// A place for each partition of the log, none of them served yet.
    pub fn new(log_partitions: u32) -> Self {
        let place = || Arc::new(ArcSwap::from_pointee(LaneSnapshot::default()));
        Self { lanes: Arc::new((0..log_partitions).map(|_| place()).collect()), log_partitions }
    }

    /// The place of a partition of the log.
    pub(crate) fn lane(&self, partition: u32) -> Option<&LaneBoard> {
        self.lanes.get(partition as usize)
    }

    /// Whether this process serves partition 0, and so looks after what there is once.
    pub(crate) fn is_first_served(&self) -> bool {
        let state = self.lane(0).map(|lane| lane.load().state);
        state.is_some_and(|state| state != LaneState::Elsewhere)
    }

    /// Every lane as it is now.
    pub fn look(&self) -> Vec<Arc<LaneSnapshot>> {
        self.lanes.iter().map(|lane| lane.load_full()).collect()
    }

    /// The funnels of all lanes, summed. While lanes count by different definitions (a plan is changing), the one that
    /// most of them count by is shown.
    pub fn funnels(lanes: &[Arc<LaneSnapshot>]) -> Vec<FunnelSnapshot> {
        let mut sums: BTreeMap<(String, String), BTreeMap<u64, (usize, FunnelSnapshot)>> = BTreeMap::new();
        for lane in lanes {
            for funnel in &lane.funnels {
                let key = (funnel.funnel.site.clone(), funnel.funnel.id.clone());
                match sums.entry(key).or_default().entry(funnel.definition) {
                    Entry::Occupied(mut known) => {
                        known.get_mut().0 += 1;
                        known.get_mut().1.add(funnel);
                    }
                    Entry::Vacant(new) => drop(new.insert((1, funnel.clone()))),
                }
            }
        }
        let most = |by_definition: BTreeMap<u64, (usize, FunnelSnapshot)>| {
            by_definition.into_values().max_by_key(|(lanes, _)| *lanes).map(|(_, sum)| sum)
        };
        sums.into_values().filter_map(most).collect()
    }
}

/// The share of this process's partitions that are restored, those under way by their journeys; 1 without partitions.
pub(crate) fn restored(lanes: &[Arc<LaneSnapshot>]) -> f64 {
    let ours = lanes.iter().filter(|lane| lane.state != LaneState::Elsewhere);
    let share = |lane: &Arc<LaneSnapshot>| match lane.state {
        LaneState::Restoring => lane.restore.share(),
        _ => 1.0,
    };
    let shares: Vec<f64> = ours.map(share).collect();
    if shares.is_empty() { 1.0 } else { shares.iter().sum::<f64>() / shares.len() as f64 }
}

impl FunnelSnapshot {
    fn add(&mut self, other: &Self) {
        self.everybody.add(&other.everybody);
        self.visitors_in_memory += other.visitors_in_memory;
        for (key, counts) in &other.values {
            match self.values.get_mut(key) {
                Some(sum) => sum.add(counts),
                None => drop(self.values.insert(key.clone(), counts.clone())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lags_at_the_end_and_before_it_as_long_as_the_oldest_record_has_waited_at_most() {
        let (end, seen) = watch::channel(7);
        let lane =
            LaneSnapshot { position: 7, taken_until_ms: 1_000, end: Some(seen), ..LaneSnapshot::default() };
        let packed = LaneSnapshot { places: 10, ..lane.clone() };
        assert_eq!((lane.lag_records(), lane.lag_ms(5_000)), (0, 0));
        end.send_replace(9);
        assert_eq!((lane.lag_records(), lane.lag_ms(5_000)), (2, 4_000));
        assert_eq!(packed.lag_records(), 1, "of one record of the log's storage some is not taken");
        // A clock that was set back.
        assert_eq!(lane.lag_ms(500), 0);
        assert_eq!(LaneSnapshot::default().lag_ms(5_000), 0);
    }

    #[test]
    fn a_restore_is_done_to_the_share_of_its_journeys_and_never_wholly() {
        let board = Board::new(4);
        assert_eq!(restored(&board.look()), 1.0, "there is nothing to restore");
        let show = |partition, state| {
            let snapshot = LaneSnapshot { state, ..LaneSnapshot::default() };
            let restore = Arc::clone(&snapshot.restore);
            board.lane(partition).unwrap().store(Arc::new(snapshot));
            restore
        };
        show(0, LaneState::Live);
        let restore = show(1, LaneState::Restoring);
        assert_eq!(restored(&board.look()), 0.5, "how many journeys there are is not known yet");
        restore.expect(4);
        (0..2).for_each(|_| restore.read_one());
        assert_eq!(restored(&board.look()), 0.75);
        restore.begin();
        assert_eq!(restored(&board.look()), 0.5, "another attempt begins with nothing");
        restore.expect(4);
        (0..2).for_each(|_| restore.read_one());
        assert_eq!(restored(&board.look()), 0.75);
        (0..8).for_each(|_| restore.read_one());
        assert!(restored(&board.look()) < 1.0, "rows that were not merged yet are more than was thought");
    }
}

//! The live counts of every funnel as its lanes see them, published by each lane several times a second and read by the
//! scrape: one consistent picture a lane.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use funnel::Counts;
use funnel::plan::Funnel;

/// What a partition is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LaneState {
    /// Reads its journeys back.
    #[default]
    Restoring,
    /// Counts, but some funnel is still being built from raw events.
    Rebuilding,
    /// Counts everything.
    Live,
}

/// A funnel in one partition.
#[derive(Debug, Clone)]
pub struct FunnelSnapshot {
    pub funnel: Arc<Funnel>,
    pub everybody: Counts,
    /// By (breakdown, value): listed values only.
    pub values: BTreeMap<(String, String), Counts>,
    pub visitors_in_memory: usize,
}

/// A partition.
#[derive(Debug, Clone, Default)]
pub struct LaneSnapshot {
    pub state: LaneState,
    pub funnels: Vec<FunnelSnapshot>,
    /// Records behind the end of the log.
    pub lag_records: u64,
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
    /// Empty places for lanes.
    pub fn new(lanes: usize, log_partitions: u32) -> Self {
        let place = || Arc::new(ArcSwap::from_pointee(LaneSnapshot::default()));
        Self { lanes: Arc::new((0..lanes).map(|_| place()).collect()), log_partitions }
    }

    /// The funnels of all lanes, summed.
    pub fn funnels(&self) -> Vec<FunnelSnapshot> {
        let mut sums: BTreeMap<(String, String), FunnelSnapshot> = BTreeMap::new();
        for lane in self.lanes.iter().map(|board| board.load_full()) {
            for funnel in &lane.funnels {
                let key = (funnel.funnel.site.clone(), funnel.funnel.id.clone());
                match sums.get_mut(&key) {
                    Some(sum) => sum.add(funnel),
                    None => drop(sums.insert(key, funnel.clone())),
                }
            }
        }
        sums.into_values().collect()
    }
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

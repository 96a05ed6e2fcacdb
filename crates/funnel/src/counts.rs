//! What a funnel counts in every rolling window, for everybody or for one breakdown value: plain numbers that add up
//! over partitions. The aggregator fills them, ClickHouse stores them, the console sums them and derives ratios.

use crate::buckets;

/// Counts of one funnel; flat arrays are steps x windows (index = step * windows + window).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    pub steps: usize,
    pub windows: usize,
    /// Visitors who reached the step, by the anchor of their chain.
    pub visitors: Vec<u32>,
    /// Visitors who were shown the step's offer (0 where the plan names none).
    pub offered: Vec<u32>,
    /// Visitors who took the step within the conversion window after its offer.
    pub committed: Vec<u32>,
    /// Visitors with a match of a later step and none of this one (0 for the last step and for breakdown values:
    /// a later step belongs to the visitor, not to an entry).
    pub skipped: Vec<u32>,
    /// Per step: visitors whose highest step within the conversion window it is.
    pub open: Vec<u32>,
    /// Seconds from the previous step: steps x windows x [`buckets::COUNT`].
    pub seconds: Vec<u32>,
    /// Seconds from the offer to the step: steps x windows x [`buckets::COUNT`].
    pub effort: Vec<u32>,
}

impl Counts {
    /// Zeros for a funnel of this shape.
    pub fn new(steps: usize, windows: usize) -> Self {
        let flat = || vec![0; steps * windows];
        let cells = || vec![0; steps * windows * buckets::COUNT];
        Self {
            steps,
            windows,
            visitors: flat(),
            offered: flat(),
            committed: flat(),
            skipped: flat(),
            open: vec![0; steps],
            seconds: cells(),
            effort: cells(),
        }
    }

    /// Adds the counts of another partition. Shapes must agree; what does not fit is left out.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.visitors, &other.visitors),
            (&mut self.offered, &other.offered),
            (&mut self.committed, &other.committed),
            (&mut self.skipped, &other.skipped),
            (&mut self.open, &other.open),
            (&mut self.seconds, &other.seconds),
            (&mut self.effort, &other.effort),
        ] {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine = mine.saturating_add(*theirs);
            }
        }
    }

    /// Whether nothing at all is counted.
    pub fn is_zero(&self) -> bool {
        [&self.visitors, &self.offered, &self.committed, &self.skipped, &self.open]
            .iter()
            .all(|counts| counts.iter().all(|count| *count == 0))
    }

    /// One number of a flat array.
    pub fn at(&self, flat: &[u32], step: usize, window: usize) -> u32 {
        flat.get(step * self.windows + window).copied().unwrap_or(0)
    }

    /// The duration buckets of a step and window, from `seconds` or `effort`.
    pub fn cells<'a>(&self, cells: &'a [u32], step: usize, window: usize) -> &'a [u32] {
        let start = (step * self.windows + window) * buckets::COUNT;
        cells.get(start..start + buckets::COUNT).unwrap_or(&[])
    }
}

/// The non-zero cells of `seconds` or `effort` as (indices, counts), as tables store them.
pub fn to_sparse(cells: &[u32]) -> (Vec<u32>, Vec<u32>) {
    cells
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(index, count)| (index as u32, *count))
        .unzip()
}

/// Fills `cells` from what [`to_sparse`] made.
pub fn from_sparse(cells: &mut [u32], indices: &[u32], counts: &[u32]) {
    for (index, count) in indices.iter().zip(counts) {
        if let Some(cell) = cells.get_mut(*index as usize) {
            *cell = *count;
        }
    }
}

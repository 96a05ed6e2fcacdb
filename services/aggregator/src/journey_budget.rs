//! How many journeys a process may hold, over all of its partitions (`[aggregator] max_journeys`). Lanes tell how many
//! they have; once they have too many together, each forgets those that no window counts, and reads no further while
//! that is not enough. Nothing is dropped to make room: what is not read stays in the log, and the counts stay right as
//! of the last record taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The journeys of a process. Clones share the sum.
#[derive(Debug, Clone)]
pub(crate) struct JourneyBudget {
    limit: usize,
    held: Arc<AtomicUsize>,
}

/// A lane's part; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: JourneyBudget,
    held: usize,
}

impl JourneyBudget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, held: Arc::default() }
    }

    /// A lane's part, nothing yet.
    pub(crate) fn share(&self) -> Share {
        Share { budget: self.clone(), held: 0 }
    }

    /// How many there may be.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }
}

impl Share {
    /// Tells how many journeys the lane has; whether all lanes together have too many.
    pub(crate) fn is_over(&mut self, journeys: usize) -> bool {
        let sum = &self.budget.held;
        let held = match journeys.checked_sub(self.held) {
            Some(more) => sum.fetch_add(more, Ordering::AcqRel) + more,
            None => sum.fetch_sub(self.held - journeys, Ordering::AcqRel) - (self.held - journeys),
        };
        self.held = journeys;
        held > self.budget.limit
    }

    pub(crate) fn limit(&self) -> usize {
        self.budget.limit()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.held, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_share_the_limit_and_give_back_what_they_held() {
        let budget = JourneyBudget::new(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(!one.is_over(6) && !other.is_over(4));
        assert!(one.is_over(7) && other.is_over(4), "one too many, for both");
        assert!(!one.is_over(2));
        drop(one);
        assert!(!other.is_over(10) && other.is_over(11));
    }
}

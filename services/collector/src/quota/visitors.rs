//! A bucket for each visitor, in a table of fixed size: a page that sends in a loop, or somebody who makes up events of one
//! visitor, is contained before the visitor's journey is. Asked for each event that is good otherwise.
//!
//! A count-min sketch of buckets: a visitor has a cell in each of two rows, by a hash that is keyed anew at each start,
//! and is refused only if both say so. Whoever shares a cell with a flooding visitor has another one beside it: with n
//! who flood, (n / `VISITOR_CELLS`)^2 of the others notice. Nothing is allocated or searched, and no id is kept.

use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::bucket::Pace;
use crate::limits::VISITOR_CELLS;

/// The buckets of all sites' visitors.
#[derive(Debug)]
pub(crate) struct Visitors {
    seed: u64,
    /// When each is full again.
    rows: [Box<[AtomicU64]>; 2],
}

/// One site's visitors at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VisitorsOfSite<'v> {
    visitors: &'v Visitors,
    seed: u64,
    pace: Pace,
    now: u64,
}

impl Visitors {
    pub(crate) fn new() -> Self {
        Self::seeded(rand::random())
    }

    fn seeded(seed: u64) -> Self {
        let row = || (0..VISITOR_CELLS).map(|_| AtomicU64::new(0)).collect();
        Self { seed, rows: [row(), row()] }
    }

    /// Those of a site whose plan allows each this pace.
    pub(super) fn of_site(&self, site: &str, pace: Pace, now: u64) -> VisitorsOfSite<'_> {
        VisitorsOfSite { visitors: self, seed: xxh3_64_with_seed(site.as_bytes(), self.seed), pace, now }
    }

    /// The cells of a visitor's hash.
    fn cells(&self, hash: u64) -> [Option<&AtomicU64>; 2] {
        let [first, second] = &self.rows;
        let place = |half: u64| (half as usize) % VISITOR_CELLS;
        [first.get(place(hash >> 32)), second.get(place(hash & 0xffff_ffff))]
    }
}

impl VisitorsOfSite<'_> {
    /// Takes one event from a visitor's bucket and gives the visitor's hash, or nothing where there is none in it.
    pub(crate) fn take(&self, visitor: &str) -> Option<u64> {
        let hash = xxh3_64_with_seed(visitor.as_bytes(), self.seed);
        let cells =
            self.visitors.cells(hash).map(|cell| cell.map(|cell| (cell, cell.load(Ordering::Relaxed))));
        let full_at = cells.iter().flatten().map(|(_, full_at)| *full_at).min().unwrap_or_default();
        if self.pace.wait_ns(full_at, self.now) > 0 {
            return None;
        }
        // A cell that says more says it for somebody else.
        let after = self.pace.full_after(full_at, self.now, 1);
        for (cell, _) in cells.into_iter().flatten() {
            cell.fetch_max(after, Ordering::Relaxed);
        }
        Some(hash)
    }

    /// Puts back one event for each of these hashes.
    pub(crate) fn give_back(&self, taken: &[u64]) {
        let one_ns = self.pace.one_ns();
        for cell in taken.iter().flat_map(|hash| self.visitors.cells(*hash)).flatten() {
            let after = |full_at: u64| Some(full_at.saturating_sub(one_ns));
            let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after);
        }
    }
}

#[cfg(test)]
mod tests {
    use funnel::plan::Rate;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn pace() -> Pace {
        Pace::of(Rate { per_second: 2, burst: 10 })
    }

    #[test]
    fn a_visitor_gets_the_burst_and_then_the_rate_and_others_notice_nothing() {
        let visitors = Visitors::seeded(7);
        let at = |now| visitors.of_site("shop", pace(), now);
        let taken = (0..1_000).filter(|_| at(0).take("flood").is_some()).count();
        assert_eq!(taken, 10);
        for other in 0..5_000 {
            assert!(at(0).take(&format!("visitor-{other}")).is_some(), "{other}");
        }
        assert!(visitors.of_site("blog", pace(), 0).take("flood").is_some(), "another site's visitor");
        // Ten seconds later twenty would have come in; ten fit.
        assert_eq!((0..1_000).filter(|_| at(3 * SECOND).take("flood").is_some()).count(), 6);
        assert_eq!((0..1_000).filter(|_| at(100 * SECOND).take("flood").is_some()).count(), 10);
    }

    #[test]
    fn many_floods_at_once_keep_nearly_nobody_out() {
        let visitors = Visitors::seeded(7);
        let now = visitors.of_site("shop", pace(), 0);
        for flood in 0..1_000 {
            for _ in 0..50 {
                let _ = now.take(&format!("flood-{flood}"));
            }
        }
        let kept_out = (0..20_000).filter(|other| now.take(&format!("visitor-{other}")).is_none()).count();
        // (1,000 / 131,072)^2 of them are to be expected: 1.2.
        assert!(kept_out < 12, "{kept_out}");
    }

    #[test]
    fn what_was_not_stored_is_given_back() {
        let visitors = Visitors::seeded(7);
        let now = visitors.of_site("shop", pace(), 0);
        let taken: Vec<u64> = (0..20).filter_map(|_| now.take("v")).collect();
        assert_eq!((taken.len(), now.take("v")), (10, None));
        now.give_back(&taken[..4]);
        assert_eq!((0..20).filter(|_| now.take("v").is_some()).count(), 4);
    }
}

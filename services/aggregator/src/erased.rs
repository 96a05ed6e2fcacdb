//! Visitors who asked to be forgotten, as a partition knows them: whose events are neither counted nor stored any more.
//! A lane has all of its partition; a build has its own while it follows the log by itself, as of where it stands.
//!
//! Guarantee: who is among them depends on the records of the log alone: on those before a position, whoever asks, when.

use std::collections::{BTreeSet, VecDeque};

use event_log::partition_of;
use funnel::intake::visitor_hash;
use rungs_proto::v1::Erase;
use rustc_hash::FxHashSet;
use warehouse::erasures::ErasureRow;

use crate::funnel_lane::PartitionId;
use crate::lane::MAX_NAME_BYTES;

/// Visitors whom a partition remembers as erased, at most: the latest, in about 50 bytes each. What is stored of those
/// before stays erased; if one comes back all the same, what they do then is counted until the next build from raw.
pub const MAX_ERASED_VISITORS: usize = 1_000_000;

/// An erasure as a restore or a build finds it: whom, and at which place (epoch, offset) of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    key: u128,
    place: (u32, u64),
}

impl From<&ErasureRow> for Erasure {
    fn from(row: &ErasureRow) -> Self {
        let key = key_of(&row.site, visitor_hash(&row.visitor_id));
        Self { key, place: (row.log_epoch, row.log_offset) }
    }
}

/// Erased visitors of some sites.
#[derive(Debug, Clone, Default)]
pub struct Erased {
    keys: FxHashSet<u128>,
    /// The one that is forgotten first comes first.
    order: VecDeque<u128>,
}

impl Erased {
    /// Those who were erased before a place of the logs; `found` has the latest first.
    pub fn before(place: (u32, u64), found: &[Erasure]) -> Self {
        let mut erased = Self::default();
        for erasure in found.iter().rev().filter(|erasure| erasure.place < place) {
            erased.insert(erasure.key);
        }
        erased
    }

    /// Whether a visitor of a site, by hash, is among them.
    pub fn contains(&self, site: &str, visitor: u128) -> bool {
        !self.keys.is_empty() && self.keys.contains(&key_of(site, visitor))
    }

    /// Adds a visitor of a site; whether they were not among them before.
    pub fn add(&mut self, site: &str, visitor: u128) -> bool {
        self.insert(key_of(site, visitor))
    }

    fn insert(&mut self, key: u128) -> bool {
        if !self.keys.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > MAX_ERASED_VISITORS
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        true
    }
}

/// The visitors that a record erases, in the order in which the table gives them back; those that no event can have in this
/// partition are left out.
pub(crate) fn visitors_of<'a>(
    erase: &'a Erase,
    partition: &PartitionId,
) -> impl Iterator<Item = (&'a str, u128)> {
    let (index, count) = (partition.partition, partition.partitions);
    let is_one =
        |id: &&str| (1..=MAX_NAME_BYTES).contains(&id.len()) && partition_of(&erase.site, id, count) == index;
    let visitors: BTreeSet<&str> = erase.visitors.iter().map(String::as_str).filter(is_one).collect();
    visitors.into_iter().map(|id| (id, visitor_hash(id)))
}

fn key_of(site: &str, visitor: u128) -> u128 {
    visitor ^ visitor_hash(site)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::small_lane::first_of;

    #[test]
    fn visitors_are_a_sites_own_and_known_from_their_place_on() {
        let rows = [(9, "late"), (5, "ann"), (1, "bob")];
        let rows =
            rows.map(|(offset, visitor)| Erasure::from(&ErasureRow::new("shop", visitor, (2, offset))));
        let erased = Erased::before((2, 9), &rows);
        let is_erased = |site, visitor| erased.contains(site, visitor_hash(visitor));
        assert!(is_erased("shop", "ann") && is_erased("shop", "bob"));
        assert!(!is_erased("blog", "ann") && !is_erased("shop", "late") && !is_erased("shop", "eve"));
        let by_an_earlier_log = [Erasure::from(&ErasureRow::new("shop", "ann", (1, 500)))];
        assert!(Erased::before((2, 0), &by_an_earlier_log).contains("shop", visitor_hash("ann")));
    }

    #[test]
    fn beyond_the_limit_the_first_is_forgotten_and_it_does_not_matter_who_counted() {
        let row = |n: usize| Erasure { key: n as u128, place: (1, n as u64) };
        let latest_first: Vec<Erasure> = (0..MAX_ERASED_VISITORS + 2).rev().map(row).collect();
        let restored = Erased::before((2, 0), &latest_first);
        let mut live = Erased::default();
        for n in 0..MAX_ERASED_VISITORS + 2 {
            assert!(live.insert(n as u128));
        }
        for erased in [&restored, &live] {
            assert_eq!(erased.keys.len(), MAX_ERASED_VISITORS);
            assert!(!erased.keys.contains(&1) && erased.keys.contains(&2));
        }
        assert!(!live.insert(2) && live.insert(1));
    }

    #[test]
    fn a_record_erases_visitors_of_its_partition_only_and_each_once() {
        let ids = ["ann", "bob", "ann", "", "cat"].map(str::to_owned);
        let erase = Erase { site: "shop".into(), visitors: ids.to_vec() };
        let found: Vec<Vec<&str>> = (0..2)
            .map(|partition| {
                let id = PartitionId { partition, ..first_of(2, "log".into()) };
                visitors_of(&erase, &id).map(|(id, _)| id).collect()
            })
            .collect();
        let mut all = found.concat();
        all.sort_unstable();
        assert_eq!(all, ["ann", "bob", "cat"]);
        for (partition, ids) in (0..).zip(found) {
            assert!(ids.iter().all(|id| partition_of("shop", id, 2) == partition));
        }
    }
}

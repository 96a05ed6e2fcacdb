//! A bucket for each address that sends to a site whose plan limits addresses. Kept is a keyed hash of site and address,
//! in memory only: the key is drawn at each start and told to nobody, so no list of addresses can be made of it.
//!
//! The table is bounded. A bucket that is full again says nothing that an absent one does not, so such are removed: bit
//! by bit all the time, and at once where there is no room. If there is none then either, further addresses are not
//! limited by themselves; the site's own limit holds for all of them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bucket::Pace;
use crate::limits::MAX_LIMITED_ADDRESSES;

const SHARDS: usize = 16;
const MAX_OF_SHARD: usize = MAX_LIMITED_ADDRESSES / SHARDS;
/// A shard without room is not searched for old buckets more often than this: under a flood each new address would.
const SEARCH_PAUSE_NS: u64 = 1_000_000_000;

/// The buckets of all sites.
#[derive(Debug)]
pub(crate) struct Addresses {
    key: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    next_swept: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    /// When each bucket is full again.
    full_at: HashMap<u64, u64>,
    /// When it was last searched for want of room.
    searched_at: Option<u64>,
}

/// What becomes of events that an address has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// They are refused, and nothing is taken.
    Refused,
    /// They are owed.
    Owed,
}

impl Addresses {
    pub(crate) fn new() -> Self {
        let shards = [(); SHARDS].map(|()| Mutex::default());
        Self { key: RandomState::new(), shards, next_swept: AtomicUsize::new(0) }
    }

    /// Takes `amount` from the address's bucket and tells how long nothing is in it; what is refused is not taken.
    pub(super) fn take(&self, who: (&str, IpAddr), pace: Pace, amount: u64, now: u64, beyond: Beyond) -> u64 {
        let hash = self.key.hash_one((who.0, network(who.1)));
        let Some(shard) = self.shards.get((hash >> 32) as usize % SHARDS) else { return 0 };
        let mut shard = lock(shard);
        let full_at = shard.full_at.get(&hash).copied();
        let wait = pace.wait_ns(full_at.unwrap_or_default(), now);
        if wait > 0 && beyond == Beyond::Refused {
            return wait;
        }
        if full_at.is_none() && !shard.has_room(now) {
            return 0;
        }
        let full_after = pace.full_after(full_at.unwrap_or_default(), now, amount);
        shard.full_at.insert(hash, full_after);
        if beyond == Beyond::Owed { pace.wait_ns(full_after, now) } else { 0 }
    }

    /// Removes what is full again from the next of the shards and gives its memory back.
    pub(crate) fn sweep(&self, now: u64) {
        let next = self.next_swept.fetch_add(1, Ordering::Relaxed) % SHARDS;
        if let Some(shard) = self.shards.get(next) {
            lock(shard).sweep(now);
        }
    }

    /// How many addresses have a bucket.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).full_at.len()).sum()
    }
}

impl Shard {
    fn has_room(&mut self, now: u64) -> bool {
        if self.full_at.len() < MAX_OF_SHARD {
            return true;
        }
        if self.searched_at.is_some_and(|at| now < at.saturating_add(SEARCH_PAUSE_NS)) {
            return false;
        }
        self.searched_at = Some(now);
        self.sweep(now);
        self.full_at.len() < MAX_OF_SHARD
    }

    fn sweep(&mut self, now: u64) {
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() < self.full_at.capacity() / 4 {
            self.full_at.shrink_to_fit();
        }
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who has an IPv6 address mostly has the 2^64 beside it too.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use funnel::plan::Rate;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn pace() -> Pace {
        Pace::of(Rate { per_second: 1, burst: 3 })
    }

    fn taken(addresses: &Addresses, site: &str, address: &str, now: u64) -> bool {
        addresses.take((site, address.parse().unwrap()), pace(), 1, now, Beyond::Refused) == 0
    }

    #[test]
    fn each_address_of_each_site_has_a_bucket_of_its_own() {
        let addresses = Addresses::new();
        for _ in 0..3 {
            assert!(taken(&addresses, "shop", "192.0.2.1", 0));
        }
        assert!(!taken(&addresses, "shop", "192.0.2.1", 0));
        assert!(!taken(&addresses, "shop", "::ffff:192.0.2.1", 0), "the same address");
        assert!(taken(&addresses, "shop", "192.0.2.2", 0) && taken(&addresses, "blog", "192.0.2.1", 0));
        assert!(taken(&addresses, "shop", "192.0.2.1", 2 * SECOND));
        for host in 1..=3 {
            assert!(taken(&addresses, "shop", &format!("2001:db8:1:2::{host}"), 0));
        }
        assert!(!taken(&addresses, "shop", "2001:db8:1:2:ffff::9", 0), "the same network");
        assert!(taken(&addresses, "shop", "2001:db8:1:3::1", 0));
    }

    #[test]
    fn what_is_owed_is_taken_and_told() {
        let (addresses, who) = (Addresses::new(), ("shop", "192.0.2.1".parse().unwrap()));
        let wait = addresses.take(who, pace(), 10, 0, Beyond::Owed);
        // Seven are owed, and one must be there.
        assert_eq!(wait, 8 * SECOND);
        assert!(addresses.take(who, pace(), 1, 0, Beyond::Refused) > 0);
    }

    #[test]
    fn the_table_is_bounded_forgets_what_is_full_again_and_shrinks() {
        let addresses = Addresses::new();
        let all = 3 * MAX_LIMITED_ADDRESSES as u32;
        for number in 0..all {
            let address = IpAddr::from(number.to_be_bytes());
            // Where there is no room, nothing is limited.
            addresses.take(("shop", address), pace(), 1, 0, Beyond::Refused);
        }
        assert_eq!(addresses.len(), MAX_LIMITED_ADDRESSES);
        assert!(taken(&addresses, "shop", "203.0.113.1", 2 * SECOND), "old ones make room");
        assert!(addresses.len() < MAX_LIMITED_ADDRESSES);
        for _ in 0..SHARDS {
            addresses.sweep(10 * SECOND);
        }
        let capacity: usize = addresses.shards.iter().map(|shard| lock(shard).full_at.capacity()).sum();
        assert!(addresses.len() == 0 && capacity < SHARDS * 4, "{capacity}");
    }
}

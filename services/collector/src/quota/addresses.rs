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

use super::Beyond;
use super::bucket::Pace;
use crate::limits::MAX_LIMITED_ADDRESSES;

const SHARDS: usize = 16;
const MAX_OF_SHARD: usize = MAX_LIMITED_ADDRESSES / SHARDS;
/// A shard without room is not searched for old buckets more often than this: under a flood each new address would.
const SEARCH_PAUSE_NS: u64 = 1_000_000_000;

/// A site and an address that sends to it.
pub(super) type Who<'w> = (&'w str, IpAddr);

/// What is asked of an address's bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub(super) pace: Pace,
    pub(super) amount: u64,
    pub(super) beyond: Beyond,
}

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

impl Addresses {
    pub(crate) fn new() -> Self {
        let shards = [(); SHARDS].map(|()| Mutex::default());
        Self { key: RandomState::new(), shards, next_swept: AtomicUsize::new(0) }
    }

    /// Takes `amount` from the address's bucket and tells how many nanoseconds later it will be full for it.
    ///
    /// # Errors
    /// How long nothing is in it, in nanoseconds, where what is not in it is not given; nothing is taken then.
    pub(super) fn take(&self, who: Who<'_>, ask: Ask, now: u64) -> Result<u64, u64> {
        let (hash, mut shard) = self.find(who);
        let known = shard.full_at.get(&hash).copied();
        let full_at = known.unwrap_or_default();
        let wait = ask.pace.wait_ns(full_at, now);
        if wait > 0 && ask.beyond == Beyond::Refused {
            return Err(wait);
        }
        if known.is_none() && !shard.has_room(now) {
            return Ok(0);
        }
        let full_after = ask.pace.full_after(full_at, now, ask.amount);
        shard.full_at.insert(hash, full_after);
        Ok(full_after - full_at.max(now))
    }

    /// As [`Pace::wait_for_ns`].
    pub(super) fn wait_for_ns(&self, who: Who<'_>, pace: Pace, amount: u64, now: u64) -> u64 {
        let (hash, shard) = self.find(who);
        shard.full_at.get(&hash).map_or(0, |full_at| pace.wait_for_ns(amount, *full_at, now))
    }

    /// Puts back what [`take`](Self::take) told.
    pub(super) fn give_back(&self, who: Who<'_>, taken_ns: u64) {
        let (hash, mut shard) = self.find(who);
        if let Some(full_at) = shard.full_at.get_mut(&hash) {
            *full_at = full_at.saturating_sub(taken_ns);
        }
    }

    /// The key of an address and where its bucket is kept.
    fn find(&self, (site, address): Who<'_>) -> (u64, MutexGuard<'_, Shard>) {
        let hash = self.key.hash_one((site, network(address)));
        let [first, ..] = &self.shards;
        (hash, lock(self.shards.get((hash >> 32) as usize % SHARDS).unwrap_or(first)))
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
pub(crate) fn network(address: IpAddr) -> IpAddr {
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

    fn ask(amount: u64, beyond: Beyond) -> Ask {
        Ask { pace: pace(), amount, beyond }
    }

    fn taken(addresses: &Addresses, site: &str, address: &str, now: u64) -> bool {
        addresses.take((site, address.parse().unwrap()), ask(1, Beyond::Refused), now).is_ok()
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
    fn what_is_owed_is_taken_and_told_and_can_be_given_back() {
        let (addresses, who) = (Addresses::new(), ("shop", "192.0.2.1".parse().unwrap()));
        assert_eq!(addresses.wait_for_ns(who, pace(), 2, 0), 0);
        assert_eq!(addresses.take(who, ask(5, Beyond::Owed), 0), Ok(5 * SECOND));
        // Two are owed, and one must be there.
        assert_eq!(addresses.take(who, ask(1, Beyond::Refused), 0), Err(3 * SECOND));
        // Half a burst is waited for, of three one and a half.
        assert_eq!(addresses.wait_for_ns(who, pace(), 9, 0), 3_500_000_000);
        assert_eq!(addresses.take(who, ask(9, Beyond::Owed), 0), Ok(SECOND), "three are owed at most");
        addresses.give_back(who, 6 * SECOND);
        assert_eq!(addresses.take(who, ask(3, Beyond::Refused), 0), Ok(3 * SECOND));
    }

    #[test]
    fn the_table_is_bounded_forgets_what_is_full_again_and_shrinks() {
        let addresses = Addresses::new();
        let all = 3 * MAX_LIMITED_ADDRESSES as u32;
        for number in 0..all {
            let address = IpAddr::from(number.to_be_bytes());
            // Where there is no room, nothing is limited.
            let _ = addresses.take(("shop", address), ask(1, Beyond::Refused), 0);
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

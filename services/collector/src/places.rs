//! Who holds connections: how many there are, and how many of one address, so that one client alone cannot hold all that
//! the collector takes. `listener` asks for a [`Place`] before anything is read of a connection; a place is given back when
//! its connection is dropped. Addresses are known as long as they hold one, in memory only.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::{IntCounter, IntGauge};

use crate::quota::network;

/// The connections of a collector, over all its workers. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max_of_address: usize,
    held: Mutex<HashMap<IpAddr, usize>>,
    open: IntGauge,
    refused: IntCounter,
}

/// A connection's place.
#[derive(Debug)]
pub(crate) struct Place {
    of: Places,
    address: IpAddr,
}

impl Places {
    /// At most so many for one address.
    pub(crate) fn new(max_of_address: usize, open: IntGauge, refused: IntCounter) -> Self {
        Self(Arc::new(Inner { max_of_address, held: Mutex::default(), open, refused }))
    }

    /// A place for a connection from this address; none, where it has as many as it may.
    pub(crate) fn take(&self, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut all = self.held();
        let held = all.entry(address).or_default();
        if *held >= self.0.max_of_address {
            self.0.refused.inc();
            return None;
        }
        *held += 1;
        drop(all);
        self.0.open.inc();
        Some(Place { of: self.clone(), address })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn unlimited() -> Self {
        let open = IntGauge::new("open", "Open.").unwrap();
        Self::new(usize::MAX, open, IntCounter::new("refused", "Refused.").unwrap())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.0.open.dec();
        let mut all = self.of.held();
        if let Some(held) = all.get_mut(&self.address) {
            *held -= 1;
            if *held == 0 {
                all.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        let open = IntGauge::new("open", "Open.").unwrap();
        Places::new(2, open, IntCounter::new("refused", "Refused.").unwrap())
    }

    #[test]
    fn an_address_holds_its_share_and_no_other_address_notices() {
        let places = places();
        let take = |address: &str| places.take(address.parse().unwrap());
        let (one, two) = (take("192.0.2.1").unwrap(), take("::ffff:192.0.2.1").unwrap());
        assert!(take("192.0.2.1").is_none());
        let other = take("192.0.2.2").unwrap();
        assert_eq!((places.0.open.get(), places.0.refused.get()), (3, 1));
        drop(one);
        let again = take("192.0.2.1").unwrap();
        assert!(take("192.0.2.1").is_none());
        drop((two, again, other));
        assert_eq!((places.0.open.get(), places.held().len()), (0, 0), "nobody is remembered");
    }

    #[test]
    fn the_addresses_of_one_network_share_its_places() {
        let places = places();
        let take = |address: &str| places.take(address.parse().unwrap());
        let held = [take("2001:db8:1:2::1").unwrap(), take("2001:db8:1:2:ffff::9").unwrap()];
        assert!(take("2001:db8:1:2::3").is_none());
        assert!(take("2001:db8:1:3::1").is_some());
        drop(held);
    }
}

//! How much a site may send: the buckets of its plan's `limits`, kept by its `account` and asked once for each request
//! before its events are judged. A site without limits has none of this.
//!
//! The buckets are those of one collector. `governor` was considered: it refuses a batch that is larger than the burst for
//! ever, and its table of keys has no bound.

mod addresses;
mod bucket;

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use funnel::plan::SiteLimits;
use prometheus::IntCounter;

pub(crate) use addresses::{Addresses, Beyond};

use bucket::{Bucket, Pace};

use crate::limits::MAX_RETRY_AFTER_S;
use crate::metrics::Metrics;

/// The limits by the names that stand in answers and metrics; `_per_second` behind them, they are the plan's keys.
pub(crate) const EVENTS: &str = "events";
pub(crate) const BYTES: &str = "bytes";
pub(crate) const ADDRESS_EVENTS: &str = "address_events";

/// A limit that is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OverQuota {
    /// `events`, `bytes` or `address_events`.
    pub limit: &'static str,
    /// What the plan allows.
    pub per_second: u64,
    /// When something will be taken again: 1 to `MAX_RETRY_AFTER_S` seconds.
    pub retry_after_s: u32,
}

impl OverQuota {
    /// The limit as the plan writes it.
    pub fn key(&self) -> String {
        format!("{}_per_second", self.limit)
    }
}

/// What a request takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    /// Whose bucket it is taken from beside the site's; none for servers.
    pub(crate) address: Option<IpAddr>,
}

/// The buckets of a site.
#[derive(Debug)]
pub(crate) struct SiteQuota {
    site: String,
    limits: SiteLimits,
    events: Limit,
    bytes: Limit,
    address_events: Pace,
    refused_for_address: IntCounter,
}

/// A limit of the whole site, if there is one.
#[derive(Debug)]
struct Limit {
    name: &'static str,
    per_second: u64,
    bucket: Option<Bucket>,
    refused: IntCounter,
}

impl SiteQuota {
    /// The buckets, full; none where nothing is limited.
    pub(crate) fn of(site: &str, limits: SiteLimits, metrics: &Metrics) -> Option<Self> {
        let limit = |name, rate: Option<funnel::plan::Rate>| Limit {
            name,
            per_second: rate.map_or(0, |rate| rate.per_second),
            bucket: rate.map(Bucket::of),
            refused: metrics.quota_refused(site, name),
        };
        (!limits.is_empty()).then(|| Self {
            site: site.to_owned(),
            limits,
            events: limit(EVENTS, limits.events),
            bytes: limit(BYTES, limits.bytes),
            address_events: Pace::of(
                limits.address_events.unwrap_or(funnel::plan::Rate { per_second: 1, burst: 1 }),
            ),
            refused_for_address: metrics.quota_refused(site, ADDRESS_EVENTS),
        })
    }

    pub(crate) fn limits(&self) -> SiteLimits {
        self.limits
    }

    /// Takes an amount, or refuses it and takes nothing. What is owed is taken all the same, and told is how long
    /// nothing more should come.
    pub(crate) fn take(
        &self,
        amount: Amount,
        addresses: &Addresses,
        beyond: Beyond,
    ) -> Result<Duration, OverQuota> {
        self.take_at(amount, addresses, beyond, now_ns())
    }

    fn take_at(
        &self,
        amount: Amount,
        addresses: &Addresses,
        beyond: Beyond,
        now: u64,
    ) -> Result<Duration, OverQuota> {
        if beyond == Beyond::Refused {
            self.events.check(now, amount.events)?;
            self.bytes.check(now, amount.events)?;
        }
        let by_address = self.take_of_address(amount, addresses, beyond, now)?;
        let wait_ns = self.events.take(amount.events, now).max(self.bytes.take(amount.bytes, now));
        Ok(Duration::from_nanos(wait_ns.max(by_address)))
    }

    fn take_of_address(
        &self,
        amount: Amount,
        addresses: &Addresses,
        beyond: Beyond,
        now: u64,
    ) -> Result<u64, OverQuota> {
        let (Some(rate), Some(address)) = (self.limits.address_events, amount.address) else { return Ok(0) };
        let who = (self.site.as_str(), address);
        let wait_ns = addresses.take(who, self.address_events, amount.events, now, beyond);
        if wait_ns == 0 || beyond == Beyond::Owed {
            return Ok(wait_ns);
        }
        self.refused_for_address.inc_by(amount.events);
        Err(over(ADDRESS_EVENTS, rate.per_second, wait_ns))
    }

    /// Shows what the plan allows and how much of it is used.
    pub(crate) fn show(&self, metrics: &Metrics) {
        let now = now_ns();
        for limit in [&self.events, &self.bytes] {
            if let Some(bucket) = &limit.bucket {
                metrics.show_quota(&self.site, limit.name, limit.per_second, Some(bucket.used(now)));
            }
        }
        if let Some(rate) = self.limits.address_events {
            metrics.show_quota(&self.site, ADDRESS_EVENTS, rate.per_second, None);
        }
    }
}

impl Limit {
    fn check(&self, now: u64, events: u64) -> Result<(), OverQuota> {
        let wait_ns = self.bucket.as_ref().map_or(0, |bucket| bucket.wait_ns(now));
        if wait_ns == 0 {
            return Ok(());
        }
        self.refused.inc_by(events);
        Err(over(self.name, self.per_second, wait_ns))
    }

    /// Takes out and tells how long nothing is in it.
    fn take(&self, amount: u64, now: u64) -> u64 {
        let Some(bucket) = &self.bucket else { return 0 };
        bucket.take(amount, now);
        bucket.wait_ns(now)
    }
}

fn over(limit: &'static str, per_second: u64, wait_ns: u64) -> OverQuota {
    let seconds = u32::try_from(wait_ns.div_ceil(1_000_000_000)).unwrap_or(u32::MAX);
    OverQuota { limit, per_second, retry_after_s: seconds.clamp(1, MAX_RETRY_AFTER_S) }
}

/// Nanoseconds since the first call: the clock of all buckets.
pub(crate) fn now_ns() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use funnel::plan::Rate;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn quota(limits: SiteLimits) -> SiteQuota {
        let metrics = Metrics::register(&runtime::Metrics::new().unwrap()).unwrap();
        SiteQuota::of("shop", limits, &metrics).unwrap()
    }

    fn amount(events: u64, bytes: u64) -> Amount {
        Amount { events, bytes, address: Some([192, 0, 2, 1].into()) }
    }

    #[test]
    fn what_is_refused_by_one_limit_takes_nothing_of_another() {
        let rate = |per_second| Some(Rate { per_second, burst: per_second });
        let limits = SiteLimits { events: rate(10), bytes: rate(100), address_events: rate(5) };
        let (quota, addresses) = (quota(limits), Addresses::new());
        let take =
            |events, bytes, now| quota.take_at(amount(events, bytes), &addresses, Beyond::Refused, now);
        take(5, 10, 0).unwrap();
        let over = take(1, 1, 0).unwrap_err();
        assert_eq!(over, OverQuota { limit: "address_events", per_second: 5, retry_after_s: 1 });
        assert!((quota.events.bucket.as_ref().unwrap().used(0) - 0.5).abs() < 1e-9);
        // Ten seconds of bytes are owed by one request.
        take(1, 1_100, SECOND).unwrap();
        let over = take(1, 1, 2 * SECOND).unwrap_err();
        assert_eq!(over, OverQuota { limit: "bytes", per_second: 100, retry_after_s: 10 });
        assert_eq!((quota.bytes.refused.get(), quota.refused_for_address.get()), (1, 1));
        take(1, 1, 13 * SECOND).unwrap();
    }

    #[test]
    fn servers_are_not_limited_by_their_address_and_long_bodies_are_told_to_wait() {
        let rate = |per_second| Some(Rate { per_second, burst: per_second });
        let limits = SiteLimits { events: rate(100), address_events: rate(1), ..SiteLimits::default() };
        let (quota, addresses) = (quota(limits), Addresses::new());
        let server = Amount { address: None, ..amount(50, 1) };
        assert_eq!(quota.take_at(server, &addresses, Beyond::Refused, 0), Ok(Duration::ZERO));
        let wait = quota.take_at(Amount { events: 350, ..server }, &addresses, Beyond::Owed, 0).unwrap();
        assert_eq!(wait.as_millis(), 3_010);
        assert_eq!(quota.take_at(server, &addresses, Beyond::Refused, 0).unwrap_err().retry_after_s, 4);
        assert!(
            SiteQuota::of(
                "shop",
                SiteLimits::default(),
                &Metrics::register(&runtime::Metrics::new().unwrap()).unwrap()
            )
            .is_none()
        );
    }
}

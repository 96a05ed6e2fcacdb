//! How much a site may send: the buckets of its plan's `limits`, kept by its `account` and asked once for each request
//! before its events are judged; those of visitors for each event. What is not stored after all is given back.
//!
//! The buckets are those of one collector. `governor` was considered: it refuses a batch that is larger than the burst for
//! ever, and its table of keys has no bound.

mod addresses;
mod bucket;
mod visitors;

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use funnel::plan::{Rate, SiteLimits};
use prometheus::IntCounter;

pub(crate) use addresses::{Addresses, network};
pub(crate) use visitors::{Charge, Visitors, VisitorsOfSite};

use addresses::Ask;
use bucket::{Bucket, Pace};
use visitors::VisitorPace;

use crate::limits::{MAX_RETRY_AFTER_S, VISITOR_EVENTS_BURST, VISITOR_EVENTS_PER_SECOND};
use crate::metrics::Metrics;

/// The limits by the names that stand in answers and metrics; `_per_second` behind them, they are the plan's keys.
pub(crate) const EVENTS: &str = "events";
pub(crate) const BYTES: &str = "bytes";
pub(crate) const ADDRESS_EVENTS: &str = "address_events";
pub(crate) const VISITOR_EVENTS: &str = "visitor_events";

/// What a visitor may send where the plan does not say.
const VISITOR_EVENTS_UNNAMED: Rate =
    Rate { per_second: VISITOR_EVENTS_PER_SECOND, burst: VISITOR_EVENTS_BURST };

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

/// What becomes of events for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// They are refused, and nothing is taken.
    Refused,
    /// They are owed.
    Owed,
}

/// What was taken out of each bucket, in nanoseconds of its pace.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    events_ns: u64,
    bytes_ns: u64,
    address: Option<(IpAddr, u64)>,
}

/// The buckets of a site.
#[derive(Debug)]
pub(crate) struct SiteQuota {
    site: String,
    limits: SiteLimits,
    events: Limit,
    bytes: Limit,
    address_events: Option<Pace>,
    visitor_events: VisitorPace,
    refused_for_address: IntCounter,
    refused_for_visitor: IntCounter,
}

/// A limit of the whole site, if there is one.
#[derive(Debug)]
struct Limit {
    name: &'static str,
    per_second: u64,
    bucket: Option<Bucket>,
    refused: IntCounter,
}

/// The longest wait for what is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    limit: &'static str,
    per_second: u64,
    ns: u64,
}

impl Wait {
    pub(crate) fn duration(self) -> Duration {
        Duration::from_nanos(self.ns)
    }
}

impl SiteQuota {
    /// The buckets, full.
    pub(crate) fn of(site: &str, limits: SiteLimits, metrics: &Metrics) -> Self {
        let limit = |name, rate: Option<Rate>| Limit {
            name,
            per_second: rate.map_or(0, |rate| rate.per_second),
            bucket: rate.map(Bucket::of),
            refused: metrics.quota_refused(site, name),
        };
        Self {
            site: site.to_owned(),
            limits,
            events: limit(EVENTS, limits.events),
            bytes: limit(BYTES, limits.bytes),
            address_events: limits.address_events.map(Pace::of),
            visitor_events: VisitorPace::of(limits.visitor_events.unwrap_or(VISITOR_EVENTS_UNNAMED)),
            refused_for_address: metrics.quota_refused(site, ADDRESS_EVENTS),
            refused_for_visitor: metrics.quota_refused(site, VISITOR_EVENTS),
        }
    }

    pub(crate) fn limits(&self) -> SiteLimits {
        self.limits
    }

    /// Takes an amount, or refuses it and takes nothing.
    pub(crate) fn take(
        &self,
        amount: Amount,
        addresses: &Addresses,
        beyond: Beyond,
    ) -> Result<Taken, OverQuota> {
        self.take_at(amount, addresses, beyond, now_ns())
    }

    fn take_at(
        &self,
        amount: Amount,
        addresses: &Addresses,
        beyond: Beyond,
        now: u64,
    ) -> Result<Taken, OverQuota> {
        if beyond == Beyond::Refused {
            self.events.check(now, amount.events)?;
            self.bytes.check(now, amount.events)?;
        }
        let address = self.take_of_address(amount, addresses, beyond, now)?;
        Ok(Taken {
            address,
            events_ns: self.events.take(amount.events, now),
            bytes_ns: self.bytes.take(amount.bytes, now),
        })
    }

    fn take_of_address(
        &self,
        amount: Amount,
        addresses: &Addresses,
        beyond: Beyond,
        now: u64,
    ) -> Result<Option<(IpAddr, u64)>, OverQuota> {
        let (Some(pace), Some(address)) = (self.address_events, amount.address) else { return Ok(None) };
        let ask = Ask { pace, amount: amount.events, beyond };
        match addresses.take((&self.site, address), ask, now) {
            Ok(taken_ns) => Ok(Some((address, taken_ns))),
            Err(wait_ns) => {
                self.refused_for_address.inc_by(amount.events);
                Err(over(ADDRESS_EVENTS, pace.per_second, wait_ns))
            }
        }
    }

    /// Puts back what was taken for events that were not stored.
    pub(crate) fn give_back(&self, taken: Taken, addresses: &Addresses) {
        self.events.give_back(taken.events_ns);
        self.bytes.give_back(taken.bytes_ns);
        if let Some((address, taken_ns)) = taken.address {
            addresses.give_back((&self.site, address), taken_ns);
        }
    }

    /// How long until the amount, or half a burst where that is less, is in every bucket: whoever waits for so much
    /// leaves the first ones to all others.
    pub(crate) fn wait(&self, amount: Amount, addresses: &Addresses) -> Option<Wait> {
        self.wait_at(amount, addresses, now_ns())
    }

    fn wait_at(&self, amount: Amount, addresses: &Addresses, now: u64) -> Option<Wait> {
        let of_address = self.address_events.zip(amount.address).map(|(pace, address)| Wait {
            limit: ADDRESS_EVENTS,
            per_second: pace.per_second,
            ns: addresses.wait_for_ns((&self.site, address), pace, amount.events, now),
        });
        let of_site = [self.events.wait(amount.events, now), self.bytes.wait(amount.bytes, now)];
        of_site
            .into_iter()
            .chain([of_address])
            .flatten()
            .filter(|wait| wait.ns > 0)
            .max_by_key(|wait| wait.ns)
    }

    /// Refuses so many events that would have to wait too long.
    pub(crate) fn refuse(&self, wait: Wait, events: u64) -> OverQuota {
        let limits = [(EVENTS, &self.events.refused), (BYTES, &self.bytes.refused)];
        let refused = limits.into_iter().find(|(name, _)| *name == wait.limit);
        refused.map_or(&self.refused_for_address, |(_, refused)| refused).inc_by(events);
        over(wait.limit, wait.per_second, wait.ns)
    }

    /// Events and bytes of which no more than half a burst would have to be waited for.
    pub(crate) fn part(&self) -> (u64, u64) {
        let half = |rate: Option<Rate>| rate.map_or(u64::MAX, |rate| Pace::of(rate).half_burst());
        (half(self.limits.events).min(half(self.limits.address_events)), half(self.limits.bytes))
    }

    /// The buckets of the site's visitors.
    pub(crate) fn visitors<'v>(&self, visitors: &'v Visitors) -> VisitorsOfSite<'v> {
        visitors.of_site(&self.site, self.visitor_events, now_ns())
    }

    /// Counts events that were refused because of their visitor.
    pub(crate) fn visitor_refused(&self, events: u64) {
        self.refused_for_visitor.inc_by(events);
    }

    /// Shows what the plan allows and how much of it is used.
    pub(crate) fn show(&self, metrics: &Metrics) {
        let now = now_ns();
        for limit in [&self.events, &self.bytes] {
            if let Some(bucket) = &limit.bucket {
                metrics.show_quota(&self.site, limit.name, limit.per_second, Some(bucket.used(now)));
            }
        }
        let counted_apart =
            [(ADDRESS_EVENTS, self.limits.address_events), (VISITOR_EVENTS, self.limits.visitor_events)];
        for (name, rate) in counted_apart {
            if let Some(rate) = rate {
                metrics.show_quota(&self.site, name, rate.per_second, None);
            }
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

    fn take(&self, amount: u64, now: u64) -> u64 {
        self.bucket.as_ref().map_or(0, |bucket| bucket.take(amount, now))
    }

    fn give_back(&self, taken_ns: u64) {
        if let Some(bucket) = &self.bucket {
            bucket.give_back(taken_ns);
        }
    }

    fn wait(&self, amount: u64, now: u64) -> Option<Wait> {
        let ns = self.bucket.as_ref()?.wait_for_ns(amount, now);
        Some(Wait { limit: self.name, per_second: self.per_second, ns })
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
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn quota(limits: SiteLimits) -> SiteQuota {
        SiteQuota::of("shop", limits, &Metrics::register(&runtime::Metrics::new().unwrap()).unwrap())
    }

    fn rate(per_second: u64) -> Option<Rate> {
        Some(Rate { per_second, burst: per_second })
    }

    fn amount(events: u64, bytes: u64) -> Amount {
        Amount { events, bytes, address: Some([192, 0, 2, 1].into()) }
    }

    #[test]
    fn what_is_refused_by_one_limit_takes_nothing_of_another() {
        let limits = SiteLimits {
            events: rate(10),
            bytes: rate(100),
            address_events: rate(5),
            ..SiteLimits::default()
        };
        let (quota, addresses) = (quota(limits), Addresses::new());
        let take =
            |events, bytes, now| quota.take_at(amount(events, bytes), &addresses, Beyond::Refused, now);
        take(5, 10, 0).unwrap();
        let over = take(1, 1, 0).unwrap_err();
        assert_eq!(over, OverQuota { limit: "address_events", per_second: 5, retry_after_s: 1 });
        assert!((quota.events.bucket.as_ref().unwrap().used(0) - 0.5).abs() < 1e-9);
        // Of what one request owes, a burst counts: a second of bytes.
        take(1, 1_100, SECOND).unwrap();
        let over = take(1, 1, SECOND).unwrap_err();
        assert_eq!(over, OverQuota { limit: "bytes", per_second: 100, retry_after_s: 2 });
        assert_eq!((quota.bytes.refused.get(), quota.refused_for_address.get()), (1, 1));
        take(1, 1, 3 * SECOND).unwrap();
    }

    #[test]
    fn what_was_not_stored_is_given_back_to_every_bucket() {
        let limits = SiteLimits {
            events: rate(10),
            bytes: rate(100),
            address_events: rate(5),
            ..SiteLimits::default()
        };
        let (quota, addresses) = (quota(limits), Addresses::new());
        for _ in 0..10 {
            let taken = quota.take_at(amount(5, 90), &addresses, Beyond::Refused, 0).unwrap();
            quota.give_back(taken, &addresses);
        }
        assert!(quota.events.bucket.as_ref().unwrap().used(0) == 0.0);
        assert_eq!(quota.wait_at(amount(2, 50), &addresses, 0), None);
    }

    #[test]
    fn long_bodies_are_told_to_wait_for_what_others_leave() {
        let limits = SiteLimits { events: rate(100), address_events: rate(1), ..SiteLimits::default() };
        let (quota, addresses) = (quota(limits), Addresses::new());
        let server = Amount { address: None, ..amount(50, 1) };
        assert_eq!((quota.part(), quota.wait_at(server, &addresses, 0)), ((1, u64::MAX), None));
        quota.take_at(Amount { events: 350, ..server }, &addresses, Beyond::Owed, 0).unwrap();
        let wait = quota.wait_at(server, &addresses, 0).unwrap();
        assert_eq!(wait.duration().as_millis(), 1_500, "a burst is owed, and half a one is wanted");
        assert_eq!(quota.take_at(server, &addresses, Beyond::Refused, 0).unwrap_err().retry_after_s, 2);
        // At 1.1 s there are ten: for a request, not for a part of fifty.
        let now = SECOND + SECOND / 10;
        assert_eq!(quota.wait_at(server, &addresses, now).unwrap().duration().as_millis(), 400);
        assert!(quota.take_at(Amount { events: 1, ..server }, &addresses, Beyond::Refused, now).is_ok());
        let over = quota.refuse(wait, 50);
        assert_eq!((over.limit, over.retry_after_s, quota.events.refused.get()), ("events", 2, 100));
    }
}

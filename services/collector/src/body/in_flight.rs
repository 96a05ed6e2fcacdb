//! The bytes of all requests that are being handled: bounded, so that a burst is answered with 503 and not with the
//! end of memory. A permit gives its bytes back when it is dropped.
//!
//! Where the plan has several sites, each has a share of them at most, so that one that sends too much fills its share and
//! no other's. Bytes count for a site as soon as it is known whose they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::IntGauge;

use crate::refusal::Refusal;

/// Requests that wait for a quota hold so many-th a part of the budget at most: who waits must not keep out who need not.
const WAITING_PART: usize = 4;

/// Bytes that are in use, and how many may be.
#[derive(Debug)]
struct Bytes {
    used: AtomicUsize,
    max: usize,
}

/// The budget. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct InFlight {
    all: Arc<Bytes>,
    /// Those of requests that wait for their site's quota.
    waiting: Arc<Bytes>,
    gauge: IntGauge,
}

/// A request's part of the budget.
#[derive(Debug)]
pub(crate) struct Permit {
    budget: InFlight,
    /// Of the site that the request belongs to, once that is known.
    share: Option<Arc<SiteShare>>,
    bytes: usize,
}

/// The bytes of a request that waits for its site's quota.
#[derive(Debug)]
pub(crate) struct Waiting {
    budget: InFlight,
    share: Option<Arc<SiteShare>>,
    bytes: usize,
}

/// What one site may have of the budget.
#[derive(Debug)]
pub(crate) struct SiteShare {
    all: Bytes,
    /// Those of requests that wait for the site's quota.
    waiting: Bytes,
}

impl Bytes {
    fn new(max: usize) -> Self {
        Self { used: AtomicUsize::new(0), max }
    }

    /// Takes bytes that fit, or where no more than `own` are in use, any number; tells whether it did. What does not fit
    /// is never added: it would take the room of another request for a moment.
    fn take(&self, bytes: usize, own: Option<usize>) -> bool {
        let taken = |used: usize| {
            let after = used.saturating_add(bytes);
            (after <= self.max || own.is_some_and(|own| used <= own)).then_some(after)
        };
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, taken).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl SiteShare {
    pub(crate) fn new(max: usize) -> Self {
        Self { all: Bytes::new(max), waiting: Bytes::new(max / WAITING_PART) }
    }

    pub(crate) fn max(&self) -> usize {
        self.all.max
    }

    /// Takes bytes for a request that has `own` already. A request that is alone is never refused: it could never be sent.
    fn take(&self, bytes: usize, own: usize) -> Result<(), Refusal> {
        if self.all.take(bytes, Some(own)) { Ok(()) } else { Err(Refusal::SiteShareFull) }
    }

    fn give_back(&self, bytes: usize) {
        self.all.give_back(bytes);
    }
}

impl InFlight {
    pub(crate) fn new(max: usize, gauge: IntGauge) -> Self {
        Self { all: Arc::new(Bytes::new(max)), waiting: Arc::new(Bytes::new(max / WAITING_PART)), gauge }
    }

    /// A permit for no bytes yet.
    pub(crate) fn permit(&self) -> Permit {
        Permit { budget: self.clone(), share: None, bytes: 0 }
    }
}

impl Permit {
    /// Takes more bytes, or refuses and takes nothing.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        if !self.budget.all.take(bytes, None) {
            return Err(Refusal::InFlightFull);
        }
        if let Some(share) = &self.share
            && let Err(refusal) = share.take(bytes, self.bytes)
        {
            self.budget.all.give_back(bytes);
            return Err(refusal);
        }
        self.bytes += bytes;
        self.budget.gauge.add(i64::try_from(bytes).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Counts the bytes, and those to come, for a site, or refuses. A permit belongs to the first site that it was given to.
    pub(crate) fn belong_to(&mut self, share: &Arc<SiteShare>) -> Result<(), Refusal> {
        if self.share.is_none() {
            share.take(self.bytes, 0)?;
            self.share = Some(Arc::clone(share));
        }
        Ok(())
    }

    /// Takes what is missing to `bytes`, or gives back what is too much.
    pub(crate) fn set(&mut self, bytes: usize) -> Result<(), Refusal> {
        if let Some(released) = self.bytes.checked_sub(bytes) {
            self.bytes = bytes;
            self.give_back(released);
            return Ok(());
        }
        self.cover(bytes)
    }

    /// Held while the request waits for its site's quota; `None` where such requests hold as many bytes as they may, all of
    /// them or those of the site. One that waits alone for its site may.
    pub(crate) fn wait(&self) -> Option<Waiting> {
        if !self.budget.waiting.take(self.bytes, None) {
            return None;
        }
        if self.share.as_ref().is_some_and(|share| !share.waiting.take(self.bytes, Some(0))) {
            self.budget.waiting.give_back(self.bytes);
            return None;
        }
        Some(Waiting { budget: self.budget.clone(), share: self.share.clone(), bytes: self.bytes })
    }

    fn give_back(&self, bytes: usize) {
        self.budget.all.give_back(bytes);
        if let Some(share) = &self.share {
            share.give_back(bytes);
        }
        self.budget.gauge.sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Takes what is missing to `bytes`.
    pub(crate) fn cover(&mut self, bytes: usize) -> Result<(), Refusal> {
        match bytes.checked_sub(self.bytes) {
            Some(missing) if missing > 0 => self.grow(missing),
            _ => Ok(()),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.budget.waiting.give_back(self.bytes);
        if let Some(share) = &self.share {
            share.waiting.give_back(self.bytes);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_flight_are_bounded_and_given_back() {
        let gauge = IntGauge::new("bytes", "bytes").unwrap();
        let budget = InFlight::new(100, gauge.clone());
        let (mut one, mut two) = (budget.permit(), budget.permit());
        one.grow(60).unwrap();
        assert_eq!(two.grow(41), Err(Refusal::InFlightFull));
        two.grow(40).unwrap();
        assert_eq!(gauge.get(), 100);
        drop(one);
        two.cover(100).unwrap();
        drop(two);
        assert_eq!((gauge.get(), budget.all.used.load(Ordering::Acquire)), (0, 0));
    }

    #[test]
    fn who_waits_for_a_quota_holds_a_quarter_at_most_and_what_is_not_needed_is_given_back() {
        let budget = InFlight::new(100, IntGauge::new("bytes", "bytes").unwrap());
        let (mut one, mut two) = (budget.permit(), budget.permit());
        one.set(60).unwrap();
        assert!(one.wait().is_none());
        one.set(20).unwrap();
        two.set(80).unwrap();
        two.set(6).unwrap();
        let waits = one.wait().unwrap();
        assert!(two.wait().is_none());
        drop(waits);
        assert!(two.wait().is_some());
        drop((one, two));
        assert_eq!(
            (budget.all.used.load(Ordering::Acquire), budget.waiting.used.load(Ordering::Acquire)),
            (0, 0)
        );
    }

    #[test]
    fn those_who_wait_for_one_sites_quota_leave_room_for_those_of_another() {
        let budget = InFlight::new(400, IntGauge::new("bytes", "bytes").unwrap());
        let shares = [SiteShare::new(200), SiteShare::new(200)].map(Arc::new);
        let of = |site: usize| {
            let mut permit = budget.permit();
            permit.belong_to(&shares[site]).unwrap();
            permit.grow(30).unwrap();
            permit
        };
        let (one, two, other) = (of(0), of(0), of(1));
        let waits = one.wait();
        assert!(waits.is_some() && two.wait().is_none() && other.wait().is_some());
        drop(waits);
        assert!(two.wait().is_some());
    }

    #[test]
    fn what_is_refused_takes_nobodys_room_meanwhile() {
        let share = SiteShare::new(100);
        share.take(40, 0).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    assert_eq!(share.take(70, 0), Err(Refusal::SiteShareFull));
                }
            });
            for _ in 0..20_000 {
                share.take(60, 0).unwrap();
                share.give_back(60);
            }
        });
        assert_eq!(share.all.used.load(Ordering::Acquire), 40);
    }

    #[test]
    fn a_site_has_no_more_than_its_share_unless_it_sends_one_request() {
        let budget = InFlight::new(100, IntGauge::new("bytes", "bytes").unwrap());
        let (noisy, quiet) = (Arc::new(SiteShare::new(50)), Arc::new(SiteShare::new(50)));
        let (mut one, mut two, mut three) = (budget.permit(), budget.permit(), budget.permit());
        one.grow(40).unwrap();
        one.belong_to(&noisy).unwrap();
        one.belong_to(&quiet).unwrap();
        one.grow(20).unwrap();
        two.grow(1).unwrap();
        assert_eq!(two.belong_to(&noisy), Err(Refusal::SiteShareFull));
        assert_eq!(one.grow(1), Ok(()), "it is alone");
        three.grow(30).unwrap();
        three.belong_to(&quiet).unwrap();
        drop(one);
        two.belong_to(&noisy).unwrap();
        let mut four = budget.permit();
        four.belong_to(&noisy).unwrap();
        assert_eq!(four.grow(50), Err(Refusal::SiteShareFull));
        assert_eq!(four.grow(49), Ok(()));
        drop((two, three, four));
        for used in [&noisy.all.used, &quiet.all.used, &budget.all.used] {
            assert_eq!(used.load(Ordering::Acquire), 0);
        }
    }
}

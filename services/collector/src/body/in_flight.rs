//! The bytes of all requests that are being handled: bounded, so that a burst is answered with 503 and not with the
//! end of memory. A permit gives its bytes back when it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::IntGauge;

use crate::refusal::Refusal;

/// The budget. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct InFlight {
    used: Arc<AtomicUsize>,
    max: usize,
    gauge: IntGauge,
}

/// A request's part of the budget.
#[derive(Debug)]
pub(crate) struct Permit {
    budget: InFlight,
    bytes: usize,
}

impl InFlight {
    pub(crate) fn new(max: usize, gauge: IntGauge) -> Self {
        Self { used: Arc::default(), max, gauge }
    }

    /// A permit for no bytes yet.
    pub(crate) fn permit(&self) -> Permit {
        Permit { budget: self.clone(), bytes: 0 }
    }
}

impl Permit {
    /// Takes more bytes, or refuses and takes nothing.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let used = self.budget.used.fetch_add(bytes, Ordering::AcqRel);
        if used.saturating_add(bytes) > self.budget.max {
            self.budget.used.fetch_sub(bytes, Ordering::AcqRel);
            return Err(Refusal::InFlightFull);
        }
        self.bytes += bytes;
        self.budget.gauge.add(i64::try_from(bytes).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Takes what is missing to `bytes`.
    pub(crate) fn cover(&mut self, bytes: usize) -> Result<(), Refusal> {
        match bytes.checked_sub(self.bytes) {
            Some(missing) if missing > 0 => self.grow(missing),
            _ => Ok(()),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
        self.budget.gauge.sub(i64::try_from(self.bytes).unwrap_or(i64::MAX));
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
        assert_eq!((gauge.get(), budget.used.load(Ordering::Acquire)), (0, 0));
    }
}

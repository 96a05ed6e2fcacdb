//! Every event ends once: accepted, rejected (or left out), refused, or (its client gone) unanswered. The types here
//! hold events that are still open; what is dropped open is counted as lost, which tests and an alert hold at zero.

use prometheus::IntCounter;

use crate::metrics::Metrics;
use crate::rejection::{Reason, Rejection};

/// Events whose fate is not decided.
#[derive(Debug)]
#[must_use = "events end accepted, rejected or refused"]
pub struct Undecided<'m> {
    metrics: &'m Metrics,
    /// Counts what is accepted, once it is known whose events these are.
    site: Option<IntCounter>,
    events: u64,
}

/// Events that were given to the log.
#[derive(Debug)]
#[must_use = "events end accepted or refused"]
pub(crate) struct Published<'m> {
    metrics: &'m Metrics,
    site: Option<IntCounter>,
    events: u64,
}

/// A rejected event as the answer lists it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// Its place in the request, from 0.
    pub(crate) index: usize,
    pub(crate) rejection: Rejection,
}

impl<'m> Undecided<'m> {
    /// So many events of a request.
    pub fn new(metrics: &'m Metrics, events: usize) -> Self {
        Self { metrics, site: None, events: events as u64 }
    }

    /// Gives the counter of the site that the events belong to.
    pub(crate) fn belong_to(&mut self, accepted: &IntCounter) {
        self.site = Some(accepted.clone());
    }

    /// Ends one event.
    pub(crate) fn reject(&mut self, reason: Reason) {
        self.events = self.events.saturating_sub(1);
        self.metrics.rejected_for(reason);
    }

    /// Ends all that are left: the request fails.
    pub(crate) fn refuse(mut self) {
        self.metrics.refused.inc_by(std::mem::take(&mut self.events));
    }

    /// Where it is counted what becomes of them.
    pub(crate) fn metrics(&self) -> &'m Metrics {
        self.metrics
    }

    /// All that are left are with the log now.
    pub(crate) fn published(mut self) -> Published<'m> {
        Published { metrics: self.metrics, site: self.site.take(), events: std::mem::take(&mut self.events) }
    }
}

impl Drop for Undecided<'_> {
    fn drop(&mut self) {
        self.metrics.lost.inc_by(self.events);
    }
}

impl Published<'_> {
    /// Durable. Tells how many.
    pub(crate) fn accept(mut self) -> u64 {
        let events = std::mem::take(&mut self.events);
        self.metrics.accepted.inc_by(events);
        if let Some(site) = &self.site {
            site.inc_by(events);
        }
        events
    }

    /// Not acknowledged by the log.
    pub(crate) fn refuse(mut self) {
        self.metrics.refused.inc_by(std::mem::take(&mut self.events));
    }
}

impl Drop for Published<'_> {
    /// Only a request that was given up by its client comes here: its events may well be stored.
    fn drop(&mut self) {
        self.metrics.unanswered.inc_by(self.events);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_is_dropped_undecided_is_counted_as_lost() {
        let metrics = Metrics::register(&runtime::Metrics::new().unwrap()).unwrap();
        let mut open = Undecided::new(&metrics, 5);
        open.reject(Reason::TooDeep);
        drop(open);
        assert_eq!((metrics.lost.get(), metrics.rejected.get()), (4, 1));

        let mut of_shop = Undecided::new(&metrics, 3);
        of_shop.belong_to(&metrics.site("shop"));
        assert_eq!((of_shop.published().accept(), metrics.site("shop").get()), (3, 3));
        Undecided::new(&metrics, 2).refuse();
        Undecided::new(&metrics, 1).published().refuse();
        drop(Undecided::new(&metrics, 7).published());
        let counts =
            [&metrics.accepted, &metrics.refused, &metrics.unanswered, &metrics.lost].map(|c| c.get());
        assert_eq!(counts, [3, 3, 7, 4]);
    }
}

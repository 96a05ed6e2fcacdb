//! The collector's metrics, registered once and held as handles: counting an event is one atomic addition.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use crate::adapters::{Endpoint, ROUTES};
use crate::rejection::Reason;

/// Handles of every metric.
#[derive(Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    /// The handles of status 200, by endpoint.
    ok: Vec<(&'static str, IntCounter)>,
    /// Events that are durable in the log.
    pub(crate) accepted: IntCounter,
    pub(crate) rejected: IntCounter,
    /// Events of requests that were answered with an error: the client knows that they are not stored.
    pub(crate) refused: IntCounter,
    /// Events given to the log whose client went away before the answer: probably stored, never acknowledged.
    pub(crate) unanswered: IntCounter,
    /// In the order of [`Reason::ALL`].
    reasons: Vec<IntCounter>,
    /// From handing events to the log until they are durable.
    pub(crate) ack_seconds: Histogram,
    pub(crate) in_flight_bytes: IntGauge,
    pub(crate) lost: IntCounter,
}

const ACK_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Metrics {
    /// Registers all of them.
    pub fn register(metrics: &runtime::Metrics) -> Result<Self, prometheus::Error> {
        let requests = metrics.counter_vec(
            "rungs_collector_requests_total",
            "HTTP requests by endpoint and status.",
            &["endpoint", "status"],
        )?;
        let events = metrics.counter_vec(
            "rungs_collector_events_total",
            "Events by outcome: accepted (durable), rejected (listed in the answer), refused (the request failed), \
             unanswered (given to the log, the client went away).",
            &["outcome"],
        )?;
        let reasons = metrics.counter_vec(
            "rungs_collector_rejected_events_total",
            "Events that were not stored while their request was, by reason.",
            &["reason"],
        )?;
        Ok(Self {
            ok: labels()
                .into_iter()
                .map(|label| (label, requests.with_label_values(&[label, "200"])))
                .collect(),
            requests,
            accepted: events.with_label_values(&["accepted"]),
            rejected: events.with_label_values(&["rejected"]),
            refused: events.with_label_values(&["refused"]),
            unanswered: events.with_label_values(&["unanswered"]),
            reasons: Reason::ALL.iter().map(|reason| reasons.with_label_values(&[reason.code()])).collect(),
            ack_seconds: metrics.histogram(
                "rungs_collector_ack_seconds",
                "From handing events to the log until they are durable.",
                ACK_SECONDS,
            )?,
            in_flight_bytes: metrics
                .gauge("rungs_collector_in_flight_bytes", "Bytes of requests that are being handled.")?,
            lost: metrics.counter(
                "rungs_collector_lost_events_total",
                "Events that ended neither accepted nor rejected nor refused: a defect; always 0.",
            )?,
        })
    }

    pub(crate) fn request(&self, endpoint: Endpoint, status: u16) {
        let label = endpoint.label();
        match self.ok.iter().find(|(known, _)| status == 200 && *known == label) {
            Some((_, counter)) => counter.inc(),
            None => self.requests.with_label_values(&[label, status.to_string().as_str()]).inc(),
        }
    }

    pub(crate) fn rejected_for(&self, reason: Reason) {
        self.rejected.inc();
        if let Some(counter) = self.reasons.get(reason as usize) {
            counter.inc();
        }
    }
}

fn labels() -> Vec<&'static str> {
    let mut labels: Vec<_> = ROUTES.iter().map(|(_, endpoint)| endpoint.label()).collect();
    labels.push(Endpoint::ImportStatus.label());
    labels.push(Endpoint::Unknown.label());
    labels.dedup();
    labels
}

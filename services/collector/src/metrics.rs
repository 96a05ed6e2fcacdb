//! The collector's metrics, registered once and held as handles: counting an event is one atomic addition.

use prometheus::{GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::adapters::{Endpoint, PATTERNS, ROUTES};
use crate::refusal::Refusal;
use crate::rejection::Reason;

/// Handles of every metric.
#[derive(Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    refused_requests: IntCounterVec,
    /// The handles of status 200, by endpoint.
    ok: Vec<(&'static str, IntCounter)>,
    /// Events that are durable in the log.
    pub(crate) accepted: IntCounter,
    pub(crate) rejected: IntCounter,
    /// Events that were good and are not wanted, e.g. a bot's.
    left_out: IntCounter,
    /// Events of requests that were answered with an error: the client knows that they are not stored.
    pub(crate) refused: IntCounter,
    /// Events given to the log whose client went away before the answer: probably stored, never acknowledged.
    pub(crate) unanswered: IntCounter,
    /// In the order of [`Reason::ALL`].
    reasons: Vec<IntCounter>,
    sites: IntCounterVec,
    quota_refused: IntCounterVec,
    schema_violations: IntCounterVec,
    quota_limit: IntGaugeVec,
    quota_used: GaugeVec,
    pub(crate) limited_addresses: IntGauge,
    pub(crate) connections: IntGauge,
    pub(crate) refused_connections: IntCounter,
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
        let refused_requests = metrics.counter_vec(
            "rungs_collector_refused_requests_total",
            "Requests of which nothing was stored, by reason; also pixels, which are answered with a picture all the same.",
            &["reason"],
        )?;
        for refusal in Refusal::all() {
            refused_requests.with_label_values(&[refusal.wire().code]);
        }
        let events = metrics.counter_vec(
            "rungs_collector_events_total",
            "Events by outcome: accepted (durable), rejected (wrong; listed in the answer), left_out (a bot's or the like; \
             listed too), refused (the request failed), unanswered (given to the log, the client went away).",
            &["outcome"],
        )?;
        let reasons = metrics.counter_vec(
            "rungs_collector_rejected_events_total",
            "Events that were not stored while their request was, by reason: rejected and left out.",
            &["reason"],
        )?;
        let sites = metrics.counter_vec(
            "rungs_collector_site_events_total",
            "Accepted events by the site of their key; every site of the plan from its first plan on.",
            &["site"],
        )?;
        Ok(Self {
            sites,
            quota_refused: metrics.counter_vec(
                "rungs_collector_quota_refused_events_total",
                "Events that were refused because a limit of the plan was reached, by site and limit.",
                &["site", "limit"],
            )?,
            schema_violations: metrics.counter_vec(
                "rungs_collector_schema_violations_total",
                "Events that break a rule of their site's schema, by site and reason: rejected where it is strict, stored where \
                 it is lenient. An event that breaks several rules counts for each.",
                &["site", "reason"],
            )?,
            quota_limit: metrics.gauge_vec(
                "rungs_collector_quota_limit",
                "What the plan allows a site in a second at this collector: events, bytes, events of an address, of a \
                 visitor.",
                &["site", "limit"],
            )?,
            quota_used: metrics.float_gauge_vec(
                "rungs_collector_quota_used_ratio",
                "How much of a site's burst is used: 0 after a quiet while, 1 where events are refused; every half second.",
                &["site", "limit"],
            )?,
            limited_addresses: metrics.gauge(
                "rungs_collector_limited_addresses",
                "Addresses whose events are being counted because a plan limits them; at most MAX_LIMITED_ADDRESSES.",
            )?,
            connections: metrics.gauge("rungs_collector_connections", "Connections that are open.")?,
            refused_connections: metrics.counter(
                "rungs_collector_refused_connections_total",
                "Connections that were closed at once because their address has as many as it may ([collector] address_share).",
            )?,
            ok: labels()
                .into_iter()
                .map(|label| (label, requests.with_label_values(&[label, "200"])))
                .collect(),
            requests,
            refused_requests,
            accepted: events.with_label_values(&["accepted"]),
            rejected: events.with_label_values(&["rejected"]),
            left_out: events.with_label_values(&["left_out"]),
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

    pub(crate) fn refused_for(&self, refusal: &Refusal) {
        self.refused_requests.with_label_values(&[refusal.wire().code]).inc();
    }

    /// The counter of a site's accepted events, shown from the first call on. Sites come from the plan, which bounds them.
    pub(crate) fn site(&self, id: &str) -> IntCounter {
        self.sites.with_label_values(&[id])
    }

    /// The counter of what a limit refuses, shown from the first call on.
    pub(crate) fn quota_refused(&self, site: &str, limit: &str) -> IntCounter {
        self.quota_refused.with_label_values(&[site, limit])
    }

    /// The counter of a site's events that break a rule of its schema, shown from the first call on.
    pub(crate) fn schema_violations(&self, site: &str, reason: Reason) -> IntCounter {
        self.schema_violations.with_label_values(&[site, reason.code()])
    }

    /// Shows a limit of the plan, and how much of it is used where that is one number.
    pub(crate) fn show_quota(&self, site: &str, limit: &str, per_second: u64, used: Option<f64>) {
        let labels = [site, limit];
        self.quota_limit.with_label_values(&labels).set(i64::try_from(per_second).unwrap_or(i64::MAX));
        if let Some(used) = used {
            self.quota_used.with_label_values(&labels).set(used);
        }
    }

    /// Forgets limits: those of the plan in force are shown again.
    pub(crate) fn hide_quotas(&self) {
        self.quota_limit.reset();
        self.quota_used.reset();
    }

    pub(crate) fn rejected_for(&self, reason: Reason) {
        let outcome = if reason.leaves_out() { &self.left_out } else { &self.rejected };
        outcome.inc();
        if let Some(counter) = self.reasons.get(reason as usize) {
            counter.inc();
        }
    }
}

/// Counts rejected events that can be found nowhere; for all services of a process, which share one.
pub fn unkept_rejections(metrics: &runtime::Metrics) -> Result<IntCounter, prometheus::Error> {
    metrics.counter(
        "rungs_rejections_unkept_total",
        "Rejected events and refused records that are not in rejected_events: a collector keeps \
         MAX_REJECTED_KEPT_PER_SECOND, and what the log or its queue does not take is given up. They are counted by \
         reason all the same.",
    )
}

fn labels() -> Vec<&'static str> {
    let routes = ROUTES.iter().chain(PATTERNS);
    let mut labels: Vec<_> = routes.map(|(_, endpoint)| endpoint.label()).collect();
    labels.push(Endpoint::Unknown.label());
    labels.dedup();
    labels
}

//! What the console counts about itself. Names, help and labels are a closed list; all series exist from the start.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge};
use runtime::Metrics;
use runtime::metrics::MetricsError;

use crate::routes::PATHS;

const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

/// The console's metrics; clones count together.
#[derive(Clone)]
pub(crate) struct ConsoleMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    /// Streams that are open now.
    pub(crate) streams: IntGauge,
    /// Reads of numbers for streams: one a second for all clients of the same numbers.
    pub(crate) polls: IntCounter,
}

impl ConsoleMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Result<Self, MetricsError> {
        let registered = Self {
            requests: metrics.counter_vec(
                "rungs_console_requests_total",
                "Requests answered, by route and class of status.",
                &["route", "status"],
            )?,
            seconds: metrics.histogram_vec(
                "rungs_console_request_seconds",
                "Time from a request's head to the head of its answer, by route.",
                &["route"],
                &SECONDS,
            )?,
            streams: metrics.gauge("rungs_console_streams", "Event streams that are open.")?,
            polls: metrics.counter(
                "rungs_console_stream_polls_total",
                "Reads of numbers for event streams; clients of the same numbers share one.",
            )?,
        };
        for route in PATHS.iter().map(|(_, name)| *name).chain(["page", "other"]) {
            registered.seconds.with_label_values(&[route]);
            CLASSES.iter().for_each(|class| drop(registered.requests.with_label_values(&[route, class])));
        }
        Ok(registered)
    }

    pub(crate) fn answered(&self, route: &str, status: u16, took: Duration) {
        let class = match status {
            ..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        self.requests.with_label_values(&[route, class]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }
}

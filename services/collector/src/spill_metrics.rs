//! What `/metrics` says of the collector's spill: how much waits in it, for how long, and what went through it. The
//! process that runs the spill looks at it now and then and shows what it saw here.

use prometheus::{Gauge, IntCounter, IntGauge};
use runtime::metrics::{Metrics, MetricsError};

/// The metrics of a spill.
pub struct SpillMetrics {
    active: IntGauge,
    records: IntGauge,
    bytes: IntGauge,
    max_bytes: IntGauge,
    age_seconds: Gauge,
    spilled: IntCounter,
    refused: IntCounter,
}

/// A spill as it is now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpillState {
    /// Whether messages are stored in it rather than handed to Kafka.
    pub is_spilling: bool,
    /// Records that are stored and not handed over.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// For how long the oldest of them has been stored.
    pub age_ms: i64,
    /// Messages stored since the start.
    pub spilled: u64,
    /// Acknowledged messages that Kafka refused for good since the start.
    pub refused: u64,
}

impl SpillMetrics {
    /// Registers them, all at 0.
    pub fn register(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            active: metrics.gauge(
                "rungs_collector_spill_active",
                "1 while events are stored in the local spill because Kafka is away or slow, else 0.",
            )?,
            records: metrics.gauge(
                "rungs_collector_spill_records",
                "Records that wait in the spill to be handed to Kafka.",
            )?,
            bytes: metrics.gauge("rungs_collector_spill_bytes", "Bytes that wait in the spill, on disk.")?,
            max_bytes: metrics.gauge(
                "rungs_collector_spill_max_bytes",
                "Bytes that the spill takes before the collector refuses events ([log] max_size).",
            )?,
            age_seconds: metrics
                .float_gauge("rungs_collector_spill_age_seconds", "Age of the oldest record in the spill; 0 while it is empty.")?,
            spilled: metrics.counter("rungs_collector_spilled_messages_total", "Messages that went through the spill.")?,
            refused: metrics.counter(
                "rungs_collector_spill_refused_messages_total",
                "Acknowledged messages that Kafka refused for good when the spill handed them over. Not 0: the topic's limits are below the collector's.",
            )?,
        })
    }

    /// Shows how much the spill takes.
    pub fn show_limit(&self, bytes: u64) {
        self.max_bytes.set(bytes.cast_signed());
    }

    /// Shows a spill as it is now.
    pub fn show(&self, state: &SpillState) {
        self.active.set(i64::from(state.is_spilling));
        self.records.set(state.records.cast_signed());
        self.bytes.set(state.bytes.cast_signed());
        self.age_seconds.set(state.age_ms as f64 / 1_000.0);
        self.spilled.inc_by(state.spilled.saturating_sub(self.spilled.get()));
        self.refused.inc_by(state.refused.saturating_sub(self.refused.get()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_grow_and_the_rest_is_as_it_is_now() {
        let metrics = SpillMetrics::register(&Metrics::new().unwrap()).unwrap();
        let full =
            SpillState { is_spilling: true, records: 5, bytes: 500, age_ms: 1_500, spilled: 7, refused: 0 };
        metrics.show(&full);
        metrics.show(&SpillState { spilled: 9, ..SpillState::default() });
        assert_eq!((metrics.active.get(), metrics.records.get(), metrics.spilled.get()), (0, 0, 9));
        assert_eq!(metrics.age_seconds.get(), 0.0);
    }
}

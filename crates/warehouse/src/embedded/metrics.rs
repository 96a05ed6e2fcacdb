//! What `/metrics` of `rungs up` says of the embedded ClickHouse. The process looks at it now and then
//! ([`Warehouse::engine_state`](crate::Warehouse::engine_state)) and shows what it saw here.

use prometheus::{IntGauge, IntGaugeVec};
use runtime::metrics::{Metrics, MetricsError};

use super::ClickHouseState;

/// The metrics of the embedded ClickHouse.
pub struct ClickHouseMetrics {
    memory: IntGauge,
    queries: IntGauge,
    merges: IntGauge,
    parts: IntGaugeVec,
    rows: IntGaugeVec,
    bytes: IntGaugeVec,
}

impl ClickHouseMetrics {
    /// Registers them; `max_memory_bytes` is what it may use.
    ///
    /// # Errors
    /// Only if they are registered twice.
    pub fn register(metrics: &Metrics, max_memory_bytes: u64) -> Result<Self, MetricsError> {
        let limit = metrics.gauge(
            "rungs_clickhouse_max_memory_bytes",
            "Memory that the embedded ClickHouse may use before it refuses queries.",
        )?;
        limit.set(max_memory_bytes.cast_signed());
        let of_table = |name, help| metrics.gauge_vec(name, help, &["table"]);
        Ok(Self {
            memory: metrics.gauge(
                "rungs_clickhouse_memory_bytes",
                "Memory that the queries, merges and caches of the embedded ClickHouse take, as it counts it.",
            )?,
            queries: metrics.gauge(
                "rungs_clickhouse_running_queries",
                "Statements that the embedded ClickHouse is running.",
            )?,
            merges: metrics.gauge(
                "rungs_clickhouse_running_merges",
                "Merges that the embedded ClickHouse is running.",
            )?,
            parts: of_table(
                "rungs_clickhouse_parts",
                "Parts of a table of the embedded ClickHouse; many mean that merges do not keep up with inserts.",
            )?,
            rows: of_table(
                "rungs_clickhouse_rows",
                "Rows of a table of the embedded ClickHouse, replaced ones included until they are merged away.",
            )?,
            bytes: of_table("rungs_clickhouse_table_bytes", "A table of the embedded ClickHouse on disk.")?,
        })
    }

    /// Shows it as it is now.
    pub fn show(&self, state: &ClickHouseState) {
        self.memory.set(state.memory_bytes.cast_signed());
        self.queries.set(state.running_queries.cast_signed());
        self.merges.set(state.running_merges.cast_signed());
        for table in &state.tables {
            let labels = [table.table.as_str()];
            self.parts.with_label_values(&labels).set(table.parts.cast_signed());
            self.rows.with_label_values(&labels).set(table.rows.cast_signed());
            self.bytes.with_label_values(&labels).set(table.bytes.cast_signed());
        }
    }
}

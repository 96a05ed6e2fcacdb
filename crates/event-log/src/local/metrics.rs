//! What `/metrics` of `rungs up` says of the local log: how full it is, and what its storage takes and does. The process
//! looks at it now and then ([`LocalLog::engine`](super::LocalLog::engine)) and shows what it saw here.

use prometheus::IntGauge;
use runtime::metrics::{Metrics, MetricsError};

use super::{EngineState, LocalLog};

/// The metrics of a local log.
pub struct LocalLogMetrics {
    unreleased: IntGauge,
    max: IntGauge,
    segments: IntGauge,
    tables: IntGauge,
    journals: IntGauge,
    journal_bytes: IntGauge,
    memtables: IntGauge,
    flushes: IntGauge,
    compactions: IntGauge,
}

impl LocalLogMetrics {
    /// Registers them, all at 0.
    ///
    /// # Errors
    /// Only if they are registered twice.
    pub fn register(metrics: &Metrics) -> Result<Self, MetricsError> {
        let gauge = |name, help| metrics.gauge(name, help);
        Ok(Self {
            unreleased: gauge(
                "rungs_local_log_unreleased_bytes",
                "Bytes of records in the local log that ClickHouse does not have yet.",
            )?,
            max: gauge(
                "rungs_local_log_max_bytes",
                "Bytes that the local log holds for ClickHouse before the collector refuses events ([log] max_size).",
            )?,
            segments: gauge("rungs_local_log_segments", "Parts of the local log, each removed as a whole.")?,
            tables: gauge("rungs_local_log_table_bytes", "Tables of the local log's segments on disk.")?,
            journals: gauge("rungs_local_log_journals", "Journals of the local log's storage on disk.")?,
            journal_bytes: gauge(
                "rungs_local_log_journal_bytes",
                "The journals of the local log's storage on disk.",
            )?,
            memtables: gauge(
                "rungs_local_log_memtable_bytes",
                "What the local log's storage holds in memory until it is written into tables.",
            )?,
            flushes: gauge(
                "rungs_local_log_waiting_flushes",
                "Memtables of the local log's storage that wait to be written into tables.",
            )?,
            compactions: gauge(
                "rungs_local_log_running_compactions",
                "Compactions that the local log's storage is running.",
            )?,
        })
    }

    /// Shows a log as it is now. Looks at files: for a thread that may wait.
    pub fn show(&self, log: &LocalLog) {
        self.unreleased.set(log.unreleased_bytes().cast_signed());
        self.max.set(log.max_bytes().cast_signed());
        // One that is being reopened is what it was.
        let Some(state) = log.engine() else { return };
        let EngineState { segments, table_bytes, journals, journal_bytes, .. } = state;
        let EngineState { memtable_bytes, waiting_flushes, running_compactions, .. } = state;
        let shown = [
            (&self.segments, segments),
            (&self.tables, table_bytes),
            (&self.journals, journals),
            (&self.journal_bytes, journal_bytes),
            (&self.memtables, memtable_bytes),
            (&self.flushes, waiting_flushes),
            (&self.compactions, running_compactions),
        ];
        shown.into_iter().for_each(|(gauge, value)| gauge.set(value.cast_signed()));
    }
}

//! How long an event takes to count and to be stored, and how long ClickHouse takes for a write: histograms of this
//! process's work. The lane thread and the writer observe, alerts on freshness read them.
//!
//! An import can wait, so its events are left out of freshness. Events that are read again after a restart count again:
//! until then the numbers were without them.

use std::time::Instant;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};
use rungs_proto::view::RecordView;
use runtime::metrics::{Metrics, MetricsError};

use crate::store::Write;

const FRESHNESS_SECONDS: &[f64] =
    &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0];
const WRITE_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The histograms and counters; clones share them.
#[derive(Debug, Clone)]
pub struct Timing {
    folded: Histogram,
    stored: Histogram,
    write_seconds: HistogramVec,
    written_rows: IntCounterVec,
    failed_writes: IntCounterVec,
}

impl Timing {
    /// Registers them, all at 0.
    pub fn register(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            folded: metrics.histogram(
                "rungs_aggregator_freshness_folded_seconds",
                "From accepting an event until the live numbers contain it, imported events left out.",
                FRESHNESS_SECONDS,
            )?,
            stored: metrics.histogram(
                "rungs_aggregator_freshness_stored_seconds",
                "From accepting the oldest event of an insert into the table events until it is stored, one observation an \
                 insert, imported events left out.",
                FRESHNESS_SECONDS,
            )?,
            write_seconds: metrics.histogram_vec(
                "rungs_aggregator_write_seconds",
                "From handing rows to ClickHouse until it has them, failed attempts included, by table.",
                &["table"],
                WRITE_SECONDS,
            )?,
            written_rows: metrics.counter_vec(
                "rungs_aggregator_written_rows_total",
                "Rows that ClickHouse has, by table.",
                &["table"],
            )?,
            failed_writes: metrics.counter_vec(
                "rungs_aggregator_failed_writes_total",
                "Attempts to write that failed and are made again, by table.",
                &["table"],
            )?,
        })
    }

    /// Watches the folding of records that were read together.
    pub(crate) fn folding(&self) -> Folding {
        Folding { histogram: self.folded.local(), accepted_ms: Vec::new() }
    }

    /// Watches a write from now on.
    pub(crate) fn write(&self, write: &Write) -> WatchedWrite<'_> {
        let (table, rows) = write.rows().unwrap_or_default();
        let oldest_ms = if let Write::Events(batch, _) = write { batch.oldest_ms() } else { None };
        let failed = self.failed_writes.with_label_values(&[table]);
        WatchedWrite { timing: self, table, rows, oldest_ms, failed, since: Instant::now() }
    }
}

/// Freshness of the records of one read, given to the histogram when it is dropped.
pub(crate) struct Folding {
    histogram: prometheus::local::LocalHistogram,
    accepted_ms: Vec<i64>,
}

impl Folding {
    /// Events that are folded next.
    pub(crate) fn expect<'a>(&mut self, records: impl Iterator<Item = &'a RecordView<'a>>) {
        self.accepted_ms.extend(records.filter_map(|record| match record {
            // Foreign producers may not say when; nobody waits for the answer there.
            RecordView::Event(event) if event.import_id.is_empty() && event.received_at_ms > 0 => {
                Some(event.received_at_ms)
            }
            _ => None,
        }));
    }

    /// They are folded now.
    pub(crate) fn folded(&mut self, now_ms: i64) {
        for accepted_ms in self.accepted_ms.drain(..) {
            self.histogram.observe(seconds(now_ms - accepted_ms));
        }
    }
}

/// A write on its way.
pub(crate) struct WatchedWrite<'t> {
    timing: &'t Timing,
    table: &'static str,
    rows: usize,
    oldest_ms: Option<i64>,
    failed: IntCounter,
    since: Instant,
}

impl WatchedWrite<'_> {
    /// An attempt failed.
    pub(crate) fn failed(&self) {
        self.failed.inc();
    }

    /// ClickHouse has it.
    pub(crate) fn stored(&self, now_ms: i64) {
        self.timing
            .write_seconds
            .with_label_values(&[self.table])
            .observe(self.since.elapsed().as_secs_f64());
        self.timing.written_rows.with_label_values(&[self.table]).inc_by(self.rows as u64);
        if let Some(oldest_ms) = self.oldest_ms {
            self.timing.stored.observe(seconds(now_ms - oldest_ms));
        }
    }
}

/// Clocks of two machines may differ a little: never negative.
fn seconds(ms: i64) -> f64 {
    ms.max(0) as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use rungs_proto::view::EventView;
    use warehouse::rows::ProgressRow;

    use super::*;

    fn event(received_at_ms: i64, import_id: &'static str) -> RecordView<'static> {
        RecordView::Event(EventView { received_at_ms, import_id, ..EventView::default() })
    }

    #[test]
    fn freshness_is_counted_for_each_event_that_somebody_waits_for() {
        let timing = Timing::register(&Metrics::new().unwrap()).unwrap();
        let mut folding = timing.folding();
        let records =
            [event(1_000, ""), event(9_000, ""), event(500, "imp"), event(20_000, ""), event(0, "")];
        folding.expect(records.iter());
        folding.folded(10_000);
        drop(folding);
        // 9 s, 1 s, and one from a clock that is ahead.
        assert_eq!((timing.folded.get_sample_count(), timing.folded.get_sample_sum()), (3, 10.0));
    }

    #[test]
    fn a_write_is_counted_when_it_is_stored_and_its_failures_before() {
        let timing = Timing::register(&Metrics::new().unwrap()).unwrap();
        let write = Write::Progress(Vec::<ProgressRow>::new());
        let watched = timing.write(&write);
        watched.failed();
        let writes = timing.write_seconds.with_label_values(&["progress"]);
        assert_eq!((writes.get_sample_count(), watched.failed.get()), (0, 1));
        watched.stored(5_000);
        assert_eq!((writes.get_sample_count(), timing.stored.get_sample_count()), (1, 0));
    }
}

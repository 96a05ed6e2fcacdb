//! The funnel metrics: one collector that renders every family from one picture of the lanes at the moment of the scrape.
//! The list of families is closed and does not depend on the plan; their series do, within the plan's limits.
//!
//! Counts, not ratios: momentum is `rungs_funnel_visitors / rungs_funnel_eligible_visitors`, CTR is
//! `rungs_funnel_committed_visitors / rungs_funnel_offered_visitors`, and sums over pods come before any ratio. The
//! histograms hold the present content of a rolling window: `histogram_quantile` takes them without `rate`.

use std::collections::HashMap;
use std::sync::Arc;

use funnel::Counts;
use funnel::buckets::UPPER_BOUNDS_MS;
use funnel::plan::Funnel;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use runtime::metrics::{MetricKind, Metrics, MetricsError};
use runtime::now_ms;

use crate::snapshot::{self, Board, FunnelSnapshot, LaneSnapshot, LaneState};

const STEP_LABELS: &[&str] = &["site", "funnel", "step", "window"];
const INFO_LABELS: &[&str] = &["site", "funnel", "step", "position", "name", "commitment"];
const VALUE_LABELS: &[&str] = &["site", "funnel", "step", "window", "breakdown", "value"];

/// A family's name, help and labels.
type Family = (&'static str, &'static str, &'static [&'static str]);

const VISITORS: Family = (
    "rungs_funnel_visitors",
    "Visitors whose chain of steps up to this one began within the rolling window.",
    STEP_LABELS,
);
const ELIGIBLE: Family = (
    "rungs_funnel_eligible_visitors",
    "Visitors who reached the step before this one in the rolling window (not for the first step).",
    STEP_LABELS,
);
const OFFERED: Family = (
    "rungs_funnel_offered_visitors",
    "Visitors who were shown the step's offer in the rolling window (steps with an offer).",
    STEP_LABELS,
);
const COMMITTED: Family = (
    "rungs_funnel_committed_visitors",
    "Visitors who took the step within the conversion window after its offer, the offer within the rolling window.",
    STEP_LABELS,
);
const SKIPPED: Family = (
    "rungs_funnel_skipped_visitors",
    "Visitors with a match of a later step in the rolling window and none of this one (not for the last step).",
    STEP_LABELS,
);
const OPEN: Family = (
    "rungs_funnel_open_visitors",
    "Visitors whose highest step within the conversion window (the label window) is this one (not for the last step).",
    STEP_LABELS,
);
const BREAKDOWN: Family = (
    "rungs_funnel_breakdown_visitors",
    "As rungs_funnel_visitors, for entries with one of the breakdown values that the plan lists.",
    VALUE_LABELS,
);
const INFO: Family = (
    "rungs_funnel_step_info",
    "A step of the plan in force, its position (from 1), name and commitment; always 1.",
    INFO_LABELS,
);
const SECONDS: Family = (
    "rungs_funnel_step_seconds",
    "Seconds from the previous step to this one, of the visitors now in the rolling window; the sum is estimated from the buckets.",
    STEP_LABELS,
);
const EFFORT: Family = (
    "rungs_funnel_effort_seconds",
    "Seconds from the step's offer to the step, of the visitors now in the rolling window; the sum is estimated from the buckets.",
    STEP_LABELS,
);
const PARTITIONS: Family = (
    "rungs_aggregator_partitions",
    "Partitions of this process by state: live, rebuilding (a funnel is being built from raw events), restoring, or paused \
     (the process holds as many journeys as [aggregator] max_journeys allows, and reads no further).",
    &["state"],
);
const LIVE_PARTITION: Family = (
    "rungs_aggregator_live_partition",
    "A partition that this process serves live; always 1. Numbers are whole only while each has exactly one such process.",
    &["partition"],
);
const LOG_PARTITIONS: Family = (
    "rungs_log_partitions",
    "Partitions of the log. Funnel numbers are whole only while all aggregators together have as many live ones.",
    &[],
);
const LAG: Family = (
    "rungs_aggregator_lag_records",
    "Records of the log that this process has still to take, over its partitions; on Kafka one may hold many events.",
    &[],
);
const LAG_SECONDS: Family = (
    "rungs_aggregator_lag_seconds",
    "For how long the oldest record that this process has still to take has waited, at most; 0 if none does.",
    &[],
);
const CLOCK_AHEAD: Family = (
    "rungs_aggregator_clock_ahead_seconds",
    "By how much the log's clock (the latest append time that this process has taken, over its partitions) is ahead of this \
     machine's clock; 0 if it is not. Events older than [aggregator] horizon by the log's clock are stored and not counted live.",
    &[],
);
const MEMORY: Family =
    ("rungs_aggregator_journeys", "Visitors with a journey in memory, by funnel.", &["site", "funnel"]);

const RESTORED: Family = (
    "rungs_aggregator_restored_ratio",
    "Share of this process's partitions that are restored from ClickHouse, those under way by the journeys read; 1 when \
     all are. Readiness waits for it.",
    &[],
);

const GAUGES: [Family; 16] = [
    VISITORS,
    ELIGIBLE,
    OFFERED,
    COMMITTED,
    SKIPPED,
    OPEN,
    BREAKDOWN,
    INFO,
    PARTITIONS,
    LIVE_PARTITION,
    LOG_PARTITIONS,
    LAG,
    LAG_SECONDS,
    CLOCK_AHEAD,
    MEMORY,
    RESTORED,
];
const HISTOGRAMS: [Family; 2] = [SECONDS, EFFORT];

/// The collector.
pub struct FunnelMetrics {
    board: Board,
    descriptions: Vec<Desc>,
}

impl FunnelMetrics {
    /// Registers the funnel families.
    pub fn register(metrics: &Metrics, board: Board) -> Result<(), MetricsError> {
        let families = GAUGES.iter().chain(&HISTOGRAMS);
        let describe = |(name, help, labels): &Family| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new((*name).to_owned(), (*help).to_owned(), labels, HashMap::new())
        };
        let descriptions = families.map(describe).collect::<Result<_, _>>()?;
        metrics.register_collector(Box::new(Self { board, descriptions }), |name| {
            if HISTOGRAMS.iter().any(|family| family.0 == name) {
                MetricKind::Histogram
            } else {
                MetricKind::Gauge
            }
        })
    }
}

impl Collector for FunnelMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Families::default();
        // One look for all: a partition that is live in it has its visitors in it.
        let lanes = self.board.look();
        for funnel in Board::funnels(&lanes) {
            families.add_funnel(&funnel);
        }
        families.add_lanes(&lanes, self.board.log_partitions);
        families.finish()
    }
}

#[derive(Default)]
struct Families {
    by_name: HashMap<&'static str, Vec<Metric>>,
}

impl Families {
    fn add_funnel(&mut self, snapshot: &FunnelSnapshot) {
        let funnel = snapshot.funnel.as_ref();
        for (position, step) in funnel.steps.iter().enumerate() {
            let place = (position + 1).to_string();
            let labels = [&funnel.site, &funnel.id, &step.id, &place, &step.name, step.commitment.as_str()];
            self.gauge(INFO, &labels, 1.0);
            if position + 1 < funnel.steps.len() {
                let open = snapshot.everybody.open.get(position).copied().unwrap_or(0);
                let labels = [&funnel.site, &funnel.id, &step.id, funnel.conversion_window.label.as_str()];
                self.gauge(OPEN, &labels, f64::from(open));
            }
            for window in 0..funnel.rolling_windows.len() {
                self.add_window(funnel, &snapshot.everybody, position, window);
            }
        }
        for breakdown in &funnel.breakdowns {
            for value in &breakdown.values {
                let key = (breakdown.by.clone(), value.clone());
                self.add_value(funnel, &key, snapshot.values.get(&key));
            }
        }
        self.gauge(MEMORY, &[&funnel.site, &funnel.id], snapshot.visitors_in_memory as f64);
    }

    fn add_window(&mut self, funnel: &Funnel, counts: &Counts, step: usize, window: usize) {
        let (Some(planned), Some(length)) = (funnel.steps.get(step), funnel.rolling_windows.get(window))
        else {
            return;
        };
        let labels = [funnel.site.as_str(), &funnel.id, &planned.id, &length.label];
        let at = |flat: &[u32], step: usize| f64::from(counts.at(flat, step, window));
        self.gauge(VISITORS, &labels, at(&counts.visitors, step));
        if let Some(before) = step.checked_sub(1) {
            self.gauge(ELIGIBLE, &labels, at(&counts.visitors, before));
            self.histogram(SECONDS, &labels, counts.cells(&counts.seconds, step, window));
        }
        if step + 1 < funnel.steps.len() {
            self.gauge(SKIPPED, &labels, at(&counts.skipped, step));
        }
        if planned.offer.is_some() {
            self.gauge(OFFERED, &labels, at(&counts.offered, step));
            self.gauge(COMMITTED, &labels, at(&counts.committed, step));
            self.histogram(EFFORT, &labels, counts.cells(&counts.effort, step, window));
        }
    }

    fn add_value(&mut self, funnel: &Funnel, (breakdown, value): &(String, String), counts: Option<&Counts>) {
        for (position, step) in funnel.steps.iter().enumerate() {
            for (window, length) in funnel.rolling_windows.iter().enumerate() {
                let visitors = counts.map_or(0, |counts| counts.at(&counts.visitors, position, window));
                let labels = [&funnel.site, &funnel.id, &step.id, &length.label, breakdown, value];
                self.gauge(BREAKDOWN, &labels.map(String::as_str), f64::from(visitors));
            }
        }
    }

    fn add_lanes(&mut self, lanes: &[Arc<LaneSnapshot>], log_partitions: u32) {
        let states = [
            ("live", LaneState::Live),
            ("rebuilding", LaneState::Rebuilding),
            ("restoring", LaneState::Restoring),
            ("paused", LaneState::Paused),
        ];
        for (name, state) in states {
            let count = lanes.iter().filter(|lane| lane.state == state).count();
            self.gauge(PARTITIONS, &[name], count as f64);
        }
        let live = lanes.iter().enumerate().filter(|(_, lane)| lane.state == LaneState::Live);
        for (partition, _) in live {
            self.gauge(LIVE_PARTITION, &[&partition.to_string()], 1.0);
        }
        self.gauge(RESTORED, &[], snapshot::restored(lanes));
        self.gauge(LOG_PARTITIONS, &[], f64::from(log_partitions));
        self.gauge(LAG, &[], lanes.iter().map(|lane| lane.lag_records()).sum::<u64>() as f64);
        let now_ms = now_ms();
        let longest = lanes.iter().map(|lane| lane.lag_ms(now_ms)).max().unwrap_or(0);
        self.gauge(LAG_SECONDS, &[], longest as f64 / 1_000.0);
        let ahead = lanes.iter().map(|lane| lane.clock_ahead_ms(now_ms)).max().unwrap_or(0);
        self.gauge(CLOCK_AHEAD, &[], ahead as f64 / 1_000.0);
    }

    fn gauge(&mut self, family: Family, labels: &[&str], value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::from_label(pairs(family.2, labels));
        metric.set_gauge(gauge);
        self.by_name.entry(family.0).or_default().push(metric);
    }

    fn histogram(&mut self, family: Family, labels: &[&str], cells: &[u32]) {
        let mut metric = Metric::from_label(pairs(family.2, labels));
        metric.set_histogram(histogram_of(cells));
        self.by_name.entry(family.0).or_default().push(metric);
    }

    fn finish(mut self) -> Vec<MetricFamily> {
        let mut families = Vec::new();
        let kinds = [(&GAUGES[..], MetricType::GAUGE), (&HISTOGRAMS[..], MetricType::HISTOGRAM)];
        for (list, kind) in kinds {
            for (name, help, _) in list {
                let Some(metrics) = self.by_name.remove(name) else { continue };
                let mut family = MetricFamily::default();
                family.set_name((*name).to_owned());
                family.set_help((*help).to_owned());
                family.set_field_type(kind);
                family.set_metric(metrics);
                families.push(family);
            }
        }
        families
    }
}

fn pairs(names: &[&str], values: &[&str]) -> Vec<LabelPair> {
    let pair = |(name, value): (&&str, &&str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    names.iter().zip(values).map(pair).collect()
}

/// Cumulative buckets in seconds. The sum takes each bucket's geometric middle.
fn histogram_of(cells: &[u32]) -> Histogram {
    let (mut count, mut sum, mut below) = (0u64, 0.0, 0.0);
    let mut buckets = Vec::with_capacity(UPPER_BOUNDS_MS.len());
    for (index, cell) in cells.iter().enumerate() {
        let bound = UPPER_BOUNDS_MS.get(index).map(|ms| *ms as f64 / 1_000.0);
        count += u64::from(*cell);
        sum += f64::from(*cell)
            * bound.map_or(below, |bound| if below > 0.0 { (below * bound).sqrt() } else { bound / 2.0 });
        if let Some(bound) = bound {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            buckets.push(bucket);
            below = bound;
        }
    }
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(count);
    histogram.set_sample_sum(sum);
    histogram
}

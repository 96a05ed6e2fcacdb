//! What a plan will cost before it runs: series in Prometheus, rows in ClickHouse, memory in the aggregator. Estimates
//! from the plan alone, with formulas one can check by hand; `rungs check` prints them.

use super::limits::MAX_UNLISTED_VALUES;
use super::{Funnel, Plan};
use crate::buckets;

/// Visitors, eligible, offered, committed, skipped and open visitors.
const GAUGES_A_STEP_AND_WINDOW: usize = 6;

/// A histogram's buckets, its sum and its count.
const SERIES_A_HISTOGRAM: usize = buckets::COUNT + 2;

/// A visitor's entry in a funnel's table: hash, pointer, length.
const ENTRY_BYTES: usize = 64;

/// A step in an encoded journey with an event or so in its tail.
const STEP_BYTES: usize = 20;

/// Estimates for a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Series that `/metrics` exports, over all processes: a funnel of S steps, O of them with an offer, W rolling
    /// windows and V listed values has `6·S·W` gauges, `S` step infos, `V·S·W` breakdown gauges, and one histogram
    /// (27 series) in each window for each of S-1 steps and O offers.
    pub prometheus_series: usize,
    /// Rows a minute and partition of the log if only listed values occur: one a funnel, and for each of its breakdowns
    /// one a listed value and one for `(none)`.
    pub history_rows_per_minute: usize,
    /// The same if every breakdown has as many unlisted values as are kept.
    pub history_rows_per_minute_at_most: usize,
    /// Memory of a visitor who enters every funnel of every site once, without stragglers: a funnel of S steps and B
    /// breakdowns takes `64 + (1 + B)·20·S` bytes.
    pub bytes_per_visitor: usize,
}

impl Plan {
    /// What the plan will cost.
    pub fn cost(&self) -> Cost {
        self.funnels.iter().map(Funnel::cost).fold(Cost::default(), Cost::plus)
    }
}

impl Funnel {
    /// What the funnel will cost.
    pub fn cost(&self) -> Cost {
        let (steps, windows) = (self.steps.len(), self.rolling_windows.len());
        let offers = self.steps.iter().filter(|step| step.offer.is_some()).count();
        let listed: usize = self.breakdowns.iter().map(|breakdown| breakdown.values.len()).sum();
        let breakdowns = self.breakdowns.len();
        let gauges = (GAUGES_A_STEP_AND_WINDOW + listed) * steps * windows + steps;
        let histograms = (steps.saturating_sub(1) + offers) * windows;
        let rows = 1 + listed + breakdowns;
        Cost {
            prometheus_series: gauges + histograms * SERIES_A_HISTOGRAM,
            history_rows_per_minute: rows,
            history_rows_per_minute_at_most: rows + breakdowns * (MAX_UNLISTED_VALUES + 1),
            bytes_per_visitor: ENTRY_BYTES + (1 + breakdowns) * STEP_BYTES * steps,
        }
    }
}

impl Cost {
    fn plus(self, other: Self) -> Self {
        Self {
            prometheus_series: self.prometheus_series + other.prometheus_series,
            history_rows_per_minute: self.history_rows_per_minute + other.history_rows_per_minute,
            history_rows_per_minute_at_most: self.history_rows_per_minute_at_most
                + other.history_rows_per_minute_at_most,
            bytes_per_visitor: self.bytes_per_visitor + other.bytes_per_visitor,
        }
    }
}

//! The console's answer, as far as the table shows it.

use serde::Deserialize;

/// A funnel's numbers. Times are UTC milliseconds, ratios 0..1 and absent over 0.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) site: String,
    pub(super) funnel: String,
    pub(super) window: Option<String>,
    pub(super) from: Option<i64>,
    pub(super) to: Option<i64>,
    pub(super) state: String,
    pub(super) progress: f64,
    pub(super) rates: Rates,
    pub(super) steps: Vec<Step>,
    #[serde(default)]
    pub(super) breakdown: Vec<Part>,
    #[serde(default)]
    pub(super) truncated: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Rates {
    pub(super) click_through: Option<f64>,
    pub(super) opt_in: Option<f64>,
    pub(super) engagement: Option<f64>,
    pub(super) micro_to_macro: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Step {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) visitors: u64,
    pub(super) from_previous: Option<f64>,
    pub(super) from_first: Option<f64>,
    /// Absent at the first step.
    #[serde(default)]
    pub(super) drop_off: Option<u64>,
    /// Absent at the first step.
    #[serde(default)]
    pub(super) lost: Option<u64>,
    /// Absent at the last step.
    pub(super) open: Option<u64>,
    pub(super) ctr: Option<f64>,
    pub(super) skipped: Option<u64>,
    pub(super) seconds: Quantiles,
    pub(super) effort_seconds: Quantiles,
}

#[derive(Debug, Deserialize)]
pub(super) struct Quantiles {
    pub(super) p50: Option<f64>,
}

/// The names of a site's events of the last day.
#[derive(Debug, Deserialize)]
pub(super) struct EventNames {
    pub(super) events: Vec<NamedEvents>,
}

/// The events of one name.
#[derive(Debug, Deserialize)]
pub(super) struct NamedEvents {
    pub(super) event: String,
    pub(super) count: u64,
    pub(super) in_plan: bool,
    pub(super) did_you_mean: Option<String>,
}

/// One value of the breakdown.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    pub(super) value: String,
    pub(super) steps: Vec<Step>,
}

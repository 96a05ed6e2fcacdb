//! The JSON that `live`, `report` and `stream` answer, derived from counts. Pure. Every field is described in
//! `docs/console-api.md` and in the OpenAPI description.

use funnel::counts::Counts;
use funnel::ladder::{Audience, Ladder, Rates, Rung};
use funnel::plan::Funnel;
use serde::Serialize;
use warehouse::live::{Live, Numbers};

use crate::source::{ReportCounts, Span, Wanted};

/// Breakdown values of one answer, at most: those with most visitors.
pub const MAX_VALUES: usize = 100;

/// A funnel's numbers. Times are UTC milliseconds, ratios 0..1 and null over 0.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    pub site: String,
    pub funnel: String,
    /// The rolling window's label; null in a report.
    pub window: Option<String>,
    pub from: Option<i64>,
    pub to: Option<i64>,
    pub as_of: Option<i64>,
    pub state: State,
    /// Share of the build that is done, 0..1; 1 when ready.
    pub progress: f64,
    pub rates: Rates,
    /// Empty before there are numbers.
    pub steps: Vec<Rung>,
    /// By visitors of the first step, most first.
    pub breakdown: Vec<Part>,
    pub truncated: bool,
}

/// Whether the numbers are those of the plan in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Ready,
    /// A newer generation is being built; the numbers, if any, are the one before's.
    Building,
}

/// One breakdown value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    pub value: String,
    pub steps: Vec<Rung>,
}

impl Answer {
    /// Of the numbers now.
    pub fn live(wanted: &Wanted, live: &Live) -> Self {
        let mut answer = match &live.numbers {
            Some(numbers) => Self::at(wanted, numbers),
            None => Self::empty(&wanted.funnel),
        };
        answer.window = Some(wanted.window.label.clone());
        if let Some(progress) = live.building {
            answer.state = State::Building;
            answer.progress = progress.clamp(0.0, 1.0);
        }
        answer
    }

    /// Of the numbers at one time.
    pub fn at(wanted: &Wanted, numbers: &Numbers) -> Self {
        Self {
            window: Some(wanted.window.label.clone()),
            from: Some(numbers.minute_end_ms - wanted.window.ms),
            to: Some(numbers.as_of_ms),
            as_of: Some(numbers.as_of_ms),
            ..Self::of(&wanted.funnel, &numbers.total, &numbers.values, numbers.truncated)
        }
    }

    /// Of the numbers at a minute's end.
    pub fn at_minute_end(wanted: &Wanted, numbers: &Numbers, minute_end_ms: i64) -> Self {
        Self {
            from: Some(minute_end_ms - wanted.window.ms),
            to: Some(minute_end_ms),
            as_of: Some(minute_end_ms),
            ..Self::at(wanted, numbers)
        }
    }

    /// Of a report over a span.
    pub fn report(funnel: &Funnel, span: Span, counts: &ReportCounts) -> Self {
        Self {
            from: Some(span.from_ms),
            to: Some(span.to_ms),
            as_of: Some(span.to_ms),
            ..Self::of(funnel, &counts.total, &counts.values, counts.truncated)
        }
    }

    /// Whether both say the same; the time may differ.
    pub fn same_numbers(&self, other: &Self) -> bool {
        (self.state, self.progress, &self.rates, self.truncated)
            == (other.state, other.progress, &other.rates, other.truncated)
            && self.steps == other.steps
            && self.breakdown == other.breakdown
    }

    fn of(funnel: &Funnel, total: &Counts, values: &[(String, Counts)], truncated: bool) -> Self {
        let Ladder { rates, steps } = Ladder::new(funnel, total, 0, Audience::Everybody);
        Self {
            rates,
            steps,
            breakdown: parts(funnel, values),
            truncated: truncated || values.len() > MAX_VALUES,
            ..Self::empty(funnel)
        }
    }

    fn empty(funnel: &Funnel) -> Self {
        Self {
            site: funnel.site.clone(),
            funnel: funnel.id.clone(),
            window: None,
            from: None,
            to: None,
            as_of: None,
            state: State::Ready,
            progress: 1.0,
            rates: Rates::default(),
            steps: Vec::new(),
            breakdown: Vec::new(),
            truncated: false,
        }
    }
}

fn parts(funnel: &Funnel, values: &[(String, Counts)]) -> Vec<Part> {
    let entered = |counts: &Counts| counts.visitors.first().copied().unwrap_or(0);
    let mut most_first: Vec<_> = values.iter().collect();
    most_first.sort_by(|(a, x), (b, y)| entered(y).cmp(&entered(x)).then_with(|| a.cmp(b)));
    most_first
        .into_iter()
        .take(MAX_VALUES)
        .map(|(value, counts)| Part {
            value: value.clone(),
            steps: Ladder::new(funnel, counts, 0, Audience::Value).steps,
        })
        .collect()
}

//! Numbers without an engine: what tests and the demo put in is what the console reads. Shared with `examples/demo.rs`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use funnel::buckets;
use funnel::counts::Counts;
use funnel::plan::Funnel;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use rungs_console::NumberSource;
use rungs_console::source::{ReportCounts, SourceError, Span, Wanted};
use warehouse::WarehouseError;
use warehouse::event_names::EventName;
use warehouse::history::{Grid, HistoryPoint};
use warehouse::live::{Live, LiveAt, Numbers};

/// A source that says what it is told.
#[derive(Default)]
pub(crate) struct Fake {
    state: Mutex<FakeState>,
    reads: AtomicU64,
}

#[derive(Clone)]
pub(crate) struct FakeState {
    /// Visitors of the first step; later steps have a part of them.
    pub entered: u32,
    /// Breakdown values and their visitors of the first step.
    pub values: Vec<(String, u32)>,
    pub building: Option<f64>,
    pub has_numbers: bool,
    pub truncated: bool,
    pub is_down: bool,
    pub as_of_ms: i64,
    pub minute: MinuteState,
    /// Names of events and how many have them.
    pub names: Vec<(String, u64)>,
}

/// What the minute history says.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum MinuteState {
    Complete,
    Incomplete,
    Outside,
}

impl Default for FakeState {
    fn default() -> Self {
        Self {
            entered: 1_000,
            values: vec![("email".into(), 600), ("direct".into(), 400)],
            building: None,
            has_numbers: true,
            truncated: false,
            is_down: false,
            as_of_ms: 1_715_731_200_000,
            minute: MinuteState::Complete,
            names: vec![("product_view".into(), 2_000), ("prodct_view".into(), 12), ("newsletter".into(), 3)],
        }
    }
}

impl Fake {
    pub(crate) fn change(&self, change: impl FnOnce(&mut FakeState)) {
        change(&mut self.state.lock().unwrap());
    }

    /// How often live numbers were read.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    fn state(&self) -> Result<FakeState, SourceError> {
        let state = self.state.lock().unwrap().clone();
        match state.is_down {
            true => {
                Err(WarehouseError::Timeout { statement: "fake", limit: std::time::Duration::ZERO }.into())
            }
            false => Ok(state),
        }
    }
}

/// A ladder that narrows: each step has a part of the step before, a little different for different numbers.
pub(crate) fn counts(funnel: &Funnel, entered: u32) -> Counts {
    let steps = funnel.steps.len();
    let mut counts = Counts::new(steps, 1);
    let going_on = 0.40 + f64::from(entered % 7) * 0.02;
    for (index, step) in funnel.steps.iter().enumerate() {
        let here = (f64::from(entered) * going_on.powi(index as i32)) as u32;
        counts.visitors[index] = here;
        counts.open[index] = here / 5;
        if step.offer.is_some() {
            counts.offered[index] = here * 3;
            counts.committed[index] = here - here / 10;
            for (bucket, part) in [(3, 8), (4, 4), (5 + index % 4, 2), (9, 16)] {
                counts.effort[index * buckets::COUNT + bucket] += here / part;
            }
        }
        if index > 0 {
            for (bucket, part) in [(4 + index, 4), (5 + 2 * index, 2), (8 + 2 * index, 5)] {
                counts.seconds[index * buckets::COUNT + bucket.min(buckets::COUNT - 1)] += here / part;
            }
        }
        if index + 1 < steps {
            counts.skipped[index] = here / 40;
        }
    }
    counts
}

fn numbers(wanted: &Wanted, state: &FakeState) -> Numbers {
    let asked: &[(String, u32)] = if wanted.breakdown.is_some() { &state.values } else { &[] };
    let values = asked.iter().map(|(value, entered)| (value.clone(), counts(&wanted.funnel, *entered)));
    Numbers {
        steps: wanted.funnel.steps.iter().map(|step| step.id.clone()).collect(),
        minute_end_ms: state.as_of_ms - state.as_of_ms % 60_000 + 60_000,
        as_of_ms: state.as_of_ms,
        total: counts(&wanted.funnel, state.entered),
        values: values.collect(),
        truncated: state.truncated,
    }
}

impl NumberSource for Fake {
    fn ping(&self) -> BoxFuture<'_, Result<(), SourceError>> {
        ready(self.state().map(drop)).boxed()
    }

    fn live<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Result<Live, SourceError>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        ready(self.state().map(|state| Live {
            building: state.building,
            numbers: state.has_numbers.then(|| numbers(wanted, &state)),
        }))
        .boxed()
    }

    fn live_at<'a>(
        &'a self,
        wanted: &'a Wanted,
        minute_end_ms: i64,
    ) -> BoxFuture<'a, Result<LiveAt, SourceError>> {
        ready(self.state().map(|state| match state.minute {
            MinuteState::Complete => {
                let state = FakeState { as_of_ms: minute_end_ms, ..state };
                LiveAt::Complete(Box::new(numbers(wanted, &state)))
            }
            MinuteState::Incomplete => LiveAt::Incomplete,
            MinuteState::Outside => LiveAt::Outside,
        }))
        .boxed()
    }

    fn history<'a>(
        &'a self,
        wanted: &'a Wanted,
        grid: Grid,
    ) -> BoxFuture<'a, Result<Vec<HistoryPoint>, SourceError>> {
        let points = |state: FakeState| {
            let gap = |second: u32| !state.has_numbers || second.is_multiple_of(97);
            let point = |second: u32| HistoryPoint {
                at_ms: i64::from(second) * 1_000,
                visitors: (!gap(second)).then(|| wave(wanted, state.entered, second)),
            };
            grid.points_s().map(point).collect()
        };
        ready(self.state().map(points)).boxed()
    }

    fn event_names<'a>(
        &'a self,
        _site: &'a str,
        _since_ms: i64,
    ) -> BoxFuture<'a, Result<Vec<EventName>, SourceError>> {
        let name = |(event, count)| EventName { event, count };
        ready(self.state().map(|state| state.names.into_iter().map(name).collect())).boxed()
    }

    fn report<'a>(
        &'a self,
        funnel: &'a Funnel,
        _span: Span,
        breakdown: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ReportCounts, SourceError>> {
        ready(self.state().map(|state| {
            ReportCounts {
                total: counts(funnel, state.entered),
                values: match breakdown {
                    Some(_) => state
                        .values
                        .iter()
                        .map(|(value, entered)| (value.clone(), counts(funnel, *entered)))
                        .collect(),
                    None => Vec::new(),
                },
                truncated: state.truncated,
            }
        }))
        .boxed()
    }
}

/// A day with a busy evening.
fn wave(wanted: &Wanted, entered: u32, second: u32) -> Vec<u64> {
    let swing = |index: usize| {
        let angle = f64::from(second) / 86_400.0 * std::f64::consts::TAU - 1.0 + index as f64 * 0.3;
        1.0 + 0.22 * angle.sin() + 0.05 * (angle * 7.0).sin() + 0.02 * (angle * 31.0).cos()
    };
    let visitors = counts(&wanted.funnel, entered).visitors;
    visitors.iter().enumerate().map(|(index, count)| (f64::from(*count) * swing(index)) as u64).collect()
}

//! Numbers without an engine: what tests and the demo put in is what the console reads. Shared with `examples/demo.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use funnel::buckets;
use funnel::counts::Counts;
use funnel::plan::Funnel;
use funnel::standing::Spot;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use rungs_console::NumberSource;
use rungs_console::source::{
    Arriving, OnAStep, PageRequest, ReportCounts, SourceError, Span, Wanted, WantedDay,
};
use warehouse::WarehouseError;
use warehouse::annotations::Annotation;
use warehouse::arriving::PropertyName;
use warehouse::event_names::EventName;
use warehouse::history::{Grid, HistoryPoint};
use warehouse::live::{Live, LiveAt, Numbers};
use warehouse::raw::RawEvent;
use warehouse::rejected::RejectedRow;
use warehouse::trace::{Stored, Traced};
use warehouse::visitors::{Cursor, Page, Standing};

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
    /// Nothing is kept of an earlier time.
    pub kept_since_ms: i64,
    /// Names of events and how many have them.
    pub names: Vec<(String, u64)>,
    /// Age in milliseconds, name and properties of events that were accepted.
    pub arrived: Vec<(i64, String, String)>,
    /// Age in milliseconds, name, reason and message of events that were not.
    pub refused: Vec<(i64, String, String, String)>,
    pub notes: Vec<Annotation>,
    /// What a page of visitors was asked for last.
    pub asked: Option<PageRequest>,
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
            kept_since_ms: 0,
            names: vec![("product_view".into(), 2_000), ("prodct_view".into(), 12), ("newsletter".into(), 3)],
            arrived: [
                ("product_view", r#"{"channel":"email","price":12}"#),
                ("cart", "{}"),
                ("prodct_view", "{}"),
            ]
            .into_iter()
            .zip([400, 2_000, 61_000])
            .map(|((name, properties), age)| (age, name.to_owned(), properties.to_owned()))
            .collect(),
            refused: vec![(
                5_000,
                "purchase".into(),
                "invalid_timestamp".into(),
                "timestamp is no time: \"yesterday\"".into(),
            )],
            notes: Vec::new(),
            asked: None,
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

/// A value that nobody began with is there because an offer has it.
fn counts_of_a_value(funnel: &Funnel, entered: u32) -> Counts {
    let mut counts = counts(funnel, entered);
    let offers = funnel.steps.iter().position(|step| step.offer.is_some());
    if let (0, Some(step)) = (entered, offers) {
        counts.offered[step] = 3;
    }
    counts
}

fn numbers(wanted: &Wanted, state: &FakeState) -> Numbers {
    let asked: &[(String, u32)] = if wanted.breakdown.is_some() { &state.values } else { &[] };
    let values =
        asked.iter().map(|(value, entered)| (value.clone(), counts_of_a_value(&wanted.funnel, *entered)));
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
            _ if minute_end_ms < state.kept_since_ms => LiveAt::Outside,
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
            let gap = |second: u32| {
                let is_kept = i64::from(second) * 1_000 >= state.kept_since_ms;
                !state.has_numbers || !is_kept || second.is_multiple_of(97)
            };
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

    fn property_names<'a>(
        &'a self,
        _site: &'a str,
        _since_ms: i64,
    ) -> BoxFuture<'a, Result<Vec<PropertyName>, SourceError>> {
        let property =
            |(event, count): (String, u64)| PropertyName { event, property: "channel".into(), count };
        ready(self.state().map(|state| state.names.into_iter().map(property).collect())).boxed()
    }

    fn arriving<'a>(&'a self, site: &'a str) -> BoxFuture<'a, Result<Arc<Arriving>, SourceError>> {
        ready(self.state().map(|state| Arc::new(arriving(site, &state)))).boxed()
    }

    fn day<'a>(
        &'a self,
        wanted: &'a WantedDay,
    ) -> BoxFuture<'a, Result<(Span, Arc<ReportCounts>), SourceError>> {
        let counted = |state: FakeState| {
            let span = wanted.day.span(&wanted.zone, state.as_of_ms);
            let counts = match span.to_ms - span.from_ms {
                ..86_400_000 => counts(&wanted.funnel, state.entered / 9),
                _ => counts(&wanted.funnel, state.entered / 7),
            };
            (span, Arc::new(ReportCounts { total: counts, values: Vec::new(), truncated: false }))
        };
        ready(self.state().map(counted)).boxed()
    }

    fn visitors<'a>(
        &'a self,
        _wanted: &'a Wanted,
        page: PageRequest,
    ) -> BoxFuture<'a, Result<OnAStep, SourceError>> {
        self.change(|state| state.asked = Some(page));
        ready(self.state().map(|state| on_a_step(&state, page))).boxed()
    }

    fn annotations<'a>(
        &'a self,
        site: &'a str,
        from_ms: i64,
        to_ms: i64,
    ) -> BoxFuture<'a, Result<Vec<Annotation>, SourceError>> {
        let is_wanted = move |note: &Annotation| note.site == site && (from_ms..to_ms).contains(&note.at);
        ready(self.state().map(|state| state.notes.into_iter().filter(is_wanted).collect())).boxed()
    }

    fn annotate<'a>(&'a self, note: &'a Annotation) -> BoxFuture<'a, Result<(), SourceError>> {
        self.change(|state| state.notes.push(note.clone()));
        ready(Ok(())).boxed()
    }

    fn remove_annotation<'a>(
        &'a self,
        site: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<bool, SourceError>> {
        let mut found = false;
        self.change(|state| {
            let before = state.notes.len();
            state.notes.retain(|note| (note.site.as_str(), note.id.as_str()) != (site, id));
            found = state.notes.len() < before;
        });
        ready(Ok(found)).boxed()
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

/// Two pages of visitors, one of whom tries to be a formula.
fn on_a_step(state: &FakeState, page: PageRequest) -> OnAStep {
    let visitor = |number: i64| Standing {
        visitor: if number == 1 { "=HYPERLINK(1)".to_owned() } else { format!("visitor-{number}") },
        user_id: if number % 2 == 0 { format!("user{number}@example.org") } else { String::new() },
        spot: Spot {
            entered_at: state.as_of_ms - number * 3_600_000,
            reached_at: state.as_of_ms - number * 3_000_000,
            can_go_on: number < 3,
        },
        last_seen_at: state.as_of_ms - number * 60_000,
    };
    let (numbers, next) = match page.after {
        None => (1..=4, Some(Cursor { partition: 2, visitor: 0xfeed })),
        Some(_) => (5..=6, None),
    };
    let page = Page { visitors: numbers.map(visitor).collect(), nameless: 1, next };
    OnAStep { as_of_ms: Some(state.as_of_ms), page }
}

fn arriving(site: &str, state: &FakeState) -> Arriving {
    let stored = |(age, name, properties): &(i64, String, String)| {
        let at = state.as_of_ms - age;
        let event = RawEvent {
            visitor_id: "somebody".into(),
            message_id: format!("m{age}"),
            event: name.clone(),
            ts: at - 40,
            own_ts: at - 40,
            properties: properties.clone(),
            ..RawEvent::default()
        };
        let stored =
            Stored { received_at: at, written_at: 0, log_epoch: 1, offset: 0, import_id: String::new() };
        Traced { site: site.to_owned(), event, stored }
    };
    let refused = |(age, name, reason, message): &(i64, String, String, String)| RejectedRow {
        received_at: state.as_of_ms - age,
        site: site.to_owned(),
        event: name.clone(),
        reason: reason.clone(),
        message: message.clone(),
        ..RejectedRow::default()
    };
    Arriving {
        as_of_ms: Some(state.as_of_ms),
        horizon_ms: 86_400_000,
        stored: state.arrived.iter().map(stored).collect(),
        rejected: state.refused.iter().map(refused).collect(),
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

//! Where the console's numbers come from. In production that is ClickHouse ([`crate::WarehouseSource`]); tests and the
//! demo give numbers of their own, so that page, API and streams run without an engine.

use std::sync::Arc;

use funnel::counts::Counts;
use funnel::plan::{Funnel, Window};
use funnel::standing::Standing;
use futures_util::future::BoxFuture;
use warehouse::WarehouseError;
use warehouse::annotations::Annotation;
use warehouse::arriving::PropertyName;
use warehouse::event_names::EventName;
use warehouse::history::{Grid, HistoryPoint};
use warehouse::live::{Live, LiveAt};
use warehouse::rejected::RejectedRow;
use warehouse::trace::Traced;
use warehouse::visitors::{Cursor, Page};

use crate::day::Day;

/// Which numbers are asked for. All parts are known to exist in the plan.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub funnel: Arc<Funnel>,
    pub window: Window,
    /// The `by` of one of the funnel's breakdowns.
    pub breakdown: Option<String>,
}

/// A span of event time, UTC milliseconds: `from` included, `to` not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from_ms: i64,
    pub to_ms: i64,
}

/// The counts of a report, over one window: the span that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportCounts {
    /// Everybody.
    pub total: Counts,
    /// By value of the breakdown that was asked for.
    pub values: Vec<(String, Counts)>,
    /// Some values are counted as `other`.
    pub truncated: bool,
}

/// Which day's numbers are asked for.
#[derive(Debug, Clone)]
pub struct WantedDay {
    pub funnel: Arc<Funnel>,
    pub day: Day,
    /// The site's time zone.
    pub zone: String,
    /// The `by` of one of the funnel's breakdowns.
    pub breakdown: Option<String>,
}

/// Which visitors of a funnel's step are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// The step's position, from 0.
    pub step: usize,
    pub standing: Standing,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    pub limit: usize,
}

/// Visitors on a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnAStep {
    /// Up to which time everybody's journeys are stored; `None` before there are any. UTC milliseconds. The numbers are
    /// newer by the time between two writes of journeys.
    pub as_of_ms: Option<i64>,
    pub page: Page,
}

/// What arrived at a site, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arriving {
    /// What was accepted until about then is in it; UTC milliseconds.
    pub as_of_ms: Option<i64>,
    /// Older events count as late, milliseconds.
    pub horizon_ms: i64,
    pub stored: Vec<Traced>,
    pub rejected: Vec<RejectedRow>,
}

/// Why there are no numbers; readers of one read share it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// ClickHouse failed.
    #[error(transparent)]
    Warehouse(Arc<WarehouseError>),
    /// As many reports are being made as may be at once.
    #[error("{limit} reports are being made, which is the limit")]
    TooManyReports {
        /// How many may be.
        limit: usize,
    },
    /// A span has more visitors than a report may count.
    #[error("more than {limit} visitors take part")]
    TooManyVisitors {
        /// How many it may.
        limit: usize,
    },
}

impl From<WarehouseError> for SourceError {
    fn from(error: WarehouseError) -> Self {
        Self::Warehouse(Arc::new(error))
    }
}

/// Gives numbers. All methods may be called at the same time.
pub trait NumberSource: Send + Sync + 'static {
    /// Whether it answers at all.
    fn ping(&self) -> BoxFuture<'_, Result<(), SourceError>>;

    /// Now, or at most a moment ago: the numbers carry their time.
    fn live<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Result<Live, SourceError>>;

    /// At the end of a minute, UTC milliseconds.
    fn live_at<'a>(
        &'a self,
        wanted: &'a Wanted,
        minute_end_ms: i64,
    ) -> BoxFuture<'a, Result<LiveAt, SourceError>>;

    /// At regular points; the breakdown is not regarded.
    fn history<'a>(
        &'a self,
        wanted: &'a Wanted,
        grid: Grid,
    ) -> BoxFuture<'a, Result<Vec<HistoryPoint>, SourceError>>;

    /// From the raw events of a span.
    fn report<'a>(
        &'a self,
        funnel: &'a Funnel,
        span: Span,
        breakdown: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ReportCounts, SourceError>>;

    /// The names of a site's events since then (UTC milliseconds), the most frequent first.
    fn event_names<'a>(
        &'a self,
        site: &'a str,
        since_ms: i64,
    ) -> BoxFuture<'a, Result<Vec<EventName>, SourceError>>;

    /// The properties of a site's newest events since then (UTC milliseconds), by the events' names.
    fn property_names<'a>(
        &'a self,
        site: &'a str,
        since_ms: i64,
    ) -> BoxFuture<'a, Result<Vec<PropertyName>, SourceError>>;

    /// What arrived at a site now, or at most a moment ago.
    fn arriving<'a>(&'a self, site: &'a str) -> BoxFuture<'a, Result<Arc<Arriving>, SourceError>>;

    /// Of a day so far; at most some seconds old.
    fn day<'a>(
        &'a self,
        wanted: &'a WantedDay,
    ) -> BoxFuture<'a, Result<(Span, Arc<ReportCounts>), SourceError>>;

    /// Visitors on a step; the breakdown is not regarded.
    fn visitors<'a>(
        &'a self,
        wanted: &'a Wanted,
        page: PageRequest,
    ) -> BoxFuture<'a, Result<OnAStep, SourceError>>;

    /// A site's notes at or after a time and before another, UTC milliseconds.
    fn annotations<'a>(
        &'a self,
        site: &'a str,
        from_ms: i64,
        to_ms: i64,
    ) -> BoxFuture<'a, Result<Vec<Annotation>, SourceError>>;

    /// Stores a note.
    fn annotate<'a>(&'a self, note: &'a Annotation) -> BoxFuture<'a, Result<(), SourceError>>;

    /// Removes a note; whether there was one.
    fn remove_annotation<'a>(
        &'a self,
        site: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<bool, SourceError>>;
}

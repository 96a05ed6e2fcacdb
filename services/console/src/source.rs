//! Where the console's numbers come from. In production that is ClickHouse ([`crate::WarehouseSource`]); tests and the
//! demo give numbers of their own, so that page, API and streams run without an engine.

use std::sync::Arc;

use funnel::counts::Counts;
use funnel::plan::{Funnel, Window};
use futures_util::future::BoxFuture;
use warehouse::WarehouseError;
use warehouse::event_names::EventName;
use warehouse::history::{Grid, HistoryPoint};
use warehouse::live::{Live, LiveAt};

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

/// Why there are no numbers; readers of one read share it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// ClickHouse failed.
    #[error(transparent)]
    Warehouse(Arc<WarehouseError>),
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
}

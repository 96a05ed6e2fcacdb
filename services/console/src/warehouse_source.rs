//! Numbers from ClickHouse, for the funnel as it is defined in the plan in force. The newest numbers are read once for all
//! who ask ([`crate::live_reads`]); everything else is read for each.

use std::sync::Arc;

use funnel::plan::Funnel;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use runtime::{Shutdown, Tasks};
use warehouse::event_names::EventName;
use warehouse::history::{Grid, HistoryPoint};
use warehouse::live::{Live, LiveAt};
use warehouse::{FunnelKey, Warehouse};

use crate::live_reads::{LiveKey, LiveReads, Read};
use crate::report;
use crate::source::{NumberSource, ReportCounts, SourceError, Span, Wanted};

/// Reads what the aggregator wrote.
#[derive(Clone)]
pub struct WarehouseSource {
    warehouse: Warehouse,
    horizon_ms: i64,
    live: LiveReads,
}

impl WarehouseSource {
    /// The horizon must be the aggregator's: it is part of the definition under which numbers are stored.
    pub fn new(warehouse: Warehouse, horizon_ms: i64, tasks: Tasks, shutdown: Shutdown) -> Self {
        let live = LiveReads::new(reading(warehouse.clone()), tasks, shutdown);
        Self { warehouse, horizon_ms, live }
    }

    fn key(&self, funnel: &Funnel) -> FunnelKey {
        FunnelKey {
            site: funnel.site.clone(),
            funnel: funnel.id.clone(),
            definition: funnel.definition_hash(self.horizon_ms),
        }
    }
}

/// One read of the newest numbers.
fn reading(warehouse: Warehouse) -> Read {
    Arc::new(move |key: LiveKey| {
        let warehouse = warehouse.clone();
        async move { Ok(Arc::new(warehouse.live(&key.funnel, &key.window, key.breakdown.as_deref()).await?)) }
            .boxed()
    })
}

impl NumberSource for WarehouseSource {
    fn ping(&self) -> BoxFuture<'_, Result<(), SourceError>> {
        async { Ok(self.warehouse.ping().await?) }.boxed()
    }

    fn live<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Result<Live, SourceError>> {
        let key = LiveKey {
            funnel: self.key(&wanted.funnel),
            window: wanted.window.label.clone(),
            breakdown: wanted.breakdown.clone(),
        };
        async move { Ok(Live::clone(&*self.live.newest(key).await?)) }.boxed()
    }

    fn live_at<'a>(
        &'a self,
        wanted: &'a Wanted,
        minute_end_ms: i64,
    ) -> BoxFuture<'a, Result<LiveAt, SourceError>> {
        let key = self.key(&wanted.funnel);
        let breakdown = wanted.breakdown.as_deref();
        async move { Ok(self.warehouse.live_at(&key, &wanted.window.label, breakdown, minute_end_ms).await?) }
            .boxed()
    }

    fn history<'a>(
        &'a self,
        wanted: &'a Wanted,
        grid: Grid,
    ) -> BoxFuture<'a, Result<Vec<HistoryPoint>, SourceError>> {
        let key = self.key(&wanted.funnel);
        async move { Ok(self.warehouse.history(&key, &wanted.window.label, grid).await?) }.boxed()
    }

    fn report<'a>(
        &'a self,
        funnel: &'a Funnel,
        span: Span,
        breakdown: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ReportCounts, SourceError>> {
        report::counts(&self.warehouse, funnel, span, breakdown).boxed()
    }

    fn event_names<'a>(
        &'a self,
        site: &'a str,
        since_ms: i64,
    ) -> BoxFuture<'a, Result<Vec<EventName>, SourceError>> {
        async move { Ok(self.warehouse.event_names(site, since_ms).await?) }.boxed()
    }
}

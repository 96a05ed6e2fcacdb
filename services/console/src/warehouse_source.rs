//! Numbers from ClickHouse, for the funnel as it is defined in the plan in force.

use funnel::plan::Funnel;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use warehouse::history::{Grid, HistoryPoint};
use warehouse::live::{Live, LiveAt};
use warehouse::{FunnelKey, Warehouse};

use crate::report;
use crate::source::{NumberSource, ReportCounts, SourceError, Span, Wanted};

/// Reads what the aggregator wrote.
#[derive(Clone)]
pub struct WarehouseSource {
    warehouse: Warehouse,
    horizon_ms: i64,
}

impl WarehouseSource {
    /// The horizon must be the aggregator's: it is part of the definition under which numbers are stored.
    pub fn new(warehouse: Warehouse, horizon_ms: i64) -> Self {
        Self { warehouse, horizon_ms }
    }

    fn key(&self, funnel: &Funnel) -> FunnelKey {
        FunnelKey {
            site: funnel.site.clone(),
            funnel: funnel.id.clone(),
            definition: funnel.definition_hash(self.horizon_ms),
        }
    }
}

impl NumberSource for WarehouseSource {
    fn ping(&self) -> BoxFuture<'_, Result<(), SourceError>> {
        async { Ok(self.warehouse.ping().await?) }.boxed()
    }

    fn live<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Result<Live, SourceError>> {
        let key = self.key(&wanted.funnel);
        async move { Ok(self.warehouse.live(&key, &wanted.window.label, wanted.breakdown.as_deref()).await?) }
            .boxed()
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
}

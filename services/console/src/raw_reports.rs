//! Funnels counted from raw events, for `…/report`: all events of a span are read in time order and folded. Every visitor's
//! journey is in memory then, so few reports are made at once and none counts more visitors than the settings allow.

use std::sync::Arc;
use std::time::Duration;

use funnel::identity::Joined;
use funnel::intake::Incoming;
use funnel::plan::{Funnel, Identity};
use funnel::report::Report;
use tokio::sync::{Semaphore, SemaphorePermit};
use warehouse::links::LinkSet;
use warehouse::raw::RawQuery;
use warehouse::{Warehouse, WarehouseError};

use crate::source::{ReportCounts, SourceError, Span};

/// Reports that are made at once.
pub const MAX_REPORTS: usize = 2;
/// How long somebody who asks for one waits for its turn.
const TURN_LIMIT: Duration = Duration::from_secs(10);

/// What makes reports. Clones share the turns.
#[derive(Clone)]
pub(crate) struct RawReports {
    warehouse: Warehouse,
    max_visitors: usize,
    turns: Arc<Semaphore>,
}

impl RawReports {
    /// Of a warehouse; `max_visitors` is how many visitors a report counts, at most.
    pub(crate) fn new(warehouse: Warehouse, max_visitors: usize) -> Self {
        Self { warehouse, max_visitors, turns: Arc::new(Semaphore::new(MAX_REPORTS)) }
    }

    /// Counts a span for somebody who waits.
    ///
    /// # Errors
    /// [`SourceError::TooManyReports`], [`SourceError::TooManyVisitors`], ClickHouse's.
    pub(crate) async fn asked(
        &self,
        funnel: &Funnel,
        span: Span,
        breakdown: Option<&str>,
    ) -> Result<ReportCounts, SourceError> {
        let _turn = turn(&self.turns, TURN_LIMIT).await?;
        self.counts(funnel, span, breakdown).await
    }

    /// As [`RawReports::asked`], read for all who look, however long its turn takes.
    pub(crate) async fn shared(
        &self,
        funnel: &Funnel,
        span: Span,
        breakdown: Option<&str>,
    ) -> Result<ReportCounts, SourceError> {
        let _turn = turn(&self.turns, Duration::MAX).await?;
        self.counts(funnel, span, breakdown).await
    }

    async fn counts(
        &self,
        funnel: &Funnel,
        span: Span,
        breakdown: Option<&str>,
    ) -> Result<ReportCounts, SourceError> {
        let warehouse = &self.warehouse;
        let mut report = Report::new(funnel, span.from_ms, span.to_ms);
        let (set, joined) = joined(warehouse, funnel).await?;
        let mut events = warehouse.raw_events(&RawQuery {
            site: funnel.site.clone(),
            events: funnel.event_names(),
            from_ms: Some(span.from_ms),
            to_ms: Some(span.to_ms),
            joined: set,
            ..RawQuery::default()
        })?;
        while let Some(event) = events.next().await? {
            let event = event.incoming();
            let visitor = joined.visitor(event.visitor, event.user_id);
            report.push(&Incoming { visitor, ..event });
            if report.visitors() > self.max_visitors {
                return Err(SourceError::TooManyVisitors { limit: self.max_visitors });
            }
        }
        let (total, values, truncated) = report.finish(breakdown);
        Ok(ReportCounts { total, values, truncated })
    }
}

/// Waits for one of the turns, so long at most.
async fn turn(turns: &Semaphore, limit: Duration) -> Result<SemaphorePermit<'_>, SourceError> {
    match tokio::time::timeout(limit, turns.acquire()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(SourceError::TooManyReports { limit: MAX_REPORTS }),
    }
}

/// Where the funnel's site joins ids: the newest set of links, whole. A report sees the events of all partitions, so the ids
/// of a visitor are one to their last event.
async fn joined(warehouse: &Warehouse, funnel: &Funnel) -> Result<(Option<LinkSet>, Joined), WarehouseError> {
    if funnel.identity == Identity::Ids {
        return Ok((None, Joined::default()));
    }
    let epoch = warehouse.stored().await?.epoch;
    let Some(set) = warehouse.link_set(&funnel.site, u64::MAX, epoch).await? else {
        return Ok((None, Joined::default()));
    };
    let joined = warehouse.joined(&set, None).await?;
    Ok((Some(set), joined))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_finds_all_turns_taken_waits_and_is_refused_after_a_while() {
        let turns = Semaphore::new(MAX_REPORTS);
        let mut taken = Vec::new();
        for _ in 0..MAX_REPORTS {
            taken.push(turn(&turns, TURN_LIMIT).await.unwrap());
        }
        let refused = turn(&turns, TURN_LIMIT).await;
        assert!(matches!(refused, Err(SourceError::TooManyReports { limit: MAX_REPORTS })));
        let free = async {
            tokio::task::yield_now().await;
            taken.pop();
        };
        let (turn, ()) = tokio::join!(turn(&turns, TURN_LIMIT), free);
        assert!(turn.is_ok());
    }
}

//! Numbers from ClickHouse, for the funnel as it is defined in the plan in force. The newest numbers and events are
//! read once for all who ask ([`crate::shared_reads`]); everything else is read for each.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use funnel::plan::Funnel;
use funnel::standing::Question;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use runtime::{Shutdown, Tasks, now_ms};
use warehouse::annotations::Annotation;
use warehouse::arriving::PropertyName;
use warehouse::event_names::EventName;
use warehouse::history::{Grid, HistoryPoint};
use warehouse::live::{Live, LiveAt};
use warehouse::newest::NewestEvents;
use warehouse::visitors::PageQuery;
use warehouse::{FunnelKey, Warehouse};

use crate::day::Day;
use crate::raw_reports::RawReports;
use crate::recent::MAX_RECENT;
use crate::shared_reads::{LIVE, Pace, Read, SharedReads};
use crate::source::{
    Arriving, NumberSource, OnAStep, PageRequest, ReportCounts, SourceError, Span, Wanted, WantedDay,
};

/// Reads what the aggregator wrote.
#[derive(Clone)]
pub struct WarehouseSource {
    warehouse: Warehouse,
    reports: RawReports,
    horizon_ms: i64,
    live: SharedReads<LiveKey, Arc<Live>>,
    arriving: SharedReads<String, Arc<Arriving>>,
    today: SharedReads<DayKey, (Span, Arc<ReportCounts>)>,
    past_days: SharedReads<DayKey, (Span, Arc<ReportCounts>)>,
}

/// Reading a day's events takes longer than reading counts, and grows with the day.
const TODAY: Pace = Pace {
    interval: Duration::from_secs(10),
    oldest: Duration::from_secs(20),
    linger: Duration::from_secs(30),
    rest: 9,
};
/// What is over changes by late events and imports only; "until now, a day earlier" moves on by a minute.
const PAST_DAYS: Pace = Pace {
    interval: Duration::from_secs(60),
    oldest: Duration::from_secs(70),
    linger: Duration::from_secs(30),
    rest: 9,
};

/// Which day's numbers. The funnel is the one that the key names.
#[derive(Clone)]
struct DayKey {
    key: FunnelKey,
    wanted: WantedDay,
}

impl DayKey {
    fn parts(&self) -> (&FunnelKey, Day, &str, Option<&str>) {
        (&self.key, self.wanted.day, &self.wanted.zone, self.wanted.breakdown.as_deref())
    }
}

impl PartialEq for DayKey {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for DayKey {}

impl Hash for DayKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

/// Which numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct LiveKey {
    funnel: FunnelKey,
    /// The window's label.
    window: String,
    breakdown: Option<String>,
}

impl WarehouseSource {
    /// The horizon must be the aggregator's: it is part of the definition under which numbers are stored. A report counts
    /// `max_report_visitors` at most.
    pub fn new(
        warehouse: Warehouse,
        horizon_ms: i64,
        max_report_visitors: usize,
        tasks: Tasks,
        shutdown: Shutdown,
    ) -> Self {
        let reports = RawReports::new(warehouse.clone(), max_report_visitors);
        let live = SharedReads::new(reading(warehouse.clone()), LIVE, tasks.clone(), shutdown.clone());
        let read = reading_arrivals(warehouse.clone(), horizon_ms);
        let arriving = SharedReads::new(read, LIVE, tasks.clone(), shutdown.clone());
        let read = reading_days(reports.clone());
        let today = SharedReads::new(read.clone(), TODAY, tasks.clone(), shutdown.clone());
        let past_days = SharedReads::new(read, PAST_DAYS, tasks, shutdown);
        Self { warehouse, reports, horizon_ms, live, arriving, today, past_days }
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
fn reading(warehouse: Warehouse) -> Read<LiveKey, Arc<Live>> {
    Arc::new(move |key: LiveKey| {
        let warehouse = warehouse.clone();
        async move { Ok(Arc::new(warehouse.live(&key.funnel, &key.window, key.breakdown.as_deref()).await?)) }
            .boxed()
    })
}

/// One read of what arrives at a site.
fn reading_arrivals(warehouse: Warehouse, horizon_ms: i64) -> Read<String, Arc<Arriving>> {
    let newest = NewestEvents::new(warehouse.clone(), MAX_RECENT);
    Arc::new(move |site: String| {
        let (warehouse, newest) = (warehouse.clone(), newest.clone());
        async move {
            Ok(Arc::new(Arriving {
                // First, so that it never promises more than the lists hold.
                as_of_ms: warehouse.arrived_until(&site).await?,
                horizon_ms,
                stored: newest.of(&site, now_ms()).await?,
                rejected: warehouse.newest_rejections(&site, MAX_RECENT).await?,
            }))
        }
        .boxed()
    })
}

/// One read of a day's events.
fn reading_days(reports: RawReports) -> Read<DayKey, (Span, Arc<ReportCounts>)> {
    Arc::new(move |DayKey { wanted, .. }: DayKey| {
        let reports = reports.clone();
        async move {
            let span = wanted.day.span(&wanted.zone, now_ms());
            let counts = reports.shared(&wanted.funnel, span, wanted.breakdown.as_deref()).await?;
            Ok((span, Arc::new(counts)))
        }
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
        self.reports.asked(funnel, span, breakdown).boxed()
    }

    fn event_names<'a>(
        &'a self,
        site: &'a str,
        since_ms: i64,
    ) -> BoxFuture<'a, Result<Vec<EventName>, SourceError>> {
        async move { Ok(self.warehouse.event_names(site, since_ms).await?) }.boxed()
    }

    fn property_names<'a>(
        &'a self,
        site: &'a str,
        since_ms: i64,
    ) -> BoxFuture<'a, Result<Vec<PropertyName>, SourceError>> {
        async move { Ok(self.warehouse.property_names(site, since_ms).await?) }.boxed()
    }

    fn arriving<'a>(&'a self, site: &'a str) -> BoxFuture<'a, Result<Arc<Arriving>, SourceError>> {
        self.arriving.newest(site.to_owned()).boxed()
    }

    fn day<'a>(
        &'a self,
        wanted: &'a WantedDay,
    ) -> BoxFuture<'a, Result<(Span, Arc<ReportCounts>), SourceError>> {
        let reads = match wanted.day {
            Day::Today => &self.today,
            Day::Yesterday | Day::YesterdayUntilNow | Day::DayBeforeYesterday => &self.past_days,
        };
        reads.newest(DayKey { key: self.key(&wanted.funnel), wanted: wanted.clone() }).boxed()
    }

    fn visitors<'a>(
        &'a self,
        wanted: &'a Wanted,
        page: PageRequest,
    ) -> BoxFuture<'a, Result<OnAStep, SourceError>> {
        async move {
            let Some(numbers) = self.live(wanted).await?.numbers else { return Ok(OnAStep::default()) };
            let PageRequest { step, standing, after, limit } = page;
            let (funnel, window_ms) = (&wanted.funnel, wanted.window.ms);
            let question = Question::new(funnel, step, standing, window_ms, numbers.minute_end_ms);
            let entries = funnel.steps.first().map(|step| step.events.clone()).unwrap_or_default();
            let query = PageQuery { entries, question, after, limit };
            let key = self.key(funnel);
            // First, so that it never promises more than the page holds.
            let as_of_ms = self.warehouse.journeys_as_of(&key).await?;
            Ok(OnAStep { as_of_ms, page: self.warehouse.standing(&key, &query).await? })
        }
        .boxed()
    }

    fn annotations<'a>(
        &'a self,
        site: &'a str,
        from_ms: i64,
        to_ms: i64,
    ) -> BoxFuture<'a, Result<Vec<Annotation>, SourceError>> {
        async move { Ok(self.warehouse.annotations(site, from_ms, to_ms).await?) }.boxed()
    }

    fn annotate<'a>(&'a self, note: &'a Annotation) -> BoxFuture<'a, Result<(), SourceError>> {
        async move { Ok(self.warehouse.annotate(note).await?) }.boxed()
    }

    fn remove_annotation<'a>(
        &'a self,
        site: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<bool, SourceError>> {
        async move { Ok(self.warehouse.remove_annotation(site, id).await?) }.boxed()
    }
}

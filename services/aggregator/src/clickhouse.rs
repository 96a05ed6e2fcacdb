//! The aggregator's store on ClickHouse.

use funnel::identity::Joined;
use warehouse::erasures::ErasureRow;
use warehouse::links::LinkSet;
use warehouse::logs::KnownLog;
use warehouse::raw::{RawEvent, RawEvents, RawQuery};
use warehouse::rows::{ProgressRow, RollingRow};
use warehouse::{Warehouse, WarehouseError};

use crate::erased::{Erasure, MAX_ERASED_VISITORS};
use crate::store::{GenerationKey, LinksOf, RawRange, RawStream, Sink, Store, StoredJourney, Write};

/// Raw events from ClickHouse.
pub struct ClickHouseRaw(RawEvents);

impl RawStream for ClickHouseRaw {
    async fn next(&mut self) -> Result<Option<RawEvent>, WarehouseError> {
        self.0.next().await
    }
}

impl Sink for Warehouse {
    async fn write(&self, write: &Write) -> Result<(), WarehouseError> {
        match write {
            Write::Events(batch, _) => self.insert_events(batch).await,
            Write::Rolling(rows) => self.insert::<RollingRow>("funnel_rolling", rows).await,
            Write::Open(rows) => self.insert::<RollingRow>("funnel_open", rows).await,
            Write::Journeys(rows) => self.insert_journeys(rows).await,
            Write::Erasures(rows) => self.insert::<ErasureRow>("erasures", rows).await,
            Write::Progress(rows) => self.insert::<ProgressRow>("progress", rows).await,
            Write::Reached { .. } | Write::Barrier(_) => Ok(()),
        }
    }
}

impl Store for Warehouse {
    type Raw = ClickHouseRaw;

    async fn register_log(&self, log_id: &str, partitions: u32) -> Result<KnownLog, WarehouseError> {
        Self::register_log(self, log_id, partitions).await
    }

    async fn progress(
        &self,
        log_id: &str,
        partition: u32,
        kind: &'static str,
    ) -> Result<Vec<ProgressRow>, WarehouseError> {
        Self::progress(self, log_id, partition, kind).await
    }

    async fn journeys(
        &self,
        key: &GenerationKey,
        take: &mut (dyn FnMut(StoredJourney<'_>) + Send),
    ) -> Result<(), WarehouseError> {
        Self::journeys(self, &key.funnel, key.generation, key.partition, &mut |row| {
            take((row.visitor, row.state, row.version));
        })
        .await
    }

    async fn count_journeys(&self, key: &GenerationKey) -> Result<u64, WarehouseError> {
        Self::count_journeys(self, &key.funnel, key.generation, key.partition).await
    }

    async fn erasures(&self, place: (u32, u32)) -> Result<Vec<Erasure>, WarehouseError> {
        let mut found = Vec::new();
        let mut take = |row: ErasureRow| found.push(Erasure::from(&row));
        Self::erasures(self, place, MAX_ERASED_VISITORS, &mut take).await?;
        Ok(found)
    }

    async fn links(&self, of: LinksOf<'_>) -> Result<Option<(LinkSet, Joined)>, WarehouseError> {
        let Some(set) = self.link_set(of.site, of.generation, of.epoch).await? else { return Ok(None) };
        let joined = self.joined(&set, Some(of.partition)).await?;
        Ok(Some((set, joined)))
    }

    async fn raw(&self, range: &RawRange) -> Result<(u64, Self::Raw), WarehouseError> {
        let query = RawQuery {
            site: range.site.clone(),
            events: range.events.clone(),
            partition: (range.partitions > 1).then_some((range.partition, range.partitions)),
            before: Some(range.before),
            joined: range.joined.clone(),
            ..RawQuery::default()
        };
        let total = self.count_raw_events(&query).await?;
        Ok((total, ClickHouseRaw(self.raw_events(&query)?)))
    }

    async fn remove_journeys(&self, key: &GenerationKey) -> Result<(), WarehouseError> {
        Self::remove_journeys(self, &key.funnel, key.generation, key.partition).await
    }

    async fn remove_journeys_of(
        &self,
        key: &GenerationKey,
        visitors: &[u128],
        until: u64,
    ) -> Result<(), WarehouseError> {
        Self::remove_journeys_of(self, &key.funnel, key.generation, key.partition, visitors, until).await
    }
}

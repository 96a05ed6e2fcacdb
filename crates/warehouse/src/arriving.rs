//! What a site sends right now: its newest stored and rejected events, and the names of their properties. For the console's
//! "What is arriving", which people open when nothing shows.
//!
//! `events` is not ordered by time, so a span is searched that is as short as it can be ([`crate::newest`] chooses it):
//! parts that hold nothing of it are not opened. Within it the times alone are read first, and the rows of the newest
//! only.

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;

use crate::client::{Warehouse, fetch_all};
use crate::error::WarehouseError;
use crate::logs::current_log;
use crate::raw::NOT_ERASED;
use crate::rejected::RejectedRow;
use crate::trace::{Traced, TracedRow};

/// Property names of one event name, at most: the most frequent.
pub const MAX_PROPERTIES: u32 = 30;
/// The newest events whose properties are looked at, at most.
pub const MAX_SAMPLED: u32 = 20_000;
/// Seconds after which an answer is what was found so far: a hint is not worth more.
const MAX_SECONDS: u32 = 5;

/// A property of the events of one name, and how many of those looked at have it.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct PropertyName {
    pub event: String,
    pub property: String,
    pub count: u64,
}

impl Warehouse {
    /// The newest events of a site that were received since then (UTC milliseconds), as [`crate::newest`] tells.
    ///
    /// # Errors
    /// ClickHouse's.
    pub(crate) async fn newest_since(
        &self,
        site: &str,
        since_ms: i64,
        limit: u32,
    ) -> Result<Vec<Traced>, WarehouseError> {
        let sql = format!(
            "SELECT ?fields FROM events WHERE site = ? AND {NOT_ERASED} AND received_at >= ({}) \
             ORDER BY received_at DESC, visitor_id, message_id LIMIT 1 BY visitor_id, message_id LIMIT {limit}",
            // Twice as many, for copies; those beyond make the list shorter, never wrong.
            since_the_newest(limit * 2, "")
        );
        let query = self.query(&sql).bind(site).bind(site).bind(since_ms).bind(site).bind(since_ms);
        let rows: Vec<TracedRow> = fetch_all("events", hurried(query)).await?;
        Ok(rows.into_iter().map(|row| row.of(site)).collect())
    }

    /// The newest rejections of a site, and of no known one, newest first, without visitors who asked to be forgotten.
    ///
    /// # Errors
    /// ClickHouse's.
    pub async fn newest_rejections(
        &self,
        site: &str,
        limit: u32,
    ) -> Result<Vec<RejectedRow>, WarehouseError> {
        let sql = format!(
            "SELECT ?fields FROM rejected_events WHERE site IN (?, '') AND {NOT_ERASED} \
             ORDER BY received_at DESC, id LIMIT 1 BY id LIMIT {limit}"
        );
        fetch_all("rejected_events", self.query(&sql).bind(site).bind(site)).await
    }

    /// The properties of a site's newest events since then (UTC milliseconds): of each name the most frequent first.
    ///
    /// # Errors
    /// ClickHouse's.
    pub async fn property_names(
        &self,
        site: &str,
        since_ms: i64,
    ) -> Result<Vec<PropertyName>, WarehouseError> {
        let kinds = "AND kind IN ('track', 'page', 'screen')";
        let sql = format!(
            "SELECT event, property, count() AS count FROM ( \
               SELECT event, properties FROM events WHERE site = ? AND {NOT_ERASED} {kinds} \
               AND received_at >= ({}) LIMIT {MAX_SAMPLED}) \
             ARRAY JOIN JSONExtractKeys(properties) AS property \
             GROUP BY event, property ORDER BY event, count DESC, property LIMIT {MAX_PROPERTIES} BY event LIMIT 10000",
            since_the_newest(MAX_SAMPLED, kinds)
        );
        let query = self.query(&sql).bind(site).bind(site).bind(since_ms).bind(site).bind(since_ms);
        fetch_all("events", hurried(query)).await
    }

    /// Up to which time everything that was accepted is counted, and so listed, about: the time of the partition furthest
    /// behind, UTC milliseconds. `None` for a site without numbers.
    ///
    /// # Errors
    /// ClickHouse's.
    pub async fn arrived_until(&self, site: &str) -> Result<Option<i64>, WarehouseError> {
        let sql = concat!(
            "WITH (",
            current_log!(),
            ") AS log
             SELECT if(count() = 0, 0, toUnixTimestamp64Milli(min(newest))) FROM (
                 SELECT max(as_of) AS newest FROM funnel_open
                 WHERE site = ? AND log_partition < ifNull(log.2, 0) GROUP BY log_partition
             )"
        );
        let found: Vec<i64> = fetch_all("funnel_open", self.query(sql).bind(site)).await?;
        Ok(found.first().copied().filter(|ms| *ms > 0))
    }
}

/// The query with a time after which it answers what it has.
fn hurried(query: Query) -> Query {
    query
        .with_setting("max_execution_time", MAX_SECONDS.to_string())
        .with_setting("timeout_overflow_mode", "break")
}

/// SQL for the time of receipt from which on there are so many events of a site; its values are the span's beginning,
/// the site, and the beginning again.
fn since_the_newest(count: u32, condition: &str) -> String {
    format!(
        "SELECT greatest(min(at), fromUnixTimestamp64Milli(toInt64(?), 'UTC')) FROM ( \
           SELECT received_at AS at FROM events WHERE site = ? {condition} \
           AND received_at >= fromUnixTimestamp64Milli(toInt64(?), 'UTC') ORDER BY at DESC LIMIT {count})"
    )
}

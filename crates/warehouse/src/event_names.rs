//! Which events a site sends, by name: for the console, which tells people of names that no step has.

use clickhouse::Row;
use serde::Deserialize;

use crate::client::{Warehouse, fetch_all};
use crate::error::WarehouseError;
use crate::raw::NOT_ERASED;

/// Names of one answer, at most.
pub const MAX_EVENT_NAMES: u32 = 1_000;
/// Seconds after which the answer is what was found so far: a hint is not worth more.
const MAX_SECONDS: u32 = 5;

/// A name, and how many events had it.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct EventName {
    pub event: String,
    /// About: copies that are not merged yet count too.
    pub count: u64,
}

impl Warehouse {
    /// The names of a site's events that were received since then (UTC milliseconds), the most frequent first. Without
    /// `identify`, `alias` and `group`, which are about visitors.
    ///
    /// # Errors
    /// ClickHouse's.
    pub async fn event_names(&self, site: &str, since_ms: i64) -> Result<Vec<EventName>, WarehouseError> {
        let sql = format!(
            "SELECT event, count() AS count FROM events WHERE site = ? AND {NOT_ERASED} \
             AND kind IN ('track', 'page', 'screen') AND received_at >= fromUnixTimestamp64Milli(toInt64(?), 'UTC') \
             GROUP BY event ORDER BY count DESC, event LIMIT {MAX_EVENT_NAMES}"
        );
        let query = self.query(&sql).bind(site).bind(site).bind(since_ms);
        let query = query
            .with_setting("max_execution_time", MAX_SECONDS.to_string())
            .with_setting("timeout_overflow_mode", "break");
        fetch_all("events", query).await
    }
}

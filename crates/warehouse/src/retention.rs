//! How long rows are kept. Every table's time to live counts from when a row was written; those of raw events and of the
//! history are settings ([`Retention`]), and a site of the plan may ask for another one of its raw events.
//!
//! A raw event carries what its site asked for (`events.retention_days`, 0: the setting), so the TTL is one expression of
//! the row alone. Sites that change their minds have the rows that are there brought to it by [`Warehouse::keep_events`],
//! one mutation for all of them; ClickHouse removes what is too old then at its next merges.

use clickhouse::query::Query;
use runtime::settings::AggregatorSettings;

use crate::client::{INSERT_TIMEOUT, READ_TIMEOUT, Warehouse, within};
use crate::error::WarehouseError;
use crate::migrate::execute;

/// How long rows are kept, counted from when they were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub raw_days: u32,
    pub minute_history_days: u32,
    pub hour_history_days: u32,
}

impl From<&AggregatorSettings> for Retention {
    fn from(settings: &AggregatorSettings) -> Self {
        Self {
            raw_days: settings.raw_retention_days,
            minute_history_days: settings.minute_history_days,
            hour_history_days: settings.hour_history_days,
        }
    }
}

impl Retention {
    /// What migrations fill in.
    pub(crate) fn placeholders(&self) -> [(&'static str, String); 3] {
        [
            ("raw_retention_days", self.raw_days.to_string()),
            ("minute_history_days", self.minute_history_days.to_string()),
            ("hour_history_days", self.hour_history_days.to_string()),
        ]
    }

    /// Tables whose retention is a setting, and its clause.
    fn clauses(&self) -> [(&'static str, String); 2] {
        let Self { raw_days, minute_history_days, hour_history_days } = self;
        [
            (
                "events",
                format!("written_at + toIntervalDay(if(retention_days = 0, {raw_days}, retention_days))"),
            ),
            (
                "funnel_rolling",
                format!(
                    "written_at + toIntervalDay({minute_history_days}) WHERE toMinute(minute) != 0, \
                     written_at + toIntervalDay({hour_history_days}) WHERE toMinute(minute) = 0"
                ),
            ),
        ]
    }
}

/// Changes a table's TTL only where it differs; rows that are there keep to it from the next merge on.
pub(crate) async fn apply(warehouse: &Warehouse, retention: &Retention) -> Result<(), WarehouseError> {
    for (table, clause) in retention.clauses() {
        let query = warehouse
            .query("SELECT create_table_query FROM system.tables WHERE database = ? AND name = ?")
            .bind(warehouse.database())
            .bind(table);
        let current: String = within(table, INSERT_TIMEOUT, query.fetch_one()).await?;
        if !current.contains(&clause) {
            tracing::info!(table, clause, "changing how long rows are kept");
            let sql =
                format!("ALTER TABLE {table} MODIFY TTL {clause} SETTINGS materialize_ttl_after_modify = 0");
            execute(warehouse, "retention", &sql).await?;
        }
    }
    Ok(())
}

/// What became of the wish to keep stored events as sites ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// They are.
    AsAsked,
    /// ClickHouse begins to change them, in the background.
    Changing,
    /// Not yet looked at: an earlier change of the table still runs, and rewrites the same rows. ClickHouse tries one that
    /// fails again and again: why it failed last.
    Later { failing: Option<String> },
}

impl Warehouse {
    /// Has the stored events of sites kept for so many days (0: as the settings say), where some are not.
    pub async fn keep_events(&self, sites: &[(String, u16)]) -> Result<Kept, WarehouseError> {
        if sites.is_empty() {
            return Ok(Kept::AsAsked);
        }
        if let Some(failure) = self.unfinished_change("events").await? {
            return Ok(Kept::Later { failing: Some(failure).filter(|failure| !failure.is_empty()) });
        }
        let others = format!("SELECT count() FROM events WHERE retention_days != {WANTED_DAYS}");
        let others = asking(self.query(&others), sites);
        if within::<u64, _>("events", READ_TIMEOUT * 20, others.fetch_one()).await? == 0 {
            return Ok(Kept::AsAsked);
        }
        let change = format!(
            "ALTER TABLE events UPDATE retention_days = {WANTED_DAYS} WHERE retention_days != {WANTED_DAYS} \
             SETTINGS mutations_sync = 0"
        );
        // The embedded engine would wait for it otherwise.
        let change = asking(asking(self.query(&change), sites), sites);
        within("events", INSERT_TIMEOUT, change.execute()).await?;
        Ok(Kept::Changing)
    }

    /// Whether the rows of a table are still being changed, and why that failed last; empty: it goes on.
    pub(crate) async fn unfinished_change(&self, table: &str) -> Result<Option<String>, WarehouseError> {
        let running = "SELECT latest_fail_reason FROM system.mutations \
                       WHERE database = ? AND table = ? AND NOT is_done ORDER BY latest_fail_reason = '' LIMIT 1";
        let query = self.query(running).bind(self.database()).bind(table);
        let failures: Vec<String> = within("mutations", READ_TIMEOUT, query.fetch_all()).await?;
        Ok(failures.into_iter().next())
    }
}

/// How many days a row is to be kept; other sites' rows stay as they are.
const WANTED_DAYS: &str = "transform(site, ?, CAST(?, 'Array(UInt16)'), retention_days)";

/// The values of [`WANTED_DAYS`].
fn asking(query: Query, sites: &[(String, u16)]) -> Query {
    let (names, days): (Vec<&str>, Vec<u16>) =
        sites.iter().map(|(site, days)| (site.as_str(), *days)).unzip();
    query.bind(names).bind(days)
}

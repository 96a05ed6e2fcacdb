//! How long rows are kept. Every table's time to live counts from when a row was written; those of raw events and of the
//! history are settings ([`Retention`]), and a site of the plan may ask for another one of its raw events.
//!
//! A raw event carries what its site asked for (`events.retention_days`, 0: the setting), so the TTL is one expression of
//! the row alone. A site that changes its mind has the rows that are there brought to it by [`Warehouse::keep_events`];
//! ClickHouse removes what is too old then at its next merges.

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

impl Warehouse {
    /// Has the site's events that are stored already kept for `days` (0: as the settings say), if some are not; whether
    /// some were not. ClickHouse carries it out in the background.
    pub async fn keep_events(&self, site: &str, days: u16) -> Result<bool, WarehouseError> {
        let sql = "SELECT count() FROM events WHERE site = ? AND retention_days != ?";
        let query = self.query(sql).bind(site).bind(days);
        let others: u64 = within("events", READ_TIMEOUT * 20, query.fetch_one()).await?;
        if others > 0 {
            let sql = "ALTER TABLE events UPDATE retention_days = ? WHERE site = ? AND retention_days != ?";
            let query = self.query(sql).bind(days).bind(site).bind(days);
            within("events", INSERT_TIMEOUT, query.execute()).await?;
        }
        Ok(others > 0)
    }
}

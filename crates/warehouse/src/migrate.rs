//! The schema's version. [`migrate`] creates the database and applies `migrations/*.sql`; it can run twice or in two
//! processes at once, because every statement can be repeated (`IF NOT EXISTS`). [`check_schema`] is for services that
//! only read and write.
//!
//! A migration first expands (older programs go on working), and a release later another one contracts. So a schema
//! says its version and the oldest program that works with it, and only that is refused.

use clickhouse::Row;
use runtime::settings::AggregatorSettings;
use serde::{Deserialize, Serialize};

use crate::client::{INSERT_TIMEOUT, Warehouse, within};
use crate::error::WarehouseError;
use crate::statements::statements;

/// The schema that this program makes and knows.
pub const SCHEMA: SchemaVersion = SchemaVersion { version: 1, oldest_compatible: 1 };

const MIGRATIONS: [(u32, &str); 1] = [(1, include_str!("../migrations/0001_initial.sql"))];

const VERSIONS_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_version \
    (version UInt32, oldest_compatible UInt32, applied_at DateTime('UTC') DEFAULT now()) \
    ENGINE = ReplacingMergeTree(applied_at) ORDER BY version \
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

/// A schema's version and the oldest one a program may know to work with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct SchemaVersion {
    pub version: u32,
    pub oldest_compatible: u32,
}

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

/// Brings the database to this program's schema and the tables' retention to the settings'.
///
/// # Errors
/// When ClickHouse fails, or when the schema is newer and not compatible with this program.
pub async fn migrate(warehouse: &Warehouse, retention: &Retention) -> Result<SchemaVersion, WarehouseError> {
    create_database(warehouse).await?;
    execute(warehouse, "schema_version", VERSIONS_TABLE).await?;
    let found = latest(warehouse).await?;
    compatible(found)?;
    let applied = found.map_or(0, |schema| schema.version);
    for (version, sql) in MIGRATIONS.iter().filter(|(version, _)| *version > applied) {
        tracing::info!(version, "migrating ClickHouse");
        for statement in statements(sql, &retention.placeholders()) {
            execute(warehouse, &format!("migration {version}"), &statement).await?;
        }
    }
    if applied < SCHEMA.version {
        record(warehouse).await?;
    }
    apply_retention(warehouse, retention).await?;
    Ok(latest(warehouse).await?.unwrap_or(SCHEMA))
}

/// Whether this program can work with the schema that is there.
///
/// # Errors
/// [`WarehouseError::NoSchema`] before the first migration, [`WarehouseError::Incompatible`] when it is too new.
pub async fn check_schema(warehouse: &Warehouse) -> Result<SchemaVersion, WarehouseError> {
    const UNKNOWN_TABLE: u32 = 60;
    const UNKNOWN_DATABASE: u32 = 81;
    let missing = || WarehouseError::NoSchema { database: warehouse.database().to_owned() };
    let found = match latest(warehouse).await {
        Err(error) if matches!(error.code(), Some(UNKNOWN_TABLE | UNKNOWN_DATABASE)) => return Err(missing()),
        found => found?,
    };
    compatible(found)?;
    found.ok_or_else(missing)
}

fn compatible(found: Option<SchemaVersion>) -> Result<(), WarehouseError> {
    match found {
        Some(schema) if schema.oldest_compatible > SCHEMA.version => Err(WarehouseError::Incompatible {
            found: schema.version,
            oldest_compatible: schema.oldest_compatible,
            known: SCHEMA.version,
        }),
        _ => Ok(()),
    }
}

async fn create_database(warehouse: &Warehouse) -> Result<(), WarehouseError> {
    let query = warehouse
        .without_database()
        .query("CREATE DATABASE IF NOT EXISTS ?")
        .bind(clickhouse::sql::Identifier(warehouse.database()));
    within("create database", INSERT_TIMEOUT, query.execute()).await
}

async fn latest(warehouse: &Warehouse) -> Result<Option<SchemaVersion>, WarehouseError> {
    let query = warehouse
        .query("SELECT version, oldest_compatible FROM schema_version ORDER BY version DESC, applied_at DESC LIMIT 1");
    within("schema_version", INSERT_TIMEOUT, query.fetch_optional()).await
}

async fn record(warehouse: &Warehouse) -> Result<(), WarehouseError> {
    let query = warehouse
        .query("INSERT INTO schema_version (version, oldest_compatible) VALUES (?, ?)")
        .bind(SCHEMA.version)
        .bind(SCHEMA.oldest_compatible);
    within("schema_version", INSERT_TIMEOUT, query.execute()).await
}

async fn execute(warehouse: &Warehouse, name: &str, sql: &str) -> Result<(), WarehouseError> {
    let outcome = tokio::time::timeout(INSERT_TIMEOUT, warehouse.client().query_raw(sql).execute()).await;
    match outcome {
        Ok(outcome) => outcome.map_err(|source| {
            WarehouseError::statement(format!("{name}: {}", sql.lines().next().unwrap_or_default()), source)
        }),
        Err(_) => Err(WarehouseError::Timeout { statement: "migration", limit: INSERT_TIMEOUT }),
    }
}

/// Tables whose retention is a setting, and its clause.
fn retention_clauses(retention: &Retention) -> [(&'static str, String); 2] {
    let Retention { raw_days, minute_history_days, hour_history_days } = retention;
    [
        ("events", format!("written_at + toIntervalDay({raw_days})")),
        (
            "funnel_rolling",
            format!(
                "written_at + toIntervalDay({minute_history_days}) WHERE toMinute(minute) != 0, \
                 written_at + toIntervalDay({hour_history_days}) WHERE toMinute(minute) = 0"
            ),
        ),
    ]
}

/// Changes a table's TTL only where it differs; rows that are there keep to it from the next merge on.
async fn apply_retention(warehouse: &Warehouse, retention: &Retention) -> Result<(), WarehouseError> {
    for (table, clause) in retention_clauses(retention) {
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

impl Retention {
    fn placeholders(&self) -> [(&'static str, String); 3] {
        [
            ("raw_retention_days", self.raw_days.to_string()),
            ("minute_history_days", self.minute_history_days.to_string()),
            ("hour_history_days", self.hour_history_days.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_schema_that_asks_for_a_later_program_is_refused() {
        let schema = |version, oldest_compatible| Some(SchemaVersion { version, oldest_compatible });
        assert!(compatible(None).is_ok());
        assert!(compatible(schema(SCHEMA.version, 1)).is_ok());
        assert!(compatible(schema(SCHEMA.version + 3, SCHEMA.version)).is_ok());
        let error = compatible(schema(SCHEMA.version + 3, SCHEMA.version + 1)).unwrap_err();
        assert!(error.to_string().contains("Start the release that migrated it"), "{error}");
    }

    #[test]
    fn migrations_are_numbered_without_gaps_up_to_the_schema() {
        let numbers: Vec<_> = MIGRATIONS.iter().map(|(version, _)| *version).collect();
        assert_eq!(numbers, (1..=SCHEMA.version).collect::<Vec<_>>());
    }
}

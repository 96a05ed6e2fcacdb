//! The schema's version. [`migrate`] creates the database and applies `migrations/*.sql`; it can run twice or in two
//! processes at once, because every statement can be repeated (`IF NOT EXISTS`). [`check_schema`] is for services that
//! only read and write.
//!
//! A migration first expands (older programs go on working), and a release later another one contracts. So a schema
//! says its version and the oldest program that works with it, and only that is refused.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::client::{INSERT_TIMEOUT, Warehouse, within};
use crate::engines::on_replicas;
use crate::error::WarehouseError;
use crate::retention::{self, Retention};
use crate::statements::statements;

/// The schema that this program makes and knows.
pub const SCHEMA: SchemaVersion = SchemaVersion { version: 6, oldest_compatible: 1 };

const MIGRATIONS: [(u32, &str); 6] = [
    (1, include_str!("../migrations/0001_initial.sql")),
    (2, include_str!("../migrations/0002_found_and_kept.sql")),
    (3, include_str!("../migrations/0003_annotations.sql")),
    (4, include_str!("../migrations/0004_erasures.sql")),
    (5, include_str!("../migrations/0005_links.sql")),
    (6, include_str!("../migrations/0006_generation_floor.sql")),
];

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
    retention::apply(warehouse, retention).await?;
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

/// Executes a statement of the schema, for the engines that the settings ask for.
pub(crate) async fn execute(warehouse: &Warehouse, name: &str, sql: &str) -> Result<(), WarehouseError> {
    let sql = on_replicas(sql, warehouse.is_replicated());
    let outcome = tokio::time::timeout(INSERT_TIMEOUT, warehouse.client().query_raw(&sql).execute()).await;
    match outcome {
        Ok(outcome) => outcome.map_err(|source| {
            WarehouseError::statement(format!("{name}: {}", sql.lines().next().unwrap_or_default()), source)
        }),
        Err(_) => Err(WarehouseError::Timeout { statement: "migration", limit: INSERT_TIMEOUT }),
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

    /// Without Keeper no replicated table can be made, so what would be sent is looked at.
    #[test]
    fn on_replicas_every_table_of_the_schema_is_replicated() {
        let settings = runtime::settings::AggregatorSettings::default();
        let values = Retention::from(&settings).placeholders();
        let of_files = MIGRATIONS.iter().flat_map(|(_, sql)| statements(sql, &values));
        let (mut tables, mut views) = (0, 0);
        for statement in of_files.chain([VERSIONS_TABLE.to_owned()]) {
            let sent = on_replicas(&statement, true);
            if statement.starts_with("CREATE TABLE") {
                tables += 1;
                assert_eq!(sent.matches("ENGINE = Replicated").count(), 1, "{sent}");
                assert!(!sent.contains("ENGINE = Replacing") && !sent.contains("ENGINE = Merge"), "{sent}");
                assert_eq!(
                    sent.replace("ENGINE = Replicated", "ENGINE = "),
                    statement,
                    "all else is the same"
                );
            } else {
                views += usize::from(statement.starts_with("CREATE OR REPLACE VIEW"));
                assert_eq!(sent, statement);
            }
        }
        assert_eq!((tables, views), (12, 2));
    }
}

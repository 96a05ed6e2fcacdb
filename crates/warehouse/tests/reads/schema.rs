//! The schema's version and the retention of its tables.

use warehouse::migrate::{SCHEMA, check_schema};
use warehouse::{Retention, WarehouseError, migrate};

use crate::database::*;

#[tokio::test]
async fn migrating_twice_and_at_once_gives_one_schema() {
    let warehouse = no_database().await;
    let missing = check_schema(&warehouse).await.unwrap_err();
    assert!(matches!(missing, WarehouseError::NoSchema { .. }), "{missing}");
    let retention = retention();
    let (first, second) = tokio::join!(migrate(&warehouse, &retention), migrate(&warehouse, &retention));
    assert_eq!((first.unwrap(), second.unwrap()), (SCHEMA, SCHEMA));
    assert_eq!(migrate(&warehouse, &retention).await.unwrap(), SCHEMA);
    assert_eq!(check_schema(&warehouse).await.unwrap(), SCHEMA);
}

#[tokio::test]
async fn a_schema_that_asks_for_a_later_program_is_refused_by_all() {
    let warehouse = database().await;
    let newer = "INSERT INTO schema_version (version, oldest_compatible) VALUES (99, 98)";
    warehouse.client().query_raw(newer).execute().await.unwrap();
    for refused in [migrate(&warehouse, &retention()).await, check_schema(&warehouse).await] {
        assert!(refused.unwrap_err().to_string().contains("needs a program that knows schema 98"));
    }
}

#[tokio::test]
async fn a_changed_retention_is_applied_at_the_next_start() {
    let warehouse = database().await;
    let ttl = async || -> String {
        let sql =
            "SELECT arrayStringConcat(groupArray(create_table_query)) FROM system.tables WHERE database = ?";
        warehouse.client().query(sql).bind(warehouse.database()).fetch_one().await.unwrap()
    };
    let before = ttl().await;
    assert!(before.contains("written_at + toIntervalDay(400)"), "{before}");
    migrate(&warehouse, &retention()).await.unwrap();
    assert_eq!(ttl().await, before, "the same settings change nothing");
    let shorter = Retention { raw_days: 30, minute_history_days: 3, ..retention() };
    migrate(&warehouse, &shorter).await.unwrap();
    let after = ttl().await;
    assert!(after.contains("toIntervalDay(30)") && after.contains("toIntervalDay(3)"), "{after}");
    assert!(!after.contains("toIntervalDay(400)"), "{after}");
}

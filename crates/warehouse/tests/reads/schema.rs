//! The schema's version and the retention of its tables.

use warehouse::migrate::{SCHEMA, check_schema};
use warehouse::rows::{COMPLETE, RollingRow};
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
    assert!(before.contains("if(retention_days = 0, 400, retention_days)"), "{before}");
    migrate(&warehouse, &retention()).await.unwrap();
    assert_eq!(ttl().await, before, "the same settings change nothing");
    let shorter = Retention { raw_days: 30, minute_history_days: 3, ..retention() };
    migrate(&warehouse, &shorter).await.unwrap();
    let after = ttl().await;
    assert!(after.contains("= 0, 30, retention_days)") && after.contains("toIntervalDay(3)"), "{after}");
    assert!(!after.contains("= 0, 400,"), "{after}");
}

#[tokio::test]
async fn generations_that_a_newer_one_replaced_everywhere_are_removed() {
    let warehouse = database().await;
    log(&warehouse, "log", 2).await;
    generation(&warehouse, 3, COMPLETE, 2, 10).await;
    generation(&warehouse, 8, COMPLETE, 1, 11).await;
    for number in [3, 8] {
        insert(&warehouse, "funnel_rolling", &[rolling(0, number, "", [5, 1], 10)]).await;
    }
    assert_eq!(warehouse.remove_superseded().await.unwrap(), 0, "a partition still has only the old one");

    generation(&warehouse, 8, COMPLETE, 2, 12).await;
    assert_eq!(warehouse.remove_superseded().await.unwrap(), 1);
    let query = warehouse.client().query("SELECT DISTINCT generation FROM funnel_rolling");
    assert_eq!(query.fetch_all::<u64>().await.unwrap(), [8]);
    assert_eq!(warehouse.remove_superseded().await.unwrap(), 0);
}

#[tokio::test]
async fn the_view_shows_minutes_that_every_partition_has_of_the_generation_in_force() {
    let warehouse = database().await;
    log(&warehouse, "log", 2).await;
    generation(&warehouse, 3, COMPLETE, 2, 10).await;
    let at = |partition, minute, visitors| {
        let mut row = rolling(partition, 3, "", visitors, 10);
        row.minute = minute;
        row
    };
    let rows = [at(0, 600, [5, 1]), at(1, 600, [9, 2]), at(0, 660, [6, 1])];
    insert(&warehouse, "funnel_rolling", &rows).await;
    insert(&warehouse, "funnel_rolling", &[rolling(0, 2, "", [99, 99], 10)]).await;
    let sql = "SELECT toUnixTimestamp(minute), step, visitors, eligible, conversion FROM funnel_conversion \
               WHERE window = '7d' ORDER BY minute, position";
    let found =
        warehouse.client().query(sql).fetch_all::<(u32, String, u64, u64, Option<f64>)>().await.unwrap();
    let expected = [(600, "view".into(), 14, 14, Some(1.0)), (600, "buy".into(), 3, 14, Some(3.0 / 14.0))];
    assert_eq!(found, expected);
}

/// The README's query, without its format.
fn query_of_the_readme() -> &'static str {
    let readme = include_str!("../../../../README.md");
    let (_, from_query) = readme.split_once("-d \"\n  SELECT minute").unwrap();
    let (query, _) = from_query.split_once(" FORMAT ").unwrap();
    query
}

#[tokio::test]
async fn the_query_of_the_readme_reads_the_newest_minute_first_and_its_steps_in_order() {
    let warehouse = database().await;
    log(&warehouse, "log", 1).await;
    generation(&warehouse, 3, COMPLETE, 1, 10).await;
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let newest = (since_1970.as_secs() / 60 * 60) as u32;
    let at = |minute, visitors| RollingRow { minute, ..rolling(0, 3, "", visitors, 10) };
    let mut of_channel = rolling(0, 3, "email", [4, 1], 10);
    of_channel.minute = newest;
    let rows = [at(newest - 60, [9, 3]), at(newest, [8, 2]), of_channel];
    insert(&warehouse, "funnel_rolling", &rows).await;
    let sql = format!("SELECT toUnixTimestamp(minute){}", query_of_the_readme());
    let found = warehouse.client().query(&sql);
    let found = found.fetch_all::<(u32, String, u64, Option<f64>, Option<f64>)>().await.unwrap();
    let row = |minute, step: &str, visitors: u64, conversion, ctr| {
        (minute, step.to_owned(), visitors, conversion, ctr)
    };
    let expected = [
        row(newest, "view", 8, Some(1.0), None),
        row(newest, "buy", 2, Some(0.25), Some(4.0 / 9.0)),
        row(newest - 60, "view", 9, Some(1.0), None),
        row(newest - 60, "buy", 3, Some(3.0 / 9.0), Some(4.0 / 9.0)),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_database_of_version_1_is_expanded_and_its_programs_go_on_writing() {
    let warehouse = no_database().await;
    migrate(&warehouse, &retention()).await.unwrap();
    let back = [
        "DELETE FROM schema_version WHERE 1",
        "INSERT INTO schema_version (version, oldest_compatible) VALUES (1, 1)",
        "ALTER TABLE events MODIFY TTL written_at + toIntervalDay(400)",
        "ALTER TABLE events DROP COLUMN retention_days",
        "ALTER TABLE rejected_events DROP COLUMN visitor_id, DROP COLUMN id",
    ];
    for statement in back {
        warehouse.client().query_raw(statement).execute().await.unwrap();
    }
    assert_eq!(check_schema(&warehouse).await.unwrap().version, 1);
    migrate(&warehouse, &retention()).await.unwrap();
    assert_eq!(check_schema(&warehouse).await.unwrap(), SCHEMA);
    const { assert!(SCHEMA.oldest_compatible <= 1, "programs of version 1 may still run") };
    let of_version_1 = "INSERT INTO events (site, visitor_id, message_id, event, version) VALUES ('shop', 'v', 'm', 'view', 1)";
    warehouse.client().query_raw(of_version_1).execute().await.unwrap();
    let kept =
        warehouse.client().query("SELECT retention_days FROM events").fetch_one::<u16>().await.unwrap();
    assert_eq!(kept, 0, "as long as the settings say");
}

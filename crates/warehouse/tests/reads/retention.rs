//! How long a site's raw events are kept.

use std::time::{Duration, Instant};

use warehouse::rows::EventRow;
use warehouse::{Kept, Warehouse};

use crate::database::*;

async fn events_of(warehouse: &Warehouse, site: &str) -> u64 {
    let query = warehouse.client().query("SELECT count() FROM events WHERE site = ?").bind(site);
    query.fetch_one().await.unwrap()
}

/// Lets ClickHouse remove what is too old now, not at a merge of its choice.
async fn until_events(warehouse: &Warehouse, site: &str, wanted: u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let merge = "OPTIMIZE TABLE events FINAL SETTINGS optimize_skip_merged_partitions = 0";
        warehouse.client().query_raw(merge).execute().await.unwrap();
        let found = events_of(warehouse, site).await;
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{site} has {found} events");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_site_keeps_its_events_as_long_as_it_asks_and_others_as_the_settings_say() {
    let warehouse = database().await;
    let ts = 1_700_000_000_000;
    let rows = [
        EventRow { retention_days: 3, ..event("ann", "m1", "view", ts, 1) },
        EventRow { site: "blog", ..event("ann", "m2", "view", ts, 2) },
    ];
    insert_events(&warehouse, &rows).await;
    written_days_ago(&warehouse, 5).await;
    until_events(&warehouse, "shop", 0).await;
    assert_eq!(events_of(&warehouse, "blog").await, 1);
}

#[tokio::test]
async fn a_changed_retention_of_a_site_reaches_rows_that_are_stored() {
    let warehouse = database().await;
    let ts = 1_700_000_000_000;
    let rows =
        [event("ann", "m1", "view", ts, 1), EventRow { site: "blog", ..event("ann", "m2", "view", ts, 2) }];
    insert_events(&warehouse, &rows).await;
    written_days_ago(&warehouse, 5).await;
    let keep = async |sites: &[(&str, u16)]| {
        let sites: Vec<_> = sites.iter().map(|(site, days)| ((*site).to_owned(), *days)).collect();
        warehouse.keep_events(&sites).await.unwrap()
    };
    assert_eq!(keep(&[]).await, Kept::AsAsked);
    assert_eq!(keep(&[("shop", 0), ("it's \\ another", 9)]).await, Kept::AsAsked, "nothing to change");
    assert_eq!(keep(&[("shop", 30), ("blog", 3_650)]).await, Kept::Changing);
    until_changed(&warehouse).await;
    let of = "SELECT groupArray((site, retention_days)) FROM (SELECT * FROM events ORDER BY site)";
    let found: Vec<(String, u16)> = warehouse.client().query(of).fetch_one().await.unwrap();
    assert_eq!(found, [("blog".to_owned(), 3_650), ("shop".to_owned(), 30)], "both by one mutation");
    assert_eq!(mutations(&warehouse, "").await, 2, "that of the test and ours");
    assert_eq!(keep(&[("shop", 30)]).await, Kept::AsAsked, "done already, and blog is not asked for");
    assert_eq!(keep(&[("shop", 2)]).await, Kept::Changing);
    until_events(&warehouse, "shop", 0).await;
    assert_eq!(events_of(&warehouse, "blog").await, 1);
}

#[tokio::test]
async fn no_retention_is_changed_while_the_table_is_still_being_changed() {
    let warehouse = database().await;
    insert_events(&warehouse, &[event("ann", "m1", "view", 1_700_000_000_000, 1)]).await;
    let keep = async |days| warehouse.keep_events(&[("shop".to_owned(), days)]).await.unwrap();
    // Takes two seconds, at least.
    let slow =
        "ALTER TABLE events UPDATE content = 'x' WHERE sleepEachRow(2) = 0 SETTINGS mutations_sync = 0";
    warehouse.client().query_raw(slow).execute().await.unwrap();
    assert_eq!(keep(30).await, Kept::Later { failing: None });
    assert_eq!(mutations(&warehouse, "").await, 1, "nothing is queued behind it");
    until_changed(&warehouse).await;
    assert_eq!(keep(30).await, Kept::Changing);
}

#[tokio::test]
async fn a_change_that_fails_for_ever_is_told_with_its_reason() {
    let warehouse = database().await;
    insert_events(&warehouse, &[event("ann", "m1", "view", 1_700_000_000_000, 1)]).await;
    let failing = "ALTER TABLE events UPDATE content = toString(throwIf(message_id != '', 'no such content')) \
                   WHERE 1 SETTINGS mutations_sync = 0";
    warehouse.client().query_raw(failing).execute().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let reason = loop {
        match warehouse.keep_events(&[("shop".to_owned(), 30)]).await.unwrap() {
            Kept::Later { failing: Some(reason) } => break reason,
            Kept::Later { failing: None } if Instant::now() < deadline => {}
            kept => panic!("{kept:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(reason.contains("no such content"), "{reason}");
    let kill = format!("KILL MUTATION WHERE database = '{}' SYNC", warehouse.database());
    warehouse.client().query_raw(&kill).execute().await.unwrap();
    let keep = warehouse.keep_events(&[("shop".to_owned(), 30)]).await.unwrap();
    assert_eq!(keep, Kept::Changing, "as the warning says");
}

async fn mutations(warehouse: &Warehouse, and: &str) -> u64 {
    let sql = format!("SELECT count() FROM system.mutations WHERE database = ? AND table = 'events' {and}");
    warehouse.client().query(&sql).bind(warehouse.database()).fetch_one().await.unwrap()
}

async fn until_changed(warehouse: &Warehouse) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while mutations(warehouse, "AND NOT is_done").await > 0 {
        assert!(Instant::now() < deadline, "the table is still being changed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Moves the time of writing into the past.
async fn written_days_ago(warehouse: &Warehouse, days: u32) {
    let sql = format!(
        "ALTER TABLE events UPDATE written_at = now() - INTERVAL {days} DAY WHERE 1 SETTINGS mutations_sync = 1"
    );
    warehouse.client().query_raw(&sql).execute().await.unwrap();
}

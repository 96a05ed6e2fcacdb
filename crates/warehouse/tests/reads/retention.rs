//! How long a site's raw events are kept.

use std::time::{Duration, Instant};

use warehouse::Warehouse;
use warehouse::rows::EventRow;

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
    assert!(!warehouse.keep_events("shop", 0).await.unwrap(), "nothing to change");
    assert!(warehouse.keep_events("shop", 30).await.unwrap());
    until_kept(&warehouse, 30).await;
    assert!(!warehouse.keep_events("shop", 30).await.unwrap(), "done already");
    assert_eq!(events_of(&warehouse, "shop").await, 1);
    assert!(warehouse.keep_events("shop", 2).await.unwrap());
    until_events(&warehouse, "shop", 0).await;
    assert_eq!(events_of(&warehouse, "blog").await, 1);
}

async fn until_kept(warehouse: &Warehouse, days: u16) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let sql = "SELECT countIf(retention_days != ?) FROM events WHERE site = 'shop'";
    while warehouse.client().query(sql).bind(days).fetch_one::<u64>().await.unwrap() > 0 {
        assert!(Instant::now() < deadline, "the rows are not kept for {days} days");
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

//! What a site sends right now, as the tables tell.

use warehouse::Warehouse;
use warehouse::newest::{NewestEvents, WIDE_PACE_MS};
use warehouse::rejected::RejectedRow;
use warehouse::rows::EventRow;

use crate::database::*;

const NOW: i64 = 1_700_000_000_000;

/// Message ids of the newest, as one who asks for the first time is told.
async fn newest(warehouse: &Warehouse, site: &str, limit: u32) -> Vec<String> {
    ids(&NewestEvents::new(warehouse.clone(), limit), site, NOW).await
}

async fn ids(newest: &NewestEvents, site: &str, now_ms: i64) -> Vec<String> {
    newest.of(site, now_ms).await.unwrap().into_iter().map(|row| row.event.message_id).collect()
}

#[tokio::test]
async fn the_newest_events_come_first_each_once_and_of_one_site() {
    let warehouse = database().await;
    let at = |visitor: &'static str, message: &'static str, received_at: i64, offset: u64| EventRow {
        received_at,
        ..event(visitor, message, "view", received_at, offset)
    };
    let rows = [
        at("ann", "old", NOW - 40 * 86_400_000, 1),
        at("ann", "yesterday", NOW - 86_400_000 / 2, 2),
        at("ann", "m1", NOW - 30_000, 3),
        at("ann", "m1", NOW - 20_000, 4),
        at("bob", "m2", NOW - 10_000, 5),
        EventRow { site: "blog", ..at("bob", "m3", NOW, 6) },
    ];
    insert_events(&warehouse, &rows).await;
    let found = NewestEvents::new(Warehouse::clone(&warehouse), 10).of("shop", NOW).await.unwrap();
    let told: Vec<_> =
        found.iter().map(|row| (row.event.message_id.as_str(), row.stored.received_at - NOW)).collect();
    assert_eq!(told, [("m2", -10_000), ("m1", -20_000), ("yesterday", -43_200_000)]);
    assert_eq!(newest(&warehouse, "shop", 1).await, ["m2"]);
    let erase = "INSERT INTO erasures (site, visitor_id) VALUES ('shop', 'bob'), ('blog', 'ann')";
    warehouse.client().query(erase).execute().await.unwrap();
    assert_eq!(newest(&warehouse, "shop", 10).await, ["m1", "yesterday"], "one asked to be forgotten");
    assert!(newest(&warehouse, "none", 10).await.is_empty());
}

#[tokio::test]
async fn news_are_told_at_every_read_and_what_is_older_is_searched_every_ten_seconds() {
    let warehouse = database().await;
    let received = async |message: &'static str, ago_ms: i64, site: &'static str| {
        let row = EventRow { site, ..event("ann", message, "view", NOW - ago_ms, 1) };
        insert_events(&warehouse, &[row]).await;
    };
    let (hour, day) = (3_600_000, 86_400_000);
    received("old", 3 * day, "shop").await;
    received("lately", 30_000, "shop").await;
    let four = NewestEvents::new(Warehouse::clone(&warehouse), 4);
    assert_eq!(ids(&four, "shop", NOW).await, ["lately", "old"]);
    received("lagged", 2 * hour, "shop").await;
    received("news", -500, "shop").await;
    received("lately", -700, "shop").await; // a copy
    assert_eq!(ids(&four, "shop", NOW + 1_000).await, ["lately", "news", "old"]);
    assert_eq!(ids(&four.clone(), "shop", NOW + WIDE_PACE_MS - 1).await, ["lately", "news", "old"]);
    assert_eq!(ids(&four, "shop", NOW + WIDE_PACE_MS).await, ["lately", "news", "lagged", "old"]);
    received("last", -WIDE_PACE_MS, "shop").await;
    assert_eq!(ids(&four, "shop", NOW + WIDE_PACE_MS + 1).await, ["last", "lately", "news", "lagged"]);
    received("theirs", hour, "blog").await;
    assert_eq!(ids(&four, "blog", NOW + WIDE_PACE_MS + 1).await, ["theirs"], "each site has its own");
}

#[tokio::test]
async fn rejections_of_the_site_and_of_no_site_are_listed_once() {
    let warehouse = database().await;
    let now =
        warehouse.client().query("SELECT toUnixTimestamp64Milli(now64(3))").fetch_one::<i64>().await.unwrap();
    let row = |site: &str, id: &str, age: i64| RejectedRow {
        site: site.into(),
        id: id.into(),
        received_at: now - age,
        ..RejectedRow::default()
    };
    let rows = [row("shop", "a", 5), row("shop", "a", 4), row("", "b", 1), row("blog", "c", 0)];
    warehouse.insert_rejected(&rows).await.unwrap();
    let found = warehouse.newest_rejections("shop", 10).await.unwrap();
    assert_eq!(found.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
}

#[tokio::test]
async fn names_of_properties_are_counted_by_event() {
    let warehouse = database().await;
    let with = |message: &'static str, name: &'static str, properties: &'static str| EventRow {
        received_at: NOW,
        properties,
        ..event("ann", message, name, NOW, 1)
    };
    let rows = [
        with("1", "view", r#"{"channel":"email","price":{"a":1}}"#),
        with("2", "view", r#"{"channel":"ads"}"#),
        with("3", "buy", "{}"),
        with("4", "buy", r#"{"odd \"name\"":null}"#),
    ];
    insert_events(&warehouse, &rows).await;
    let found = warehouse.property_names("shop", NOW - 1_000).await.unwrap();
    let told: Vec<_> =
        found.iter().map(|row| (row.event.as_str(), row.property.as_str(), row.count)).collect();
    assert_eq!(told, [("buy", "odd \"name\"", 1), ("view", "channel", 2), ("view", "price", 1)]);
    assert!(warehouse.property_names("shop", NOW + 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn how_far_the_list_reaches_is_what_the_partition_furthest_behind_says() {
    let warehouse = database().await;
    assert_eq!(warehouse.arrived_until("shop").await.unwrap(), None);
    log(&warehouse, "log", 2).await;
    let mut rows = [rolling(0, 1, "", [1, 0], 1), rolling(1, 1, "", [1, 0], 1), rolling(2, 1, "", [1, 0], 1)];
    for (row, as_of) in rows.iter_mut().zip([9_000, 7_000, 1_000]) {
        row.as_of = NOW + as_of;
    }
    warehouse.insert::<warehouse::rows::RollingRow>("funnel_open", &rows).await.unwrap();
    assert_eq!(warehouse.arrived_until("shop").await.unwrap(), Some(NOW + 7_000), "there are two partitions");
}

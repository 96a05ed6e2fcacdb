//! What a site sends right now, as the tables tell.

use warehouse::rejected::RejectedRow;
use warehouse::rows::EventRow;

use crate::database::*;

const NOW: i64 = 1_700_000_000_000;

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
    let found = warehouse.newest_events("shop", NOW, 10).await.unwrap();
    let told: Vec<_> =
        found.iter().map(|row| (row.event.message_id.as_str(), row.stored.received_at - NOW)).collect();
    assert_eq!(told, [("m2", -10_000), ("m1", -20_000), ("yesterday", -43_200_000)]);
    assert_eq!(warehouse.newest_events("shop", NOW, 1).await.unwrap().len(), 1);
    let erase = "INSERT INTO erasures (site, visitor_id) VALUES ('shop', 'bob'), ('blog', 'ann')";
    warehouse.client().query(erase).execute().await.unwrap();
    assert_eq!(warehouse.newest_events("shop", NOW, 10).await.unwrap().len(), 2, "one asked to be forgotten");
    assert!(warehouse.newest_events("none", NOW, 10).await.unwrap().is_empty());
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

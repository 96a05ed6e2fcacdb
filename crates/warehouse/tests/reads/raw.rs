//! Raw events as they count: distinct, in time order, of a span, of a partition.

use std::collections::BTreeMap;

use warehouse::Warehouse;
use warehouse::raw::{RawEvent, RawQuery};
use warehouse::rows::EventRow;

use crate::database::*;

fn all() -> RawQuery {
    RawQuery { site: "shop".into(), ..RawQuery::default() }
}

async fn read(warehouse: &Warehouse, query: &RawQuery) -> Vec<RawEvent> {
    let mut events = warehouse.raw_events(query).unwrap();
    let mut found = Vec::new();
    while let Some(event) = events.next().await.unwrap() {
        found.push(event);
    }
    assert_eq!(warehouse.count_raw_events(query).await.unwrap(), found.len() as u64);
    found
}

async fn messages(warehouse: &Warehouse, query: &RawQuery) -> Vec<String> {
    read(warehouse, query).await.into_iter().map(|event| event.message_id).collect()
}

const MONTH_MS: i64 = 31 * 86_400_000;

#[tokio::test]
async fn the_first_copy_wins_before_any_filter_by_time_or_name() {
    let warehouse = database().await;
    let ts = 1_700_000_000_000;
    let copies = [
        EventRow { received_at: ts + 2 * MONTH_MS, ..event("ann", "m1", "buy", ts + 500, 9) },
        event("ann", "m1", "view", ts, 4),
        event("ann", "m2", "view", ts + 100, 5),
        EventRow { site: "other", ..event("ann", "m3", "view", ts, 6) },
    ];
    insert_events(&warehouse, &copies).await;

    let found = read(&warehouse, &all()).await;
    assert_eq!(found.len(), 2);
    let first = &found[0];
    assert_eq!((first.event.as_str(), first.ts, first.own_ts), ("view", ts, ts), "the copy at offset 4");
    assert_eq!((first.properties.as_str(), first.channel.as_str()), ("{\"plan\":\"pro\"}", "email"));

    let bought = RawQuery { events: vec!["buy".into(), "it's".into()], ..all() };
    assert!(read(&warehouse, &bought).await.is_empty(), "the first copy of m1 was no purchase");
    let later = RawQuery { from_ms: Some(ts + 200), ..all() };
    assert!(read(&warehouse, &later).await.is_empty(), "nor later");
    let before = RawQuery { before: Some((1, 5)), ..all() };
    assert_eq!(messages(&warehouse, &before).await, ["m1"]);
    assert_eq!(messages(&warehouse, &RawQuery { before: Some((2, 0)), ..all() }).await.len(), 2);
}

#[tokio::test]
async fn events_come_in_time_order_within_from_included_and_to_excluded() {
    let warehouse = database().await;
    let ts = 1_700_000_000_000;
    let rows = [
        event("bob", "c", "view", ts + 2, 1),
        event("ann", "b", "view", ts + 1, 2),
        event("ann", "d", "view", ts + 2, 3),
        event("ann", "a", "view", ts, 4),
    ];
    insert_events(&warehouse, &rows).await;
    assert_eq!(messages(&warehouse, &all()).await, ["a", "b", "d", "c"]);
    let part = RawQuery { from_ms: Some(ts + 1), to_ms: Some(ts + 2), ..all() };
    assert_eq!(messages(&warehouse, &part).await, ["b"]);
    let events = vec!["view".into(), "it's".into()];
    let of_ann = RawQuery { visitor: Some("ann".into()), events, from_ms: Some(ts + 1), ..all() };
    assert_eq!(messages(&warehouse, &of_ann).await, ["b", "d"]);
}

#[tokio::test]
async fn partitions_share_the_visitors_as_the_log_does() {
    let warehouse = database().await;
    let visitors: Vec<String> = (0..40).map(|number| format!("visitor-{number}")).collect();
    let rows: Vec<_> =
        visitors.iter().map(|visitor| event(visitor, "m", "view", 1_700_000_000_000, 1)).collect();
    warehouse.insert::<EventRow<'static>>("events", &rows).await.unwrap();
    let mut seen = BTreeMap::new();
    for partition in 0..3 {
        let query = RawQuery { partition: Some((partition, 3)), ..all() };
        for event in read(&warehouse, &query).await {
            assert_eq!(event_log::partition_of("shop", &event.visitor_id, 3), partition);
            assert!(seen.insert(event.visitor_id, partition).is_none());
        }
    }
    assert_eq!(seen.len(), visitors.len());
}

#[tokio::test]
async fn forgotten_visitors_are_left_out_of_every_read() {
    let warehouse = database().await;
    let rows = [
        EventRow { import_id: "i1", ..event("ann", "m1", "view", 1_700_000_000_000, 1) },
        EventRow { import_id: "i1", ..event("bob", "m2", "view", 1_700_000_000_000, 2) },
        EventRow { import_id: "i2", ..event("bob", "m2", "view", 1_700_000_000_000, 3) },
    ];
    insert_events(&warehouse, &rows).await;
    let imported = async |import: &str| {
        let rows = warehouse.imported_rows("shop", import).await.unwrap();
        rows.iter().map(|rows| rows.rows).sum::<u64>()
    };
    assert_eq!(imported("i1").await, 2);
    assert_eq!(imported("i2").await, 0, "the row was there before");
    let erase = "INSERT INTO erasures (site, visitor_id) VALUES ('shop', 'ann'), ('other', 'bob')";
    warehouse.client().query_raw(erase).execute().await.unwrap();
    assert_eq!(messages(&warehouse, &all()).await, ["m2"]);
    assert_eq!(imported("i1").await, 1);
}

#[tokio::test]
async fn the_names_that_a_site_sent_lately_come_with_how_often() {
    let warehouse = database().await;
    let now = 1_700_000_000_000;
    let events = [
        event("ann", "m1", "view", now, 1),
        event("bob", "m2", "view", now, 2),
        event("bob", "m3", "veiw", now, 3),
        EventRow { kind: "identify", ..event("bob", "m4", "$identify", now, 4) },
        EventRow { received_at: now - 2 * MONTH_MS, ..event("cy", "m5", "buy", now, 5) },
        EventRow { site: "other", ..event("ann", "m6", "join", now, 6) },
    ];
    insert_events(&warehouse, &events).await;
    let names = warehouse.event_names("shop", now - 86_400_000).await.unwrap();
    let names: Vec<_> = names.iter().map(|name| (name.event.as_str(), name.count)).collect();
    assert_eq!(names, [("view", 2), ("veiw", 1)]);
}

//! Where an event went, as the tables tell.

use warehouse::rejected::RejectedRow;
use warehouse::rows::{EventRow, ProgressRow};
use warehouse::trace::Wanted;

use crate::database::*;

fn wanted(message_id: Option<&str>, visitor: Option<&str>) -> Wanted {
    Wanted {
        site: "shop".into(),
        message_id: message_id.map(str::to_owned),
        visitor: visitor.map(str::to_owned),
    }
}

#[tokio::test]
async fn stored_events_are_found_by_message_and_by_visitor_with_their_copies() {
    let warehouse = database().await;
    let ts = 1_700_000_000_000;
    let rows = [
        event("ann", "m1", "view", ts, 4),
        EventRow { received_at: ts + 50, ..event("ann", "m1", "view", ts, 9) },
        EventRow { received_at: ts + 99, ..event("ann", "m2", "buy", ts, 10) },
        EventRow { site: "blog", ..event("bob", "m3", "view", ts, 11) },
    ];
    insert_events(&warehouse, &rows).await;
    let found = warehouse.trace_stored(&wanted(Some("m1"), None)).await.unwrap();
    let offsets: Vec<_> = found.iter().map(|row| (row.stored.offset, row.stored.received_at - ts)).collect();
    assert_eq!(offsets, [(9, 50), (4, 0)]);
    for row in &found {
        assert_eq!((row.event.visitor_id.as_str(), row.event.event.as_str()), ("ann", "view"));
        assert_eq!((row.event.ts, row.event.message_id.as_str()), (ts, "m1"));
        assert!(row.stored.written_at > 0 && row.stored.import_id.is_empty());
    }
    let of_ann = warehouse.trace_stored(&wanted(None, Some("ann"))).await.unwrap();
    assert_eq!(
        of_ann.iter().map(|row| row.event.event.as_str()).collect::<Vec<_>>(),
        ["buy", "view", "view"]
    );
    assert!(
        warehouse.trace_stored(&wanted(Some("m3"), None)).await.unwrap().is_empty(),
        "it is another site's"
    );
    assert_eq!(warehouse.sites_of_message("m3").await.unwrap(), ["blog"]);
}

#[tokio::test]
async fn a_rejection_that_was_stored_twice_is_one() {
    let warehouse = database().await;
    let now =
        warehouse.client().query("SELECT toUnixTimestamp64Milli(now64(3))").fetch_one::<i64>().await.unwrap();
    let row = |id: &str, reason: &str| RejectedRow {
        id: id.into(),
        received_at: now,
        site: "shop".into(),
        message_id: "m1".into(),
        visitor_id: "ann".into(),
        reason: reason.into(),
        topic: "rungs.events.v1".into(),
        log_offset: 7,
        ..RejectedRow::default()
    };
    let rows = [row("a", "too_deep"), row("b", "invalid_text")];
    warehouse.insert_rejected(&rows).await.unwrap();
    warehouse.insert_rejected(&rows[..1]).await.unwrap();
    let found = warehouse.trace_rejected(&wanted(Some("m1"), Some("ann"))).await.unwrap();
    let mut reasons: Vec<_> = found.iter().map(|row| (row.reason.as_str(), row.log_offset)).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, [("invalid_text", 7), ("too_deep", 7)]);
    let lately = warehouse.rejected_lately("shop").await.unwrap();
    assert!(lately.iter().all(|reason| reason.count == 1) && lately.len() == 2, "{lately:?}");
    assert!(warehouse.trace_rejected(&wanted(None, Some("bob"))).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_newest_position_of_each_partition_of_the_log_in_use_is_told() {
    let warehouse = database().await;
    log(&warehouse, "old log", 4).await;
    log(&warehouse, "log", 2).await;
    let moved = ProgressRow {
        site: String::new(),
        funnel: String::new(),
        next_offset: 77,
        ..progress("log", 1, 2, 0, "complete", 1_000)
    };
    warehouse.insert::<ProgressRow>("progress", &[moved]).await.unwrap();
    let reached = warehouse.reached().await.unwrap();
    let places: Vec<_> =
        reached.iter().map(|partition| (partition.log_partition, partition.log_partitions)).collect();
    assert_eq!(places, [(0, 2), (1, 2)]);
}

//! Visitors who were erased: who reads them back, what is left out, and what is deleted when.

use std::time::{Duration, Instant};

use funnel::intake::visitor_hash;
use warehouse::Warehouse;
use warehouse::erasures::{ErasureRow, Removal};
use warehouse::raw::RawQuery;
use warehouse::rejected::RejectedRow;
use warehouse::rows::{BUILDING, COMPLETE, JourneyRow, ProgressRow};
use warehouse::trace::Wanted;

use crate::database::*;

const TS: i64 = 1_700_000_000_000;
/// Text from outside that is no SQL.
const ODD: &str = "it's \\ ann";

async fn erase(warehouse: &Warehouse, rows: &[ErasureRow]) {
    warehouse.insert::<ErasureRow>("erasures", rows).await.unwrap();
}

/// The partition has folded the log up to here; of a build under way, the cut-off.
async fn folded_to(warehouse: &Warehouse, offset: u64, build: Option<(&str, u64)>) {
    let own = ProgressRow {
        site: String::new(),
        funnel: String::new(),
        definition: 0,
        ..progress("log", 0, 1, 0, COMPLETE, offset)
    };
    let building =
        build.map(|(state, cutoff)| ProgressRow { cutoff, ..progress("log", 0, 1, 9, state, offset) });
    let rows: Vec<ProgressRow> = [own].into_iter().chain(building).collect();
    warehouse.insert::<ProgressRow>("progress", &rows).await.unwrap();
}

fn journey(visitor: &str) -> JourneyRow {
    JourneyRow {
        site: "shop".into(),
        funnel: "purchase".into(),
        definition: 7,
        generation: 1,
        log_partition: 0,
        visitor: visitor_hash(visitor),
        state: vec![1],
        version: 4,
    }
}

/// Rows of each table that holds something of visitors.
async fn left(warehouse: &Warehouse) -> [u64; 3] {
    let mut found = [0; 3];
    for (count, table) in found.iter_mut().zip(["events", "rejected_events", "journeys"]) {
        let sql = format!("SELECT count() FROM {table}");
        *count = warehouse.client().query(&sql).fetch_one().await.unwrap();
    }
    found
}

async fn until_left(warehouse: &Warehouse, wanted: [u64; 3]) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while left(warehouse).await != wanted {
        assert!(Instant::now() < deadline, "{:?} rows are left", left(warehouse).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_stored_of_an_erased_visitor_is_deleted_once_nothing_begins_before_that_record() {
    let warehouse = database().await;
    assert_eq!(warehouse.remove_erased().await.unwrap(), Removal::default(), "nobody was erased");
    assert_eq!(warehouse.register_log("log", 1).await.unwrap().epoch, 1);
    insert_events(&warehouse, &[event(ODD, "m1", "view", TS, 1), event("bob", "m2", "view", TS, 2)]).await;
    let rejected = |visitor: &str| RejectedRow {
        id: visitor.into(),
        received_at: TS,
        site: "shop".into(),
        visitor_id: visitor.into(),
        ..RejectedRow::default()
    };
    warehouse.insert_rejected(&[rejected(ODD), rejected("bob")]).await.unwrap();
    warehouse.insert_journeys(&[journey(ODD), journey("bob")]).await.unwrap();
    erase(&warehouse, &[ErasureRow::new("shop", ODD, (1, 5)), ErasureRow::new("blog", "bob", (1, 3))]).await;

    for (offset, build) in [(5, None), (6, Some((BUILDING, 5))), (7, Some((BUILDING, 3)))] {
        folded_to(&warehouse, offset, build).await;
        assert_eq!(warehouse.remove_erased().await.unwrap(), Removal::default(), "{offset}, {build:?}");
    }
    assert_eq!(left(&warehouse).await, [2, 2, 2]);
    folded_to(&warehouse, 8, Some((COMPLETE, 3))).await;
    // A build that was given up for that one says nothing any more, whenever its row was written.
    let given_up = ProgressRow { cutoff: 3, ..progress("log", 0, 1, 8, BUILDING, 9) };
    warehouse.insert::<ProgressRow>("progress", &[given_up]).await.unwrap();
    assert_eq!(warehouse.remove_erased().await.unwrap().visitors, 3, "one of each table");
    until_left(&warehouse, [1, 1, 1]).await;
    assert_eq!(warehouse.remove_erased().await.unwrap(), Removal::default(), "nothing is left of anybody");

    // A writer that was away brings some of it again, and another log is in use.
    insert_events(&warehouse, &[event(ODD, "m1", "view", TS, 1)]).await;
    assert_eq!(warehouse.register_log("log 2", 1).await.unwrap().epoch, 2);
    log(&warehouse, "log 2", 1).await;
    assert_eq!(warehouse.remove_erased().await.unwrap().visitors, 1);
    until_left(&warehouse, [1, 1, 1]).await;
}

#[tokio::test]
async fn a_build_that_never_ends_holds_up_deleting_for_a_day() {
    let warehouse = database().await;
    warehouse.register_log("log", 1).await.unwrap();
    insert_events(&warehouse, &[event("ann", "m1", "view", TS, 1)]).await;
    folded_to(&warehouse, 8, Some((BUILDING, 3))).await;
    let row = "INSERT INTO erasures (site, visitor_id, log_epoch, log_offset, erased_at) SELECT 'shop', 'ann', 1, 5, fromUnixTimestamp64Milli(toInt64(?), 'UTC')";
    let now: i64 =
        warehouse.client().query("SELECT toUnixTimestamp64Milli(now64(3))").fetch_one().await.unwrap();
    let erased_at = async |ms: i64| warehouse.client().query(row).bind(ms).execute().await.unwrap();
    erased_at(now - 3_600_000).await;
    assert_eq!(warehouse.remove_erased().await.unwrap(), Removal::default());
    warehouse.client().query_raw("TRUNCATE TABLE erasures").execute().await.unwrap();
    erased_at(now - 25 * 3_600_000).await;
    assert_eq!(warehouse.remove_erased().await.unwrap().visitors, 1);
}

#[tokio::test]
async fn a_table_that_is_being_changed_is_left_to_the_next_round() {
    let warehouse = database().await;
    warehouse.register_log("log", 1).await.unwrap();
    folded_to(&warehouse, 8, None).await;
    insert_events(&warehouse, &[event("ann", "m1", "view", TS, 1)]).await;
    warehouse.insert_journeys(&[journey("ann")]).await.unwrap();
    erase(&warehouse, &[ErasureRow::new("shop", "ann", (1, 5))]).await;
    // Takes two seconds, at least.
    let slow =
        "ALTER TABLE events UPDATE content = 'x' WHERE sleepEachRow(2) = 0 SETTINGS mutations_sync = 0";
    warehouse.client().query_raw(slow).execute().await.unwrap();
    let removal = warehouse.remove_erased().await.unwrap();
    assert_eq!(removal, Removal { visitors: 1, is_partial: true, failing: None }, "the journey goes");
    until_left(&warehouse, [1, 0, 0]).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while left(&warehouse).await[0] > 0 {
        assert!(Instant::now() < deadline);
        warehouse.remove_erased().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_partition_reads_its_own_erased_visitors_the_latest_first() {
    let warehouse = database().await;
    let names = ["ann", "bob", "cy", "dan", "eve", "flo"];
    let rows = names.iter().zip(0..).map(|(name, offset)| ErasureRow::new("shop", name, (1, offset)));
    let rows: Vec<_> = rows.chain([ErasureRow::new("shop", ODD, (2, 0))]).collect();
    erase(&warehouse, &rows).await;
    let mut all = Vec::new();
    for partition in 0..2 {
        let mut own = Vec::new();
        warehouse.erasures((partition, 2), 100, &mut |row| own.push(row)).await.unwrap();
        assert!(own.iter().all(|row| event_log::partition_of(&row.site, &row.visitor_id, 2) == partition));
        assert!(own.is_sorted_by_key(|row| std::cmp::Reverse((row.log_epoch, row.log_offset))));
        let mut latest = Vec::new();
        warehouse.erasures((partition, 2), 1, &mut |row| latest.push(row)).await.unwrap();
        assert_eq!(latest.first(), own.first());
        all.extend(own);
    }
    all.sort_by_key(|row| (row.log_epoch, row.log_offset));
    assert_eq!(all, rows);
}

#[tokio::test]
async fn a_build_leaves_out_whom_the_log_had_erased_by_then_and_everybody_else_all_of_them() {
    let warehouse = database().await;
    insert_events(&warehouse, &[event("ann", "m1", "view", TS, 1), event("bob", "m2", "view", TS, 2)]).await;
    erase(&warehouse, &[ErasureRow::new("shop", "ann", (2, 5))]).await;
    let count = async |before| {
        let wanted = RawQuery { site: "shop".into(), before, ..RawQuery::default() };
        warehouse.count_raw_events(&wanted).await.unwrap()
    };
    assert_eq!(count(Some((2, 5))).await, 2, "the log erases ann where the build has not been yet");
    assert_eq!([count(Some((2, 6))).await, count(Some((3, 0))).await, count(None).await], [1, 1, 1]);
}

#[tokio::test]
async fn an_erased_visitor_leaves_no_trace_but_when() {
    let warehouse = database().await;
    insert_events(&warehouse, &[event("ann", "m1", "view", TS, 1)]).await;
    let rejected = RejectedRow {
        id: "r".into(),
        received_at: TS,
        site: "shop".into(),
        visitor_id: "ann".into(),
        ..RejectedRow::default()
    };
    warehouse.insert_rejected(&[rejected]).await.unwrap();
    let of_ann = Wanted { site: "shop".into(), message_id: None, visitor: Some("ann".into()) };
    let by_message = Wanted { message_id: Some("m1".into()), visitor: None, ..of_ann.clone() };
    let found = async || {
        let names = warehouse.event_names("shop", 0).await.unwrap().len();
        let newest = warehouse.newest_rejections("shop", 10).await.unwrap().len();
        let rejected = warehouse.trace_rejected(&of_ann).await.unwrap().len();
        let stored = warehouse.trace_stored(&by_message).await.unwrap().len();
        [names, newest, rejected, stored, warehouse.trace_stored(&of_ann).await.unwrap().len()]
    };
    assert_eq!(found().await, [1; 5]);
    assert_eq!(warehouse.erased_at("shop", "ann").await.unwrap(), None);
    erase(&warehouse, &[ErasureRow::new("shop", "ann", (1, 5))]).await;
    assert_eq!(found().await, [0; 5]);
    assert!(warehouse.erased_at("shop", "ann").await.unwrap().is_some_and(|ms| ms > TS));
    assert_eq!(warehouse.erased_at("blog", "ann").await.unwrap(), None);
}

#[tokio::test]
async fn it_is_known_of_whom_something_is_stored_and_whether_anybody_was_erased() {
    let warehouse = database().await;
    insert_events(&warehouse, &[event(ODD, "m1", "view", TS, 4), event("bob", "m2", "view", TS, 5)]).await;
    let stored = async |site: &str, visitors: &[&str]| {
        let visitors: Vec<String> = visitors.iter().map(|visitor| (*visitor).to_owned()).collect();
        let mut found: Vec<String> =
            warehouse.stored_visitors(site, &visitors).await.unwrap().into_iter().collect();
        found.sort();
        found
    };
    assert_eq!(stored("shop", &[ODD, "anne", "bob"]).await, ["bob", ODD]);
    assert!(stored("blog", &["bob"]).await.is_empty() && stored("shop", &[]).await.is_empty());
    // More than a statement names.
    let long: Vec<String> = (0..1_000).map(|number| format!("{number:0>256}")).collect();
    let many: Vec<&str> = long.iter().map(String::as_str).chain(["bob"]).collect();
    assert_eq!(stored("shop", &many).await, ["bob"]);
}

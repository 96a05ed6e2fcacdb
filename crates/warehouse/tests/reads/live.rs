//! The numbers now and at a minute's end: which generation answers, and when there are none.

use warehouse::live::LiveAt;
use warehouse::rows::{BUILDING, COMPLETE, DROPPED, RollingRow, open_version};

use crate::database::*;

#[tokio::test]
async fn before_anything_is_written_there_are_no_numbers() {
    let warehouse = database().await;
    let live = warehouse.live(&key(), "7d", None).await.unwrap();
    assert!(live.numbers.is_none() && live.building.is_some(), "{live:?}");
    assert_eq!(warehouse.live_at(&key(), "7d", None, 1_700_000_040_000).await.unwrap(), LiveAt::Incomplete);
}

#[tokio::test]
async fn open_rows_of_all_partitions_add_up_and_stale_ones_are_left_out() {
    let warehouse = database().await;
    log(&warehouse, "log", 2).await;
    generation(&warehouse, 3, COMPLETE, 2, 10).await;
    insert(&warehouse, "funnel_open", &[rolling(0, 3, "", [5, 1], 10), rolling(0, 3, "ads", [2, 0], 10)])
        .await;
    insert(&warehouse, "funnel_open", &[rolling(0, 3, "", [6, 2], 11), rolling(0, 3, "email", [6, 2], 11)])
        .await;
    insert(&warehouse, "funnel_open", &[rolling(1, 3, "", [30, 4], 4), rolling(1, 3, "email", [9, 1], 4)])
        .await;

    let live = warehouse.live(&key(), "7d", Some("channel")).await.unwrap();
    assert_eq!(live.building, None);
    let numbers = live.numbers.unwrap();
    assert_eq!(numbers.steps, ["view", "buy"]);
    assert_eq!(numbers.total.visitors, [36, 6]);
    assert_eq!(numbers.total.committed, [0, 8]);
    assert_eq!(numbers.total.skipped, [4, 0]);
    assert_eq!(numbers.total.open, [6, 2]);
    assert_eq!(numbers.total.cells(&numbers.total.seconds, 1, 0)[6], 6, "sparse cells of the window");
    assert_eq!(numbers.total.seconds.iter().sum::<u32>(), 6, "and of no other");
    assert_eq!(numbers.total.effort.iter().sum::<u32>(), 8);
    assert_eq!((numbers.minute_end_ms, numbers.as_of_ms), (1_700_000_040_000, 1_700_000_012_345));
    let values: Vec<_> =
        numbers.values.iter().map(|(value, counts)| (value.as_str(), counts.visitors.clone())).collect();
    assert_eq!(values, [("email", vec![15, 3])], "ads was not written again: it counts nothing now");

    let without = warehouse.live(&key(), "7d", None).await.unwrap().numbers.unwrap();
    assert!(without.values.is_empty());
}

#[tokio::test]
async fn while_a_partition_is_idle_a_value_that_counts_nothing_any_more_is_left_out() {
    let warehouse = database().await;
    log(&warehouse, "log", 1).await;
    generation(&warehouse, 3, COMPLETE, 1, 10).await;
    let version = open_version(10);
    let later = |row: RollingRow| RollingRow { as_of: row.as_of + 60_000, ..row };
    let ads = rolling(0, 3, "ads", [2, 0], version);
    insert(&warehouse, "funnel_open", &[rolling(0, 3, "", [5, 1], version), ads]).await;
    insert(&warehouse, "funnel_open", &[later(rolling(0, 3, "", [3, 1], version))]).await;

    let numbers = warehouse.live(&key(), "7d", Some("channel")).await.unwrap().numbers.unwrap();
    assert_eq!((numbers.total.visitors, numbers.values.len()), (vec![3, 1], 0));
}

#[tokio::test]
async fn readers_switch_when_the_last_partition_completed_the_newer_generation_and_wrote_its_minute() {
    let warehouse = database().await;
    log(&warehouse, "log", 2).await;
    generation(&warehouse, 3, COMPLETE, 2, 10).await;
    insert(&warehouse, "funnel_open", &[rolling(0, 3, "", [5, 1], 10), rolling(1, 3, "", [5, 1], 10)]).await;
    generation(&warehouse, 8, BUILDING, 2, 1).await;
    generation(&warehouse, 8, COMPLETE, 1, 2).await;

    let live = warehouse.live(&key(), "7d", None).await.unwrap();
    assert_eq!(live.building, Some(0.75), "one partition is done, the other half way");
    assert_eq!(live.numbers.unwrap().total.visitors, [10, 2], "the old numbers");

    generation(&warehouse, 8, COMPLETE, 2, 3).await;
    insert(&warehouse, "funnel_open", &[rolling(0, 8, "", [7, 7], 20)]).await;
    let live = eventually(&warehouse, |live| live.building == Some(0.5)).await;
    assert_eq!(live.numbers.unwrap().total.visitors, [10, 2], "one partition has not written its minute");

    insert(&warehouse, "funnel_open", &[rolling(1, 8, "", [1, 1], 9)]).await;
    let live = eventually(&warehouse, |live| live.building.is_none()).await;
    assert_eq!(live.numbers.unwrap().total.visitors, [8, 8]);

    generation(&warehouse, 8, DROPPED, 2, 4).await;
    let live = eventually(&warehouse, |live| {
        live.numbers.as_ref().is_some_and(|numbers| numbers.total.visitors == [10, 2])
    })
    .await;
    assert_eq!(live.building, None, "a dropped generation is not being built");
}

#[tokio::test]
async fn another_log_starts_without_numbers_rather_than_with_those_of_the_old_one() {
    let warehouse = database().await;
    log(&warehouse, "log", 2).await;
    generation(&warehouse, 3, COMPLETE, 2, 10).await;
    insert(&warehouse, "funnel_open", &[rolling(0, 3, "", [5, 1], 10), rolling(1, 3, "", [5, 1], 10)]).await;
    log(&warehouse, "another log", 4).await;
    let live = warehouse.live(&key(), "7d", None).await.unwrap();
    assert!(live.numbers.is_none(), "{live:?}");
}

#[tokio::test]
async fn a_minutes_end_is_answered_when_every_partition_has_it_and_the_latest_version_counts() {
    let warehouse = database().await;
    log(&warehouse, "log", 2).await;
    generation(&warehouse, 3, COMPLETE, 2, 10).await;
    let at = |partition, visitors, version| {
        let mut row = rolling(partition, 3, "", visitors, version);
        row.minute = 1_700_000_040;
        row
    };
    let asked = 1_700_000_040_000;
    let answer = async || warehouse.live_at(&key(), "7d", None, asked).await.unwrap();
    assert_eq!(answer().await, LiveAt::Outside);
    insert(&warehouse, "funnel_rolling", &[at(0, [5, 1], 7)]).await;
    assert_eq!(answer().await, LiveAt::Incomplete);
    insert(&warehouse, "funnel_rolling", &[at(1, [9, 2], 8)]).await;
    insert(&warehouse, "funnel_rolling", &[at(1, [8, 2], 6)]).await;
    insert(&warehouse, "funnel_rolling", &[rolling(0, 3, "email", [2, 1], 7)]).await;
    let LiveAt::Complete(numbers) = answer().await else { panic!("complete") };
    assert_eq!(numbers.total.visitors, [14, 3]);
    assert_eq!(numbers.minute_end_ms, asked);
    let LiveAt::Complete(numbers) = warehouse.live_at(&key(), "7d", Some("channel"), asked).await.unwrap()
    else {
        panic!("complete")
    };
    assert_eq!(numbers.values.len(), 1, "a partition without the value counts nothing for it");
}

/// Asks until the cached generations are old enough.
async fn eventually(
    warehouse: &warehouse::Warehouse,
    holds: impl Fn(&warehouse::live::Live) -> bool,
) -> warehouse::live::Live {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let live = warehouse.live(&key(), "7d", None).await.unwrap();
        if holds(&live) {
            return live;
        }
        assert!(std::time::Instant::now() < deadline, "still {live:?}");
        tokio::task::yield_now().await;
    }
}

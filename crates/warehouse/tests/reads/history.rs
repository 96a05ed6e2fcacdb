//! The minute history, read at regular points.

use warehouse::history::Grid;
use warehouse::rows::COMPLETE;

use crate::database::*;

#[tokio::test]
async fn points_add_up_partitions_take_the_latest_version_and_show_gaps() {
    let warehouse = database().await;
    log(&warehouse, "log", 2).await;
    generation(&warehouse, 3, COMPLETE, 2, 10).await;
    let at = |minute: u32, partition, visitors, version| {
        let mut row = rolling(partition, 3, "", visitors, version);
        row.minute = minute;
        row
    };
    let hour = 1_700_002_800;
    assert_eq!(hour % 3_600, 0);
    let rows = [
        at(hour, 0, [5, 1], 1),
        at(hour, 1, [6, 2], 1),
        at(hour + 3_600, 0, [7, 2], 1),
        at(hour + 1_800, 0, [70, 20], 1),
        at(hour + 1_800, 1, [70, 20], 1),
    ];
    insert(&warehouse, "funnel_rolling", &rows).await;
    insert(&warehouse, "funnel_rolling", &[at(hour, 0, [8, 3], 2)]).await;

    let from = i64::from(hour) * 1_000;
    let grid = Grid::between(from, from + 7_200_000, 3);
    let points = warehouse.history(&key(), "7d", grid).await.unwrap();
    let visitors: Vec<_> = points.iter().map(|point| point.visitors.clone()).collect();
    assert_eq!(visitors, [Some(vec![14, 5]), None, None], "one partition of the second hour is missing");
    assert_eq!(points[0].at_ms, from);

    let other = warehouse.history(&key(), "28d", grid).await.unwrap();
    assert!(other.iter().all(|point| point.visitors.is_none()), "a window that no row has");
}

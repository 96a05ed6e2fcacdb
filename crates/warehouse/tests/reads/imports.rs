//! Whether the numbers that answers are read from count an import.

use event_log::partition_of;
use warehouse::Warehouse;
use warehouse::imports::ImportedRows;
use warehouse::rows::{BUILDING, COMPLETE, EventRow, ProgressRow, event_version};

use crate::database::*;

const TS: i64 = 1_700_000_000_000;

async fn build(warehouse: &Warehouse, partition: u32, generation: u64, cutoff: u64, state: &str) {
    let row = ProgressRow { cutoff, ..progress("second", partition, 2, generation, state, cutoff) };
    warehouse.insert::<ProgressRow>("progress", &[row]).await.unwrap();
}

#[tokio::test]
async fn a_generation_counts_an_import_if_it_was_built_as_of_a_place_after_its_rows() {
    let warehouse = database().await;
    assert_eq!(warehouse.log_epoch("first", 2).await.unwrap(), 1);
    assert_eq!(warehouse.log_epoch("second", 2).await.unwrap(), 2);
    log(&warehouse, "second", 2).await;
    let mut visitors = (0..).map(|number| format!("visitor-{number}"));
    let [zero, one] =
        [0, 1].map(|wanted| visitors.find(|visitor| partition_of("shop", visitor, 2) == wanted).unwrap());
    let imported = |visitor, message, epoch, offset| EventRow {
        import_id: "i1",
        log_epoch: epoch,
        version: event_version(epoch, offset),
        // Received by a collector whose clock is a year ahead.
        received_at: TS + 365 * 86_400_000,
        ..event(visitor, message, "view", TS, offset)
    };
    let rows = [
        imported(&zero, "a", 2, 7),
        imported(&zero, "b", 2, 5),
        imported(&one, "c", 1, 900),
        // Was there before: no row of the import, however late it comes.
        event(&one, "d", "view", TS, 3),
        imported(&one, "d", 2, 5_000),
    ];
    insert_events(&warehouse, &rows).await;
    let rows = warehouse.imported_rows("shop", "i1").await.unwrap();
    let in_partition = |log_partition, rows, last| ImportedRows { log_partition, rows, last };
    assert_eq!(rows, [in_partition(0, 2, (2, 7)), in_partition(1, 1, (1, 900))]);

    let counts = async |generation| {
        let cutoffs = warehouse.cutoffs(&key(), generation).await.unwrap();
        cutoffs.are_after(&rows)
    };
    build(&warehouse, 0, 5, 7, COMPLETE).await;
    build(&warehouse, 1, 5, 4, COMPLETE).await;
    assert!(!counts(5).await, "it ends at the import's last row");
    build(&warehouse, 1, 6, 4, COMPLETE).await;
    assert!(!counts(6).await, "partition 0 has not begun it");
    build(&warehouse, 0, 6, 8, COMPLETE).await;
    assert!(counts(6).await);
    build(&warehouse, 0, 6, 9, BUILDING).await;
    assert!(!counts(6).await, "the number is built anew");
    assert!(!counts(7).await, "there is none");
}

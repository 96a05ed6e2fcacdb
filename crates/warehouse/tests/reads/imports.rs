//! Whether the numbers that answers are read from count an import.

use event_log::partition_of;
use warehouse::Warehouse;
use warehouse::imports::{ImportedRows, ReadImport};
use warehouse::rows::{BUILDING, COMPLETE, EventRow, IMPORT, ProgressRow, event_version, import_key};

use crate::database::*;

const TS: i64 = 1_700_000_000_000;

async fn build(warehouse: &Warehouse, partition: u32, generation: u64, cutoff: u64, state: &str) {
    let row = ProgressRow { cutoff, ..progress("second", partition, 2, generation, state, cutoff) };
    warehouse.insert::<ProgressRow>("progress", &[row]).await.unwrap();
}

#[tokio::test]
async fn a_generation_counts_an_import_if_it_was_built_as_of_a_place_after_its_rows() {
    let warehouse = database().await;
    assert_eq!(warehouse.register_log("first", 2).await.unwrap().epoch, 1);
    assert_eq!(warehouse.register_log("second", 2).await.unwrap().epoch, 2);
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

#[tokio::test]
async fn an_import_is_read_when_every_partition_of_the_log_has_noted_its_end() {
    let warehouse = database().await;
    log(&warehouse, "log", 2).await;
    let note = async |partition: u32, next_offset: u64, accepted_rows: &str| {
        let row = ProgressRow {
            funnel: import_key("i1"),
            kind: IMPORT.into(),
            next_offset,
            values: vec![accepted_rows.into()],
            ..progress("log", partition, 2, 0, COMPLETE, next_offset)
        };
        warehouse.insert::<ProgressRow>("progress", &[row]).await.unwrap();
    };
    let read = async || warehouse.read_import("shop", "i1").await.unwrap();
    assert_eq!(read().await, None);
    note(0, 7, "40").await;
    assert_eq!(read().await, None, "partition 1 may have rows yet");
    note(1, 3, "40").await;
    let places = |places| ReadImport { accepted_rows: 40, places: std::collections::HashMap::from(places) };
    assert_eq!(read().await, Some(places([(0, 7), (1, 3)])));
    // It is completed once more, as when an answer was lost.
    note(0, 9, "40").await;
    assert_eq!(read().await, Some(places([(0, 9), (1, 3)])));
    assert_eq!(warehouse.read_import("blog", "i1").await.unwrap(), None);
    assert_eq!(warehouse.read_import("shop", "i2").await.unwrap(), None);
}

//! Which number a log gets, from which generation it counts, and which log readers take.

use warehouse::links::LinkSet;
use warehouse::logs::KnownLog;
use warehouse::migrate;
use warehouse::migrate::SCHEMA;
use warehouse::rows::{COMPLETE, JourneyRow, ProgressRow};

use crate::database::*;

const FAR_MS: u64 = 4_000_000_000_000;

async fn logs(warehouse: &Database) -> Vec<(String, u32, u64)> {
    let sql = "SELECT log_id, epoch, generation_floor FROM logs ORDER BY epoch, log_id";
    warehouse.client().query(sql).fetch_all().await.unwrap()
}

async fn generations(warehouse: &Database, table: &str) -> Vec<u64> {
    let sql = format!("SELECT DISTINCT generation FROM {table} WHERE generation > 0 ORDER BY generation");
    warehouse.client().query(&sql).fetch_all().await.unwrap()
}

#[tokio::test]
async fn every_log_but_the_first_begins_above_all_generations_that_were_used_and_does_so_for_ever() {
    let warehouse = database().await;
    let first = warehouse.register_log("a", 2).await.unwrap();
    assert_eq!(first, KnownLog { epoch: 1, generation_floor: 0 });
    generation(&warehouse, 3, COMPLETE, 2, 10).await;

    let second = warehouse.register_log("b", 4).await.unwrap();
    let now_ms: i64 =
        warehouse.client().query("SELECT toUnixTimestamp64Milli(now64(3))").fetch_one().await.unwrap();
    assert!(
        second.epoch == 2 && second.generation_floor.abs_diff(now_ms.unsigned_abs()) < 60_000,
        "{second:?}"
    );

    // A clock that once stood in the future.
    generation(&warehouse, FAR_MS, COMPLETE, 2, 10).await;
    let third = warehouse.register_log("c", 1).await.unwrap();
    assert_eq!(third, KnownLog { epoch: 3, generation_floor: FAR_MS + 1 });
    let set = LinkSet { site: "shop".into(), number: FAR_MS + 70, log_epoch: 3, ..LinkSet::default() };
    warehouse.insert::<LinkSet>("link_sets", &[set]).await.unwrap();
    assert_eq!(warehouse.register_log("d", 1).await.unwrap().generation_floor, FAR_MS + 71);
    // One that has begun nothing yet.
    assert_eq!(warehouse.register_log("e", 1).await.unwrap().generation_floor, FAR_MS + 72);

    let again = ["a", "b", "c"].map(|log| warehouse.register_log(log, 1));
    let again = futures_util::future::join_all(again).await;
    let again: Vec<KnownLog> = again.into_iter().map(Result::unwrap).collect();
    assert_eq!(again, [first, second, third]);
}

#[tokio::test]
async fn whoever_meets_a_new_log_at_the_same_moment_is_told_the_same() {
    let warehouse = database().await;
    warehouse.register_log("first", 1).await.unwrap();
    for round in 0..5 {
        let (one, other) = (format!("one {round}"), format!("other {round}"));
        let asked = (0..12).map(|at| warehouse.register_log(if at % 2 == 0 { &one } else { &other }, 1));
        let told = futures_util::future::join_all(asked).await;
        let told: Vec<KnownLog> = told.into_iter().map(Result::unwrap).collect();
        for at in 2..told.len() {
            assert_eq!(told[at], told[at - 2], "{told:?}");
        }
        let (one, other) = (told[0], told[1]);
        assert!(one.epoch != other.epoch && one.generation_floor != other.generation_floor, "{told:?}");
        assert_eq!(one.epoch > other.epoch, one.generation_floor > other.generation_floor, "{told:?}");
    }
    assert_eq!(logs(&warehouse).await.len(), 11, "each is stored once");
}

#[tokio::test]
async fn a_number_whose_row_was_deleted_is_not_given_to_another_log() {
    let warehouse = database().await;
    warehouse.register_log("a", 1).await.unwrap();
    let second = warehouse.register_log("b", 1).await.unwrap();
    warehouse.client().query_raw("DELETE FROM logs WHERE log_id = 'b'").execute().await.unwrap();
    let third = warehouse.register_log("c", 1).await.unwrap();
    assert!(third.epoch == 3 && third.generation_floor > second.generation_floor, "{third:?}");
}

#[tokio::test]
async fn logs_of_a_database_of_version_5_keep_what_they_had_and_its_programs_go_on_registering() {
    let warehouse = database().await;
    let back = [
        "DELETE FROM schema_version WHERE 1",
        "INSERT INTO schema_version (version, oldest_compatible) VALUES (5, 1)",
        "ALTER TABLE logs DROP COLUMN generation_floor",
        "ALTER TABLE logs MODIFY SETTING non_replicated_deduplication_window = 0",
        "INSERT INTO logs (log_id, epoch, partitions) VALUES ('a', 1, 1), ('b', 2, 4)",
    ];
    for statement in back {
        warehouse.client().query_raw(statement).execute().await.unwrap();
    }
    assert_eq!(migrate(&warehouse, &retention()).await.unwrap(), SCHEMA);
    assert_eq!(warehouse.register_log("b", 4).await.unwrap(), KnownLog { epoch: 2, generation_floor: 0 });
    let of_version_5 = "INSERT INTO logs (log_id, epoch, partitions) VALUES ('c', 3, 1)";
    warehouse.client().query_raw(of_version_5).execute().await.unwrap();
    assert_eq!(warehouse.register_log("c", 1).await.unwrap(), KnownLog { epoch: 3, generation_floor: 0 });
    let next = warehouse.register_log("d", 1).await.unwrap();
    assert!(next.epoch == 4 && next.generation_floor > 0, "{next:?}");
    assert_eq!(logs(&warehouse).await.len(), 4);
}

/// The row of a log's first partition, written so many minutes ago.
async fn fed(warehouse: &Database, log_id: &str, partitions: u32, minutes_ago: u32) {
    let sql = "INSERT INTO progress (log_id, log_partition, log_partitions, kind, next_offset, version, written_at) \
               SELECT ?, 0, ?, 'progress', 1, 1, now64(3) - toIntervalMinute(?)";
    let query = warehouse.client().query(sql).bind(log_id).bind(partitions).bind(minutes_ago);
    query.execute().await.unwrap();
}

async fn in_use(warehouse: &Database) -> u32 {
    warehouse.reached().await.unwrap()[0].log_partitions
}

#[tokio::test]
async fn of_two_logs_that_are_fed_side_by_side_readers_stay_with_the_later_one() {
    let warehouse = database().await;
    warehouse.register_log("old", 1).await.unwrap();
    warehouse.register_log("new", 2).await.unwrap();
    fed(&warehouse, "old", 1, 9).await;
    assert_eq!(in_use(&warehouse).await, 1, "the other one was never fed");
    fed(&warehouse, "new", 2, 8).await;
    for minutes_ago in [7, 3, 0] {
        fed(&warehouse, "old", 1, minutes_ago).await;
        assert_eq!(in_use(&warehouse).await, 2);
    }
}

#[tokio::test]
async fn a_log_that_is_not_fed_any_more_is_left_after_ten_minutes_whatever_its_number() {
    let warehouse = database().await;
    warehouse.register_log("ours", 1).await.unwrap();
    warehouse.register_log("by mistake", 2).await.unwrap();
    fed(&warehouse, "by mistake", 2, 12).await;
    fed(&warehouse, "ours", 1, 11).await;
    assert_eq!(in_use(&warehouse).await, 2);
    fed(&warehouse, "ours", 1, 0).await;
    assert_eq!(in_use(&warehouse).await, 1);
    // Both stand still: nothing changes with time.
    let later = database().await;
    later.register_log("ours", 1).await.unwrap();
    fed(&later, "ours", 1, 600).await;
    assert_eq!(in_use(&later).await, 1);
}

#[tokio::test]
async fn what_an_earlier_log_has_left_goes_once_the_later_one_has_its_numbers() {
    let warehouse = database().await;
    warehouse.register_log("log", 4).await.unwrap();
    log(&warehouse, "log", 4).await;
    let rows = |log_id: &str, partitions: u32, number: u64, version: u64| -> Vec<ProgressRow> {
        let row = |partition| progress(log_id, partition, partitions, number, COMPLETE, version);
        (0..partitions).map(row).collect()
    };
    for number in [3, 5] {
        warehouse.insert::<ProgressRow>("progress", &rows("log", 4, number, 50_000)).await.unwrap();
        for partition in 0..4 {
            let row = rolling(partition, number, "", [5, 1], 50_000);
            insert(&warehouse, "funnel_rolling", std::slice::from_ref(&row)).await;
            insert(&warehouse, "funnel_open", &[row]).await;
            let journey = JourneyRow {
                site: "shop".into(),
                funnel: "purchase".into(),
                definition: 7,
                generation: number,
                log_partition: partition,
                visitor: u128::from(partition),
                state: vec![1],
                version: 50_000,
            };
            warehouse.insert_journeys(&[journey]).await.unwrap();
        }
    }
    let floor = warehouse.register_log("log of two partitions", 2).await.unwrap().generation_floor;
    log(&warehouse, "log of two partitions", 2).await;
    assert_eq!(warehouse.remove_superseded().await.unwrap(), 0, "nothing has replaced them");
    warehouse.insert::<ProgressRow>("progress", &rows("log of two partitions", 2, floor, 2)).await.unwrap();
    insert(&warehouse, "funnel_rolling", &[rolling(0, floor, "", [5, 1], 2)]).await;
    assert_eq!(warehouse.remove_superseded().await.unwrap(), 2);
    assert_eq!(generations(&warehouse, "progress").await, [floor]);
    assert_eq!(generations(&warehouse, "funnel_rolling").await, [floor]);
    for table in ["journeys", "funnel_open"] {
        assert_eq!(generations(&warehouse, table).await, [0; 0], "{table}");
    }
}

#[tokio::test]
async fn the_view_is_of_the_log_in_use_however_large_another_ones_generations_are() {
    let warehouse = database().await;
    warehouse.register_log("log", 2).await.unwrap();
    log(&warehouse, "log", 2).await;
    generation(&warehouse, 9, COMPLETE, 2, 10).await;
    let at = |partition, number, visitors| {
        let mut row = rolling(partition, number, "", visitors, 10);
        row.minute = 600;
        row
    };
    let sql = "SELECT visitors FROM funnel_conversion WHERE window = '7d' ORDER BY position";
    let view = async || warehouse.client().query(sql).fetch_all::<u64>().await.unwrap();
    insert(&warehouse, "funnel_rolling", &[at(0, 9, [50, 40]), at(1, 9, [9, 2])]).await;
    assert_eq!(view().await, [59, 42]);

    // A log of one partition that a release before registered: with generations below.
    let of_version_5 = "INSERT INTO logs (log_id, epoch, partitions) VALUES ('another', 2, 1)";
    warehouse.client().query_raw(of_version_5).execute().await.unwrap();
    log(&warehouse, "another", 1).await;
    assert_eq!(view().await, [0; 0], "it has no numbers yet");
    let row = progress("another", 0, 1, 3, COMPLETE, 2);
    warehouse.insert::<ProgressRow>("progress", &[row]).await.unwrap();
    insert(&warehouse, "funnel_rolling", &[at(0, 3, [5, 1]), at(1, 3, [70, 70])]).await;
    assert_eq!(view().await, [5, 1], "nor does a partition count that the log does not have");
}

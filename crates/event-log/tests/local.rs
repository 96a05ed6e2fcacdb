//! What the local log alone promises: one holder of the folder, identity, retention, bounds, and an orderly close.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::path::Path;
use std::sync::Arc;

use event_log::local::{LocalLog, LocalLogMetrics, LocalLogSettings, OpenError, holder_of};
use event_log::{ManualClock, Message, PlanRecord, PlanTopic, PublishError, Publisher, ReadError, Source};
use runtime::Metrics;
use support::{message, publish, until, values, wait};

fn settings(dir: &Path) -> LocalLogSettings {
    LocalLogSettings::new(dir, 2)
}

fn open(settings: LocalLogSettings) -> LocalLog {
    LocalLog::open(settings, Arc::new(ManualClock::at(1))).unwrap()
}

fn text_of(length: usize) -> String {
    "x".repeat(length)
}

#[test]
fn a_second_holder_of_the_folder_is_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(holder_of(dir.path()), None);
    let log = open(settings(dir.path()));
    assert_eq!(holder_of(dir.path()), Some(std::process::id().to_string()));
    let refused = LocalLog::open(settings(dir.path()), Arc::new(ManualClock::at(1)));
    let message = refused.err().unwrap().to_string();
    let expected = format!("in use by process {}", std::process::id());
    assert!(message.contains(&expected) && message.contains(dir.path().to_str().unwrap()), "{message}");
    drop(log);
    assert_eq!(holder_of(dir.path()), None);
    open(settings(dir.path()));
}

#[test]
fn the_identity_and_the_plans_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(settings(dir.path()));
    let id = log.id();
    log.append(PlanRecord { number: 4, applied_at_ms: 9, text: "four".to_owned() }).unwrap();
    drop(log);
    let log = open(settings(dir.path()));
    assert_eq!(log.id(), id);
    assert_eq!(log.latest().borrow().as_ref().unwrap().text, "four");
    assert_ne!(open(settings(tempfile::tempdir().unwrap().path())).id(), id);
}

#[test]
fn the_partition_count_changes_only_when_everything_was_released() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(settings(dir.path()));
    let id = log.id();
    log.append(PlanRecord { number: 1, applied_at_ms: 0, text: "kept".to_owned() }).unwrap();
    publish(&log, vec![message(0, "a"), message(1, "b"), message(1, "c")]).unwrap();
    log.release(0, 1);
    log.close();
    drop(log);

    let four = || LocalLogSettings { partitions: 4, ..settings(dir.path()) };
    let refused = LocalLog::open(four(), Arc::new(ManualClock::at(1))).err().unwrap();
    assert!(
        matches!(refused, OpenError::Partitions { stored: 2, wanted: 4, unreleased: 2, .. }),
        "{refused}"
    );

    let log = open(settings(dir.path()));
    assert_eq!(values(&log.read(1, 0, 100).unwrap()), ["b", "c"], "the refusal changed nothing");
    log.release(1, 2);
    drop(log);
    let log = open(four());
    assert_ne!(log.id(), id);
    assert_eq!((log.first(1), *log.end(1).borrow(), *log.end(3).borrow()), (0, 0, 0));
    publish(&log, vec![message(3, "new")]).unwrap();
    assert_eq!(log.history().unwrap()[0].text, "kept");
    drop(log);
    assert_eq!(values(&open(four()).read(3, 0, 100).unwrap()), ["new"]);
}

#[test]
fn released_records_stay_for_the_retention_time_and_then_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(1));
    let small = LocalLogSettings { segment_bytes: 1, retention_ms: 60_000, ..settings(dir.path()) };
    let log = LocalLog::open(small.clone(), clock.clone()).unwrap();
    for index in 0..10 {
        publish(&log, vec![message(0, &format!("m{index}"))]).unwrap();
    }
    log.release(0, 7);
    until("the release is seen", || log.unreleased_bytes() < 200);
    assert_eq!(log.read(0, 0, 1000).unwrap().len(), 10, "retention keeps them");

    clock.set(60_001);
    until("the released ones are gone", || log.first(0) == 7);
    let gone = log.read(0, 6, 100).unwrap_err();
    assert!(matches!(gone, ReadError::Gone { partition: 0, wanted: 6, first: 7 }), "{gone}");
    drop(log);
    let log = LocalLog::open(small, clock).unwrap();
    assert_eq!(log.first(0), 7, "what is gone stays gone");
    assert_eq!(values(&log.read(0, 7, 1000).unwrap()), ["m7", "m8", "m9"]);
}

#[test]
fn too_many_released_bytes_go_before_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(LocalLogSettings { segment_bytes: 1_000, retention_bytes: 5_000, ..settings(dir.path()) });
    for _ in 0..20 {
        publish(&log, vec![message(1, &text_of(1_000))]).unwrap();
    }
    assert_eq!(log.first(1), 0, "what was not released stays whatever the size");
    log.release(1, 20);
    until("about 5 are left", || (14..=16).contains(&log.first(1)));
    assert_eq!(log.read(1, log.first(1), 1 << 20).unwrap().len() as u64, 20 - log.first(1));
}

#[test]
fn a_stuck_reader_of_one_partition_bounds_the_disk_although_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let small = LocalLogSettings { max_bytes: 20_000, segment_bytes: 1_000, ..settings(dir.path()) };
    let log = open(small);
    publish(&log, vec![message(0, "stuck")]).unwrap();
    let full = (1..200).find_map(|offset| {
        let refused = publish(&log, vec![message(1, &text_of(1_000))]).err();
        log.release(1, offset);
        refused
    });
    assert!(matches!(full, Some(PublishError::Full { limit: "[log] max_size" })), "{full:?}");
    log.release(0, 1);
    until("there is room again", || publish(&log, vec![message(1, "on")]).is_ok());
}

#[test]
fn a_restart_knows_what_was_released() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(settings(dir.path()));
    for _ in 0..4 {
        publish(&log, vec![message(0, &text_of(1_000))]).unwrap();
    }
    log.release(0, 3);
    drop(log);
    assert!((1_000..2_000).contains(&open(settings(dir.path())).unreleased_bytes()));
}

#[test]
fn a_call_larger_than_the_queue_is_refused_and_one_larger_than_a_group_is_not_split() {
    let dir = tempfile::tempdir().unwrap();
    let log =
        open(LocalLogSettings { max_queued_bytes: 10_000, max_group_bytes: 100, ..settings(dir.path()) });
    let refused = publish(&log, vec![message(0, &text_of(10_001))]);
    assert!(matches!(refused, Err(PublishError::Full { limit: "[log] max_queued" })), "{refused:?}");
    publish(&log, (0..20).map(|_| message(0, &text_of(200))).collect()).unwrap();
    assert_eq!(log.read(0, 0, 1 << 20).unwrap().len(), 20);
}

#[test]
fn closing_stores_and_answers_what_is_queued() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(settings(dir.path()));
    let receipts: Vec<_> = (0..2_000).map(|_| log.publish(vec![message(0, "x")]).unwrap()).collect();
    log.close();
    assert!(matches!(log.publish(vec![message(0, "late")]), Err(PublishError::Closed)));
    assert!(receipts.into_iter().all(|receipt| wait(receipt).is_ok()));
    log.close();
    drop(log);
    assert_eq!(*open(settings(dir.path())).end(0).borrow(), 2_000);
}

#[test]
fn many_publishers_and_a_following_reader_agree_on_every_record() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(LocalLogSettings { segment_bytes: 20_000, tail_bytes: 5_000, ..settings(dir.path()) });
    std::thread::scope(|threads| {
        for publisher in 0..4 {
            let log = &log;
            threads.spawn(move || {
                for index in 0..200 {
                    publish(log, vec![message(0, &format!("{publisher} {index}"))]).unwrap();
                }
            });
        }
        let mut seen = [0; 4];
        let mut next = 0;
        until("800 records were read", || {
            for record in log.read(0, next, 700).unwrap() {
                assert_eq!(record.offset, next);
                next += 1;
                let text = String::from_utf8(record.value.to_vec()).unwrap();
                let (publisher, index) = text.split_once(' ').unwrap();
                let seen = &mut seen[publisher.parse::<usize>().unwrap()];
                assert_eq!(index.parse::<u32>().unwrap(), *seen, "each publisher's order is kept");
                *seen += 1;
            }
            next == 800
        });
    });
}

#[test]
fn memory_of_large_records_is_given_back_by_reading_in_portions() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(LocalLogSettings { tail_bytes: 0, ..settings(dir.path()) });
    let value = bytes::Bytes::from(vec![7; 100_000]);
    for _ in 0..30 {
        publish(&log, vec![Message { partition: 0, value: value.clone() }]).unwrap();
    }
    let portion = log.read(0, 4, 250_000).unwrap();
    assert_eq!(portion.iter().map(|record| record.offset).collect::<Vec<_>>(), [4, 5, 6]);
    assert!(portion.iter().all(|record| record.value == value));
}

#[test]
fn its_metrics_tell_how_full_it_is_and_what_its_storage_takes() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(settings(dir.path()));
    let metrics = Metrics::new().unwrap();
    let shown = LocalLogMetrics::register(&metrics).unwrap();
    let value = |name: &str| -> u64 {
        shown.show(&log);
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("rungs_local_log_{name} ")));
        line.unwrap_or_else(|| panic!("{name}\n{text}")).parse().unwrap()
    };
    assert_eq!((value("unreleased_bytes"), value("segments")), (0, 1));
    publish(&log, vec![message(0, &text_of(100_000))]).unwrap();
    assert!((100_000..110_000).contains(&value("unreleased_bytes")));
    assert!(value("memtable_bytes") > 0 && value("journals") == 1 && value("journal_bytes") > 0);
    assert_eq!(value("max_bytes"), log.max_bytes());
    log.release(0, 1);
    until("what was released is not counted any more", || value("unreleased_bytes") == 0);
}

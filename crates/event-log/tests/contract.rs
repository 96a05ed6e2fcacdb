//! The contract of the log seam, run against every implementation that needs no server: the local log and the memory
//! log. A new implementation is done when it passes this file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event_log::local::{LocalLog, LocalLogSettings};
use event_log::memory::MemoryLog;
use event_log::{
    Clock, ManualClock, Message, PlanError, PlanRecord, PlanTopic, PublishError, Publisher, ReadError, Source,
};
use support::{message, publish, values, wait};

const PARTITIONS: u32 = 3;

trait Log: Publisher + Source + PlanTopic {}
impl<T: Publisher + Source + PlanTopic> Log for T {}

/// Runs `check` on both implementations, bounded to `max_bytes` of unreleased records.
fn on_each(max_bytes: usize, check: impl Fn(&dyn Log, &ManualClock)) {
    let clock = Arc::new(ManualClock::at(1_000));
    check(&MemoryLog::bounded(PARTITIONS, max_bytes, clock.clone()), &clock);
    let clock = Arc::new(ManualClock::at(1_000));
    let dir = tempfile::tempdir().unwrap();
    let settings =
        LocalLogSettings { max_bytes: max_bytes as u64, ..LocalLogSettings::new(dir.path(), PARTITIONS) };
    check(&LocalLog::open(settings, clock.clone() as Arc<dyn Clock>).unwrap(), &clock);
}

const ROOMY: usize = 1 << 30;

#[test]
fn offsets_are_dense_from_zero_per_partition_and_receipts_imply_readable() {
    on_each(ROOMY, |log, _| {
        for round in 0..20_u64 {
            publish(log, vec![message(0, "a"), message(2, "b"), message(0, "c")]).unwrap();
            assert_eq!(*log.end(0).borrow(), 2 * round + 2);
            assert_eq!(log.read(0, 2 * round, 100).unwrap().len(), 2);
        }
        let records = log.read(0, 0, 1_000).unwrap();
        let offsets: Vec<u64> = records.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, (0..40).collect::<Vec<_>>());
        assert_eq!(log.read(1, 0, 1_000).unwrap(), vec![]);
        assert_eq!(log.read(2, 20, 1_000).unwrap(), vec![], "the end is empty, not an error");
        assert_eq!(log.read(2, 2_000, 1_000).unwrap(), vec![]);
    });
}

#[test]
fn the_order_within_a_publish_is_kept() {
    on_each(ROOMY, |log, _| {
        let texts: Vec<String> = (0..500).map(|index| format!("m{index}")).collect();
        publish(log, texts.iter().map(|text| message(1, text)).collect()).unwrap();
        assert_eq!(values(&log.read(1, 0, 1 << 20).unwrap()), texts);
    });
}

#[test]
fn a_read_stops_at_about_its_budget_and_returns_at_least_one_record() {
    on_each(ROOMY, |log, _| {
        publish(log, (0..10).map(|_| message(0, "0123456789")).collect()).unwrap();
        assert_eq!(log.read(0, 3, 0).unwrap().len(), 1);
        assert_eq!(log.read(0, 3, 1).unwrap()[0].offset, 3);
        assert_eq!(log.read(0, 3, 25).unwrap().len(), 3);
    });
}

#[test]
fn the_append_time_never_runs_backwards_when_the_clock_steps_back() {
    on_each(ROOMY, |log, clock| {
        for now_ms in [1_000, 5_000, 2_000, 6_000] {
            clock.set(now_ms);
            publish(log, vec![message(0, "x")]).unwrap();
        }
        let times: Vec<i64> =
            log.read(0, 0, 100).unwrap().iter().map(|record| record.appended_at_ms).collect();
        assert_eq!(times, [1_000, 5_000, 5_000, 6_000]);
    });
}

#[test]
fn ends_notify_whoever_waits_for_records() {
    on_each(ROOMY, |log, _| {
        let mut end = log.end(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        publish(log, vec![message(0, "elsewhere")]).unwrap();
        assert!(!end.has_changed().unwrap());
        let receipt = log.publish(vec![message(1, "here")]).unwrap();
        let waited =
            async { tokio::time::timeout(Duration::from_secs(10), end.wait_for(|end| *end == 1)).await };
        assert_eq!(*runtime.block_on(waited).unwrap().unwrap(), 1);
        wait(receipt).unwrap();
    });
}

#[test]
fn full_is_an_answer_and_ends_with_a_release() {
    on_each(2_000, |log, _| {
        let mut stored = 0;
        let full = loop {
            match publish(log, vec![message(0, &"x".repeat(100))]) {
                Ok(()) => stored += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(full, PublishError::Full { limit: "[log] max_size" }), "{full}");
        assert!((5..=20).contains(&stored), "{stored} messages of 100 bytes were taken");
        assert_eq!(log.read(0, 0, 1 << 20).unwrap().len(), stored, "what was refused is not there");
        log.release(0, stored as u64);
        support::until("there is room again", || publish(log, vec![message(0, "y")]).is_ok());
    });
}

#[test]
fn a_partition_that_does_not_exist_is_an_error() {
    on_each(ROOMY, |log, _| {
        let stray = vec![message(0, "fine"), message(PARTITIONS, "stray")];
        assert!(matches!(log.publish(stray), Err(PublishError::Storage(_))));
        assert!(matches!(log.read(PARTITIONS, 0, 1), Err(ReadError::Storage(_))));
        assert_eq!(*log.end(0).borrow(), 0, "nothing of a refused call is stored");
    });
}

#[test]
fn nothing_to_publish_is_published_and_empty_values_are_values() {
    on_each(ROOMY, |log, _| {
        publish(log, vec![]).unwrap();
        publish(log, vec![Message { partition: 0, value: Bytes::new() }]).unwrap();
        assert_eq!(log.read(0, 0, 100).unwrap()[0].value, Bytes::new());
    });
}

#[test]
fn a_plan_with_a_lower_number_is_refused_and_the_last_hundred_stay() {
    on_each(ROOMY, |log, _| {
        let latest = log.latest();
        assert_eq!(*latest.borrow(), None);
        let plan =
            |number| PlanRecord { number, applied_at_ms: number as i64 * 10, text: format!("plan {number}") };
        for number in 1..=120 {
            log.append(plan(number)).unwrap();
        }
        for number in [120, 7, 0] {
            let refused = log.append(plan(number));
            assert!(matches!(refused, Err(PlanError::Outdated { latest: 120, .. })), "{refused:?}");
        }
        assert_eq!(latest.borrow().as_deref(), Some(&plan(120)));
        assert_eq!(log.history().unwrap(), (21..=120).map(plan).collect::<Vec<_>>());
    });
}

//! The memory log's faults on demand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;

use event_log::memory::MemoryLog;
use event_log::{ManualClock, PublishError, Publisher, ReadError, Source};
use support::{message, publish, values, wait};

fn log() -> MemoryLog {
    MemoryLog::new(1, Arc::new(ManualClock::at(5)))
}

#[test]
fn a_refused_publish_stores_nothing_and_the_next_one_does() {
    let log = log();
    log.refuse_next(PublishError::Full { limit: "[log] max_size" });
    assert!(matches!(publish(&log, vec![message(0, "a")]), Err(PublishError::Full { .. })));
    publish(&log, vec![message(0, "b")]).unwrap();
    assert_eq!(values(&log.read(0, 0, 100).unwrap()), ["b"]);
}

#[test]
fn a_lost_acknowledgement_leaves_the_message_stored() {
    let log = log();
    log.lose_next_acknowledgement();
    assert!(matches!(publish(&log, vec![message(0, "a")]), Err(PublishError::Storage(_))));
    publish(&log, vec![message(0, "a")]).unwrap();
    assert_eq!(values(&log.read(0, 0, 100).unwrap()), ["a", "a"]);
}

#[test]
fn held_receipts_wait_for_their_answer() {
    let log = log();
    log.hold_receipts();
    let held = log.publish(vec![message(0, "a")]).unwrap();
    assert_eq!(log.answer_held(Ok(())), 1);
    wait(held).unwrap();
    publish(&log, vec![message(0, "b")]).unwrap();
}

#[test]
fn released_records_are_gone_once_they_are_removed() {
    let log = log();
    publish(&log, vec![message(0, "a"), message(0, "b")]).unwrap();
    log.release(0, 1);
    assert_eq!(log.read(0, 0, 100).unwrap().len(), 2);
    log.remove_released();
    assert!(matches!(log.read(0, 0, 100), Err(ReadError::Gone { first: 1, .. })));
    assert_eq!(values(&log.read(0, 1, 100).unwrap()), ["b"]);
    log.close();
    assert!(matches!(log.publish(vec![]), Err(PublishError::Closed)));
}

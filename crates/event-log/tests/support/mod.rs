//! What the tests of the logs share: short messages, blocking receipts, waiting for a condition.
#![allow(dead_code, unreachable_pub)]

pub mod kafka;

use std::time::{Duration, Instant};

use bytes::Bytes;
use event_log::{LogRecord, Message, PublishError, Publisher, Receipt};

pub const DEADLINE: Duration = Duration::from_secs(20);

pub fn message(partition: u32, text: &str) -> Message {
    Message { partition, value: Bytes::copy_from_slice(text.as_bytes()) }
}

/// Blocks until the receipt resolves.
pub fn wait(receipt: Receipt) -> Result<(), PublishError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(DEADLINE, receipt).await })
        .expect("a receipt resolves in time")
}

/// As [`wait`], for receipts that outlive a broker's restart.
pub fn wait_long(receipt: Receipt) -> Result<(), PublishError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(60), receipt).await })
        .expect("a receipt resolves in time")
}

pub fn publish<P: Publisher + ?Sized>(log: &P, messages: Vec<Message>) -> Result<(), PublishError> {
    wait(log.publish(messages)?)
}

pub fn values(records: &[LogRecord]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(&record.value).into_owned()).collect()
}

/// Asks again and again until `condition` holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::yield_now();
    }
}

//! `rungs.rejected.v1`: where records of the log go that cannot be decoded, with their coordinates, the reason and the
//! beginning of what they hold, so that whoever wrote them finds out. Written by the aggregator, read by people.
//!
//! A record is JSON: `{"topic","partition","offset","appended_at_ms","reason","bytes","sample"}`; the sample is text with
//! what is none of it replaced. Its key is `partition-offset`: the same record, rejected again after a restart, has the
//! same key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::KafkaError;
use super::call::SendError;
use super::publisher::{KafkaPublisher, Target};
use super::settings::KafkaSettings;

/// Bytes of a rejected record that are kept.
pub const REJECTED_SAMPLE_BYTES: usize = 1_024;

/// A record that cannot be decoded.
#[derive(Debug, Clone, Copy)]
pub struct RejectedRecord<'a> {
    /// Its partition of `rungs.events.v1`.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// When the log appended it, UTC milliseconds.
    pub appended_at_ms: i64,
    /// Why it cannot be decoded: a code, as in the metrics.
    pub reason: &'a str,
    /// What it holds; any length.
    pub value: &'a [u8],
}

/// Writes rejected records. Nobody waits for them: one that cannot be written is counted.
pub struct KafkaRejections {
    publisher: KafkaPublisher,
    source: String,
    topic: String,
    unwritten: Arc<AtomicU64>,
}

impl KafkaRejections {
    /// Makes the producer; brokers need not be there.
    pub fn open(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        Ok(Self {
            publisher: KafkaPublisher::open(settings)?,
            source: settings.events_topic(),
            topic: settings.rejected_topic(),
            unwritten: Arc::default(),
        })
    }

    /// Hands a record over without waiting.
    pub fn write(&self, record: &RejectedRecord<'_>) {
        let key = format!("{}-{}", record.partition, record.offset);
        let value = encode(&self.source, record);
        let target = Target { topic: &self.topic, partition: -1 };
        let unwritten = Arc::clone(&self.unwritten);
        let on_end = move |answer: Result<i64, SendError>| {
            if answer.is_err() {
                unwritten.fetch_add(1, Ordering::Relaxed);
            }
        };
        let handed =
            self.publisher.send_to(&target, key.as_bytes(), Some(value.as_bytes()), None, Box::new(on_end));
        if handed.is_err() {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records that could not be written since the start.
    pub fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }

    /// Waits for what is on its way, at most for `limit`. Blocks.
    pub fn close(&self, limit: std::time::Duration) {
        self.publisher.close(limit);
    }
}

fn encode(source: &str, record: &RejectedRecord<'_>) -> String {
    let sample = record.value.get(..REJECTED_SAMPLE_BYTES).unwrap_or(record.value);
    let rejected = serde_json::json!({
        "topic": source,
        "partition": record.partition,
        "offset": record.offset,
        "appended_at_ms": record.appended_at_ms,
        "reason": record.reason,
        "bytes": record.value.len(),
        "sample": String::from_utf8_lossy(sample),
    });
    rejected.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_record_is_json_with_a_bounded_sample() {
        let value = [b"{\"a\": \"\x01\xff\\".as_slice(), &[b'x'; 5_000]].concat();
        let record = RejectedRecord {
            partition: 3,
            offset: 9,
            appended_at_ms: 7,
            reason: "not_a_record",
            value: &value,
        };
        let json = encode("rungs.events.v1", &record);
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&read["partition"], &read["offset"], &read["bytes"]),
            (&3.into(), &9.into(), &5_010.into())
        );
        assert!(read["sample"].as_str().unwrap().starts_with("{\"a\": \"\u{1}\u{fffd}\\x"));
        assert!(json.len() < 2_000);
    }
}

//! `rungs.rejected.v1`: what was not taken, as JSON of [`Rejected`]. Collectors and aggregators write it
//! ([`KafkaRejections`]), the aggregators of a group share its partitions ([`KafkaRejected`]) and store what it holds;
//! people may read it too.
//!
//! A record's key is the rejection's id: a record of the log that is refused again after a restart has the same id.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::Message as _;

use super::KafkaError;
use super::call::SendError;
use super::client::{POLL, Plain};
use super::producer::Target;
use super::publisher::KafkaPublisher;
use super::settings::{self, KafkaSettings};
use crate::rejected::{OnUnkept, Rejected, RejectedSource};

/// Bytes of rejections that are not acknowledged, at most: they are the first to go where memory is wanted.
const MAX_IN_FLIGHT_BYTES: u64 = 4 << 20;
/// Bytes of rejections that are fetched and wait to be stored, at most, a partition.
const FETCHED_KBYTES: &str = "1024";

/// Writes rejections. Nobody waits for them.
pub struct KafkaRejections {
    publisher: KafkaPublisher,
    topic: String,
}

impl KafkaRejections {
    /// Makes the producer; brokers need not be there.
    pub fn open(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        let own = KafkaSettings { max_in_flight_bytes: MAX_IN_FLIGHT_BYTES, ..settings.clone() };
        Ok(Self { publisher: KafkaPublisher::open(&own)?, topic: settings.rejected_topic() })
    }

    /// Hands a rejection over without waiting; `on_unkept` is called if Kafka does not take it.
    pub(crate) fn write(&self, rejected: &Rejected, on_unkept: &Arc<OnUnkept>) {
        let Ok(value) = serde_json::to_vec(rejected) else { return on_unkept() };
        let target = Target { topic: &self.topic, partition: -1 };
        let unkept = Arc::clone(on_unkept);
        let on_end = move |answer: Result<i64, SendError>| {
            if answer.is_err() {
                unkept();
            }
        };
        let key = rejected.id.as_bytes();
        if self.publisher.send_to(&target, key, Some(&value), None, Box::new(on_end)).is_err() {
            on_unkept();
        }
    }

    /// Waits for what is on its way, at most for `limit`. Blocks.
    pub fn close(&self, limit: Duration) {
        self.publisher.close(limit);
    }
}

/// Reads rejections back, as a member of the group of those who do.
pub struct KafkaRejected {
    consumer: BaseConsumer<Plain>,
    topic: String,
}

impl KafkaRejected {
    /// Joins the group; brokers need not be there.
    pub fn join(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        let mut config = settings::client(settings)?;
        config.set("group.id", settings.rejected_group()).set("auto.offset.reset", "earliest");
        // What was taken counts as read once it is stored.
        config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "true");
        config.set("queued.max.messages.kbytes", FETCHED_KBYTES);
        // ClickHouse may be away for long; whoever leaves the group joins it again by itself.
        config.set("max.poll.interval.ms", "3600000");
        let consumer: BaseConsumer<Plain> = config.create_with_context(Plain("rejections"))?;
        let topic = settings.rejected_topic();
        consumer.subscribe(&[&topic])?;
        Ok(Self { consumer, topic })
    }

    /// The next one, if it comes until the deadline.
    fn poll(&self, deadline: Instant) -> Option<Rejected> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.consumer.poll(left.min(POLL)) {
                Some(Ok(message)) => match decode(message.payload().unwrap_or_default()) {
                    Some(rejected) => return Some(rejected),
                    None => {
                        let (topic, offset) = (&self.topic, message.offset());
                        tracing::debug!(topic, offset, "a record that is no rejection is passed over");
                    }
                },
                // Logged by the context; librdkafka goes on by itself.
                Some(Err(_)) | None if left.is_zero() => return None,
                Some(Err(_)) | None => {}
            }
        }
    }
}

/// Others may write into the topic; what they write is bounded too.
fn decode(value: &[u8]) -> Option<Rejected> {
    let rejected: Rejected = serde_json::from_slice(value).ok()?;
    Some(rejected.bounded())
}

impl RejectedSource for KafkaRejected {
    fn take(&mut self, limit: usize, wait: Duration) -> Vec<Rejected> {
        let Some(first) = self.poll(Instant::now() + wait) else { return Vec::new() };
        let mut taken = vec![first];
        while taken.len() < limit
            && let Some(next) = self.poll(Instant::now())
        {
            taken.push(next);
        }
        taken
    }

    fn stored(&mut self) {
        match self.consumer.commit_consumer_state(CommitMode::Async) {
            Ok(()) | Err(ClientError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            // They are stored again then, under the same ids.
            Err(error) => tracing::info!(%error, "stored rejections could not be committed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_write_into_the_topic_is_bounded_or_passed_over() {
        assert_eq!(decode(b"no json"), None);
        assert_eq!(decode(b"[1]"), None);
        let long = serde_json::json!({"reason": "x", "sample": "y".repeat(5_000), "more": 1});
        let read = decode(long.to_string().as_bytes()).unwrap();
        assert_eq!((read.reason.as_str(), read.sample.len(), read.offset), ("x", 1_024, 0));
    }

    #[test]
    fn a_rejection_survives_its_json() {
        let rejected = Rejected {
            id: "3-9".into(),
            received_at_ms: 7,
            reason: "not_a_record".into(),
            sample: "{\"a\": \"\u{1}\u{fffd}\\".into(),
            bytes: 5_010,
            topic: "rungs.events.v1".into(),
            partition: 3,
            offset: 9,
            ..Rejected::default()
        };
        assert_eq!(decode(&serde_json::to_vec(&rejected).unwrap()), Some(rejected));
    }
}

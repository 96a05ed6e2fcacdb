//! Which log a topic is: Kafka's topic id, a UUID that a topic gets when it is created, so that one that was deleted and
//! created again under its name is another log; and the number of its partitions, for with another one visitors are
//! elsewhere, and what was known of a partition is not of use for it any more; and how offsets of the log are made of the
//! topic's (`offsets.rs`).
//!
//! librdkafka learns the id with the topic's metadata, but rdkafka has no call that gives it and this project allows no
//! `unsafe`; it says it in a line of its log instead (`Topic T changed id from 0 to X`), which is read here. The line
//! cannot change unnoticed: librdkafka is pinned and linked in, without the line the log does not open, and a test
//! creates a topic anew.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError as ClientError;

use super::KafkaError;
use super::client::{self, ANSWER_LIMIT};
use super::offsets::PLACES;
use super::settings::{self, KafkaSettings};
use crate::LogId;

/// The part of librdkafka's debug log in which the line stands.
const DEBUG_CONTEXT: &str = "topic";
/// The id of nothing: brokers older than Kafka 2.8 give none.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
/// How often it is looked whether the line has come: a poll ends for messages, and not for it.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Has a client log the line, beside what its options ask for.
pub(super) fn log_ids(config: &mut ClientConfig) {
    let debug = config.get("debug").map_or(DEBUG_CONTEXT.to_owned(), |own| format!("{own},{DEBUG_CONTEXT}"));
    config.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
}

/// The identity of a topic that exists.
pub(super) fn log_id(settings: &KafkaSettings, topic: &str) -> Result<LogId, KafkaError> {
    let mut config = settings::client(settings)?;
    config.set("debug", DEBUG_CONTEXT).set_log_level(RDKafkaLogLevel::Debug);
    let context = Listener { topic: topic.to_owned(), id: Mutex::new(None) };
    let consumer: BaseConsumer<Listener> = config.create_with_context(context)?;
    let asked = consumer.fetch_metadata(Some(topic), ANSWER_LIMIT);
    asked.map_err(|cause| KafkaError::unreachable(settings, cause))?;
    let deadline = Instant::now() + ANSWER_LIMIT;
    while Instant::now() < deadline {
        // Nothing is consumed; this hands over the log's lines.
        drop(consumer.poll(LOOK_INTERVAL));
        if let Some(id) = consumer.context().id.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Ok(LogId(format!("kafka-{id}-{}-{PLACES}", settings.partitions)));
        }
    }
    let reason = "the brokers tell no topic id; Kafka 2.8 or later is needed";
    Err(KafkaError::Client(format!("topic {topic}: {reason}")))
}

struct Listener {
    topic: String,
    id: Mutex<Option<String>>,
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if let Some((_, new)) = changed_id(message, &self.topic) {
            *self.id.lock().unwrap_or_else(PoisonError::into_inner) = Some(new.to_owned());
        } else if !matches!(level, RDKafkaLogLevel::Debug) {
            client::log("identity", level, facility, message);
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        client::log_error("identity", &error, reason);
    }
}

impl ConsumerContext for Listener {}

/// The old id, if there was one, and the new one, if the line tells that the topic's id changed.
pub(super) fn changed_id<'a>(line: &'a str, topic: &str) -> Option<(Option<&'a str>, &'a str)> {
    let (_, rest) = line.split_once("Topic ")?;
    let ids = rest.strip_prefix(topic)?.strip_prefix(" changed id from ")?;
    let (old, new) = ids.split_once(" to ")?;
    (new != NO_ID).then_some(((old != NO_ID).then_some(old), new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_recognised_for_its_topic_only() {
        let first = "[thrd:main]: Topic a.b changed id from AAAAAAAAAAAAAAAAAAAAAA to x1-_zzzzzzzzzzzzzzzzzz";
        assert_eq!(changed_id(first, "a.b"), Some((None, "x1-_zzzzzzzzzzzzzzzzzz")));
        assert_eq!(changed_id(first, "a"), None);
        assert_eq!(changed_id("Topic t changed id from x to y", "t"), Some((Some("x"), "y")));
        assert_eq!(changed_id("Topic t changed id from x to AAAAAAAAAAAAAAAAAAAAAA", "t"), None);
    }
}

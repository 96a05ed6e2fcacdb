//! What all of the log's Kafka clients share: librdkafka's log lines and errors go to tracing, and calls that wait for an
//! answer do so on a thread that may block.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};

use super::KafkaError;

/// A call to the brokers that must be answered is given up after this long.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long a poll of a client's own events sleeps at most, and so how soon its thread sees that it is to end.
pub(super) const POLL: Duration = Duration::from_millis(100);

/// Times in a row that a consumer does not find a partition until it is given up.
///
/// librdkafka keeps a partition whose leader was away for a moment as unknown for minutes after it is back
/// (https://github.com/confluentinc/librdkafka/issues/5430); a new consumer asks anew.
pub(super) const LOST_LIMIT: u32 = 3;

/// librdkafka waits for brokers when a client ends; nobody here waits for it longer than this.
const END_LIMIT: Duration = Duration::from_secs(5);

/// The context of a client that does nothing special.
#[derive(Debug)]
pub(super) struct Plain(pub(super) &'static str);

impl ClientContext for Plain {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(self.0, level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        log_error(self.0, &error, reason);
    }
}

impl rdkafka::consumer::ConsumerContext for Plain {}

/// A line of librdkafka's.
pub(super) fn log(client: &str, level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        // Options of producers in a consumer and the other way round: passed to all alike on purpose.
        _ if facility == "CONFWARN" => tracing::debug!(client, facility, "{message}"),
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => {
            tracing::error!(client, facility, "kafka: {message}");
        }
        RDKafkaLogLevel::Warning => tracing::warn!(client, facility, "kafka: {message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(client, facility, "kafka: {message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(client, facility, "kafka: {message}"),
    }
}

/// An error that concerns the client as a whole. A single lost connection is no warning: brokers are restarted. That a
/// partition's end was reached is none at all: readers ask to be told.
pub(super) fn log_error(client: &str, error: &ClientError, reason: &str) {
    match error.rdkafka_error_code() {
        _ if matches!(error, ClientError::PartitionEOF(_)) => {}
        Some(RDKafkaErrorCode::PartitionEOF) => {}
        // Ten times a second while brokers are away, beside a line for each connection that is refused.
        Some(RDKafkaErrorCode::AllBrokersDown) => tracing::debug!(client, "kafka: {reason}"),
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::OperationTimedOut) => {
            tracing::info!(client, "kafka: {reason}");
        }
        _ => tracing::warn!(client, "kafka: {error}: {reason}"),
    }
}

/// Whether a partition is not found, although it is part of the log.
pub(super) fn is_unknown(error: &ClientError) -> bool {
    use RDKafkaErrorCode as Code;
    let unknown = [Code::UnknownPartition, Code::UnknownTopicOrPartition, Code::LeaderNotAvailable];
    error.rdkafka_error_code().is_some_and(|code| unknown.contains(&code))
}

/// Waits for an answer of librdkafka's admin interface, from a thread that may or may not be one of a runtime's.
pub(super) fn wait<T: Send>(answer: impl Future<Output = T> + Send) -> Result<T, KafkaError> {
    let failed = |cause: std::io::Error| KafkaError::Client(format!("no thread to wait on: {cause}"));
    std::thread::scope(|scope| {
        let waiting = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(failed)?;
            Ok(runtime.block_on(answer))
        };
        let thread = std::thread::Builder::new().name("kafka-admin".to_owned());
        let waited = thread.spawn_scoped(scope, waiting).map_err(failed)?.join();
        waited.unwrap_or_else(|_| Err(KafkaError::Client("the waiting thread panicked".to_owned())))
    })
}

/// Waits for a thread that owns a client and was told to end. One that hangs on a broker that is away is left behind.
pub(super) fn end(thread: JoinHandle<()>, what: &'static str) {
    let deadline = Instant::now() + END_LIMIT;
    while !thread.is_finished() {
        if Instant::now() > deadline {
            return tracing::warn!(
                "the {what} client does not end, as its broker is away; nobody waits for it"
            );
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    if thread.join().is_err() {
        tracing::error!("the thread of the {what} client had panicked");
    }
}

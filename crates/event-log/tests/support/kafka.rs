//! What the tests on a real Kafka share: settings for a broker of the test's own, events, reading until something is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use event_log::kafka::{KafkaPublisher, KafkaSettings, KafkaSource};
use event_log::{LogRecord, Message, Source, partition_of};
use kafka_server::Kafka;
use prost::Message as _;
use rungs_proto::v1::{Event, Record, record::Body};

/// How long a test waits for what must come.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Settings for a cluster, with topics of their own, few partitions, and as many copies as there are brokers.
pub fn settings(kafka: &Kafka, prefix: &str, partitions: u32) -> KafkaSettings {
    let mut settings = KafkaSettings::new(kafka.bootstrap());
    settings.topic_prefix = Some(format!("{prefix}."));
    settings.partitions = partitions;
    settings.replication = kafka.brokers().min(3) as u32;
    settings
}

pub fn open(settings: &KafkaSettings) -> (KafkaPublisher, Arc<KafkaSource>) {
    let source = KafkaSource::open(settings).unwrap();
    (KafkaPublisher::open(settings).unwrap(), Arc::new(source))
}

/// An event of a visitor, in the visitor's partition.
pub fn event(visitor: &str, message: &str, partitions: u32) -> Message {
    let event = Event {
        site: "shop".to_owned(),
        visitor_id: visitor.to_owned(),
        message_id: message.to_owned(),
        event: "product_view".to_owned(),
        ..Event::default()
    };
    let value = Bytes::from(Record { body: Some(Body::Event(event)) }.encode_to_vec());
    Message { partition: partition_of("shop", visitor, partitions), value }
}

/// The message id of an event.
pub fn message_id(record: &LogRecord) -> String {
    match Record::decode(record.value.clone()).unwrap().body {
        Some(Body::Event(event)) => event.message_id,
        other => panic!("no event: {other:?}"),
    }
}

/// Reads on from `from` until `count` records are there.
pub fn read(source: &dyn Source, partition: u32, from: u64, count: usize) -> Vec<LogRecord> {
    let deadline = Instant::now() + LIMIT;
    let (mut records, mut next) = (Vec::<LogRecord>::new(), from);
    let mut end = source.end(partition);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    while records.len() < count {
        assert!(Instant::now() < deadline, "only {} of {count} records came", records.len());
        match source.read(partition, next, 1 << 20) {
            Ok(more) if more.is_empty() => {
                let position = next;
                let arrived = async {
                    tokio::time::timeout(Duration::from_secs(1), end.wait_for(|end| *end > position)).await
                };
                // Looked at again after a second in any case: brokers come and go in these tests.
                drop(runtime.block_on(arrived));
            }
            Ok(more) => {
                next = more.last().unwrap().offset + 1;
                records.extend(more);
            }
            Err(error) => eprintln!("reading again after: {error}"),
        }
    }
    records
}

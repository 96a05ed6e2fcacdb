//! Writing to and reading from a real Kafka.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use event_log::kafka::{KafkaError, KafkaPublisher, KafkaSource, PLACES, ensure_topics};
use event_log::{Publisher, ReadError, Source};
use kafka_server::Kafka;
use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use runtime::now_ms;
use support::kafka::{LIMIT, event, message_id, open, read, settings};
use support::{message, publish, until, values};

/// One broker for the tests that do it no harm; each has topics of its own.
static KAFKA: LazyLock<Kafka> = LazyLock::new(Kafka::start);

#[test]
fn what_was_published_is_read_in_order_with_the_brokers_time() {
    let settings = settings(&KAFKA, "order", 3);
    let (publisher, source) = open(&settings);
    let before = now_ms();
    for round in 0..20 {
        let batch = (0..50).map(|index| message(1, &format!("{round}-{index}"))).collect();
        publish(&publisher, batch).unwrap();
    }
    let records = read(source.as_ref(), 1, 0, 1_000);
    let expected: Vec<String> =
        (0..20).flat_map(|round| (0..50).map(move |index| format!("{round}-{index}"))).collect();
    assert_eq!(values(&records), expected);
    assert!(records.is_sorted_by(|one, next| one.offset < next.offset));
    assert_eq!(*source.end(1).borrow(), records[999].offset + 1, "whoever took the last stands at the end");
    assert!(records.iter().all(|record| (before..=now_ms()).contains(&record.appended_at_ms)));
    assert_eq!(source.read(0, 0, 100).unwrap(), []);
    assert!(matches!(source.read(3, 0, 100), Err(ReadError::Storage(_))));
    assert!(publisher.publish(vec![message(3, "stray")]).is_err());
    until("nothing is in flight", || publisher.in_flight_bytes() == 0);
}

#[test]
fn a_visitors_key_and_partition_are_those_a_java_client_would_choose() {
    let settings = settings(&KAFKA, "keys", 7);
    let (publisher, _source) = open(&settings);
    let visitors: Vec<String> = (0..50).map(|index| format!("visitor-{index}")).collect();
    // What travels alone has its visitor's key.
    for visitor in &visitors {
        publish(&publisher, vec![event(visitor, "m", 7)]).unwrap();
    }
    // librdkafka's murmur2_random is the Java client's partitioner: it is asked where the same keys go.
    let producer: rdkafka::producer::BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", settings.brokers.as_ref().unwrap())
        .set("partitioner", "murmur2_random")
        .create()
        .unwrap();
    for visitor in &visitors {
        let key = format!("shop\0{visitor}");
        let topic = settings.events_topic();
        producer.send(rdkafka::producer::BaseRecord::to(&topic).key(&key).payload("other")).unwrap();
    }
    rdkafka::producer::Producer::flush(&producer, Duration::from_secs(20)).unwrap();
    let mut seen = BTreeSet::new();
    for (partition, key, value) in consume(&settings, 100) {
        seen.insert((key, partition, value == b"other"));
    }
    for visitor in &visitors {
        let places: Vec<_> =
            seen.iter().filter(|(key, ..)| *key == format!("shop\0{visitor}").as_bytes()).collect();
        assert_eq!(places.len(), 2, "{visitor}");
        assert_eq!(places[0].1, places[1].1, "{visitor} goes to two partitions");
    }
}

/// Partition, key and value of so many records, by a plain consumer.
fn consume(settings: &event_log::kafka::KafkaSettings, count: usize) -> Vec<(i32, Vec<u8>, Vec<u8>)> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", settings.brokers.as_ref().unwrap())
        .set("group.id", "test")
        .set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    for partition in 0..settings.partitions as i32 {
        list.add_partition_offset(&settings.events_topic(), partition, rdkafka::Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let deadline = Instant::now() + LIMIT;
    let mut records = Vec::new();
    while records.len() < count {
        assert!(Instant::now() < deadline, "{} records", records.len());
        if let Some(record) = consumer.poll(Duration::from_millis(100)) {
            let record = record.unwrap();
            let bytes = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
            records.push((record.partition(), bytes(record.key()), bytes(record.payload())));
        }
    }
    records
}

#[test]
fn a_call_of_many_events_is_one_record_a_partition_and_each_event_has_its_own_offset() {
    let settings = settings(&KAFKA, "packs", 2);
    let (publisher, source) = open(&settings);
    let text = |number: usize| format!("{number}");
    publish(&publisher, (0..500).map(|number| message(number as u32 % 2, &text(number))).collect()).unwrap();
    publish(&publisher, vec![message(0, "alone")]).unwrap();
    let stored = consume(&settings, 3);
    assert!(stored.iter().all(|(_, key, _)| key.is_empty()));
    let records = read(source.as_ref(), 0, 0, 251);
    let expected: Vec<String> = (0..500).step_by(2).map(text).chain(["alone".to_owned()]).collect();
    assert_eq!(values(&records), expected);
    assert_eq!((records[0].offset / PLACES, records[250].offset / PLACES), (0, 1));
    // From anywhere within it.
    for from in [0, 1, 100, 249, 250] {
        let rest = source.read(0, records[from].offset, 1 << 20).unwrap();
        assert_eq!(rest, records[from..], "from {from}");
        assert_eq!(source.read(0, records[from].offset, 1).unwrap()[0], records[from]);
    }
    assert_eq!(records[249].offset + 1, PLACES, "the last of its record stands before the next one's places");
}

#[test]
fn events_have_records_of_their_own_where_other_programs_want_that() {
    let mut settings = settings(&KAFKA, "single", 1);
    settings.record_bytes = 0;
    let (publisher, source) = open(&settings);
    publish(&publisher, (0..50).map(|number| event("v", &number.to_string(), 1)).collect()).unwrap();
    assert!(consume(&settings, 50).iter().all(|(_, key, _)| key == b"shop\0v"));
    let records = read(source.as_ref(), 0, 0, 50);
    assert!(records.iter().zip(0..).all(|(record, number)| record.offset / PLACES == number));
    assert_eq!(message_id(&records[49]), "49");
}

#[test]
fn a_record_that_is_too_large_for_the_topic_is_sent_in_its_parts() {
    let settings = settings(&KAFKA, "parts", 1);
    let (publisher, source) = open(&settings);
    let topic = settings.events_topic();
    let limit = [
        "--alter",
        "--entity-type",
        "topics",
        "--entity-name",
        &topic,
        "--add-config",
        "max.message.bytes=2000",
    ];
    KAFKA.tool("kafka.admin.ConfigCommand", &limit);
    // No compression makes them smaller.
    let texts: Vec<String> =
        (0..50).map(|_| (0..100).map(|_| rand::random_range('a'..='z')).collect()).collect();
    publish(&publisher, texts.iter().map(|text| message(0, text)).collect()).unwrap();
    assert_eq!(values(&read(source.as_ref(), 0, 0, 50)), texts);
    let refused = publish(&publisher, vec![message(0, "small"), message(0, &texts.concat())]);
    assert!(matches!(refused, Err(event_log::PublishError::Storage(_))), "{refused:?}");
}

#[test]
fn two_readers_of_a_partition_do_not_disturb_each_other() {
    let settings = settings(&KAFKA, "cursors", 1);
    let (publisher, source) = open(&settings);
    for _ in 0..20 {
        publish(&publisher, (0..1_000).map(|index| message(0, &format!("{index:>100}"))).collect()).unwrap();
    }
    let offsets: Vec<u64> = read(source.as_ref(), 0, 0, 20_000).iter().map(|record| record.offset).collect();
    let began = Instant::now();
    let (mut front, mut back) = (10_000, 0);
    while back < 10_000 {
        for reader in [&mut front, &mut back] {
            let Some(from) = offsets.get(*reader) else { continue };
            let some = source.read(0, *from, 2_000).unwrap();
            assert!(some.iter().zip(&offsets[*reader..]).all(|(record, offset)| record.offset == *offset));
            *reader += some.len();
        }
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn a_reader_at_the_end_is_woken_by_what_comes_and_sees_no_end_that_is_none() {
    let settings = settings(&KAFKA, "wake", 2);
    let (publisher, source) = open(&settings);
    assert_eq!(*source.end(0).borrow(), 0);
    assert_eq!(source.read(0, 0, 100).unwrap(), []);
    let mut end = source.end(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut next = 0;
    for _ in 0..20 {
        publish(&publisher, vec![message(0, "x")]).unwrap();
        let arrival = async { tokio::time::timeout(LIMIT, end.wait_for(|end| *end > next)).await };
        assert!(runtime.block_on(arrival).unwrap().is_ok());
        next = read(source.as_ref(), 0, next, 1)[0].offset + 1;
        assert_eq!(source.read(0, next, 100).unwrap(), []);
    }
    until("the end is exact", || {
        assert_eq!(source.read(0, next, 100).unwrap(), []);
        *end.borrow() == next
    });
}

#[test]
fn offsets_with_gaps_are_read_over_and_the_end_behind_a_gap_is_the_end() {
    let settings = settings(&KAFKA, "gaps", 1);
    let (publisher, source) = open(&settings);
    let topic = settings.events_topic();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", settings.brokers.as_ref().unwrap()).set("transactional.id", "gaps");
    let other: rdkafka::producer::BaseProducer = config.create().unwrap();
    use rdkafka::producer::Producer as _;
    other.init_transactions(LIMIT).unwrap();
    publish(&publisher, vec![message(0, "first")]).unwrap();
    for (value, commit) in [("aborted", false), ("committed", true)] {
        other.begin_transaction().unwrap();
        other.send(rdkafka::producer::BaseRecord::<(), str>::to(&topic).partition(0).payload(value)).unwrap();
        if commit {
            other.commit_transaction(LIMIT).unwrap();
        } else {
            other.flush(LIMIT).unwrap();
            other.abort_transaction(LIMIT).unwrap();
        }
    }
    // 0 first, 1 aborted, 2 marker, 3 committed, 4 marker.
    let records = read(source.as_ref(), 0, 0, 2);
    assert_eq!(values(&records), ["first", "committed"]);
    assert_eq!(records[1].offset / PLACES, 3);
    let next = records[1].offset + 1;
    until("the marker at the end is no record", || {
        source.read(0, next, 100).unwrap().is_empty() && *source.end(0).borrow() == next
    });
    publish(&publisher, vec![message(0, "last")]).unwrap();
    assert_eq!(read(source.as_ref(), 0, next, 1)[0].offset / PLACES, 5);
}

#[test]
fn what_retention_removed_is_told_with_the_first_offset_that_is_there() {
    let settings = settings(&KAFKA, "gone", 1);
    let (publisher, source) = open(&settings);
    (0..100).for_each(|_| publish(&publisher, vec![message(0, "x")]).unwrap());
    let wanted = read(source.as_ref(), 0, 0, 10)[9].offset;
    delete_before(&settings, 60);
    let fresh = KafkaSource::open(&settings).unwrap();
    let first = match fresh.read(0, wanted, 100) {
        Err(ReadError::Gone { partition: 0, wanted: asked, first }) if asked == wanted => first,
        other => panic!("{other:?}"),
    };
    assert_eq!((first / PLACES, read(&fresh, 0, first, 40).len()), (60, 40));
    assert!(
        matches!(fresh.read(0, 200 * PLACES, 100), Err(ReadError::Storage(_))),
        "beyond the end is a loss, not an end"
    );
}

fn delete_before(settings: &event_log::kafka::KafkaSettings, offset: i64) {
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(&settings.events_topic(), 0, rdkafka::Offset::Offset(offset)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(admin(settings).delete_records(&list, &AdminOptions::new())).unwrap();
}

fn admin(settings: &event_log::kafka::KafkaSettings) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", settings.brokers.as_ref().unwrap()).create().unwrap()
}

#[test]
fn a_topic_that_was_created_again_is_another_log() {
    let settings = settings(&KAFKA, "again", 1);
    let (publisher, source) = open(&settings);
    publish(&publisher, vec![message(0, "x")]).unwrap();
    read(source.as_ref(), 0, 0, 1);
    assert_eq!(source.id(), KafkaSource::open(&settings).unwrap().id());
    drop(publisher);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    runtime.block_on(admin(&settings).delete_topics(&[&settings.events_topic()], &options)).unwrap();
    until("the topic is created again", || ensure_topics(&settings).is_ok());
    let again = KafkaSource::open(&settings).unwrap();
    assert_ne!(source.id(), again.id());
    until("the old reader sees that its log is no more", || source.read(0, 1, 100).is_err());
}

#[test]
fn a_topic_with_more_partitions_is_another_log() {
    let settings = settings(&KAFKA, "more", 2);
    ensure_topics(&settings).unwrap();
    let before = KafkaSource::open(&settings).unwrap().id();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let topic = settings.events_topic();
    let wanted = [NewPartitions::new(&topic, 3)];
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    runtime.block_on(admin(&settings).create_partitions(&wanted, &options)).unwrap();
    let settings = event_log::kafka::KafkaSettings { partitions: 3, ..settings };
    until("the brokers know of the new partition", || ensure_topics(&settings).is_ok());
    assert_ne!(KafkaSource::open(&settings).unwrap().id(), before);
}

#[test]
fn everything_that_is_wrong_with_topics_is_told_at_once_with_what_mends_it() {
    let mut wanted = settings(&KAFKA, "wrong", 4);
    let topic = wanted.events_topic();
    let created = ["--create", "--topic", &topic, "--partitions", "2", "--config", "cleanup.policy=compact"];
    KAFKA.tool("org.apache.kafka.tools.TopicCommand", &created);
    wanted.retention_ms = 1_000_000_000_000;
    let error = ensure_topics(&wanted).unwrap_err();
    assert!(matches!(error, KafkaError::Topics(_)) && !error.may_pass(), "{error}");
    let text = error.to_string();
    for part in [
        "partitions are 2, must be 4",
        "cleanup.policy is compact, must be delete",
        "message.timestamp.type is CreateTime, must be LogAppendTime",
        "retention.ms is 604800000, must be at least 1000000000000",
        "[kafka] partitions = 2",
        "--add-config cleanup.policy=delete,message.timestamp.type=LogAppendTime,retention.ms=1000000000000",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn what_is_in_flight_is_bounded() {
    let mut settings = settings(&KAFKA, "full", 1);
    settings.max_in_flight_bytes = 10_000;
    settings.options.insert("linger.ms".to_owned(), "500".to_owned());
    ensure_topics(&settings).unwrap();
    let publisher = KafkaPublisher::open(&settings).unwrap();
    let first = publisher.publish(vec![message(0, &"x".repeat(9_000))]).unwrap();
    let refused = publisher.publish(vec![message(0, &"x".repeat(9_000))]);
    assert!(matches!(refused, Err(event_log::PublishError::Full { limit: "[kafka] max_in_flight" })));
    support::wait(first).unwrap();
    publish(&publisher, vec![message(0, &"x".repeat(9_000))]).unwrap();
}

#[test]
fn one_message_that_kafka_refuses_fails_its_call_and_no_other() {
    let settings = settings(&KAFKA, "large", 1);
    let (publisher, source) = open(&settings);
    let refused = publish(&publisher, vec![message(0, "a"), message(0, &"x".repeat(3_000_000))]);
    assert!(matches!(refused, Err(event_log::PublishError::Storage(_))), "{refused:?}");
    publish(&publisher, vec![message(0, "b")]).unwrap();
    let before = read(source.as_ref(), 0, 0, 2);
    assert_eq!(values(&before), ["a", "b"]);
    let ids: Vec<String> = {
        publish(&publisher, vec![event("v", "m-1", 1)]).unwrap();
        read(source.as_ref(), 0, before[1].offset + 1, 1).iter().map(message_id).collect()
    };
    assert_eq!(ids, ["m-1"]);
}

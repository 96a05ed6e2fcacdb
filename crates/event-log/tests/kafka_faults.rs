//! Brokers that are killed, frozen and secured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_log::kafka::{KafkaError, KafkaPublisher, KafkaSource, ensure_topics};
use event_log::{Publisher, Source};
use kafka_server::{Kafka, PASSWORD, USER};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::kafka::{open, read, settings};
use support::{message, publish, values};

/// Written after all others, and in their order behind them.
const LAST: &str = "999999";

#[test]
fn what_was_acknowledged_survives_a_killed_broker_and_writing_goes_on() {
    let mut kafka = Kafka::start();
    let settings = settings(&kafka, "killed", 1);
    let (publisher, source) = open(&settings);
    publish(&publisher, vec![message(0, "before")]).unwrap();
    assert_eq!(read(source.as_ref(), 0, 0, 1).len(), 1);
    kafka.kill(0);
    let during = publisher.publish(vec![message(0, "during")]).unwrap();
    kafka.restart(0);
    support::wait_long(during).unwrap();
    publish(&publisher, vec![message(0, "after")]).unwrap();
    assert_eq!(values(&read(source.as_ref(), 0, 0, 3)), ["before", "during", "after"]);
}

/// A record may stand twice: when a message of any partition times out, librdkafka begins a new producer epoch for all
/// of them, and what was sent to a leader that died before it answered is sent again under a number that brokers cannot
/// compare (https://github.com/confluentinc/librdkafka/issues/4953). The aggregator drops copies by message id.
#[test]
fn no_acknowledged_event_is_lost_or_out_of_order_when_leaders_die_under_load() {
    let mut kafka = Kafka::cluster(3);
    let settings = settings(&kafka, "leaders", 3);
    let (publisher, source) = open(&settings);
    let publisher = Arc::new(publisher);
    let ended = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3_u32)
        .map(|partition| {
            let (publisher, ended) = (Arc::clone(&publisher), Arc::clone(&ended));
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                let mut number = 0;
                while !ended.load(Ordering::Acquire) {
                    let text = format!("{number:>6}");
                    let receipt = publisher.publish(vec![message(partition, &text)]).unwrap();
                    if support::wait_long(receipt).is_ok() {
                        acknowledged.push(text);
                    }
                    number += 1;
                }
                acknowledged
            })
        })
        .collect();
    for broker in 0..3 {
        kafka.kill(broker);
        kafka.restart(broker);
    }
    ended.store(true, Ordering::Release);
    let acknowledged: Vec<Vec<String>> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    for (partition, acknowledged) in (0..).zip(&acknowledged) {
        publish(publisher.as_ref(), vec![message(partition, LAST)]).unwrap();
        let stored = until_last(source.as_ref(), partition, acknowledged.len() + 1);
        let distinct: BTreeSet<_> = stored.iter().collect();
        let lost: Vec<_> = acknowledged.iter().filter(|text| !distinct.contains(text)).collect();
        assert!(lost.is_empty(), "partition {partition}, of {}: {lost:?}", acknowledged.len());
        assert!(stored.is_sorted(), "partition {partition}: the order is kept, of copies too");
    }
}

/// A partition's values up to [`LAST`]; `least` of them were acknowledged. Others may be stored that were not: a broker died
/// before it could answer, or the producer was replaced.
fn until_last(source: &dyn Source, partition: u32, least: usize) -> Vec<String> {
    let mut stored = read(source, partition, 0, least);
    while values(&stored).last().is_none_or(|last| last != LAST) {
        let next = stored.last().unwrap().offset + 1;
        stored.extend(read(source, partition, next, 1));
    }
    values(&stored)
}

#[test]
fn reads_anywhere_give_what_was_written_while_the_broker_comes_and_goes() {
    const RECORDS: usize = 4_000;
    let mut kafka = Kafka::start();
    let settings = settings(&kafka, "anywhere", 2);
    let (publisher, source) = open(&settings);
    for partition in 0..2 {
        let texts = (0..RECORDS).map(|number| message(partition, &format!("{partition}-{number}")));
        publish(&publisher, texts.collect()).unwrap();
    }
    let offsets =
        |partition| read(source.as_ref(), partition, 0, RECORDS).into_iter().map(|record| record.offset);
    let offsets: [Vec<u64>; 2] = [offsets(0).collect(), offsets(1).collect()];
    let ended = AtomicBool::new(false);
    let read = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|seed| {
                let (source, ended, offsets) = (&source, &ended, &offsets);
                scope.spawn(move || {
                    let mut random = StdRng::seed_from_u64(seed);
                    let (mut partition, mut next, mut read) = (0, 0, 0);
                    while !ended.load(Ordering::Acquire) {
                        if random.random_range(0..5) == 0 || next >= RECORDS {
                            (partition, next) = (random.random_range(0..2), random.random_range(0..RECORDS));
                        }
                        let offsets = &offsets[partition as usize];
                        let Ok(records) =
                            source.read(partition, offsets[next], random.random_range(1..20_000))
                        else {
                            continue;
                        };
                        for (number, record) in (next..).zip(&records) {
                            assert_eq!(record.offset, offsets[number], "seed {seed}");
                            assert_eq!(record.value, format!("{partition}-{number}"), "seed {seed}");
                        }
                        next += records.len();
                        read += records.len();
                    }
                    read
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs(3));
        kafka.kill(0);
        kafka.restart(0);
        std::thread::sleep(Duration::from_secs(5));
        ended.store(true, Ordering::Release);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(read.iter().all(|read| *read > 1_000), "{read:?}");
}

#[test]
fn tls_and_scram_reach_a_secured_broker_and_a_wrong_password_does_not() {
    let kafka = Kafka::secured();
    let mut settings = settings(&kafka, "secured", 1);
    settings.brokers = Some(kafka.secure_bootstrap());
    settings.username = Some(USER.to_owned());
    settings.password = Some(PASSWORD.to_owned());
    settings.ca_file = Some(kafka.ca_file());
    let (publisher, source) = open(&settings);
    publish(&publisher, vec![message(0, "secret")]).unwrap();
    assert_eq!(values(&read(source.as_ref(), 0, 0, 1)), ["secret"]);
    settings.password = Some("wrong".to_owned());
    let refused = ensure_topics(&settings);
    assert!(matches!(refused, Err(KafkaError::Unreachable { .. })), "{refused:?}");
}

#[test]
fn brokers_that_are_not_there_are_an_error_that_may_pass() {
    let settings = event_log::kafka::KafkaSettings::new("127.0.0.1:1");
    assert!(KafkaSource::open(&settings).err().unwrap().may_pass());
    let publisher = KafkaPublisher::open(&settings).unwrap();
    assert_eq!(publisher.partitions(), 32);
    let mut unknown = settings;
    unknown.options.insert("no.such.option".to_owned(), "1".to_owned());
    let error = KafkaPublisher::open(&unknown).err().unwrap();
    assert!(!error.may_pass() && error.to_string().contains("no.such.option"), "{error}");
}

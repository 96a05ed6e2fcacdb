//! The spill over a real Kafka that goes away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use event_log::kafka::{KafkaPublisher, KafkaSettings, KafkaSource};
use event_log::local::LocalLogSettings;
use event_log::spill::{KafkaRemote, Spill};
use event_log::{Message, Publisher, Source, SystemClock};
use kafka_server::Kafka;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use support::kafka::{LIMIT, event, message_id, read, settings};

fn spill(settings: &KafkaSettings, dir: &Path) -> Spill<KafkaRemote> {
    let publisher = Arc::new(KafkaPublisher::open(settings).unwrap());
    let remote = KafkaRemote::new(settings, publisher);
    Spill::open(remote, LocalLogSettings::new(dir, settings.partitions), Arc::new(SystemClock)).unwrap()
}

/// Visitors that send an event after the other until told to end; gives each one's acknowledged message ids in order,
/// and the longest wait.
fn load<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    spill: &'scope Spill<KafkaRemote>,
    life: &'scope str,
    ended: &'scope AtomicBool,
) -> Vec<std::thread::ScopedJoinHandle<'scope, (Vec<String>, Duration)>> {
    let visitors = (0..4).map(|visitor| {
        scope.spawn(move || {
            let (mut acknowledged, mut longest) = (Vec::new(), Duration::ZERO);
            for number in 0.. {
                if ended.load(Ordering::Acquire) {
                    break;
                }
                let id = format!("{visitor}/{life}/{number}");
                let began = Instant::now();
                let message = event(&format!("visitor-{visitor}"), &id, spill.partitions());
                if support::wait_long(spill.publish(vec![message]).unwrap()).is_ok() {
                    acknowledged.push(id);
                }
                longest = longest.max(began.elapsed());
            }
            (acknowledged, longest)
        })
    });
    visitors.collect()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The first copies of each visitor's events, in the order of the log.
fn stored(source: &dyn Source, expected: usize) -> HashMap<String, Vec<String>> {
    let deadline = Instant::now() + LIMIT;
    let mut next = vec![0; source.partitions() as usize];
    let (mut seen, mut visitors) = (HashSet::new(), HashMap::<String, Vec<String>>::new());
    while seen.len() < expected {
        assert!(Instant::now() < deadline, "{} of {expected} events are there", seen.len());
        for partition in 0..source.partitions() {
            for record in source.read(partition, next[partition as usize], 1 << 20).unwrap_or_default() {
                next[partition as usize] = record.offset + 1;
                let id = message_id(&record);
                if seen.insert(id.clone()) {
                    visitors.entry(id.split('/').next().unwrap().to_owned()).or_default().push(id);
                }
            }
        }
    }
    visitors
}

#[test]
fn acknowledged_events_outlive_an_outage_and_a_restart_within_it_in_order() {
    let mut kafka = Kafka::start();
    let settings = settings(&kafka, "outage", 3);
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = vec![Vec::new(); 4];
    // Lives of the process, and what happens to the broker in each.
    for life in ["frozen", "killed", "back"] {
        let spill = spill(&settings, dir.path());
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let visitors = load(scope, &spill, life, &ended);
            match life {
                "frozen" => {
                    wait_until("events go straight", || !spill.is_spilling());
                    kafka.freeze(0);
                    wait_until("events are spilled", || spill.is_spilling() && spill.depth_records() > 100);
                    kafka.thaw(0);
                    wait_until("the spill is drained", || !spill.is_spilling());
                    assert_eq!(spill.depth_records(), 0);
                }
                "killed" => {
                    kafka.kill(0);
                    wait_until("events are spilled", || spill.depth_records() > 100);
                    assert!(spill.depth_bytes() > 0 && spill.age_ms() >= 0);
                }
                _ => {
                    wait_until("it begins with what was left", || {
                        spill.is_spilling() && spill.depth_records() > 100
                    });
                    kafka.restart(0);
                    wait_until("the spill is drained", || !spill.is_spilling());
                }
            }
            ended.store(true, Ordering::Release);
            for (all, visitor) in acknowledged.iter_mut().zip(visitors) {
                let (ids, longest) = visitor.join().unwrap();
                assert!(longest < Duration::from_secs(6), "an event waited for {longest:?} ({life})");
                all.extend(ids);
            }
        });
    }
    let source = KafkaSource::open(&settings).unwrap();
    let mut stored = stored(&source, acknowledged.iter().map(Vec::len).sum());
    for (visitor, ids) in acknowledged.iter().enumerate() {
        let wanted: HashSet<&String> = ids.iter().collect();
        let mut mine = stored.remove(&visitor.to_string()).unwrap_or_default();
        mine.retain(|id| wanted.contains(id));
        assert_eq!(&mine, ids, "visitor {visitor}");
    }
}

/// The broker that leads a partition, by its place in the cluster.
fn leader(settings: &KafkaSettings, partition: u32) -> usize {
    let brokers = settings.brokers.as_ref().unwrap();
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let topic = settings.events_topic();
    let metadata = consumer.fetch_metadata(Some(&topic), LIMIT).unwrap();
    let partitions = metadata.topics()[0].partitions();
    let found = partitions.iter().find(|found| found.id() == partition as i32).unwrap();
    found.leader() as usize - 1
}

/// An event of the visitor that this test has in a partition.
fn event_in(partition: u32, number: usize) -> Message {
    let events = (0..).map(|visitor| event(&format!("visitor-{visitor}"), &number.to_string(), 3));
    events.into_iter().find(|event| event.partition == partition).unwrap()
}

/// The numbers of a partition's events, in the order of the log, once so many different ones are there.
fn numbers(source: &dyn Source, partition: u32, distinct: usize) -> Vec<usize> {
    let (mut numbers, mut seen) = (Vec::new(), HashSet::new());
    while seen.len() < distinct {
        let records = read(source, partition, numbers.len() as u64, distinct - seen.len());
        numbers.extend(records.iter().map(|record| message_id(record).parse::<usize>().unwrap()));
        seen.extend(numbers.iter().copied());
    }
    numbers
}

#[test]
fn a_partition_whose_leader_is_away_holds_up_no_others() {
    let mut kafka = Kafka::cluster(3);
    let settings = KafkaSettings { replication: 1, ..settings(&kafka, "leaderless", 3) };
    let dir = tempfile::tempdir().unwrap();
    let spill = spill(&settings, dir.path());
    let source = KafkaSource::open(&settings).unwrap();
    let led: Vec<usize> = (0..3).map(|partition| leader(&settings, partition)).collect();
    let (away, healthy): (Vec<u32>, Vec<u32>) =
        (0..3).partition(|partition| led[*partition as usize] == led[0]);
    assert!(!healthy.is_empty(), "{led:?}");
    kafka.kill(led[0]);
    // Longer than a call may wait before it is given up.
    let (mut sent, began) = (0, Instant::now());
    while began.elapsed() < Duration::from_secs(14) {
        let messages = (0..3).map(|partition| event_in(partition, sent)).collect();
        support::wait_long(spill.publish(messages).unwrap()).unwrap();
        sent += 1;
    }
    for partition in &healthy {
        let found = numbers(&source, *partition, sent);
        let copies = found.len() - sent;
        assert!(copies <= 1, "{copies} copies of {sent} events: only the call that failed was sent before");
    }
    wait_until("what Kafka has is released", || spill.depth_records() == (sent * away.len()) as u64);
    kafka.restart(led[0]);
    wait_until("the spill is drained", || !spill.is_spilling());
    for partition in away {
        let mut found = numbers(&source, partition, sent);
        let mut seen = HashSet::new();
        found.retain(|number| seen.insert(*number));
        assert_eq!(found, (0..sent).collect::<Vec<_>>());
    }
}

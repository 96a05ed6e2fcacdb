//! Processes of the consumer group share the partitions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use event_log::kafka::{KafkaPlans, KafkaSettings, KafkaSource};
use event_log::{Assignment, Source};
use kafka_server::Kafka;
use support::kafka::{LIMIT, open, read, settings};
use support::{message, publish};

/// A process that serves what it is given, and acknowledges what is taken after it noted it.
struct Owner {
    source: Arc<KafkaSource>,
    owned: Arc<Mutex<BTreeSet<u32>>>,
    thread: std::thread::JoinHandle<()>,
}

impl Owner {
    fn join(settings: &KafkaSettings, instance: Option<&str>) -> Self {
        let mut settings = settings.clone();
        settings.instance_id = instance.map(str::to_owned);
        let source = Arc::new(KafkaSource::join(&settings).unwrap());
        let owned = Arc::new(Mutex::new(BTreeSet::new()));
        let (mut changes, noted) = (source.assignments(), Arc::clone(&owned));
        let thread = std::thread::spawn(move || {
            while let Some(change) = changes.blocking_recv() {
                match change {
                    Assignment::Assigned(partitions) => noted.lock().unwrap().extend(partitions),
                    Assignment::Revoked { partitions, acknowledgement, .. } => {
                        noted.lock().unwrap().retain(|partition| !partitions.contains(partition));
                        acknowledgement.acknowledge();
                    }
                }
            }
        });
        Self { source, owned, thread }
    }

    fn owned(&self) -> BTreeSet<u32> {
        self.owned.lock().unwrap().clone()
    }

    fn leave(self) {
        drop(self.source);
        self.thread.join().unwrap();
    }
}

fn until(what: &str, owners: &[&Owner], condition: impl Fn(&[BTreeSet<u32>]) -> bool) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let owned: Vec<_> = owners.iter().map(|owner| owner.owned()).collect();
        if condition(&owned) {
            return;
        }
        assert!(Instant::now() < deadline, "in vain: {what}: {owned:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn shared(owned: &[BTreeSet<u32>], partitions: u32) -> bool {
    let union: BTreeSet<u32> = owned.iter().flatten().copied().collect();
    let sum: usize = owned.iter().map(BTreeSet::len).sum();
    union.len() == partitions as usize && sum == union.len() && owned.iter().all(|owned| !owned.is_empty())
}

#[test]
fn partitions_are_shared_given_back_after_a_flush_and_taken_over() {
    let kafka = Kafka::start();
    let settings = settings(&kafka, "group", 6);
    let (publisher, _) = open(&settings);
    publish(&publisher, (0..6).map(|partition| message(partition, "x")).collect()).unwrap();

    let first = Owner::join(&settings, None);
    until("the first has all", &[&first], |owned| shared(owned, 6));
    for partition in 0..6 {
        assert_eq!(read(first.source.as_ref(), partition, 0, 1).len(), 1);
        first.source.release(partition, 1);
    }
    let second = Owner::join(&settings, None);
    until("they share", &[&first, &second], |owned| shared(owned, 6) && owned[0].len() == 3);
    for partition in second.owned() {
        assert_eq!(read(second.source.as_ref(), partition, 0, 1).len(), 1);
    }
    first.leave();
    until("the second has all", &[&second], |owned| shared(owned, 6));
    let group = settings.group();
    let arguments = ["--describe", "--group", group.as_str()];
    let described = kafka.tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &arguments);
    assert!(described.contains(" 1 "), "released offsets are committed:\n{described}");
    second.leave();
}

#[test]
fn an_owner_that_is_slow_to_flush_is_waited_for() {
    let kafka = Kafka::start();
    let settings = settings(&kafka, "slow", 2);
    let first = KafkaSource::join(&settings).unwrap();
    let mut changes = first.assignments();
    assert!(
        matches!(changes.blocking_recv(), Some(Assignment::Assigned(partitions)) if partitions.len() == 2)
    );
    let second = Owner::join(&settings, None);
    let Some(Assignment::Revoked { partitions, acknowledgement, lost: false }) = changes.blocking_recv()
    else {
        panic!("no revocation")
    };
    assert_eq!(partitions.len(), 1);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(second.owned().len(), 0, "what was not flushed yet has no second owner");
    acknowledgement.acknowledge();
    until("the second has its part", &[&second], |owned| owned[0].len() == 1);
    drop(changes);
    second.leave();
}

#[test]
fn a_static_member_that_is_soon_back_keeps_its_partitions_and_one_that_is_not_loses_them() {
    let kafka = Kafka::start();
    let settings = settings(&kafka, "static", 4);
    let (first, second) = (Owner::join(&settings, Some("a")), Owner::join(&settings, Some("b")));
    until("they share", &[&first, &second], |owned| shared(owned, 4) && owned[0].len() == 2);
    let (before, kept) = (first.owned(), second.owned());
    second.leave();
    let second = Owner::join(&settings, Some("b"));
    until("it has them again", &[&second], |owned| owned[0] == kept);
    assert_eq!(first.owned(), before, "the other was not disturbed");
    second.leave();
    let away = Instant::now();
    until("the other takes over", &[&first], |owned| shared(owned, 4));
    assert!(away.elapsed() < Duration::from_secs(15), "{:?}", away.elapsed());
    first.leave();
}

#[test]
fn a_member_that_is_fenced_joins_anew_and_serves_again() {
    let kafka = Kafka::start();
    let settings = settings(&kafka, "fenced", 2);
    let first = Owner::join(&settings, Some("a"));
    until("it has all", &[&first], |owned| shared(owned, 2));
    let second = Owner::join(&settings, Some("a"));
    until("another one takes its place", &[&first], |owned| owned[0].is_empty());
    second.leave();
    until("it has all again", &[&first], |owned| shared(owned, 2));
    first.leave();
}

#[test]
fn leaving_does_not_wait_for_brokers_that_are_away() {
    let mut kafka = Kafka::start();
    let settings = settings(&kafka, "leaving", 2);
    let (publisher, _) = open(&settings);
    publish(&publisher, vec![message(0, "x")]).unwrap();
    let owner = Owner::join(&settings, Some("a"));
    let plans = KafkaPlans::open(&settings).unwrap();
    until("it has all", &[&owner], |owned| shared(owned, 2));
    read(owner.source.as_ref(), 0, 0, 1);
    owner.source.release(0, 1);
    kafka.freeze(0);
    let began = Instant::now();
    drop(owner.source);
    owner.thread.join().unwrap();

    drop(plans);

    drop(publisher);

    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    kafka.thaw(0);
}

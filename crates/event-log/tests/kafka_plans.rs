//! The plan topic, the topic of salts and that of what was rejected on a real Kafka.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::{Arc, LazyLock};

use std::time::Duration;

use event_log::kafka::{KafkaPlans, KafkaPublisher, KafkaRejected, KafkaRejections, KafkaSalts};
use event_log::rejected::{Rejected, RejectedSource, Rejections};
use event_log::salts::{Salt, SaltTopic, keep_up};
use event_log::{PlanError, PlanRecord, PlanTopic};
use kafka_server::Kafka;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use support::kafka::settings;
use support::until;

static KAFKA: LazyLock<Kafka> = LazyLock::new(Kafka::start);

fn plan(number: u64, text: &str) -> PlanRecord {
    PlanRecord { number, applied_at_ms: number as i64 * 10, text: text.to_owned() }
}

#[test]
fn a_plan_is_followed_by_others_and_found_after_a_restart() {
    let settings = settings(&KAFKA, "plans", 1);
    let (ours, theirs) = (KafkaPlans::open(&settings).unwrap(), KafkaPlans::open(&settings).unwrap());
    assert_eq!(*ours.latest().borrow(), None);
    for number in [1, 2, 5] {
        ours.append(plan(number, "text")).unwrap();
        assert_eq!(ours.latest().borrow().as_deref(), Some(&plan(number, "text")));
    }
    until("the other one follows", || theirs.latest().borrow().as_deref() == Some(&plan(5, "text")));
    for number in [5, 4, 0] {
        let refused = theirs.append(plan(number, "other"));
        assert!(matches!(refused, Err(PlanError::Outdated { latest: 5, .. })), "{refused:?}");
    }
    let restarted = KafkaPlans::open(&settings).unwrap();
    assert_eq!(restarted.latest().borrow().as_deref(), Some(&plan(5, "text")));
    let numbers: Vec<u64> = restarted.history().unwrap().iter().map(|plan| plan.number).collect();
    assert_eq!(numbers, [1, 2, 5]);
}

#[test]
fn a_topic_that_was_created_again_counts_from_one_and_its_plans_replace_those_before() {
    let settings = settings(&KAFKA, "plans-again", 1);
    let followed = KafkaPlans::open(&settings).unwrap();
    // As many records as the next topic will have: the old offset is in it, and tells nothing.
    followed.append(plan(7, "before Kafka was lost")).unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", settings.brokers.as_ref().unwrap()).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(support::kafka::LIMIT));
    runtime.block_on(admin.delete_topics(&[&settings.plan_topic()], &options)).unwrap();
    until("the topic is created again", || event_log::kafka::ensure_topics(&settings).is_ok());
    assert_eq!(followed.latest().borrow().as_deref(), Some(&plan(7, "before Kafka was lost")), "it stays");

    let applier = KafkaPlans::open(&settings).unwrap();
    assert_eq!(*applier.latest().borrow(), None);
    applier.append(plan(1, "applied again")).unwrap();
    let applied = plan(1, "applied again");
    until("who followed has it too", || followed.latest().borrow().as_deref() == Some(&applied));
    followed.append(plan(2, "the next")).unwrap();
    assert_eq!(followed.history().unwrap(), [applied, plan(2, "the next")]);
}

#[test]
fn of_many_who_apply_the_same_number_at_once_one_wins_for_everybody() {
    let settings = settings(&KAFKA, "race", 1);
    let topics: Vec<KafkaPlans> = (0..4).map(|_| KafkaPlans::open(&settings).unwrap()).collect();
    for number in 1..=5 {
        let outcomes: Vec<Result<(), PlanError>> = std::thread::scope(|scope| {
            let appliers = topics.iter().zip(0..).map(|(topic, applier)| {
                scope.spawn(move || topic.append(plan(number, &format!("by {applier}"))))
            });
            let appliers: Vec<_> = appliers.collect();
            appliers.into_iter().map(|applier| applier.join().unwrap()).collect()
        });
        let winners: Vec<usize> = (0..4).filter(|applier| outcomes[*applier].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        let won = plan(number, &format!("by {}", winners[0]));
        for topic in &topics {
            until("all have the winner's plan", || topic.latest().borrow().as_deref() == Some(&won));
        }
    }
    let restarted = KafkaPlans::open(&settings).unwrap();
    assert_eq!(restarted.history().unwrap(), topics[0].history().unwrap());
}

#[test]
fn of_salts_written_at_once_one_counts_for_everybody_and_a_restart_finds_it() {
    const NOON_MS: i64 = 20_000 * 86_400_000 + 43_200_000;
    let settings = settings(&KAFKA, "salts", 1);
    let open = || {
        let publisher = Arc::new(KafkaPublisher::open(&settings).unwrap());
        let salts = KafkaSalts::open(&settings, publisher).unwrap();
        until("the topic is read", || salts.known().borrow().is_some());
        salts
    };
    let topics = [open(), open(), open()];
    std::thread::scope(|scope| {
        for topic in &topics {
            scope.spawn(|| keep_up(topic, NOON_MS, true).unwrap());
        }
    });
    topics[0].append(20_002, Salt::random()).unwrap();
    let days = |topic: &KafkaSalts| topic.known().borrow().as_ref().unwrap().iter().count();
    until("all have three days", || topics.iter().all(|topic| days(topic) == 3));
    let restarted = open();
    let known = topics[0].known().borrow().clone();
    assert!(topics.iter().all(|topic| *topic.known().borrow() == known));
    assert_eq!(*restarted.known().borrow(), known);
    restarted.forget_before(20_001);
    assert_eq!(days(&restarted), 2);
}

#[test]
fn what_was_rejected_is_read_back_once_it_is_stored() {
    let settings = settings(&KAFKA, "rejected", 1);
    event_log::kafka::ensure_topics(&settings).unwrap();
    let on_unkept = Box::new(|| panic!("Kafka takes all"));
    let rejections = Rejections::to_kafka(KafkaRejections::open(&settings).unwrap(), on_unkept);
    let rejected = |offset: u64| Rejected {
        id: format!("t-0-{offset}"),
        reason: "not_a_record".into(),
        sample: "x".repeat(5_000),
        offset,
        ..Rejected::default()
    };
    (0..5).for_each(|offset| rejections.write(rejected(offset)));
    rejections.close(support::kafka::LIMIT);

    let take = |source: &mut KafkaRejected, wanted: usize| {
        let mut taken = Vec::new();
        until("all are read", || {
            taken.extend(source.take(3, Duration::from_millis(100)));
            taken.len() >= wanted
        });
        taken
    };
    let mut source = KafkaRejected::join(&settings).unwrap();
    let taken = take(&mut source, 5);
    assert_eq!(taken, (0..5).map(|offset| rejected(offset).bounded()).collect::<Vec<_>>());
    drop(source);
    let mut again = KafkaRejected::join(&settings).unwrap();
    assert_eq!(take(&mut again, 5).len(), 5, "nobody said that they are stored");
    again.stored();
    drop(again);
    let mut other = KafkaRejected::join(&settings).unwrap();
    let rejections = Rejections::to_kafka(KafkaRejections::open(&settings).unwrap(), Box::new(|| ()));
    rejections.write(rejected(9));
    assert_eq!(take(&mut other, 1), [rejected(9).bounded()], "those before are stored");
    rejections.close(support::kafka::LIMIT);
}

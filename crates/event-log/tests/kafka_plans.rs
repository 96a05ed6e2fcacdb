//! The plan topic on a real Kafka.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::LazyLock;

use event_log::kafka::{KafkaPlans, KafkaRejections, RejectedRecord};
use event_log::{PlanError, PlanRecord, PlanTopic};
use kafka_server::Kafka;
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
fn a_rejected_record_is_found_in_its_topic() {
    let settings = settings(&KAFKA, "rejected", 1);
    event_log::kafka::ensure_topics(&settings).unwrap();
    let rejections = KafkaRejections::open(&settings).unwrap();
    let value = vec![0xff; 10_000];
    rejections.write(&RejectedRecord {
        partition: 0,
        offset: 17,
        appended_at_ms: 5,
        reason: "not_a_record",
        value: &value,
    });
    rejections.close(support::kafka::LIMIT);
    assert_eq!(rejections.unwritten(), 0);
    let topic = settings.rejected_topic();
    let offsets = KAFKA.tool("org.apache.kafka.tools.GetOffsetShell", &["--topic", &topic]);
    assert!(offsets.contains(&format!("{topic}:0:1")), "{offsets}");
}

//! The rules by which a plan comes into force.

use event_log::memory::MemoryLog;
use event_log::{ManualClock, Source};
use prost::Message as _;
use rungs_proto::v1::{Record, record::Body};

use super::*;

const PLAN: &str = "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\n";

struct Bench {
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    plans: PlanInForce,
}

fn bench() -> Bench {
    let clock = Arc::new(ManualClock::at(1_000));
    let log = Arc::new(MemoryLog::new(3, clock.clone()));
    let plans = restarted(&log, &clock, 0);
    Bench { log, clock, plans }
}

fn restarted(log: &Arc<MemoryLog>, clock: &Arc<ManualClock>, generation: u64) -> PlanInForce {
    PlanInForce::new(log.clone(), log.clone(), clock.clone(), generation)
}

fn another(name: &str) -> String {
    format!("{PLAN}timezone = \"Europe/Berlin\" # {name}\n")
}

/// (number, generation) of the control records of a partition.
fn announced(log: &MemoryLog, partition: u32) -> Vec<(u64, u64)> {
    let records = log.read(partition, 0, usize::MAX).unwrap();
    let read = |value: &Bytes| match Record::decode(value.clone()).unwrap().body.unwrap() {
        Body::Control(control) => match control.action.unwrap() {
            Action::PlanApplied(PlanApplied { number }) => (number, control.generation),
            other => panic!("{other:?}"),
        },
        Body::Event(event) => panic!("{event:?}"),
    };
    records.iter().map(|record| read(&record.value)).collect()
}

#[tokio::test]
async fn a_plan_is_stored_under_the_next_number_and_announced_to_every_partition() {
    let bench = bench();
    let first = bench.plans.apply("plan.toml", PLAN).await.unwrap();
    assert_eq!(first, Applied { number: 1, changed: true });
    let second = bench.plans.apply("plan.toml", &another("b")).await.unwrap();
    assert_eq!(second, Applied { number: 2, changed: true });
    for partition in 0..3 {
        assert_eq!(announced(&bench.log, partition), [(1, 1_000), (2, 1_001)]);
    }
    let numbers: Vec<u64> = bench.plans.history().unwrap().iter().map(|plan| plan.number).collect();
    assert_eq!(numbers, [1, 2]);
}

#[tokio::test]
async fn the_same_text_changes_nothing() {
    let bench = bench();
    bench.plans.apply("plan.toml", PLAN).await.unwrap();
    let again = bench.plans.apply("plan.toml", PLAN).await.unwrap();
    assert_eq!(again, Applied { number: 1, changed: false });
    assert_eq!(announced(&bench.log, 0), [(1, 1_000)]);
}

#[tokio::test]
async fn a_plan_with_mistakes_changes_nothing_and_tells_all_of_them() {
    let bench = bench();
    bench.plans.apply("plan.toml", PLAN).await.unwrap();
    let error = bench.plans.apply("plan.toml", "[[sites]]\nidd = 3\n[[sites]]\n").await.unwrap_err();
    let ApplyError::Invalid(problems) = error else { panic!("{error}") };
    assert!(problems.len() >= 3, "{problems:?}");
    assert_eq!(bench.plans.latest().unwrap().number, 1);
    assert_eq!(announced(&bench.log, 0), [(1, 1_000)]);
}

#[tokio::test]
async fn a_plan_whose_announcement_was_lost_is_announced_at_the_next_start() {
    let bench = bench();
    bench.log.refuse_next(PublishError::Full { limit: "[log] max_size" });
    let error = bench.plans.apply("plan.toml", PLAN).await.unwrap_err();
    assert!(matches!(error, ApplyError::NotAnnounced { number: 1, .. }), "{error}");
    assert!(announced(&bench.log, 0).is_empty());

    let plans = restarted(&bench.log, &bench.clock, 0);
    plans.announce_latest().await.unwrap();
    assert_eq!(announced(&bench.log, 2), [(1, 1_000)]);
    plans.announce_latest().await.unwrap();
    assert_eq!(announced(&bench.log, 2).len(), 1);
}

#[tokio::test]
async fn applying_a_plan_again_finishes_what_a_full_log_kept_from_being_announced() {
    let bench = bench();
    bench.log.refuse_next(PublishError::Full { limit: "[log] max_size" });
    bench.plans.apply("plan.toml", PLAN).await.unwrap_err();
    let applied = bench.plans.apply("plan.toml", PLAN).await.unwrap();
    assert_eq!(applied, Applied { number: 1, changed: false });
    assert_eq!(announced(&bench.log, 1), [(1, 1_000)]);
}

#[tokio::test]
async fn a_plan_is_announced_under_one_generation_however_often() {
    let bench = bench();
    bench.log.lose_next_acknowledgement();
    bench.plans.apply("plan.toml", PLAN).await.unwrap_err();
    bench.clock.set(2_000);
    bench.plans.apply("plan.toml", PLAN).await.unwrap();
    bench.clock.set(3_000);
    restarted(&bench.log, &bench.clock, 2_500).announce_latest().await.unwrap();
    assert_eq!(announced(&bench.log, 1), [(1, 1_000); 3]);
}

#[tokio::test]
async fn generations_grow_also_when_the_clock_was_set_back() {
    let bench = bench();
    let plans = restarted(&bench.log, &bench.clock, 5_000);
    plans.apply("plan.toml", PLAN).await.unwrap();
    bench.clock.set(7_000);
    plans.apply("plan.toml", &another("b")).await.unwrap();
    bench.clock.set(10);
    plans.apply("plan.toml", &another("c")).await.unwrap();
    assert_eq!(announced(&bench.log, 0), [(1, 5_001), (2, 7_000), (3, 7_001)]);
}

//! A plan file that changes while `rungs up` runs.

use std::time::Instant;

use event_log::SystemClock;
use event_log::memory::MemoryLog;

use super::*;

const PLAN: &str = "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\n";
const BROKEN: &str = "[[sites]]\nid = shop\n";

fn plans() -> Arc<PlanInForce> {
    let clock = Arc::new(SystemClock);
    let log = Arc::new(MemoryLog::new(1, clock.clone()));
    Arc::new(PlanInForce::new(log.clone(), log, clock, 0))
}

fn number(plans: &PlanInForce) -> u64 {
    plans.latest().map_or(0, |plan| plan.number)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_valid_change_is_applied_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.toml");
    std::fs::write(&path, PLAN).unwrap();
    let plans = plans();
    let file = PlanFile::new(path.clone()).apply_first(&plans).await.unwrap();
    assert_eq!(number(&plans), 1);

    let shutdown = Shutdown::new();
    let tasks = runtime::Tasks::new();
    let watching = tasks.spawn("plan file", file.watch(plans.clone(), shutdown.clone()));
    std::fs::write(&path, BROKEN).unwrap();
    let replacement = folder.path().join("plan.toml.new");
    std::fs::write(&replacement, format!("{PLAN}origins = [\"*\"]\n")).unwrap();
    std::fs::rename(&replacement, &path).unwrap();
    until("the replaced file is applied", || number(&plans) == 2).await;
    assert!(plans.latest().unwrap().text.contains("origins"));
    shutdown.request();
    watching.await.unwrap();
}

#[tokio::test]
async fn a_broken_file_at_the_start_needs_a_plan_in_force_to_go_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.toml");
    std::fs::write(&path, BROKEN).unwrap();
    let plans = plans();
    let failure = PlanFile::new(path.clone()).apply_first(&plans).await.err().unwrap();
    assert!(failure.to_string().contains("plan.toml:2"), "{failure}");

    plans.apply("plan.toml", PLAN).await.unwrap();
    assert!(PlanFile::new(path).apply_first(&plans).await.is_ok());
    assert_eq!(number(&plans), 1);
}

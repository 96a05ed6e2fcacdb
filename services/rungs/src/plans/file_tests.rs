//! A plan file that changes while `rungs up` runs.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use event_log::memory::MemoryLog;
use event_log::{PlanError, PlanRecord, PlanTopic, ReadError, SystemClock};
use tokio::sync::watch;

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

/// A topic whose disk is full for so many appends.
struct FullFor {
    log: Arc<MemoryLog>,
    left: AtomicU32,
}

impl PlanTopic for FullFor {
    fn append(&self, plan: PlanRecord) -> Result<(), PlanError> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() { Err(PlanError::Storage("no space left".to_owned())) } else { self.log.append(plan) }
    }

    fn latest(&self) -> watch::Receiver<Option<Arc<PlanRecord>>> {
        self.log.latest()
    }

    fn history(&self) -> Result<Vec<PlanRecord>, ReadError> {
        self.log.history()
    }
}

#[tokio::test]
async fn a_change_that_could_not_be_stored_is_tried_again_at_the_next_look_and_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.toml");
    std::fs::write(&path, PLAN).unwrap();
    let clock = Arc::new(SystemClock);
    let log = Arc::new(MemoryLog::new(1, clock.clone()));
    let topic = Arc::new(FullFor { log: log.clone(), left: AtomicU32::new(0) });
    let plans = PlanInForce::new(topic.clone(), log, clock, 0);
    let mut file = PlanFile::new(path.clone()).apply_first(&plans).await.unwrap();

    std::fs::write(&path, format!("{PLAN}origins = [\"*\"]\n")).unwrap();
    topic.left.store(2, Ordering::SeqCst);
    for look in 0..2 {
        let text = file.changed().await.expect("it is tried again");
        assert_eq!(file.failing.is_some(), look > 0, "what failed before is known, so told once");
        file.apply(&plans, text).await;
        assert_eq!(number(&plans), 1);
    }
    let text = file.changed().await.expect("it is tried again");
    file.apply(&plans, text).await;
    assert_eq!((number(&plans), file.failing.as_ref()), (2, None));
    assert_eq!(file.changed().await, None, "it is in force");
}

#[tokio::test]
async fn a_file_that_could_not_be_read_is_read_at_the_next_look_whatever_its_time_and_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.toml");
    std::fs::write(&path, PLAN).unwrap();
    let plans = plans();
    let mut file = PlanFile::new(path.clone()).apply_first(&plans).await.unwrap();
    let (changed, written) = (format!("{PLAN}origins = [\"*\"]\n"), SystemTime::UNIX_EPOCH + LOOK_INTERVAL);
    let write = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
    };
    // No UTF-8, as a half-written file may not be.
    write(&vec![0xff; changed.len()]);
    assert_eq!((file.changed().await, file.changed().await), (None, None));
    assert_eq!(file.failing, Some(Failing::Reading));
    write(changed.as_bytes());
    assert_eq!((file.changed().await, file.failing), (Some(changed), None));
}

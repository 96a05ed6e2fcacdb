//! The thread on a log and a warehouse in memory: a record that panics, and the limit of journeys.

use bytes::Bytes;
use event_log::memory::MemoryLog;
use event_log::rejected::RejectedSource;
use event_log::{Message, PlanRecord, Publisher, SystemClock};
use prost::Message as _;
use rungs_proto::v1::control::Action;
use rungs_proto::v1::record::Body;
use rungs_proto::v1::{Control, PlanApplied, Record};
use runtime::Shutdown;

use super::*;
use crate::journey_budget::JourneyBudget;
use crate::memory::MemoryStore;
use crate::refused::PANICKED;
use crate::restore::restore;
use crate::screened::Screened;
use crate::small_lane::{PLAN, counters, event, first_of, flush_limits, fold_settings, refusals};
use crate::snapshot::{LaneSnapshot, LaneState};
use crate::writer;

/// Longer than any of this takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// A plan topic that panics when it is asked for an old plan.
struct PanickingPlans(watch::Sender<Option<Arc<PlanRecord>>>);

impl PlanTopic for PanickingPlans {
    fn append(&self, _: PlanRecord) -> Result<(), event_log::PlanError> {
        Ok(())
    }

    fn latest(&self) -> watch::Receiver<Option<Arc<PlanRecord>>> {
        self.0.subscribe()
    }

    fn history(&self) -> Result<Vec<PlanRecord>, ReadError> {
        panic!("no plans today")
    }
}

/// What the lives of a partition share.
struct World {
    log: Arc<MemoryLog>,
    plan: watch::Sender<Option<Arc<PlanRecord>>>,
    store: MemoryStore,
    refusals: Refusals,
    budget: JourneyBudget,
    board: LaneBoard,
    drain_limit: Duration,
}

impl World {
    fn new(limit: usize) -> (Self, impl RejectedSource) {
        let (refusals, rejected) = refusals(0);
        let world = Self {
            log: Arc::new(MemoryLog::new(1, Arc::new(SystemClock))),
            plan: watch::Sender::new(None),
            store: MemoryStore::default(),
            refusals,
            budget: JourneyBudget::new(limit),
            board: LaneBoard::default(),
            drain_limit: Duration::ZERO,
        };
        (world, rejected)
    }

    fn publish(&self, body: Body) {
        let value = Bytes::from(Record { body: Some(body) }.encode_to_vec());
        drop(self.log.publish(vec![Message { partition: 0, value }]).unwrap());
    }

    fn apply(&self, number: u64) {
        let action = Some(Action::PlanApplied(PlanApplied { number }));
        self.publish(Body::Control(Control { generation: 1, action }));
    }

    fn event(&self, message: &str) {
        self.publish(event("v", message, now_ms()));
    }

    /// A life of the partition from what is stored, on a thread.
    async fn live(&self, stop: &Stop) -> std::thread::JoinHandle<()> {
        let (id, settings) = (first_of(1, self.log.id().0), fold_settings());
        let found = restore(&self.store, &id, &settings).await.unwrap();
        let mut lane = Lane::new(id, settings.clone(), flush_limits(), counters());
        let mut effects = Effects::default();
        lane.resume(found, &mut effects);
        let source: Arc<dyn Source> = self.log.clone();
        let translate = Arc::clone(&self.refusals.foreign.translate);
        let source: Arc<dyn Source> =
            Arc::new(Screened { source, translate, poisonous: self.refusals.poisonous.clone() });
        let (writes, queue) = mpsc::channel(writer::QUEUE);
        let (built_sender, built) = mpsc::channel(1);
        let tasks = Tasks::new();
        let timing = lane.counters.timing.clone();
        let write = writer::run(self.store.clone(), queue, Arc::clone(&source), 0, Shutdown::new(), timing);
        drop(tasks.spawn("writer", write));
        let thread = LaneThread {
            lane,
            store: self.store.clone(),
            source,
            plans: Arc::new(PanickingPlans(self.plan.clone())),
            awaited: None,
            refusals: self.refusals.clone(),
            journeys: self.budget.share(),
            last_forgotten: None,
            settings,
            writes,
            built,
            built_sender,
            waiting: Waiting::default(),
            one_at_a_time: Arc::default(),
            orders: Orders::default(),
            board: Arc::clone(&self.board),
            tasks,
            runtime: Handle::current(),
            stop: stop.clone(),
            drain_limit: self.drain_limit,
            last_snapshot_ms: 0,
            last_at_end_ms: 0,
        };
        std::thread::spawn(move || thread.run(effects))
    }

    fn stored(&self) -> Vec<String> {
        self.store.tables().events.keys().map(|(_, _, message)| message.clone()).collect()
    }

    async fn until(&self, what: &str, holds: impl Fn(&LaneSnapshot) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !holds(&self.board.load()) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.board.load());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn plan(number: u64) -> Arc<PlanRecord> {
    Arc::new(PlanRecord { number, applied_at_ms: 1, text: PLAN.to_owned() })
}

fn counts_one(lane: &LaneSnapshot) -> bool {
    let funnel = lane.funnels.first();
    lane.state == LaneState::Live && funnel.is_some_and(|funnel| funnel.visitors_in_memory == 1)
}

async fn ended(life: std::thread::JoinHandle<()>) {
    tokio::task::spawn_blocking(move || life.join().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_panics_ends_the_lane_and_is_refused_by_the_next_one() {
    let (world, mut rejected) = World::new(1_000);
    world.event("before");
    world.plan.send_replace(Some(plan(8)));
    world.apply(7);
    world.event("after");
    ended(world.live(&Stop::default()).await).await;
    assert!(world.refusals.poisonous.contains(1) && world.refusals.poisonous.len() == 1);
    assert!(world.stored().is_empty(), "nothing of the life that panicked is used: {:?}", world.stored());

    let stop = Stop::default();
    let next = world.live(&stop).await;
    world.until("all is taken", |lane| lane.position == 3).await;
    stop.ask(Ending::Flush);
    ended(next).await;
    world.until_stored(&["after", "before"]).await;
    let shown = rejected.take(10, Duration::ZERO);
    let places: Vec<_> = shown.iter().map(|shown| (shown.reason.as_str(), shown.offset)).collect();
    assert_eq!(places, [(PANICKED, 1)], "once");
    assert_eq!(world.refusals.panicked.get(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_in_the_log_has_its_funnels_built_beside_the_lane() {
    let (world, _rejected) = World::new(1_000);
    world.plan.send_replace(Some(plan(7)));
    world.event("before");
    world.apply(7);
    let stop = Stop::default();
    let life = world.live(&stop).await;
    world.until("the funnel is live with the visitor of before", counts_one).await;
    stop.ask(Ending::Flush);
    ended(life).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_the_log_applies_before_the_plan_topic_tells_it_is_waited_for() {
    let (world, _rejected) = World::new(1_000);
    world.plan.send_replace(Some(plan(6)));
    world.event("before");
    world.apply(7);
    world.event("after");
    let stop = Stop::default();
    let life = world.live(&stop).await;
    world.until("it stands before the plan", |lane| lane.position == 1 && lane.lag_records() == 2).await;
    world.until("it has done so for a while", |lane| lane.lag_ms(now_ms()) > 500).await;
    assert_eq!(world.board.load().position, 1);
    world.plan.send_replace(Some(plan(7)));
    world.until("it reads on by the plan", |lane| lane.position == 3 && counts_one(lane)).await;
    stop.ask(Ending::Flush);
    ended(life).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_journeys_stop_the_reading_until_there_is_room() {
    let (world, _rejected) = World::new(10);
    let mut others = world.budget.share();
    assert!(others.is_over(11));
    world.event("one");
    let stop = Stop::default();
    let life = world.live(&stop).await;
    world.until("it is paused", |lane| lane.state == LaneState::Paused).await;
    assert_eq!((world.board.load().position, world.stored().len()), (0, 0));
    assert_eq!(world.board.load().lag_records(), 1, "what is not read is seen as lag");
    drop(others);
    world.until("it reads on", |lane| lane.state == LaneState::Live && lane.position == 1).await;
    stop.ask(Ending::Flush);
    ended(life).await;
    world.until_stored(&["one"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_lane_that_is_to_drain_does_not_wait_for_room() {
    let (mut world, _rejected) = World::new(10);
    world.drain_limit = 10 * DEADLINE;
    let mut others = world.budget.share();
    assert!(others.is_over(11));
    world.event("one");
    let stop = Stop::default();
    let life = world.live(&stop).await;
    world.until("it is paused", |lane| lane.state == LaneState::Paused).await;
    stop.ask(Ending::Drain);
    tokio::time::timeout(DEADLINE, ended(life)).await.unwrap();
    assert!(world.stored().is_empty(), "it took no record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_is_to_drain_takes_the_rest_of_the_log() {
    let (mut world, _rejected) = World::new(1_000);
    world.drain_limit = 10 * DEADLINE;
    (0..100).for_each(|id| world.event(&format!("{id:02}")));
    let stop = Stop::default();
    stop.ask(Ending::Drain);
    tokio::time::timeout(DEADLINE, ended(world.live(&stop).await)).await.unwrap();
    let all: Vec<String> = (0..100).map(|id| format!("{id:02}")).collect();
    world.until_stored(&all.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

impl World {
    async fn until_stored(&self, wanted: &[&str]) {
        let deadline = Instant::now() + DEADLINE;
        while self.stored() != wanted {
            assert!(Instant::now() < deadline, "{:?} are stored", self.stored());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

//! The builds of a partition's thread: each attempt on a thread of its own, one at a time in a process, and taken over
//! once the lane has come as far as they have ([`crate::joining`]).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use runtime::{Tasks, now_ms};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::{LaneError, LaneThread};
use crate::build::{BuildError, Builder, Built};
use crate::ending::Stop;
use crate::lane::{BuildOrder, Effects};
use crate::panics::text_of;
use crate::refused::Refusals;
use crate::store::Store;

/// A build that failed is tried again after this long, then twice as long, and so on.
const FIRST_BUILD_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_BUILD_PAUSE: Duration = Duration::from_secs(60);

impl<S: Store> LaneThread<S> {
    /// Starts a build, beside the lane: it begins once everything before the cut-off is stored.
    pub(super) fn start_build(&mut self, order: BuildOrder, barrier: oneshot::Receiver<()>) {
        self.orders.follow(&self.lane);
        let (orders, stop, wanted) = (self.orders.clone(), self.stop.clone(), order.clone());
        let wanted = move || orders.contains(&wanted) && stop.ending().is_none();
        let builder = Builder {
            store: self.store.clone(),
            source: Arc::clone(&self.source),
            partition: self.lane.partition.clone(),
            settings: self.settings.clone(),
            refused: self.refusals.raw.clone(),
            wanted: Arc::new(wanted),
        };
        let task = Attempts {
            builder: Arc::new(builder),
            order,
            turn: Arc::clone(&self.one_at_a_time),
            refusals: self.refusals.clone(),
            sender: self.built_sender.clone(),
            tasks: self.tasks.clone(),
            runtime: self.runtime.clone(),
            stop: self.stop.clone(),
        };
        // This thread is none of the runtime's.
        let _runtime = self.runtime.enter();
        drop(self.tasks.spawn("aggregator-build-order", async move {
            if barrier.await.is_ok() {
                task.run().await;
            }
        }));
    }

    /// Takes over finished builds, once the lane has come as far as they have.
    pub(super) fn adopt_built(&mut self) -> Result<(), LaneError> {
        while let Ok(built) = self.built.try_recv() {
            self.waiting.push(built);
        }
        self.orders.follow(&self.lane);
        let mut effects = Effects::default();
        let panicked = self.waiting.join(&mut self.lane, self.source.as_ref(), now_ms(), &mut effects);
        panicked.iter().for_each(|found| self.refusals.condemn(&found.record));
        self.carry_out(effects)
    }
}

/// An order that is carried out, again and again with growing pauses if that fails. It waits as a task, for there may be
/// thousands; only the attempt whose turn it is has a thread. Between attempts it is others' turn.
struct Attempts<S: Store> {
    builder: Arc<Builder<S>>,
    order: BuildOrder,
    turn: Arc<Mutex<()>>,
    refusals: Refusals,
    sender: mpsc::Sender<Built>,
    tasks: Tasks,
    runtime: Handle,
    stop: Stop,
}

impl<S: Store> Attempts<S> {
    async fn run(self) {
        let mut pause = FIRST_BUILD_PAUSE;
        loop {
            let turn = self.turn.lock().await;
            match self.attempt().await {
                Ok(built) => {
                    // The lane is gone only when the service ends; the build starts again with the next start.
                    let _ = self.sender.send(built).await;
                    return;
                }
                Err(BuildError::Cancelled) => return,
                Err(error) => {
                    let funnel = &self.order.funnel.id;
                    tracing::warn!(%error, funnel, "a build from raw events failed; trying again");
                    if self.leave_out(&error) {
                        // The next attempt gets further.
                        pause = FIRST_BUILD_PAUSE;
                    }
                }
            }
            drop(turn);
            drop(tokio::time::timeout(pause, self.stop.asked().requested()).await);
            pause = (pause * 2).min(LONGEST_BUILD_PAUSE);
        }
    }

    /// Refuses from now on what made the attempt panic, if it is known.
    fn leave_out(&self, error: &BuildError) -> bool {
        match error {
            BuildError::Poisonous(found) => self.refusals.condemn(&found.record),
            BuildError::PoisonousRaw(found) => self.refusals.condemn_raw(found, now_ms()),
            _ => return false,
        }
        true
    }

    /// Builds on a thread of its own. A panic is an attempt that failed.
    async fn attempt(&self) -> Result<Built, BuildError> {
        if !(self.builder.wanted)() {
            return Err(BuildError::Cancelled);
        }
        let (builder, order, runtime) = (Arc::clone(&self.builder), self.order.clone(), self.runtime.clone());
        let (done, outcome) = oneshot::channel();
        self.tasks.spawn_thread("aggregator-build", move || {
            let built = catch_unwind(AssertUnwindSafe(|| runtime.block_on(builder.build(order))));
            let failed = |panic: Box<dyn Any + Send>| Err(BuildError::Panicked(text_of(panic.as_ref())));
            drop(done.send(built.unwrap_or_else(failed)));
        })?;
        outcome.await.unwrap_or(Err(BuildError::Cancelled))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use bytes::Bytes;
    use event_log::memory::MemoryLog;
    use event_log::rejected::RejectedSource;
    use event_log::{ManualClock, Message, Publisher, SystemClock};
    use funnel::plan::Plan;

    use super::*;
    use crate::memory::MemoryStore;
    use crate::refused::PANICKED;
    use crate::refused_raw::RefusedRaw;
    use crate::small_lane::{PLAN, first_of, fold_settings, refusals};
    use warehouse::raw::RawEvent;

    fn attempts(
        turn: &Arc<Mutex<()>>,
        sender: mpsc::Sender<Built>,
        wanted: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Attempts<MemoryStore> {
        let builder = Builder {
            store: MemoryStore::default(),
            source: Arc::new(MemoryLog::new(1, Arc::new(SystemClock))),
            partition: first_of(1, "log".into()),
            settings: fold_settings(),
            refused: RefusedRaw::default(),
            wanted: Arc::new(wanted),
        };
        let funnel = Arc::new(Plan::parse("plan.toml", PLAN).unwrap().funnels[0].clone());
        let order = BuildOrder { funnel, generation: 1, cutoff: 0, clock_ms: 0, least_version: 0 };
        Attempts {
            builder: Arc::new(builder),
            order,
            turn: Arc::clone(turn),
            refusals: refusals(0).0,
            sender,
            tasks: Tasks::new(),
            runtime: Handle::current(),
            stop: Stop::default(),
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_record_that_panics_in_a_build_is_counted_and_shown() {
        // No time is later: the minute that the record opens cannot end.
        let log = Arc::new(MemoryLog::new(1, Arc::new(ManualClock::at(i64::MAX))));
        drop(log.publish(vec![Message { partition: 0, value: Bytes::from_static(b"what breaks") }]).unwrap());
        let (refusals, mut shown) = refusals(0);
        let (sender, _built) = mpsc::channel(1);
        let mut build = attempts(&Arc::default(), sender, || true);
        Arc::get_mut(&mut build.builder).unwrap().source = log;
        build.refusals = refusals.clone();
        let tasks = Tasks::new();
        drop(tasks.spawn("build", build.run()));
        let take = move || shown.take(10, Duration::from_secs(60));
        let shown = tokio::task::spawn_blocking(take).await.unwrap();
        let found: Vec<_> = shown.iter().map(|shown| (shown.reason.as_str(), shown.bytes)).collect();
        assert_eq!(found, [(PANICKED, 11)]);
        assert_eq!((refusals.panicked.get(), refusals.poisonous.contains(0)), (1, true));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_raw_event_that_panics_is_shown_once_and_the_builds_go_on_without_it() {
        let (refusals, mut shown) = refusals(0);
        let tasks = Tasks::new();
        for generation in [1, 2] {
            let (sender, mut built) = mpsc::channel(1);
            let mut build = attempts(&Arc::default(), sender, || true);
            let store = MemoryStore::default();
            for (message_id, own_ts) in [("fine", 5_000), ("what breaks", i64::MIN), ("fine as well", 7_000)]
            {
                let (event, visitor_id, ts) = ("a".to_owned(), message_id.to_owned(), 5_000);
                let message_id = message_id.to_owned();
                let key = ("s".to_owned(), visitor_id.clone(), message_id.clone());
                // Its own time lies further from its time than numbers reach.
                let event = RawEvent { visitor_id, message_id, event, ts, own_ts, ..RawEvent::default() };
                store.tables().events.insert(key, (1, 0, event));
            }
            let builder = Arc::get_mut(&mut build.builder).unwrap();
            (builder.store, builder.refused) = (store, refusals.raw.clone());
            build.order = BuildOrder { generation, cutoff: 1, clock_ms: 9_000, ..build.order };
            build.refusals = refusals.clone();
            drop(tasks.spawn("build", build.run()));
            let built = tokio::time::timeout(Duration::from_secs(60), built.recv()).await.unwrap().unwrap();
            assert_eq!(built.lane.fold().visitors(), 2, "in generation {generation}");
        }
        let shown = shown.take(10, Duration::ZERO);
        let found: Vec<_> =
            shown.iter().map(|shown| (&*shown.reason, &*shown.site, &*shown.message_id)).collect();
        assert_eq!(found, [(PANICKED, "s", "what breaks")]);
        assert_eq!((refusals.panicked.get(), refusals.poisonous.len()), (1, 0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_build_that_panics_is_tried_again_and_keeps_no_other_one_from_its_turn() {
        let (turn, broken) = (Arc::default(), Arc::new(AtomicBool::new(true)));
        let (sender, mut built) = mpsc::channel(1);
        let (other_sender, mut other_built) = mpsc::channel(1);
        let on_its_thread = || std::thread::current().name() == Some("aggregator-build");
        let is_broken = Arc::clone(&broken);
        let panics = attempts(&turn, sender, move || {
            assert!(!is_broken.load(Ordering::Relaxed) || !on_its_thread(), "told to");
            true
        });
        let tasks = Tasks::new();
        drop(tasks.spawn("panics", panics.run()));
        drop(tasks.spawn("other", attempts(&turn, other_sender, || true).run()));
        let limit = Duration::from_secs(60);
        assert!(tokio::time::timeout(limit, other_built.recv()).await.unwrap().is_some());
        assert!(built.try_recv().is_err());
        broken.store(false, Ordering::Relaxed);
        assert!(tokio::time::timeout(limit, built.recv()).await.unwrap().is_some());
    }
}

//! The builds of a partition's thread: started on threads of their own, and taken over once the lane has come as far as
//! they have ([`crate::joining`]).

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::{LaneError, LaneThread, now_ms};
use crate::build::{BuildError, Builder, Built};
use crate::lane::{BuildOrder, Effects};
use crate::store::Store;

/// A build that failed is tried again after this long, then twice as long, and so on.
const FIRST_BUILD_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_BUILD_PAUSE: Duration = Duration::from_secs(60);

impl<S: Store> LaneThread<S> {
    /// Starts a build on a thread of its own: it begins once everything before the cut-off is stored.
    pub(super) fn start_build(&mut self, order: BuildOrder, barrier: tokio::sync::oneshot::Receiver<()>) {
        self.orders.follow(&self.lane);
        let (orders, stop, wanted) = (self.orders.clone(), self.stop.clone(), order.clone());
        let wanted = move || orders.contains(&wanted) && stop.ending().is_none();
        let builder = Builder {
            store: self.store.clone(),
            source: Arc::clone(&self.source),
            partition: self.lane.partition.clone(),
            settings: self.settings.clone(),
            wanted: Arc::new(wanted),
        };
        let (sender, turn) = (self.built_sender.clone(), Arc::clone(&self.one_at_a_time));
        let runtime = self.runtime.clone();
        let started = self.tasks.spawn_thread("aggregator-build", move || {
            let _turn = runtime.block_on(turn.lock());
            if runtime.block_on(barrier).is_ok() {
                build_until_done(&runtime, &builder, &order, &sender);
            }
        });
        if let Err(error) = started {
            tracing::error!(%error, "no thread for a build; it starts with the next start of the service");
        }
    }

    /// Takes over finished builds, once the lane has come as far as they have.
    pub(super) fn adopt_built(&mut self) -> Result<(), LaneError> {
        while let Ok(built) = self.built.try_recv() {
            self.waiting.push(built);
        }
        self.orders.follow(&self.lane);
        let mut effects = Effects::default();
        self.waiting.join(&mut self.lane, self.source.as_ref(), now_ms(), &mut effects);
        self.carry_out(effects)
    }
}

/// Builds, again and again with growing pauses if the warehouse or the log fails.
fn build_until_done<S: Store>(
    runtime: &Handle,
    builder: &Builder<S>,
    order: &BuildOrder,
    sender: &mpsc::Sender<Built>,
) {
    let mut pause = FIRST_BUILD_PAUSE;
    loop {
        match runtime.block_on(builder.build(order.clone())) {
            Ok(built) => {
                // The lane is gone only when the service ends; the build starts again with the next start.
                let _ = sender.blocking_send(built);
                return;
            }
            Err(BuildError::Cancelled) => return,
            Err(error) => {
                tracing::warn!(%error, funnel = order.funnel.id, "a build from raw events failed; trying again");
            }
        }
        std::thread::park_timeout(pause);
        pause = (pause * 2).min(LONGEST_BUILD_PAUSE);
    }
}

//! The builds of a partition's thread: started on threads of their own, and taken over once the lane has come as far as
//! they have.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{LaneError, LaneThread, READ_BYTES, now_ms};
use crate::build::{BuildError, Builder, Built, follow};
use crate::funnel_lane::FunnelLane;
use crate::lane::{BuildOrder, Effects};
use crate::store::Store;

/// A build that failed is tried again after this long, then twice as long, and so on.
const FIRST_BUILD_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_BUILD_PAUSE: Duration = Duration::from_secs(60);

impl<S: Store> LaneThread<S> {
    /// Starts a build on a thread of its own: it begins once everything before the cut-off is stored.
    pub(super) fn start_build(&mut self, order: BuildOrder, barrier: tokio::sync::oneshot::Receiver<()>) {
        let name =
            |order: &BuildOrder| (order.funnel.site.clone(), order.funnel.id.clone(), order.generation);
        let key = name(&order);
        {
            let mut orders = self.orders.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            orders.retain(|known| (&known.0, &known.1) != (&key.0, &key.1));
            orders.push(key.clone());
        }
        let (orders, stop) = (Arc::clone(&self.orders), self.stop.clone());
        let wanted = move || {
            let orders = orders.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            orders.contains(&key) && stop.ending().is_none()
        };
        let builder = Builder {
            store: self.store.clone(),
            source: Arc::clone(&self.source),
            partition: self.lane.partition.clone(),
            settings: self.settings.clone(),
            runtime: self.runtime.clone(),
            wanted: Arc::new(wanted),
        };
        let (sender, turn) = (self.built_sender.clone(), Arc::clone(&self.one_at_a_time));
        let started = self.tasks.spawn_thread("aggregator-build", move || {
            let _turn = builder.runtime.block_on(turn.lock());
            if builder.runtime.block_on(barrier).is_ok() {
                build_until_done(&builder, &order, &sender);
            }
        });
        if let Err(error) = started {
            tracing::error!(%error, "no thread for a build; it starts with the next start of the service");
        }
    }

    /// Takes over finished builds that are still wanted, once the lane has come as far as they have.
    pub(super) fn adopt_built(&mut self) -> Result<(), LaneError> {
        while let Ok(built) = self.built.try_recv() {
            self.waiting.push(built);
        }
        for mut built in std::mem::take(&mut self.waiting) {
            if !self.lane.wants(&built.order) {
                continue;
            }
            if self.bring_here(&mut built.lane)? {
                self.adopt(built.lane)?;
            } else {
                self.waiting.push(built);
            }
        }
        Ok(())
    }

    /// Brings a built funnel over the records that the lane took meanwhile; whether it stands at the lane's position now.
    fn bring_here(&mut self, lane: &mut FunnelLane) -> Result<bool, LaneError> {
        let (position, mut clock_ms) = (self.lane.next_offset(), lane.fold().clock_ms());
        let mut effects = Effects::default();
        while lane.joins_at < position {
            match self.source.read(self.lane.partition.partition, lane.joins_at, READ_BYTES) {
                // What the lane has taken cannot be read just now.
                Ok(records) if records.is_empty() => break,
                Ok(mut records) => {
                    let mut rows = Vec::new();
                    let reaches = records.iter().any(|record| record.offset >= position);
                    records.retain(|record| record.offset < position);
                    follow(lane, &records, &mut clock_ms, &self.lane.partition, &mut rows);
                    effects.rolling(rows);
                    if reaches {
                        // Offsets may have gaps: nothing is left before the lane's position.
                        lane.joins_at = position;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the log between a build and its lane cannot be read; trying again");
                    break;
                }
            }
        }
        self.carry_out(effects)?;
        Ok(lane.joins_at == position)
    }

    fn adopt(&mut self, lane: FunnelLane) -> Result<(), LaneError> {
        tracing::info!(
            site = lane.key.site,
            funnel = lane.key.funnel,
            generation = lane.generation,
            visitors = lane.fold().visitors(),
            "funnel built from raw events"
        );
        let mut effects = Effects::default();
        self.lane.adopt(lane, now_ms(), &mut effects);
        self.carry_out(effects)
    }
}

/// Builds, again and again with growing pauses if the warehouse or the log fails.
fn build_until_done<S: Store>(builder: &Builder<S>, order: &BuildOrder, sender: &mpsc::Sender<Built>) {
    let mut pause = FIRST_BUILD_PAUSE;
    loop {
        match builder.build(order.clone()) {
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

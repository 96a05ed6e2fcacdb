//! The spill's thread: sees when Kafka fails or is slow, moves what is on its way into the local log, drains that when
//! Kafka is back, and lets calls go straight again.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::direct::{Direct, Waiting};
use super::drain::{Drain, Drained};
use super::{Held, Mode, Remote, SLOW_LIMIT, Shared};
use crate::Receipt;

/// How often calls on their way are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Kafka that failed is tried again after this long, then after twice as long, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Keeper<R: Remote> {
    shared: Arc<Shared<R>>,
    drain: Drain<R>,
    /// Whether Kafka was asked and is as it must be.
    verified: bool,
    pause: Duration,
    runtime: Option<tokio::runtime::Runtime>,
}

impl<R: Remote> Keeper<R> {
    pub(super) fn new(shared: Arc<Shared<R>>, verified: bool) -> Self {
        // Only to wait for receipts on this thread.
        let runtime = tokio::runtime::Builder::new_current_thread().build().ok();
        Self { drain: Drain::new(Arc::clone(&shared)), shared, verified, pause: FIRST_PAUSE, runtime }
    }

    /// Until the spill is closed.
    pub(super) fn run(mut self) {
        while !self.is_closed() {
            let direct = matches!(self.shared.state().mode, Mode::Direct);
            if direct { self.watch() } else { self.drain() }
        }
    }

    fn is_closed(&self) -> bool {
        self.shared.state().closed
    }

    /// Waits for trouble while calls go straight to Kafka.
    fn watch(&mut self) {
        let mut state = self.shared.state();
        if !state.calls.are_in_trouble(SLOW_LIMIT) {
            let woken = self.shared.wake.wait_timeout(state, LOOK);
            drop(woken.unwrap_or_else(PoisonError::into_inner));
            return;
        }
        tracing::warn!("Kafka fails or is slow; events are stored locally until it is back");
        state.mode = Mode::Spilling;
        // Before anybody else stores anything: the order of calls is kept.
        let moved: Vec<_> = state.calls.take().into_iter().map(|call| self.shared.move_over(call)).collect();
        drop(state);
        self.shared.remote.purge();
        self.answer(moved);
    }

    /// Answers calls that were moved to the local log as soon as it has them.
    fn answer(&self, moved: Vec<Option<Moved>>) {
        for Moved { receipt, answer } in moved.into_iter().flatten() {
            if let Some(runtime) = &self.runtime {
                // Whoever dropped the receipt does not want the answer.
                drop(answer.send(runtime.block_on(receipt)));
            }
        }
    }

    fn drain(&mut self) {
        if !self.verify() {
            return self.rest();
        }
        match self.drain.round() {
            Drained::Some => self.pause = FIRST_PAUSE,
            Drained::Failed => self.rest(),
            Drained::All => self.hand_back(),
        }
    }

    fn verify(&mut self) -> bool {
        if self.verified {
            return true;
        }
        match self.shared.remote.ensure() {
            Ok(()) => self.verified = true,
            Err(error) if error.may_pass() => tracing::debug!(%error, "Kafka is still away"),
            Err(error) => tracing::error!(%error, "Kafka is not as it must be; events stay in the local log"),
        }
        self.verified
    }

    /// Waits before Kafka is tried again, at most until the spill is closed.
    fn rest(&mut self) {
        let until = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let mut state = self.shared.state();
        while !state.closed && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            state = self.shared.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The local log seems drained: calls are held for a moment, what was still on its way into it is drained too, and
    /// then they go straight to Kafka.
    fn hand_back(&mut self) {
        self.shared.state().mode = Mode::Holding { held: Vec::new(), bytes: 0 };
        let drained = self.drain_rest();
        let mut state = self.shared.state();
        let mode = std::mem::replace(&mut state.mode, if drained { Mode::Direct } else { Mode::Spilling });
        let Mode::Holding { held, .. } = mode else { return };
        if !drained {
            let moved = held.into_iter().map(|held| self.shared.move_over(held.into())).collect();
            drop(state);
            return self.answer(moved);
        }
        // Handed over before any later call, so still under the lock.
        for Held { messages, answer } in held {
            let call = Direct::new(messages, answer);
            state.calls.push(Arc::clone(&call));
            self.shared.send(&call);
        }
        drop(state);
        self.pause = FIRST_PAUSE;
        tracing::info!("events go straight to Kafka");
    }

    /// Waits until what was queued for the local log is in it, and drains that.
    fn drain_rest(&mut self) -> bool {
        let (Some(runtime), Ok(barrier)) = (&self.runtime, self.shared.local.barrier()) else { return false };
        if runtime.block_on(barrier).is_err() {
            return false;
        }
        loop {
            match self.drain.round() {
                Drained::Some => {}
                Drained::Failed => return false,
                Drained::All => return true,
            }
        }
    }
}

/// A call that is on its way into the local log.
pub(super) struct Moved {
    receipt: Receipt,
    answer: tokio::sync::oneshot::Sender<Result<(), crate::PublishError>>,
}

impl<R: Remote> Shared<R> {
    /// Queues a call for the local log; one that it refuses is answered at once.
    fn move_over(&self, call: Waiting) -> Option<Moved> {
        match self.store(call.messages.to_vec()) {
            Ok(receipt) => Some(Moved { receipt, answer: call.answer }),
            Err(error) => {
                drop(call.answer.send(Err(error)));
                None
            }
        }
    }

    /// At the end: stores what Kafka has not acknowledged.
    pub(super) fn end(self: &Arc<Self>) {
        let mut state = self.state();
        let mut open = state.calls.take();
        if let Mode::Holding { held, .. } = std::mem::replace(&mut state.mode, Mode::Spilling) {
            open.extend(held.into_iter().map(Waiting::from));
        }
        let moved: Vec<_> = open.into_iter().map(|call| self.move_over(call)).collect();
        drop(state);
        // On a thread of its own: the caller's may be one of a runtime's.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
                for Moved { receipt, answer } in moved.into_iter().flatten() {
                    drop(answer.send(runtime.block_on(receipt)));
                }
            });
        });
    }
}

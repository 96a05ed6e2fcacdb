//! The spill's thread: sees when Kafka fails or is slow, moves what is on its way into the local log, drains that when
//! Kafka is back, and lets calls go straight again. A simulation takes its steps itself ([`Attendant`]).

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::direct::{Direct, Waiting};
use super::drain::{Drain, Drained};
use super::{Held, Mode, Remote, SLOW_LIMIT, Shared, Shelter};
use crate::Receipt;

/// How often calls on their way are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Kafka that is not there is asked again after this long.
const VERIFY_PAUSE: Duration = Duration::from_secs(1);
/// Calls are held for so long at most until the rest is drained; then they are stored locally.
const HOLD_LIMIT: Duration = SLOW_LIMIT;

/// What the keeper does after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next step.
    AtOnce,
    /// Calls go straight to Kafka: it waits for trouble, looking now and then.
    Look,
    /// Kafka does not take what it is handed: it waits a little.
    Rest,
}

/// A spill's keeper without its thread.
pub struct Attendant<R: Remote, L: Shelter>(pub(super) Keeper<R, L>);

impl<R: Remote, L: Shelter> Attendant<R, L> {
    /// One look at calls on their way, or one round of draining; tells when the thread would take the next one. Calls that
    /// wait for longer than `slow_limit` are stored locally; the thread's is [`SLOW_LIMIT`].
    pub fn step(&mut self, slow_limit: Duration) -> Next {
        self.0.step(slow_limit)
    }
}

pub(super) struct Keeper<R: Remote, L: Shelter> {
    shared: Arc<Shared<R, L>>,
    drain: Drain<R, L>,
    /// Whether Kafka was asked and is as it must be.
    verified: bool,
    runtime: Option<tokio::runtime::Runtime>,
}

impl<R: Remote, L: Shelter> Keeper<R, L> {
    /// A partition that Kafka does not take rests for `longest_pause` at most.
    pub(super) fn new(shared: Arc<Shared<R, L>>, verified: bool, longest_pause: Duration) -> Self {
        // Only to wait for receipts on this thread.
        let runtime = tokio::runtime::Builder::new_current_thread().build().ok();
        Self { drain: Drain::new(Arc::clone(&shared), longest_pause), shared, verified, runtime }
    }

    /// Until the spill is closed.
    pub(super) fn run(mut self) {
        while !self.is_closed() {
            match self.step(SLOW_LIMIT) {
                Next::AtOnce => {}
                Next::Look => self.look(),
                Next::Rest => self.rest(),
            }
        }
    }

    /// One look at calls on their way, or one round of draining; what to do before the next one.
    fn step(&mut self, slow_limit: Duration) -> Next {
        let direct = matches!(self.shared.state().mode, Mode::Direct);
        if direct { self.watch(slow_limit) } else { self.drain() }
    }

    fn is_closed(&self) -> bool {
        self.shared.state().closed
    }

    /// Waits for trouble while calls go straight to Kafka.
    fn look(&self) {
        let mut state = self.shared.state();
        if !state.closed && !state.calls.are_in_trouble(SLOW_LIMIT) {
            let woken = self.shared.wake.wait_timeout(state, LOOK);
            drop(woken.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Moves calls into the local log if there is trouble.
    fn watch(&mut self, slow_limit: Duration) -> Next {
        let mut state = self.shared.state();
        if !state.calls.are_in_trouble(slow_limit) {
            return Next::Look;
        }
        tracing::warn!("Kafka fails or is slow; events are stored locally until it is back");
        state.mode = Mode::Spilling;
        // Before anybody else stores anything: the order of calls is kept.
        let moved: Vec<_> = state.calls.take().into_iter().map(|call| self.shared.move_over(call)).collect();
        drop(state);
        self.shared.remote.purge();
        self.answer(moved);
        Next::AtOnce
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

    fn drain(&mut self) -> Next {
        if !self.verify() {
            return Next::Rest;
        }
        match self.drain.round() {
            Drained::Some => {}
            Drained::Failed => return Next::Rest,
            Drained::All => self.hand_back(),
        }
        Next::AtOnce
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

    /// Waits before Kafka is tried again, at most until the spill is closed. Which partitions are due then the drain knows.
    fn rest(&self) {
        let until = Instant::now() + if self.verified { LOOK } else { VERIFY_PAUSE };
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
        tracing::info!("events go straight to Kafka");
    }

    /// Waits until what was queued for the local log is in it, and drains that, unless it takes too long.
    fn drain_rest(&mut self) -> bool {
        let began = Instant::now();
        let (Some(runtime), Ok(barrier)) = (&self.runtime, self.shared.local.barrier()) else { return false };
        if runtime.block_on(barrier).is_err() {
            return false;
        }
        while began.elapsed() < HOLD_LIMIT {
            match self.drain.round() {
                Drained::Some => {}
                Drained::Failed => return false,
                Drained::All => return true,
            }
        }
        false
    }
}

/// A call that is on its way into the local log.
pub(super) struct Moved {
    receipt: Receipt,
    answer: tokio::sync::oneshot::Sender<Result<(), crate::PublishError>>,
}

impl<R: Remote, L: Shelter> Shared<R, L> {
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
        let moved: Vec<_> = open.into_iter().filter_map(|call| self.move_over(call)).collect();
        drop(state);
        if moved.is_empty() {
            return;
        }
        // On a thread of its own: the caller's may be one of a runtime's.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
                for Moved { receipt, answer } in moved {
                    drop(answer.send(runtime.block_on(receipt)));
                }
            });
        });
    }
}

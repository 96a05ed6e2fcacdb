//! Keeps acknowledging while Kafka is away: a [`Publisher`] that hands messages straight to Kafka while it is healthy, and
//! stores them in a bounded local log ([`LocalLog`]) while it is not, to be handed over in order afterwards.
//!
//! ```text
//!            a call fails, or waits for longer than SLOW_LIMIT
//!   +--------+ ------------------------------------------------> +----------+
//!   | direct |                                                   | spilling | drained partition by partition
//!   +--------+ <-------------- +---------+ <-------------------- +----------+
//!                the rest is   | holding | everything is drained
//!                drained too   +---------+ (calls wait for a moment)
//! ```
//!
//! - A receipt resolves to `Ok` when Kafka acknowledged, or the local log fsynced.
//! - While the local log holds anything, all messages go through it, in order. It survives a restart; full is an answer.
//! - Each partition drains by itself: one that Kafka does not take holds up no others, though their new messages go through
//!   the local log too until it is drained.
//! - Messages that Kafka may or may not have when it fails are handed over again: at least once, and message ids tell
//!   copies. Nothing that is acknowledged is lost.
//!
//! Imports and control records do not go through here but to Kafka itself: they can wait, and must not be acknowledged
//! before they are in their place.

mod direct;
mod drain;
mod keeper;
mod shelter;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::kafka::{KafkaError, KafkaPublisher, KafkaSettings, SendError, ensure_topics};
use crate::local::{LocalLog, LocalLogSettings, OpenError};
use crate::{Clock, Message, PlanError, PlanRecord, PublishError, Publisher, Receipt};
use direct::{Calls, Direct};
use drain::LONGEST_PAUSE;
use keeper::Keeper;
pub use keeper::{Attendant, Next};
pub use shelter::Shelter;

/// A call that Kafka has not acknowledged for this long is stored locally, and so are those that follow.
pub const SLOW_LIMIT: Duration = Duration::from_secs(2);
/// Bytes of calls that wait, for a moment, for the last drained records to be acknowledged.
pub const MAX_HELD_BYTES: u64 = 16 << 20;

/// What is done with the outcome of a [`Remote::send`].
pub type OnSent = Box<dyn FnOnce(Result<(), SendError>) + Send>;

/// Where messages go in the end: Kafka, and a stand-in for it in tests.
pub trait Remote: Send + Sync + 'static {
    /// How many partitions it has; known while it is away.
    fn partitions(&self) -> u32;

    /// Checks that it is there and as it must be. May block for some seconds.
    fn ensure(&self) -> Result<(), KafkaError>;

    /// Hands messages over without waiting, in order; `on_sent` is called once unless this fails. An answer may come late:
    /// whoever waits for it gives up sooner or later.
    fn send(&self, messages: &[Message], on_sent: OnSent) -> Result<(), PublishError>;

    /// Gives up what is on its way; its calls fail soon.
    fn purge(&self);
}

/// Kafka as the spill's remote.
pub struct KafkaRemote {
    settings: KafkaSettings,
    publisher: Arc<KafkaPublisher>,
}

impl KafkaRemote {
    /// `publisher` may have other users beside, whose calls a purge fails too.
    pub fn new(settings: &KafkaSettings, publisher: Arc<KafkaPublisher>) -> Self {
        Self { settings: settings.clone(), publisher }
    }
}

impl Remote for KafkaRemote {
    fn partitions(&self) -> u32 {
        self.publisher.partitions()
    }

    fn ensure(&self) -> Result<(), KafkaError> {
        ensure_topics(&self.settings)
    }

    fn send(&self, messages: &[Message], on_sent: OnSent) -> Result<(), PublishError> {
        self.publisher.send(messages, Box::new(move |answer| on_sent(answer.map(drop))))
    }

    fn purge(&self) {
        self.publisher.purge();
    }
}

/// Why a spill could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpillError {
    /// Kafka is there and not as it must be, or its settings make no sense. That it is away is no error.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The local log.
    #[error(transparent)]
    Local(#[from] OpenError),
}

/// A publisher that goes on while Kafka is away. Dropping it stores what is on its way.
pub struct Spill<R: Remote, L: Shelter = LocalLog> {
    shared: Arc<Shared<R, L>>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// What callers and the keeper's thread share.
struct Shared<R, L> {
    remote: R,
    local: L,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    wake: Condvar,
    spilled: AtomicU64,
    refused: AtomicU64,
}

struct State {
    mode: Mode,
    /// Calls that were handed straight over and are not acknowledged.
    calls: Calls,
    closed: bool,
}

enum Mode {
    Direct,
    Spilling,
    Holding { held: Vec<Held>, bytes: u64 },
}

/// A call that waits for the end of the draining.
struct Held {
    messages: Vec<Message>,
    answer: oneshot::Sender<Result<(), PublishError>>,
}

impl<R: Remote> Spill<R> {
    /// Opens the local log (retention in `settings` is of no account: what was handed over goes at once) and asks whether
    /// Kafka is there. Without it, or with records left by the process before, the spill begins by draining.
    pub fn open(remote: R, settings: LocalLogSettings, clock: Arc<dyn Clock>) -> Result<Self, SpillError> {
        let verified = verify(&remote)?;
        let partitions = remote.partitions();
        let settings = LocalLogSettings { partitions, retention_ms: 0, retention_bytes: 0, ..settings };
        let dir = settings.dir.clone();
        let local = LocalLog::open(settings, Arc::clone(&clock))?;
        let (spill, keeper) = Self::over(remote, local, clock, verified, LONGEST_PAUSE);
        let thread = std::thread::Builder::new().name("spill".to_owned()).spawn(move || keeper.run());
        let thread = thread.map_err(|cause| OpenError::Storage { dir, cause: cause.to_string() })?;
        *spill.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(spill)
    }
}

/// Whether Kafka is there; an error if it is not as it must be.
fn verify<R: Remote>(remote: &R) -> Result<bool, KafkaError> {
    match remote.ensure() {
        Ok(()) => Ok(true),
        Err(error) if error.may_pass() => {
            tracing::warn!(%error, "Kafka is away; events are stored locally until it is back");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

impl<R: Remote, L: Shelter> Spill<R, L> {
    /// As [`Spill::open`], over a local log that is open, and without a thread: the caller takes the steps of the attendant.
    pub fn unattended(
        remote: R,
        local: L,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Attendant<R, L>), KafkaError> {
        let verified = verify(&remote)?;
        // Nothing takes time there: whatever failed may be tried again by the next step.
        let (spill, keeper) = Self::over(remote, local, clock, verified, Duration::ZERO);
        Ok((spill, Attendant(keeper)))
    }

    fn over(
        remote: R,
        local: L,
        clock: Arc<dyn Clock>,
        verified: bool,
        longest_pause: Duration,
    ) -> (Self, Keeper<R, L>) {
        let shared = Arc::new(Shared {
            remote,
            clock,
            state: Mutex::new(State { mode: Mode::Spilling, calls: Calls::default(), closed: false }),
            wake: Condvar::new(),
            spilled: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            local,
        });
        if verified && shared.is_drained() {
            shared.state().mode = Mode::Direct;
        }
        let keeper = Keeper::new(Arc::clone(&shared), verified, longest_pause);
        (Self { shared, keeper: Mutex::new(None) }, keeper)
    }

    /// Kafka itself, for imports and control records.
    pub fn remote(&self) -> &R {
        &self.shared.remote
    }

    /// The plan kept in the local log's folder: a collector that starts while Kafka is away has its plan from here, if whoever
    /// follows Kafka's plan topic keeps what comes ([`Spill::keep_plan`]).
    pub fn kept_plan(&self) -> Option<Arc<PlanRecord>> {
        self.shared.local.latest().borrow().clone()
    }

    /// Keeps what the plan topic says, in place of what was kept. Numbers mean nothing here: a topic that was lost and made
    /// again counts from 1, and what it says is in force. Blocks on the disk, where it is another plan.
    pub fn keep_plan(&self, plan: &PlanRecord) -> Result<(), PlanError> {
        if self.kept_plan().as_deref() == Some(plan) {
            return Ok(());
        }
        self.shared.local.keep_plan(plan.clone())
    }

    /// Whether messages are being stored locally.
    pub fn is_spilling(&self) -> bool {
        !matches!(self.shared.state().mode, Mode::Direct)
    }

    /// Records that are stored locally and not handed over.
    pub fn depth_records(&self) -> u64 {
        (0..self.shared.remote.partitions()).map(|partition| self.shared.depth(partition)).sum()
    }

    /// Their bytes, as the disk counts them.
    pub fn depth_bytes(&self) -> u64 {
        self.shared.local.unreleased_bytes()
    }

    /// For how long the oldest of them has been stored, milliseconds; 0 if there is none. Reads the disk.
    pub fn age_ms(&self) -> i64 {
        let shared = &self.shared;
        let oldest = (0..shared.remote.partitions()).filter_map(|partition| {
            let records = shared.local.read(partition, shared.local.released(partition), 1);
            records.ok()?.first().map(|record| record.appended_at_ms)
        });
        oldest.min().map_or(0, |oldest| shared.clock.now_ms().saturating_sub(oldest).max(0))
    }

    /// Messages that were stored locally since the start.
    pub fn spilled(&self) -> u64 {
        self.shared.spilled.load(Ordering::Relaxed)
    }

    /// Messages that were acknowledged and that Kafka refused for good when they were handed over; each is in the log
    /// as an error. 0 unless the topic's limits are below the collector's.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Refuses further messages, waits for the acknowledgements of those on their way at most for `limit`, stores the
    /// rest locally, and closes the local log. Blocks.
    pub fn close(&self, limit: Duration) {
        self.shared.state().closed = true;
        self.shared.wake.notify_all();
        let deadline = std::time::Instant::now() + limit;
        while std::time::Instant::now() < deadline && self.shared.state().calls.has_open() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(keeper) = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A round of draining that is under way ends soon.
            self.shared.remote.purge();
            if keeper.join().is_err() {
                tracing::error!("the spill's thread had panicked");
            }
        }
        self.shared.end();
        self.shared.local.close();
    }
}

impl<R: Remote, L: Shelter> Drop for Spill<R, L> {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}

impl<R: Remote, L: Shelter> Publisher for Spill<R, L> {
    fn partitions(&self) -> u32 {
        self.shared.remote.partitions()
    }

    fn publish(&self, messages: Vec<Message>) -> Result<Receipt, PublishError> {
        let shared = &self.shared;
        let partitions = shared.remote.partitions();
        if let Some(stray) = messages.iter().find(|message| message.partition >= partitions) {
            let reason = format!("there is no partition {}: the log has {partitions}", stray.partition);
            return Err(PublishError::Storage(reason));
        }
        let mut state = shared.state();
        if state.closed {
            return Err(PublishError::Closed);
        }
        match &mut state.mode {
            Mode::Direct => {
                let (answer, receipt) = Receipt::pending();
                let call = Direct::new(messages, answer);
                state.calls.push(Arc::clone(&call));
                drop(state);
                shared.send(&call);
                Ok(receipt)
            }
            Mode::Spilling => shared.store(messages),
            Mode::Holding { held, bytes } => {
                let size: u64 = messages.iter().map(|message| message.value.len() as u64).sum();
                if *bytes + size > MAX_HELD_BYTES {
                    return Err(PublishError::Full { limit: "MAX_HELD_BYTES" });
                }
                let (answer, receipt) = Receipt::pending();
                *bytes += size;
                held.push(Held { messages, answer });
                Ok(receipt)
            }
        }
    }
}

impl<R: Remote, L: Shelter> Shared<R, L> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues messages for the local log, behind all before.
    fn store(&self, messages: Vec<Message>) -> Result<Receipt, PublishError> {
        let count = messages.len() as u64;
        let receipt = self.local.publish(messages)?;
        self.spilled.fetch_add(count, Ordering::Relaxed);
        Ok(receipt)
    }

    /// Hands a call over that is in the list of calls; what goes wrong is the keeper's business.
    fn send(self: &Arc<Self>, call: &Arc<Direct>) {
        let (ended, shared) = (Arc::clone(call), Arc::downgrade(self));
        let on_sent: OnSent = Box::new(move |answer| {
            if ended.answered(answer)
                && let Some(shared) = shared.upgrade()
            {
                shared.wake.notify_all();
            }
        });
        let sent = call.with_messages(|messages| self.remote.send(messages, on_sent));
        if let Some(Err(error)) = sent {
            call.answered(Err(SendError::Failed(error.to_string())));
            self.wake.notify_all();
        }
    }

    fn depth(&self, partition: u32) -> u64 {
        let end = *self.local.end(partition).borrow();
        end.saturating_sub(self.local.released(partition))
    }

    fn is_drained(&self) -> bool {
        (0..self.remote.partitions()).all(|partition| self.depth(partition) == 0)
    }
}

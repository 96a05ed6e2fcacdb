//! This process in the consumer group of the aggregators: which partitions it is to serve. Nothing is fetched here
//! (`source.rs` does); the consumer joins, heartbeats, and commits the released offsets, which only inform.
//!
//! Rebalances are incremental (cooperative-sticky): partitions that stay are not disturbed. With an `instance_id` the
//! membership is static: a process that is back within [`SESSION_TIMEOUT_MS`](super::SESSION_TIMEOUT_MS) causes no
//! rebalance, and the partitions of one that stays away are given to others after that time, also after an orderly end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::client::{self, POLL};
use super::offsets;
use super::settings::{self, KafkaSettings};
use super::source::Fetches;
use super::{KafkaError, SESSION_TIMEOUT_MS};
use crate::assignments::{Acknowledgement, Assignment, WAITING};

/// How long the group waits for an owner to flush what it must give back; milliseconds.
pub const REVOKE_LIMIT_MS: u64 = 20_000;
/// A member whose thread is silent for longer leaves the group; must exceed [`REVOKE_LIMIT_MS`].
const SILENCE_LIMIT_MS: u64 = 60_000;
/// A member that was fenced joins again after this long. Two processes with one instance id fence each other so often.
const REJOIN_PAUSE: Duration = Duration::from_secs(1);
/// Released offsets are committed this often.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// A member of the group. Dropping it leaves the group.
pub(super) struct Membership {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

/// What the group's thread and the owner share.
struct State {
    topic: String,
    ended: AtomicBool,
    /// Another process took this one's place.
    fenced: AtomicBool,
    /// None at the end, so that the owner's channel ends even if the client does not.
    changes: Mutex<Option<mpsc::Sender<Assignment>>>,
    receiver: Mutex<Option<mpsc::Receiver<Assignment>>>,
    /// Owned partitions and the offset to commit, -1 for none yet.
    owned: Mutex<BTreeMap<i32, Committed>>,
    fetches: Arc<Fetches>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Committed {
    released: Option<i64>,
    committed: Option<i64>,
}

impl Membership {
    /// Joins the group.
    pub(super) fn open(settings: &KafkaSettings, fetches: &Arc<Fetches>) -> Result<Self, KafkaError> {
        let (changes, receiver) = mpsc::channel(WAITING);
        let state = Arc::new(State {
            topic: settings.events_topic(),
            ended: AtomicBool::new(false),
            fenced: AtomicBool::new(false),
            changes: Mutex::new(Some(changes)),
            receiver: Mutex::new(Some(receiver)),
            owned: Mutex::default(),
            fetches: Arc::clone(fetches),
        });
        let consumer = join(settings, &state)?;
        let (served, settings) = (Arc::clone(&state), settings.clone());
        let thread = std::thread::Builder::new().name("kafka-group".to_owned());
        let thread = thread.spawn(move || served.run(&settings, consumer));
        let thread = thread.map_err(|cause| KafkaError::Client(format!("no thread: {cause}")))?;
        Ok(Self { state, thread: Some(thread) })
    }

    /// The changes from now on; a second caller gets a channel that has ended.
    pub(super) fn assignments(&self) -> mpsc::Receiver<Assignment> {
        let receiver = self.state.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        receiver.unwrap_or_else(|| mpsc::channel(1).1)
    }

    /// To be committed with the next commit.
    pub(super) fn release(&self, partition: u32, offset: u64) {
        let Ok(partition) = i32::try_from(partition) else { return };
        let offset = offsets::topic_offset(offset);
        if let Some(owned) = self.state.owned().get_mut(&partition) {
            owned.released = owned.released.max(Some(offset));
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            client::end(thread, "consumer group");
        }
        self.state.end_changes();
    }
}

impl State {
    fn owned(&self) -> MutexGuard<'_, BTreeMap<i32, Committed>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group's thread. A member that was fenced has no part in its group any more, whatever it does; so it joins as a
    /// new one. Fenced are members whose instance id another process uses, and also those that were away for longer
    /// than the session (their brokers were, too) and whose last commit comes after they have joined again.
    fn run(self: &Arc<Self>, settings: &KafkaSettings, consumer: BaseConsumer<Member>) {
        self.serve(consumer);
        while !self.ended.load(Ordering::Acquire) {
            std::thread::sleep(REJOIN_PAUSE);
            self.fenced.store(false, Ordering::Release);
            match join(settings, self) {
                Ok(consumer) => self.serve(consumer),
                Err(error) => tracing::error!(%error, "the consumer group cannot be joined; trying again"),
            }
        }
        self.end_changes();
    }

    /// Until the end, or until the member is fenced.
    fn serve(&self, consumer: BaseConsumer<Member>) {
        let mut committed = Instant::now();
        while !self.ended.load(Ordering::Acquire) && !self.fenced.load(Ordering::Acquire) {
            // Nothing is fetched: all that comes is served by the context.
            drop(consumer.poll(POLL));
            if committed.elapsed() >= COMMIT_INTERVAL {
                self.commit(&consumer);
                committed = Instant::now();
            }
        }
        if self.fenced.load(Ordering::Acquire) {
            let owned: Vec<i32> = std::mem::take(&mut *self.owned()).into_keys().collect();
            self.revoke(owned.clone(), true);
            owned.iter().for_each(|partition| self.fetches.forget(*partition));
        }
        self.commit(&consumer);
        // Leaving revokes what is left; nobody may listen any more.
        drop(consumer);
    }

    /// Nothing will change any more.
    fn end_changes(&self) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Commits what was released since the last time, without waiting for the answer.
    fn commit(&self, consumer: &BaseConsumer<Member>) {
        let mut offsets = TopicPartitionList::new();
        for (partition, owned) in
            self.owned().iter_mut().filter(|(_, owned)| owned.released > owned.committed)
        {
            owned.committed = owned.released;
            let offset = Offset::Offset(owned.released.unwrap_or(0));
            // Only an offset that is none is refused.
            drop(offsets.add_partition_offset(&self.topic, *partition, offset));
        }
        if offsets.count() > 0
            && let Err(error) = consumer.commit(&offsets, CommitMode::Async)
        {
            tracing::info!(%error, "released offsets were not committed; that only informs");
        }
    }

    fn tell(&self, change: Assignment) {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if changes.is_none_or(|changes| changes.blocking_send(change).is_err()) {
            tracing::debug!("nobody serves partitions any more");
        }
    }

    /// Tells the owner and waits until it has flushed.
    fn revoke(&self, partitions: Vec<i32>, lost: bool) {
        if partitions.is_empty() {
            return;
        }
        let (acknowledgement, waiting) = Acknowledgement::pending();
        let revoked = partitions.iter().filter_map(|partition| u32::try_from(*partition).ok()).collect();
        self.tell(Assignment::Revoked { partitions: revoked, lost, acknowledgement });
        if !waiting.wait(Duration::from_millis(REVOKE_LIMIT_MS)) {
            tracing::warn!(
                ?partitions,
                "partitions are given back before they were flushed: it took too long"
            );
        }
    }
}

/// Serves the group's events on its thread.
struct Member {
    state: Arc<State>,
}

impl Member {
    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> Result<(), ClientError> {
        consumer.incremental_assign(list)?;
        // The readers fetch, not this consumer.
        consumer.pause(list)?;
        let partitions = partitions(list);
        self.state.owned().extend(partitions.iter().map(|partition| (*partition, Committed::default())));
        tracing::info!(?partitions, "partitions assigned");
        let assigned = partitions.iter().filter_map(|partition| u32::try_from(*partition).ok());
        self.state.tell(Assignment::Assigned(assigned.collect()));
        Ok(())
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> Result<(), ClientError> {
        let (partitions, lost) = (partitions(list), consumer.assignment_lost());
        tracing::info!(?partitions, lost, "partitions revoked");
        let owned = |partition: &i32| self.state.owned().contains_key(partition);
        self.state.revoke(partitions.iter().copied().filter(owned).collect(), lost);
        if !lost {
            self.state.commit(consumer);
        }
        self.state.owned().retain(|partition, _| !partitions.contains(partition));
        partitions.iter().for_each(|partition| self.state.fetches.forget(*partition));
        consumer.incremental_unassign(list)
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|element| element.partition()).collect()
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log("group", level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        let code = error.rdkafka_error_code();
        if matches!(code, Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::FencedInstanceId)) {
            tracing::error!(
                reason,
                "fenced from the consumer group, and joining anew; if this goes on, [kafka] instance_id is used twice"
            );
            self.state.fenced.store(true, Ordering::Release);
        }
        // Nothing is fetched here, so it is of no account that the group has no offset to begin at.
        if code != Some(RDKafkaErrorCode::AutoOffsetReset) {
            client::log_error("group", &error, reason);
        }
    }
}

impl ConsumerContext for Member {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let done = match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => self.revoke(consumer, list),
            other => return tracing::warn!(?other, "an unknown kind of rebalance"),
        };
        if let Err(error) = done {
            tracing::error!(%error, "a rebalance failed; the group will try again");
        }
    }
}

/// A new member of the group.
fn join(settings: &KafkaSettings, state: &Arc<State>) -> Result<BaseConsumer<Member>, KafkaError> {
    let context = Member { state: Arc::clone(state) };
    let consumer: BaseConsumer<Member> = configured(settings)?.create_with_context(context)?;
    consumer.subscribe(&[state.topic.as_str()])?;
    Ok(consumer)
}

fn configured(settings: &KafkaSettings) -> Result<ClientConfig, KafkaError> {
    let mut config = settings::client(settings)?;
    for (key, value) in [("session.timeout.ms", SESSION_TIMEOUT_MS), ("heartbeat.interval.ms", 1_500)] {
        if config.get(key).is_none() {
            config.set(key, value.to_string());
        }
    }
    config.set("max.poll.interval.ms", SILENCE_LIMIT_MS.to_string());
    config.set("group.id", settings.group()).set("partition.assignment.strategy", "cooperative-sticky");
    config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    config.set("auto.offset.reset", "error");
    if let Some(instance) = &settings.instance_id {
        config.set("group.instance.id", instance);
    }
    Ok(config)
}

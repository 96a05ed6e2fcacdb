//! The log between collector and aggregator, behind one seam: [`kafka`] in production, [`local`] (fjall) on a laptop,
//! [`memory`] in tests and simulation. [`spill`] is Kafka with a local log for the time it is away.
//!
//! A log has a fixed number of partitions. A record has an offset, which rises within its partition (dense from 0 in a local
//! log; on Kafka there are gaps), and the time at which the log appended it. The running maximum of that time is the
//! partition's clock, the only one by which the aggregator judges an event: a broker's own clock may step back. All events
//! of a visitor share a partition ([`partition_of`]), so their order is the log's order.
//!
//! Guarantees: a [`Receipt`] resolves to `Ok` only when every message of its call is durable (survives `kill -9` and
//! a power cut; on Kafka: all copies in sync have it); a call that is refused or fails leaves none of its messages
//! acknowledged. Every queue is bounded and a full one is an answer ([`PublishError::Full`]), never a wait.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

mod assignments;
mod clock;
mod generations;
pub mod kafka;
pub mod local;
pub mod memory;
mod partitioner;
pub mod rejected;
pub mod salts;
pub mod spill;

pub use assignments::{Acknowledged, Acknowledgement, Assignment};
pub use clock::{Clock, ManualClock, SystemClock};
pub use generations::Generations;
pub use partitioner::{partition_of, write_key};

/// Identifies one log for ever: offsets of logs with different ids have nothing to do with each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogId(pub String);

/// A message on its way to the log.
#[derive(Debug, Clone)]
pub struct Message {
    /// The partition, from [`partition_of`]; control records name each partition in turn.
    pub partition: u32,
    /// An encoded `rungs.v1.Record`. On Kafka the message's key is made of its site and visitor.
    pub value: Bytes,
}

impl Message {
    /// The same value for every partition.
    pub fn to_all(partitions: u32, value: &Bytes) -> Vec<Self> {
        (0..partitions).map(|partition| Self { partition, value: value.clone() }).collect()
    }
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Larger than that of the record before in the partition; the next one's need not be one more.
    pub offset: u64,
    /// When the log appended it, UTC milliseconds. In a local log never less than that of the record before; a broker's
    /// clock may step back, so readers keep the running maximum.
    pub appended_at_ms: i64,
    /// An encoded `rungs.v1.Record`.
    pub value: Bytes,
}

/// Why messages were not stored. Nothing of the call was acknowledged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PublishError {
    /// A bound is reached (`limit` names it); the caller answers 503 with Retry-After.
    #[error("the log is full: {limit}")]
    Full {
        /// Which bound, as its setting is called.
        limit: &'static str,
    },
    /// The log is shutting down.
    #[error("the log is closed")]
    Closed,
    /// The storage failed, e.g. a full disk.
    #[error("the log could not store the messages: {0}")]
    Storage(String),
}

/// Why records could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The records were removed by retention; reading can go on from `first`.
    #[error("offset {wanted} of partition {partition} is gone; the log starts at {first}")]
    Gone {
        /// The partition that was read.
        partition: u32,
        /// The offset asked for.
        wanted: u64,
        /// The first offset that is still there.
        first: u64,
    },
    /// The storage failed.
    #[error("the log could not be read: {0}")]
    Storage(String),
}

/// Resolves once the messages of one [`Publisher::publish`] are durable.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Result<(), PublishError>>);

impl Receipt {
    /// A receipt and the sender that resolves it. A dropped sender resolves it to [`PublishError::Closed`].
    pub fn pending() -> (oneshot::Sender<Result<(), PublishError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }
}

impl Future for Receipt {
    type Output = Result<(), PublishError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(PublishError::Closed)))
    }
}

/// The writing side.
pub trait Publisher: Send + Sync + 'static {
    /// How many partitions the log has.
    fn partitions(&self) -> u32;

    /// Hands messages to the log without waiting; all of them become durable, or none is acknowledged.
    fn publish(&self, messages: Vec<Message>) -> Result<Receipt, PublishError>;
}

/// The reading side.
pub trait Source: Send + Sync + 'static {
    /// The log's identity.
    fn id(&self) -> LogId;

    /// How many partitions the log has.
    fn partitions(&self) -> u32;

    /// Up to about `max_bytes` of durable records from offset `from` on (at least one record if there is one), in
    /// offset order; empty at the end of the log. May block on a disk or, for a bounded time, on a broker: call it off the
    /// event loop.
    fn read(&self, partition: u32, from: u64, max_bytes: usize) -> Result<Vec<LogRecord>, ReadError>;

    /// The offset that the partition's next record will get, or a larger one; changes whenever records can be read that
    /// could not before. Where it is larger than a reader's position although nothing is read, that is a gap or passes.
    fn end(&self, partition: u32) -> watch::Receiver<u64>;

    /// How many offsets one record of the log's own storage takes, which holds up to as many of ours: counted to the end of
    /// them, so that the last one's is the largest.
    fn places(&self) -> u64 {
        1
    }

    /// Tells that no reader needs records before `offset` any more: retention may remove them.
    fn release(&self, partition: u32, offset: u64);

    /// Which partitions this process is to serve: those it is told of, until they are revoked. To be asked for once; the
    /// channel ends when nothing will change any more. By default all partitions, for ever.
    fn assignments(&self) -> mpsc::Receiver<Assignment> {
        assignments::all(self.partitions())
    }
}

/// A tracking plan as the topic `rungs.plan.v1` holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRecord {
    /// Counts up from 1; a lower number never replaces a higher one.
    pub number: u64,
    /// When it was applied, UTC milliseconds.
    pub applied_at_ms: i64,
    /// The plan file's text.
    pub text: String,
}

/// The compacted topic of tracking plans.
pub trait PlanTopic: Send + Sync + 'static {
    /// Appends a plan durably. Fails with [`PlanError::Outdated`] unless its number is larger than the latest one.
    fn append(&self, plan: PlanRecord) -> Result<(), PlanError>;

    /// The plan with the largest number, and every later one.
    fn latest(&self) -> watch::Receiver<Option<Arc<PlanRecord>>>;

    /// All plans that are still stored, oldest first (at most the last 100).
    fn history(&self) -> Result<Vec<PlanRecord>, ReadError>;
}

/// Why a plan was not appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlanError {
    /// Another plan has this number or a larger one.
    #[error("plan {number} is outdated: plan {latest} is in force")]
    Outdated {
        /// The refused number.
        number: u64,
        /// The number in force.
        latest: u64,
    },
    /// The storage failed.
    #[error("the plan could not be stored: {0}")]
    Storage(String),
}

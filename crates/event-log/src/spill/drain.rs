//! Hands the local log's records over to Kafka: a round takes some of every partition, waits for the acknowledgement of
//! all of them, and releases them. What fails is handed over again, in the same order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::{Remote, Shared, Shelter};
use crate::Message;
use crate::kafka::SendError;

/// Bytes of one round, over all partitions, about.
const ROUND_BYTES: usize = 4 << 20;
/// A round that is not acknowledged within this time failed.
const ROUND_LIMIT: Duration = Duration::from_secs(10);

/// What a round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drained {
    /// Some records were handed over; there may be more.
    Some,
    /// There is nothing left.
    All,
    /// Kafka did not take them.
    Failed,
}

pub(super) struct Drain<R, L> {
    shared: Arc<Shared<R, L>>,
}

impl<R: Remote, L: Shelter> Drain<R, L> {
    pub(super) fn new(shared: Arc<Shared<R, L>>) -> Self {
        Self { shared }
    }

    /// Hands over some records of every partition.
    pub(super) fn round(&self) -> Drained {
        let shared = &self.shared;
        let partitions: Vec<u32> =
            (0..shared.remote.partitions()).filter(|partition| shared.depth(*partition) > 0).collect();
        let (mut messages, mut reached) = (Vec::new(), Vec::new());
        for partition in &partitions {
            let from = shared.local.released(*partition);
            let records = match shared.local.read(*partition, from, ROUND_BYTES / partitions.len().max(1)) {
                Ok(records) => records,
                Err(error) => {
                    tracing::error!(%error, partition, "the spill cannot be read; trying again");
                    return Drained::Failed;
                }
            };
            reached.extend(records.last().map(|last| (*partition, last.offset + 1)));
            messages.extend(
                records.into_iter().map(|record| Message { partition: *partition, value: record.value }),
            );
        }
        if messages.is_empty() {
            return Drained::All;
        }
        if !self.hand_over(&messages) {
            return Drained::Failed;
        }
        for (partition, offset) in reached {
            shared.local.release(partition, offset);
        }
        Drained::Some
    }

    /// Whether all messages were taken, or refused for good.
    fn hand_over(&self, messages: &[Message]) -> bool {
        match self.send(messages) {
            Ok(()) => true,
            Err(SendError::Failed(reason)) => {
                tracing::debug!(reason, "Kafka did not take spilled events");
                self.shared.remote.purge();
                false
            }
            Err(SendError::Refused(_)) => messages.iter().all(|message| self.hand_over_one(message)),
        }
    }

    fn hand_over_one(&self, message: &Message) -> bool {
        match self.send(std::slice::from_ref(message)) {
            Ok(()) => true,
            Err(SendError::Failed(_)) => false,
            Err(SendError::Refused(reason)) => {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
                let (partition, bytes) = (message.partition, message.value.len());
                tracing::error!(
                    reason,
                    partition,
                    bytes,
                    "Kafka refuses an event that was acknowledged; it is lost"
                );
                true
            }
        }
    }

    fn send(&self, messages: &[Message]) -> Result<(), SendError> {
        let (sender, answer) = sync_channel(1);
        // A round that waited for too long is not interested any more.
        let on_sent = Box::new(move |outcome| drop(sender.try_send(outcome)));
        let sent = self.shared.remote.send(messages, on_sent);
        sent.map_err(|error| SendError::Failed(error.to_string()))?;
        let late = |_| Err(SendError::Failed("Kafka did not answer in time".to_owned()));
        answer.recv_timeout(ROUND_LIMIT).unwrap_or_else(late)
    }
}

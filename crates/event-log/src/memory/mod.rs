//! The log in memory, for tests and simulation: the seam's contract without a disk, with faults on demand.
//!
//! A publish is stored at once and its receipt answered at once, unless a fault says otherwise: see
//! [`MemoryLog::refuse_next`], [`MemoryLog::lose_next_acknowledgement`] and [`MemoryLog::hold_receipts`]. Released
//! records stay until [`MemoryLog::remove_released`].

mod plans;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

use crate::{
    Clock, LogId, LogRecord, Message, PlanRecord, PublishError, Publisher, ReadError, Receipt, Source,
};

/// A log that lives as long as the process.
pub struct MemoryLog {
    id: LogId,
    clock: Arc<dyn Clock>,
    max_bytes: usize,
    state: Mutex<State>,
    ends: Vec<watch::Sender<u64>>,
    latest_plan: watch::Sender<Option<Arc<PlanRecord>>>,
    plans: Mutex<Vec<PlanRecord>>,
}

#[derive(Default)]
struct State {
    partitions: Vec<Partition>,
    refusals: VecDeque<PublishError>,
    lost_acknowledgements: usize,
    holding: bool,
    held: Vec<oneshot::Sender<Result<(), PublishError>>>,
    closed: bool,
}

#[derive(Default, Clone)]
struct Partition {
    first: u64,
    records: VecDeque<LogRecord>,
    released: u64,
    appended_at_ms: i64,
}

impl Partition {
    fn unreleased_bytes(&self) -> usize {
        let unreleased = self.records.iter().rev().take_while(|record| record.offset >= self.released);
        unreleased.map(|record| record.value.len()).sum()
    }
}

impl MemoryLog {
    /// An empty log with a new id and no bound.
    pub fn new(partitions: u32, clock: Arc<dyn Clock>) -> Self {
        Self::bounded(partitions, usize::MAX, clock)
    }

    /// An empty log that is full at `max_bytes` of unreleased values.
    pub fn bounded(partitions: u32, max_bytes: usize, clock: Arc<dyn Clock>) -> Self {
        let partitions = partitions as usize;
        Self {
            id: LogId(uuid::Uuid::new_v4().to_string()),
            clock,
            max_bytes,
            state: Mutex::new(State {
                partitions: vec![Partition::default(); partitions],
                ..State::default()
            }),
            ends: (0..partitions).map(|_| watch::Sender::new(0)).collect(),
            latest_plan: watch::Sender::new(None),
            plans: Mutex::default(),
        }
    }

    /// The next publish (after those refused already) is refused with `error`: nothing of it is stored.
    pub fn refuse_next(&self, error: PublishError) {
        self.lock().refusals.push_back(error);
    }

    /// The next publish is stored, but its receipt says that the storage failed: as when a broker's answer is lost.
    pub fn lose_next_acknowledgement(&self) {
        self.lock().lost_acknowledgements += 1;
    }

    /// From now on messages are stored, but their receipts wait for [`answer_held`](Self::answer_held).
    pub fn hold_receipts(&self) {
        self.lock().holding = true;
    }

    /// Answers the receipts held so far with `answer` and holds no more. Says how many they were.
    pub fn answer_held(&self, answer: Result<(), PublishError>) -> usize {
        let mut state = self.lock();
        state.holding = false;
        let held = std::mem::take(&mut state.held);
        drop(state);
        let count = held.len();
        for receipt in held {
            // Whoever dropped the receipt does not want the answer.
            drop(receipt.send(answer.clone()));
        }
        count
    }

    /// The offset before which no reader needs records any more.
    pub fn released(&self, partition: u32) -> u64 {
        self.lock().partitions.get(partition as usize).map_or(0, |partition| partition.released)
    }

    /// Bytes of the values of records that were not released.
    pub fn unreleased_bytes(&self) -> u64 {
        self.lock().partitions.iter().map(|partition| partition.unreleased_bytes() as u64).sum()
    }

    /// Refuses further messages as closed.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    /// Removes every released record, as retention would.
    pub fn remove_released(&self) {
        for partition in &mut self.lock().partitions {
            let keep = partition.records.partition_point(|record| record.offset < partition.released);
            partition.first += keep as u64;
            partition.records.drain(..keep);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn no_partition(&self, partition: u32) -> String {
        format!("there is no partition {partition}: the log has {}", self.ends.len())
    }
}

impl State {
    fn refuse(&mut self, bytes: usize, max_bytes: usize) -> Result<(), PublishError> {
        if self.closed {
            return Err(PublishError::Closed);
        }
        if let Some(error) = self.refusals.pop_front() {
            return Err(error);
        }
        let stored: usize = self.partitions.iter().map(Partition::unreleased_bytes).sum();
        if max_bytes != usize::MAX && stored + bytes > max_bytes {
            return Err(PublishError::Full { limit: "[log] max_size" });
        }
        Ok(())
    }

    fn store(&mut self, message: Message, now_ms: i64) -> Option<u64> {
        let partition = self.partitions.get_mut(message.partition as usize)?;
        partition.appended_at_ms = partition.appended_at_ms.max(now_ms);
        let offset = partition.first + partition.records.len() as u64;
        let appended_at_ms = partition.appended_at_ms;
        partition.records.push_back(LogRecord { offset, appended_at_ms, value: message.value });
        Some(offset + 1)
    }

    fn answer(&mut self, receipt: oneshot::Sender<Result<(), PublishError>>) {
        if self.lost_acknowledgements > 0 {
            self.lost_acknowledgements -= 1;
            drop(receipt.send(Err(PublishError::Storage("the acknowledgement was lost".to_owned()))));
        } else if self.holding {
            self.held.push(receipt);
        } else {
            drop(receipt.send(Ok(())));
        }
    }
}

impl Publisher for MemoryLog {
    fn partitions(&self) -> u32 {
        self.ends.len() as u32
    }

    fn publish(&self, messages: Vec<Message>) -> Result<Receipt, PublishError> {
        if let Some(stray) = messages.iter().find(|message| message.partition as usize >= self.ends.len()) {
            return Err(PublishError::Storage(self.no_partition(stray.partition)));
        }
        let bytes = messages.iter().map(|message| message.value.len()).sum();
        let (sender, receipt) = Receipt::pending();
        let mut state = self.lock();
        state.refuse(bytes, self.max_bytes)?;
        let now_ms = self.clock.now_ms();
        for message in messages {
            let sender = self.ends.get(message.partition as usize);
            if let Some((sender, end)) = sender.zip(state.store(message, now_ms)) {
                sender.send_replace(end);
            }
        }
        state.answer(sender);
        Ok(receipt)
    }
}

impl Source for MemoryLog {
    fn id(&self) -> LogId {
        self.id.clone()
    }

    fn partitions(&self) -> u32 {
        self.ends.len() as u32
    }

    fn read(&self, partition: u32, from: u64, max_bytes: usize) -> Result<Vec<LogRecord>, ReadError> {
        let state = self.lock();
        let Some(stored) = state.partitions.get(partition as usize) else {
            return Err(ReadError::Storage(self.no_partition(partition)));
        };
        let Some(skip) = from.checked_sub(stored.first) else {
            return Err(ReadError::Gone { partition, wanted: from, first: stored.first });
        };
        let mut left = Some(max_bytes.max(1));
        let records = stored.records.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX));
        let fitting = records.take_while(|record| {
            let open = left.is_some_and(|left| left > 0);
            left = left.and_then(|left| left.checked_sub(record.value.len()));
            open
        });
        Ok(fitting.cloned().collect())
    }

    fn end(&self, partition: u32) -> watch::Receiver<u64> {
        // A partition that does not exist stays empty for ever.
        self.ends.get(partition as usize).map_or_else(|| watch::channel(0).1, watch::Sender::subscribe)
    }

    fn release(&self, partition: u32, offset: u64) {
        if let Some(stored) = self.lock().partitions.get_mut(partition as usize) {
            let end = stored.first + stored.records.len() as u64;
            stored.released = stored.released.max(offset.min(end));
        }
    }
}

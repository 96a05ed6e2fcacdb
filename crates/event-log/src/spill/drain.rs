//! Hands the local log's records over to Kafka, each partition by itself: one call with some of its records is on its way at
//! a time, and its answer releases them. A partition that fails rests for a while that grows, and is handed the same records
//! again; the others go on meanwhile, and nothing that was acknowledged is sent again.
//!
//! The keeper calls [`Drain::round`] again and again while calls do not go straight to Kafka.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::{Remote, Shared, Shelter};
use crate::kafka::{DELIVERY_LIMIT_MS, SendError};
use crate::{LogRecord, Message};

/// Bytes on their way, over all partitions, about.
const ROUND_BYTES: usize = 4 << 20;
/// When all calls on their way wait for longer than this, they are given up together.
const ROUND_LIMIT: Duration = Duration::from_secs(10);
/// A call that waits for longer than this is given up, whatever that costs the others: Kafka's client answers sooner.
const CALL_LIMIT: Duration = Duration::from_millis(DELIVERY_LIMIT_MS + 15_000);
/// A round waits this long for an answer: records of partitions that rested come in meanwhile.
const ANSWER_WAIT: Duration = Duration::from_millis(20);
/// A partition that failed is tried again after this long, then after twice as long, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest of these pauses.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// So many failures after one another are told.
const TOLD_FAILURES: u32 = 3;

/// What a round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drained {
    /// Some records were handed over or are on their way; there may be more.
    Some,
    /// There is nothing left.
    All,
    /// Kafka did not take what there is.
    Failed,
}

pub(super) struct Drain<R, L> {
    shared: Arc<Shared<R, L>>,
    partitions: Vec<HandOver>,
    sender: Sender<Answer>,
    answers: Receiver<Answer>,
    /// The next call's number.
    serial: u64,
    longest_pause: Duration,
}

/// How far a partition's draining is.
#[derive(Default)]
struct HandOver {
    on_its_way: Option<OnItsWay>,
    /// Records that go one by one, because Kafka refused a call with all of them.
    singly: VecDeque<LogRecord>,
    /// Failures since the last success.
    failures: u32,
    rests_until: Option<Instant>,
}

/// A call without an answer.
struct OnItsWay {
    serial: u64,
    began: Instant,
    records: Vec<LogRecord>,
}

struct Answer {
    partition: u32,
    serial: u64,
    outcome: Result<(), SendError>,
}

impl<R: Remote, L: Shelter> Drain<R, L> {
    /// A partition that fails rests for `longest_pause` at most.
    pub(super) fn new(shared: Arc<Shared<R, L>>, longest_pause: Duration) -> Self {
        let partitions = (0..shared.remote.partitions()).map(|_| HandOver::default()).collect();
        let (sender, answers) = channel();
        Self { shared, partitions, sender, answers, serial: 0, longest_pause }
    }

    /// Hands over some records of every partition that has any and does not wait, and takes the answers that come soon.
    pub(super) fn round(&mut self) -> Drained {
        self.hand_over();
        let went_on = self.take_answers();
        self.give_up_late();
        if went_on || self.is_waiting() {
            Drained::Some
        } else if self.shared.is_drained() {
            Drained::All
        } else {
            Drained::Failed
        }
    }

    fn is_waiting(&self) -> bool {
        self.partitions.iter().any(|partition| partition.on_its_way.is_some())
    }

    fn hand_over(&mut self) {
        let now = Instant::now();
        let filled =
            (0..self.shared.remote.partitions()).filter(|partition| self.shared.depth(*partition) > 0);
        let filled: Vec<u32> = filled.collect();
        let max_bytes = ROUND_BYTES / filled.len().max(1);
        for partition in filled {
            let is_due = self.partitions.get(partition as usize).is_some_and(|state| state.is_due(now));
            if is_due && let Some(records) = self.next_records(partition, max_bytes) {
                self.send(partition, records);
            }
        }
    }

    /// What the partition's next call has, at least a record; without any the partition rests.
    fn next_records(&mut self, partition: u32, max_bytes: usize) -> Option<Vec<LogRecord>> {
        let state = self.partitions.get(partition as usize)?;
        if let Some(first) = state.singly.front() {
            return Some(vec![first.clone()]);
        }
        let from = self.shared.local.released(partition);
        match self.shared.local.read(partition, from, max_bytes) {
            Ok(records) if !records.is_empty() => return Some(records),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, partition, "the spill cannot be read; trying again"),
        }
        self.failed(partition, "its records could not be read");
        None
    }

    fn send(&mut self, partition: u32, records: Vec<LogRecord>) {
        self.serial += 1;
        let serial = self.serial;
        let message = |record: &LogRecord| Message { partition, value: record.value.clone() };
        let messages: Vec<Message> = records.iter().map(message).collect();
        if let Some(state) = self.partitions.get_mut(partition as usize) {
            state.on_its_way = Some(OnItsWay { serial, began: Instant::now(), records });
        }
        let sender = self.sender.clone();
        // A keeper that ended is not interested any more.
        let on_sent = Box::new(move |outcome| drop(sender.send(Answer { partition, serial, outcome })));
        if let Err(error) = self.shared.remote.send(&messages, on_sent) {
            self.answered(Answer { partition, serial, outcome: Err(SendError::Failed(error.to_string())) });
        }
    }

    /// Takes all answers that are there, and waits a moment for the first; whether a partition went on.
    fn take_answers(&mut self) -> bool {
        let first = match self.answers.try_recv() {
            Ok(answer) => Some(answer),
            Err(_) if self.is_waiting() => self.answers.recv_timeout(ANSWER_WAIT).ok(),
            Err(_) => None,
        };
        let (mut went_on, mut next) = (false, first);
        while let Some(answer) = next {
            went_on |= self.answered(answer);
            next = self.answers.try_recv().ok();
        }
        went_on
    }

    /// Acts on an answer, unless its call was given up; whether the partition goes on at once.
    fn answered(&mut self, answer: Answer) -> bool {
        let Answer { partition, serial, outcome } = answer;
        let Some(state) = self.partitions.get_mut(partition as usize) else { return false };
        let Some(call) = state.on_its_way.take_if(|call| call.serial == serial) else { return false };
        match outcome {
            Ok(()) => {}
            Err(SendError::Failed(reason)) => {
                self.failed(partition, &reason);
                return false;
            }
            Err(SendError::Refused(reason)) => match call.records.as_slice() {
                [record] => self.shared.lose(partition, record, &reason),
                _ => {
                    state.singly = call.records.into();
                    return true;
                }
            },
        }
        state.succeeded();
        if let Some(last) = call.records.last() {
            self.shared.local.release(partition, last.offset + 1);
        }
        true
    }

    fn failed(&mut self, partition: u32, reason: &str) {
        let Some(state) = self.partitions.get_mut(partition as usize) else { return };
        state.failures = state.failures.saturating_add(1);
        let pause = FIRST_PAUSE.saturating_mul(1 << state.failures.saturating_sub(1).min(10));
        state.rests_until = Some(Instant::now() + pause.min(self.longest_pause));
        if state.failures == TOLD_FAILURES {
            tracing::warn!(
                reason,
                partition,
                "Kafka does not take this partition's spilled events; trying on"
            );
        } else {
            tracing::debug!(reason, partition, "Kafka did not take spilled events");
        }
    }

    /// Gives up calls that wait for too long. What is on its way can be given up only as a whole, which would send again
    /// what healthy partitions are about to acknowledge; so it waits while any of them answers.
    fn give_up_late(&mut self) {
        let waits: Vec<Duration> = self
            .partitions
            .iter()
            .flat_map(|state| &state.on_its_way)
            .map(|call| call.began.elapsed())
            .collect();
        let (Some(shortest), Some(longest)) = (waits.iter().min(), waits.iter().max()) else { return };
        let limit = if *shortest > ROUND_LIMIT { ROUND_LIMIT } else { CALL_LIMIT };
        if *longest <= limit {
            return;
        }
        self.shared.remote.purge();
        for partition in 0..self.shared.remote.partitions() {
            let state = self.partitions.get_mut(partition as usize);
            if state
                .is_some_and(|state| state.on_its_way.take_if(|call| call.began.elapsed() > limit).is_some())
            {
                self.failed(partition, "Kafka did not answer in time");
            }
        }
    }
}

impl HandOver {
    fn is_due(&self, now: Instant) -> bool {
        self.on_its_way.is_none() && self.rests_until.is_none_or(|until| now >= until)
    }

    /// The call's records are Kafka's, or lost.
    fn succeeded(&mut self) {
        self.singly.pop_front();
        (self.failures, self.rests_until) = (0, None);
    }
}

impl<R: Remote, L: Shelter> Shared<R, L> {
    /// Counts an event that Kafka will never take.
    fn lose(&self, partition: u32, record: &LogRecord, reason: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let bytes = record.value.len();
        tracing::error!(reason, partition, bytes, "Kafka refuses an event that was acknowledged; it is lost");
    }
}

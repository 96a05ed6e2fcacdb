//! Messages on their way into records of the topic. A record costs broker, producer and reader the same whether it holds one
//! event or hundreds, so a partition hands one over in [`PACE`] at most, and only when none is on its way; what arrives
//! meanwhile waits, and travels together in the next one as a `rungs.v1.RecordPack`. An event that comes alone goes at once,
//! as a record of its own; the more come, the fuller are the records. What is ample for one waits for the record before it
//! only, and what fills one for nothing.
//!
//! A partition's order is that in which messages were added: it is locked while one is added or handed over. (Only parts of a
//! pack that the topic's `max.message.bytes` refuses come behind full records that were on their way.) A record that fails
//! takes along what waits behind it, so nothing waits for longer than one record may. Used by `publisher.rs`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rungs_proto::view::{pack, packed, visitor_of};

use super::call::{Call, SendError};
use super::offsets::PLACES;
use crate::{Message, partitioner};

/// How often a partition hands over what waited.
pub(super) const PACE: Duration = Duration::from_millis(5);

/// A record of so many bytes is not worth waiting for more: what a record costs is little beside what they do.
const AMPLE_BYTES: usize = 64 << 10;

/// What the framing of a message in a pack takes, at most.
const FRAME_BYTES: usize = 6;

/// Hands one record over, or says at once why not.
pub(super) trait HandOver {
    fn hand_over(&self, record: Record<'_>, parcel: Parcel) -> HandedOver;
}

/// A record that is not handed over leaves its parcel behind.
pub(super) type HandedOver = Result<(), (SendError, Parcel)>;

/// A record as the topic is to have it.
pub(super) struct Record<'a> {
    pub(super) partition: u32,
    /// Empty: none.
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

/// A call's part of a record: so many messages that follow one another.
struct Share {
    call: Arc<Call>,
    messages: usize,
}

/// Whose messages a record holds, in their order.
#[derive(Default)]
pub(super) struct Parcel {
    /// Where it was packed; none for a record of another topic.
    partition: Option<u32>,
    messages: usize,
    shares: Vec<Share>,
}

/// A message of a pack that Kafka refused: it goes by itself, since the client would put several into one batch again.
struct Single {
    value: Vec<u8>,
    call: Arc<Call>,
}

/// All partitions of a producer's topic.
pub(super) struct Packing {
    record_bytes: usize,
    ample_bytes: usize,
    /// Somebody calls [`Packing::tick`] within [`PACE`].
    ticks: AtomicBool,
    partitions: Vec<Mutex<Partition>>,
}

/// What waits in a partition.
#[derive(Default)]
struct Partition {
    number: u32,
    /// A pack of what waits.
    value: Vec<u8>,
    /// Where the first message begins in it: one that waits alone goes without the frame before it.
    first: usize,
    parcel: Parcel,
    /// These go before what waits, one at a time.
    singles: VecDeque<Single>,
    /// Records without an answer.
    on_their_way: usize,
    /// Something was handed over lately, so that what comes waits for the next [`Packing::tick`].
    paced: bool,
    /// The producer ended: nobody will answer any more.
    ended: bool,
    key: Vec<u8>,
}

impl Parcel {
    /// A record of one message.
    pub(super) fn of(call: &Arc<Call>) -> Self {
        Self { partition: None, messages: 1, shares: vec![Share { call: Arc::clone(call), messages: 1 }] }
    }

    pub(super) fn answered(self, answer: &Result<i64, SendError>) {
        for Share { call, messages } in self.shares {
            call.answered(messages, answer);
        }
    }

    fn is_pack(&self) -> bool {
        self.messages > 1
    }

    fn push(&mut self, call: &Arc<Call>) {
        self.messages += 1;
        match self.shares.last_mut() {
            Some(last) if Arc::ptr_eq(&last.call, call) => last.messages += 1,
            _ => self.shares.push(Share { call: Arc::clone(call), messages: 1 }),
        }
    }
}

impl Packing {
    /// Packs records of about `record_bytes` at most.
    pub(super) fn new(partitions: u32, record_bytes: u64) -> Self {
        let partition = |number| Mutex::new(Partition { number, ..Partition::default() });
        Self {
            record_bytes: usize::try_from(record_bytes).unwrap_or(usize::MAX),
            ample_bytes: AMPLE_BYTES,
            ticks: AtomicBool::new(false),
            partitions: (0..partitions).map(partition).collect(),
        }
    }

    /// Adds a call's messages, and hands over what need not wait; whether [`Packing::tick`] is to be called from now on.
    pub(super) fn add(&self, messages: &[Message], call: &Arc<Call>, to: &impl HandOver) -> bool {
        // Stable, so that a partition's messages keep their order; each partition is locked once.
        let mut sorted: Vec<&Message> = messages.iter().collect();
        sorted.sort_by_key(|message| message.partition);
        for of_one in sorted.chunk_by(|one, other| one.partition == other.partition) {
            let number = of_one.first().map(|message| message.partition);
            let partition = number.and_then(|number| self.partition(number));
            let Some(mut partition) = partition.filter(|partition| !partition.ended) else {
                call.answered(of_one.len(), &Err(SendError::Failed("the Kafka producer ended".to_owned())));
                continue;
            };
            for message in of_one {
                if partition.waits() && !partition.has_room(message.value.len(), self.record_bytes) {
                    partition.hand_over(to);
                }
                partition.push(&message.value, call);
            }
            if !partition.paced || self.is_ample(&partition) {
                partition.go_on(to);
            }
        }
        !self.ticks.swap(true, Ordering::AcqRel)
    }

    /// Hands over what waited, once in [`PACE`]; whether there is to be a next time.
    pub(super) fn tick(&self, to: &impl HandOver) -> bool {
        // Whoever adds from now on asks for another one.
        self.ticks.store(false, Ordering::Release);
        let mut paced = false;
        for number in 0..self.partitions.len() as u32 {
            if let Some(mut partition) = self.partition(number).filter(|partition| partition.paced) {
                partition.paced = partition.is_busy();
                partition.go_on(to);
                paced |= partition.paced;
            }
        }
        paced && !self.ticks.swap(true, Ordering::AcqRel)
    }

    /// A record was acknowledged. What is ample behind it goes on, unless the producer is about to end.
    pub(super) fn acknowledged(&self, parcel: Parcel, offset: i64, to: Option<&impl HandOver>) {
        let number = parcel.partition;
        parcel.answered(&Ok(offset));
        if let Some(mut partition) = number.and_then(|number| self.partition(number)) {
            partition.on_their_way = partition.on_their_way.saturating_sub(1);
            if let Some(to) = to.filter(|_| self.is_ample(&partition)) {
                partition.go_on(to);
            }
        }
    }

    /// A record failed. Of a pack that Kafka refuses each message goes by itself, at the next tick; otherwise what waits
    /// behind fails too.
    pub(super) fn failed(&self, parcel: Parcel, value: &[u8], error: SendError) {
        let Some(mut partition) = parcel.partition.and_then(|number| self.partition(number)) else {
            return parcel.answered(&Err(error));
        };
        partition.on_their_way = partition.on_their_way.saturating_sub(1);
        if matches!(error, SendError::Refused(_)) && parcel.is_pack() && !partition.ended {
            return partition.take_apart(value, parcel);
        }
        let waiting = match error {
            SendError::Refused(_) => Parcel::default(),
            SendError::Failed(_) => partition.take(),
        };
        drop(partition);
        parcel.answered(&Err(error.clone()));
        waiting.answered(&Err(error));
    }

    /// Fails what waits.
    pub(super) fn fail_waiting(&self, error: &SendError) {
        self.give_up(error, false);
    }

    /// Fails what waits and what is added from now on.
    pub(super) fn end(&self, error: &SendError) {
        self.give_up(error, true);
    }

    fn give_up(&self, error: &SendError, for_ever: bool) {
        for number in 0..self.partitions.len() as u32 {
            let Some(mut partition) = self.partition(number) else { continue };
            partition.ended |= for_ever;
            let (singles, waiting) = (std::mem::take(&mut partition.singles), partition.take());
            drop(partition);
            singles.into_iter().for_each(|single| single.call.answered(1, &Err(error.clone())));
            waiting.answered(&Err(error.clone()));
        }
    }

    fn is_ample(&self, waiting: &Partition) -> bool {
        waiting.value.len() >= self.ample_bytes
    }

    fn partition(&self, number: u32) -> Option<MutexGuard<'_, Partition>> {
        let partition = self.partitions.get(number as usize)?;
        Some(partition.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Partition {
    fn has_room(&self, bytes: usize, record_bytes: usize) -> bool {
        self.value.len() + bytes + FRAME_BYTES <= record_bytes && (self.parcel.messages as u64) < PLACES
    }

    fn push(&mut self, value: &[u8], call: &Arc<Call>) {
        pack(value, &mut self.value);
        if !self.waits() {
            self.first = self.value.len() - value.len();
        }
        self.parcel.push(call);
    }

    /// Whether anything does, singles aside.
    fn waits(&self) -> bool {
        self.parcel.messages > 0
    }

    fn is_busy(&self) -> bool {
        self.waits() || self.on_their_way > 0 || !self.singles.is_empty()
    }

    /// Hands over what waits, unless a record is on its way.
    fn go_on(&mut self, to: &impl HandOver) {
        while self.on_their_way == 0 {
            if let Some(Single { value, call }) = self.singles.pop_front() {
                let sent = self.hand_over_one(&value, self.parcel_of(&call), to);
                self.handed_over(sent, &value);
            } else if self.waits() {
                self.hand_over(to);
            } else {
                return;
            }
        }
    }

    /// Takes whose messages wait, and forgets them.
    fn take(&mut self) -> Parcel {
        self.value.clear();
        Parcel { partition: Some(self.number), ..std::mem::take(&mut self.parcel) }
    }

    fn hand_over(&mut self, to: &impl HandOver) {
        let packed = std::mem::take(&mut self.value);
        let parcel = self.take();
        if !self.singles.is_empty() {
            self.line_up(&packed, parcel);
        } else if parcel.is_pack() {
            let record = Record { partition: self.number, key: &[], value: &packed };
            self.handed_over(to.hand_over(record, parcel), &packed);
        } else {
            let alone = packed.get(self.first..).unwrap_or_default();
            let sent = self.hand_over_one(alone, parcel, to);
            self.handed_over(sent, alone);
        }
        // Its memory is used again.
        self.value = packed;
        self.value.clear();
    }

    fn handed_over(&mut self, sent: HandedOver, value: &[u8]) {
        self.paced = true;
        match sent {
            Ok(()) => self.on_their_way += 1,
            Err((SendError::Refused(_), parcel)) if parcel.is_pack() => self.take_apart(value, parcel),
            Err((error, parcel)) => parcel.answered(&Err(error)),
        }
    }

    fn hand_over_one(&mut self, value: &[u8], parcel: Parcel, to: &impl HandOver) -> HandedOver {
        self.key.clear();
        if let Some((site, visitor)) = visitor_of(value) {
            partitioner::write_key(site, visitor, &mut self.key);
        }
        to.hand_over(Record { partition: self.number, key: &self.key, value }, parcel)
    }

    fn parcel_of(&self, call: &Arc<Call>) -> Parcel {
        Parcel { partition: Some(self.number), ..Parcel::of(call) }
    }

    /// Has the messages of a refused pack go one by one: Kafka may take them, or some.
    fn take_apart(&mut self, value: &[u8], parcel: Parcel) {
        let bytes = value.len();
        tracing::warn!(
            bytes,
            "Kafka refuses a record of several events; they go one by one, slowly. Let `max.message.bytes` of the topic \
             allow more, or lower [kafka] record_size"
        );
        self.line_up(value, parcel);
    }

    /// Puts the messages of a pack, be it of one, behind those that go one by one.
    fn line_up(&mut self, value: &[u8], parcel: Parcel) {
        let places = packed(value, PLACES as usize).unwrap_or_default();
        let calls = parcel.shares.iter().flat_map(|share| std::iter::repeat_n(&share.call, share.messages));
        self.singles.extend(places.into_iter().zip(calls).map(|(place, call)| Single {
            value: value.get(place).unwrap_or_default().to_vec(),
            call: Arc::clone(call),
        }));
    }
}

#[cfg(test)]
mod tests;

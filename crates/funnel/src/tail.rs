//! The tail of a journey: its matched events younger than the horizon, by time, packed as memory and ClickHouse hold
//! them, so that most events only add one at the end. Used by [`journey`](crate::journey), written and read as it is by
//! [`codec`](crate::codec).
//!
//! All events of a tail have the same width: 6 bytes of time, 8 of the message's hash, 4 of matches, and where any of
//! them needs it 4 of a client clock that is ahead and 8 of breakdown values.

use crate::packed_time::{packed_time, unpacked_time};
use crate::plan::limits::MAX_BREAKDOWNS;

/// In place of a message's hash: the messages of the tail were not kept.
pub const SETTLED: u64 = u64::MAX;

/// An event younger than the horizon that matched something, or only the hash of one that must not count again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailEvent {
    /// Event time, corrected.
    pub ts: i64,
    /// How much later the client's own time is than `ts`, 0 if it is not.
    pub own_ahead_ms: u32,
    /// Hash of the message id.
    pub message: u64,
    /// Steps and offers, as [`Track::apply`](crate::track::Track::apply) takes them; 0 remembers the message only.
    pub matches: u32,
    /// Ids of the breakdown values of an entry or offer; 0 where there is none.
    pub values: [u16; MAX_BREAKDOWNS],
}

impl TailEvent {
    /// The client's own time where it is later than `ts`, else `ts`.
    pub fn own_ts(&self) -> i64 {
        self.ts.saturating_add(i64::from(self.own_ahead_ms))
    }

    /// The same message without its matches, to be remembered until its own time is older than the horizon.
    pub fn message_only(&self) -> Self {
        Self { ts: self.own_ts(), own_ahead_ms: 0, matches: 0, values: Default::default(), ..*self }
    }

    /// Says that the messages before `ts` were not kept.
    pub fn settled(ts: i64) -> Self {
        Self { ts, own_ahead_ms: 0, message: SETTLED, matches: 0, values: Default::default() }
    }
}

/// What the events of a tail have room for, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shape(u8);

impl Shape {
    const AHEAD: u8 = 1;
    const VALUES: u8 = 2;
    const PLAIN_BYTES: usize = TIME + MESSAGE + MATCHES;

    /// Takes bits as a tail was written with; `None` for bits that mean nothing.
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        (bits <= (Self::AHEAD | Self::VALUES)).then_some(Self(bits))
    }

    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    fn of(event: &TailEvent) -> Self {
        let ahead = if event.own_ahead_ms != 0 { Self::AHEAD } else { 0 };
        let values = if event.values == [0; MAX_BREAKDOWNS] { 0 } else { Self::VALUES };
        Self(ahead | values)
    }

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    /// Bytes of an event.
    pub(crate) fn width(self) -> usize {
        let ahead = if self.has(Self::AHEAD) { AHEAD } else { 0 };
        let values = if self.has(Self::VALUES) { VALUES } else { 0 };
        Self::PLAIN_BYTES + ahead + values
    }
}

const TIME: usize = 6;
const MESSAGE: usize = 8;
const MATCHES: usize = 4;
const AHEAD: usize = 4;
const VALUES: usize = 2 * MAX_BREAKDOWNS;

/// The time of the latest of these events, as they were written.
pub(crate) fn last_ts(shape: Shape, bytes: &[u8]) -> Option<i64> {
    let last = bytes.len().checked_sub(shape.width())?;
    bytes.get(last..)?.first_chunk().map(|time| unpacked_time(*time))
}

/// Events by time.
#[derive(Debug, Clone, Default)]
pub struct Tail {
    shape: Shape,
    events: usize,
    bytes: Vec<u8>,
}

impl Tail {
    /// No events; keeps memory.
    pub fn clear(&mut self) {
        (self.shape, self.events) = (Shape::default(), 0);
        self.bytes.clear();
    }

    /// Takes events as they were written.
    pub(crate) fn fill(&mut self, shape: Shape, events: usize, bytes: &[u8]) {
        (self.shape, self.events) = (shape, events);
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
    }

    /// The events as they are to be written.
    pub(crate) fn packed(&self) -> (Shape, &[u8]) {
        (self.shape, &self.bytes)
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All events by time.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = TailEvent> + '_ {
        self.bytes.chunks_exact(self.shape.width()).map(|event| unpack(self.shape, event))
    }

    /// The time of the earliest event.
    pub fn first_ts(&self) -> Option<i64> {
        self.bytes.first_chunk().map(|time| unpacked_time(*time))
    }

    /// The time of the latest event.
    pub fn last_ts(&self) -> Option<i64> {
        last_ts(self.shape, &self.bytes)
    }

    /// Whether one of the events is this message.
    pub fn remembers(&self, message: u64) -> bool {
        let width = self.shape.width();
        let mut rest = self.bytes.as_slice();
        while let Some(found) = rest.get(TIME..).and_then(<[u8]>::first_chunk) {
            if u64::from_le_bytes(*found) == message {
                return true;
            }
            rest = rest.get(width..).unwrap_or(&[]);
        }
        false
    }

    /// The time of the latest event that matched something.
    pub fn last_match_ts(&self) -> Option<i64> {
        let width = self.shape.width();
        let mut end = self.bytes.len();
        while let Some(event) = end.checked_sub(width).and_then(|at| self.bytes.get(at..end)) {
            if event.get(TIME + MESSAGE..).and_then(<[u8]>::first_chunk) != Some(&[0; MATCHES]) {
                return event.first_chunk().map(|time| unpacked_time(*time));
            }
            end -= width;
        }
        None
    }

    /// Adds an event behind those of the same time.
    pub fn insert(&mut self, event: &TailEvent) {
        let needed = Shape(self.shape.0 | Shape::of(event).0);
        if needed != self.shape {
            self.widen(needed);
        }
        let width = self.shape.width();
        let at = if self.last_ts().is_none_or(|last| last <= event.ts) {
            self.bytes.len()
        } else {
            self.iter().take_while(|other| other.ts <= event.ts).count() * width
        };
        self.events += 1;
        pack(self.shape, event, &mut self.bytes);
        if at + width < self.bytes.len()
            && let Some(behind) = self.bytes.get_mut(at..)
        {
            behind.rotate_right(width);
        }
    }

    fn widen(&mut self, shape: Shape) {
        let events: Vec<TailEvent> = self.iter().collect();
        self.shape = shape;
        self.bytes.clear();
        events.iter().for_each(|event| pack(shape, event, &mut self.bytes));
    }

    /// Moves the events before a time to `taken`.
    pub fn take_before(&mut self, ts: i64, taken: &mut Vec<TailEvent>) {
        taken.clear();
        taken.extend(self.iter().take_while(|event| event.ts < ts));
        self.bytes.drain(..taken.len() * self.shape.width());
        self.events -= taken.len();
    }

    /// Forgets the messages that are only remembered.
    pub fn keep_matches(&mut self) {
        let events: Vec<TailEvent> = self.iter().filter(|event| event.matches != 0).collect();
        self.events = events.len();
        self.bytes.clear();
        events.iter().for_each(|event| pack(self.shape, event, &mut self.bytes));
    }
}

fn pack(shape: Shape, event: &TailEvent, out: &mut Vec<u8>) {
    let [t0, t1, t2, t3, t4, t5] = packed_time(event.ts);
    let [m0, m1, m2, m3, m4, m5, m6, m7] = event.message.to_le_bytes();
    let [b0, b1, b2, b3] = event.matches.to_le_bytes();
    out.extend_from_slice(&[t0, t1, t2, t3, t4, t5, m0, m1, m2, m3, m4, m5, m6, m7, b0, b1, b2, b3]);
    if shape.has(Shape::AHEAD) {
        out.extend_from_slice(&event.own_ahead_ms.to_le_bytes());
    }
    if shape.has(Shape::VALUES) {
        event.values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
    }
}

/// `event` is [`Shape::width`] bytes long; what is missing reads as 0.
fn unpack(shape: Shape, event: &[u8]) -> TailEvent {
    let mut rest = event;
    let ts = unpacked_time(take(&mut rest));
    let message = u64::from_le_bytes(take(&mut rest));
    let matches = u32::from_le_bytes(take(&mut rest));
    let own_ahead_ms = if shape.has(Shape::AHEAD) { u32::from_le_bytes(take(&mut rest)) } else { 0 };
    let mut values = [0; MAX_BREAKDOWNS];
    if shape.has(Shape::VALUES) {
        values.iter_mut().for_each(|value| *value = u16::from_le_bytes(take(&mut rest)));
    }
    TailEvent { ts, own_ahead_ms, message, matches, values }
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let Some((bytes, behind)) = rest.split_first_chunk() else { return [0; N] };
    *rest = behind;
    *bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event() -> impl Strategy<Value = TailEvent> {
        let ahead = prop_oneof![4 => Just(0), 1 => any::<u32>()];
        let values = prop_oneof![3 => Just([0; MAX_BREAKDOWNS]), 1 => any::<[u16; MAX_BREAKDOWNS]>()];
        (-5..5i64, ahead, any::<u64>(), prop_oneof![Just(0), any::<u32>()], values).prop_map(
            |(ts, own_ahead_ms, message, matches, values)| TailEvent {
                ts,
                own_ahead_ms,
                message,
                matches,
                values,
            },
        )
    }

    proptest! {
        #[test]
        fn a_tail_equals_a_sorted_list(events in prop::collection::vec(event(), 0..20), cut in -6..6i64) {
            let (mut tail, mut list) = (Tail::default(), Vec::new());
            for event in events {
                tail.insert(&event);
                let at = list.partition_point(|other: &TailEvent| other.ts <= event.ts);
                list.insert(at, event);
                prop_assert!(tail.remembers(event.message));
            }
            prop_assert_eq!(tail.iter().collect::<Vec<_>>(), list.clone());
            prop_assert_eq!(tail.first_ts(), list.first().map(|event| event.ts));
            prop_assert_eq!(tail.last_ts(), list.last().map(|event| event.ts));
            let matched = list.iter().rfind(|event| event.matches != 0);
            prop_assert_eq!(tail.last_match_ts(), matched.map(|event| event.ts));
            let mut taken = Vec::new();
            tail.take_before(cut, &mut taken);
            let (before, after): (Vec<_>, Vec<_>) = list.into_iter().partition(|event| event.ts < cut);
            prop_assert_eq!(taken, before);
            prop_assert_eq!(tail.len(), after.len());
            tail.keep_matches();
            let matched: Vec<_> = after.into_iter().filter(|event| event.matches != 0).collect();
            prop_assert_eq!(tail.iter().collect::<Vec<_>>(), matched);
        }
    }
}

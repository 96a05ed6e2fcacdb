//! The tracks of a visitor in one funnel: first everybody's (key 0), then one for each breakdown value that an entry or
//! offer of theirs carried. They are held packed, as memory and ClickHouse hold them, and changed in place: an event
//! touches one or two steps, and the others are not looked at. Used by [`journey`](crate::journey).
//!
//! A track is its key (2 bytes), how many steps it holds (1; up to the last one on which something happened) and those
//! steps: a bucket and three times, and where any offer was shown to the visitor a bucket and two times more. Zeros are a
//! step on which nothing happened.

use crate::buckets;
use crate::packed_time::{packed_bits, unpacked_bits};
use crate::plan::limits::{MAX_BREAKDOWNS, MAX_STEPS};
use crate::tail::TailEvent;
use crate::track::{OFFER_BITS, OFFER_SHIFT, STEP_BITS, StepState, UNSET, steps_in};

/// Key and number of steps.
const HEAD: usize = 3;
const TIME: usize = 6;
const WORD: usize = 8;
const PLAIN_BYTES: usize = 1 + 3 * TIME;
const OFFER_BYTES: usize = 1 + 2 * TIME;
const WITH_OFFER: usize = PLAIN_BYTES + OFFER_BYTES;

/// Events that carry a breakdown value: the first step's and offers.
pub const ENTRIES: u32 = OFFER_BITS | 1;
const LATER_STEPS: u32 = STEP_BITS & !1;

/// The tracks of a visitor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracks {
    offers: bool,
    bytes: Vec<u8>,
}

/// Tracks as they stand in a journey's bytes.
#[derive(Debug, Clone, Copy)]
pub struct PackedTracks<'a> {
    pub(crate) offers: bool,
    pub(crate) bytes: &'a [u8],
}

/// One track.
#[derive(Debug, Clone, Copy)]
pub struct Track<'a> {
    /// 0, or the breakdown value's id.
    pub key: u16,
    held: usize,
    offers: bool,
    steps: &'a [u8],
}

fn width(offers: bool) -> usize {
    if offers { WITH_OFFER } else { PLAIN_BYTES }
}

impl Tracks {
    /// Drops all tracks, keeping their memory.
    pub fn clear(&mut self) {
        self.offers = false;
        self.bytes.clear();
    }

    /// Makes these tracks equal to others.
    pub fn copy_from(&mut self, other: PackedTracks<'_>) {
        self.offers = other.offers;
        self.bytes.clear();
        self.bytes.extend_from_slice(other.bytes);
    }

    /// The tracks, to be read.
    pub fn packed(&self) -> PackedTracks<'_> {
        PackedTracks { offers: self.offers, bytes: &self.bytes }
    }

    /// Keeps the tracks that `keep` agrees to.
    pub fn retain(&mut self, keep: impl Fn(&Track<'_>) -> bool) {
        let mut kept = Vec::with_capacity(self.bytes.len());
        self.packed().iter().filter(keep).for_each(|track| track.write(&mut kept));
        self.bytes = kept;
    }

    /// Applies events that are in the order of their times.
    pub fn apply_all(&mut self, events: &[TailEvent], window_ms: i64) {
        for of_one_time in events.chunk_by(|one, other| one.ts == other.ts) {
            self.apply(of_one_time, window_ms);
        }
    }

    /// Applies the events of one time together: their order among themselves must not count.
    pub fn apply(&mut self, events: &[TailEvent], window_ms: i64) {
        let Some(ts) = events.first().map(|event| event.ts) else { return };
        let union = events.iter().fold(0, |bits, event| bits | event.matches);
        if union == 0 {
            return;
        }
        if union & OFFER_BITS != 0 {
            self.make_room_for_offers();
        }
        if self.bytes.is_empty() {
            self.push(0);
        }
        self.open_values(events);
        let mut at = 0;
        while let Some((key, _)) = self.head(at) {
            let matches = if key == 0 { union } else { (union & LATER_STEPS) | entries_of(key, events) };
            at += self.apply_to(at, ts, matches, window_ms);
        }
    }

    /// Applies matches to the track at `at`; returns its bytes.
    fn apply_to(&mut self, at: usize, ts: i64, matches: u32, window_ms: i64) -> usize {
        let width = width(self.offers);
        let needed = 32 - steps_in(matches).leading_zeros() as usize;
        let mut held = self.head(at).map_or(0, |(_, held)| held);
        if needed > held {
            let end = at + HEAD + held * width;
            self.bytes.splice(end..end, std::iter::repeat_n(0, (needed - held) * width));
            held = needed;
            if let Some(count) = self.bytes.get_mut(at + HEAD - 1) {
                *count = held as u8;
            }
        }
        let end = at + HEAD + held * width;
        if matches != 0
            && let Some(steps) = self.bytes.get_mut(at + HEAD..end)
        {
            match self.offers {
                true => apply(steps.as_chunks_mut::<WITH_OFFER>().0, ts, matches, window_ms),
                false => apply(steps.as_chunks_mut::<PLAIN_BYTES>().0, ts, matches, window_ms),
            }
        }
        end - at
    }

    /// Key and number of steps of the track at `at`.
    fn head(&self, at: usize) -> Option<(u16, usize)> {
        let [low, high, held] = *self.bytes.get(at..)?.first_chunk()?;
        Some((u16::from_le_bytes([low, high]), usize::from(held)))
    }

    fn push(&mut self, key: u16) {
        put_head(key, 0, &mut self.bytes);
    }

    /// Starts a track for each breakdown value that an entry or offer brings for the first time.
    fn open_values(&mut self, events: &[TailEvent]) {
        if events.iter().all(|event| event.values == [0; MAX_BREAKDOWNS]) {
            return;
        }
        for event in events.iter().filter(|event| event.matches & ENTRIES != 0) {
            for key in event.values.into_iter().filter(|key| *key != 0) {
                if !self.packed().iter().any(|track| track.key == key) {
                    self.push(key);
                }
            }
        }
    }

    fn make_room_for_offers(&mut self) {
        if self.offers {
            return;
        }
        let mut wide = Vec::with_capacity(self.bytes.len() * 2);
        for track in self.packed().iter() {
            put_head(track.key, track.held, &mut wide);
            for step in track.steps.chunks_exact(PLAIN_BYTES) {
                wide.extend_from_slice(step);
                wide.extend_from_slice(&[0; OFFER_BYTES]);
            }
        }
        (self.bytes, self.offers) = (wide, true);
    }
}

/// Appends what stands before a track's steps.
fn put_head(key: u16, held: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&key.to_le_bytes());
    out.push(held as u8);
}

/// The entries and offers among `events` that carry this value.
fn entries_of(key: u16, events: &[TailEvent]) -> u32 {
    events
        .iter()
        .filter(|event| event.values.contains(&key))
        .fold(0, |bits, event| bits | (event.matches & ENTRIES))
}

impl<'a> PackedTracks<'a> {
    /// No tracks.
    pub const NONE: Self = Self { offers: false, bytes: &[] };

    /// The tracks in order.
    pub fn iter(self) -> impl Iterator<Item = Track<'a>> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let ([low, high, held], behind) = rest.split_first_chunk()?;
            let (steps, behind) = behind.split_at_checked(usize::from(*held) * width(self.offers))?;
            rest = behind;
            let key = u16::from_le_bytes([*low, *high]);
            Some(Track { key, held: usize::from(*held), offers: self.offers, steps })
        })
    }

    /// The track with this key.
    pub fn track(self, key: u16) -> Option<Track<'a>> {
        self.iter().find(|track| track.key == key)
    }

    /// Whether these bytes are tracks of a funnel with so many steps.
    pub fn are_sound(self, steps: usize) -> bool {
        let bucket = |byte: Option<&u8>| byte.is_some_and(|byte| usize::from(*byte) < buckets::COUNT);
        let sound = |track: &Track<'_>| {
            let mut held = track.steps.chunks_exact(width(self.offers));
            track.held() <= steps.min(MAX_STEPS)
                && held.all(|step| bucket(step.first()) && (!self.offers || bucket(step.get(PLAIN_BYTES))))
        };
        let read: usize = self.iter().map(|track| HEAD + track.steps.len()).sum();
        read == self.bytes.len() && self.iter().all(|track| sound(&track))
    }
}

impl Track<'_> {
    /// A track on which nothing happened.
    pub(crate) const NONE: Self = Self { key: 0, held: 0, offers: false, steps: &[] };

    /// How many steps it holds; on later ones nothing happened.
    pub fn held(&self) -> usize {
        self.held
    }

    /// A step; [`StepState::NEW`] where nothing happened.
    #[inline]
    pub fn step(&self, index: usize) -> StepState {
        let step = match self.offers {
            true => self.steps.as_chunks::<WITH_OFFER>().0.get(index).map(unpacked_step),
            false => self.steps.as_chunks::<PLAIN_BYTES>().0.get(index).map(unpacked_step),
        };
        step.unwrap_or(StepState::NEW)
    }

    /// The latest match of a step.
    #[inline]
    pub(crate) fn last(&self, index: usize) -> i64 {
        let last = match self.offers {
            true => self.steps.as_chunks::<WITH_OFFER>().0.get(index).map(last_of),
            false => self.steps.as_chunks::<PLAIN_BYTES>().0.get(index).map(last_of),
        };
        last.unwrap_or(UNSET)
    }

    /// Whether the same bytes stand for both.
    pub fn is(&self, other: &Track<'_>) -> bool {
        (self.key, self.offers, self.steps) == (other.key, other.offers, other.steps)
    }

    /// The latest time of anything.
    pub fn latest(&self) -> i64 {
        (0..self.held()).map(|index| self.step(index).latest()).max().unwrap_or(UNSET)
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_head(self.key, self.held, out);
        out.extend_from_slice(self.steps);
    }
}

/// Takes the events of one time into a track's steps: `matches` has a bit per matched step and shown offer. Offers come
/// before steps, steps in their order.
fn apply<const WIDTH: usize>(steps: &mut [[u8; WIDTH]], ts: i64, matches: u32, conversion_window_ms: i64) {
    let mut touched = steps_in(matches);
    while touched != 0 {
        let index = touched.trailing_zeros() as usize;
        touched &= touched - 1;
        // What the step climbs from; the first one stands on the time itself.
        let below = match index.checked_sub(1).map(|below| steps.get(below)) {
            Some(below) => below.map_or((UNSET, UNSET), |below| (anchor_of(below), reached_of(below))),
            None => (ts, ts),
        };
        let Some(packed) = steps.get_mut(index) else { return };
        let mut step = unpacked_step(packed);
        if matches & (1 << (OFFER_SHIFT + index as u32)) != 0 {
            step.offered = ts;
        }
        if matches & (1 << index) != 0 {
            step.climb(ts, below, conversion_window_ms);
            step.commit(ts, conversion_window_ms);
        }
        *packed = packed_step(&step);
    }
}

#[inline]
fn anchor_of<const WIDTH: usize>(packed: &[u8; WIDTH]) -> i64 {
    unpacked_bits(word(packed, 1))
}

#[inline]
fn reached_of<const WIDTH: usize>(packed: &[u8; WIDTH]) -> i64 {
    unpacked_bits(word(packed, 1 + TIME))
}

#[inline]
fn last_of<const WIDTH: usize>(packed: &[u8; WIDTH]) -> i64 {
    unpacked_bits(word(packed, PLAIN_BYTES - WORD) >> 16)
}

#[inline]
fn unpacked_step<const WIDTH: usize>(packed: &[u8; WIDTH]) -> StepState {
    let byte = |at: usize| packed.get(at).copied().unwrap_or(0);
    let mut step = StepState {
        took: byte(0),
        anchor: anchor_of(packed),
        reached: reached_of(packed),
        last: last_of(packed),
        ..StepState::NEW
    };
    if WIDTH == WITH_OFFER {
        step.effort = byte(PLAIN_BYTES);
        step.offered = unpacked_bits(word(packed, PLAIN_BYTES + 1));
        step.committed = unpacked_bits(word(packed, WITH_OFFER - WORD) >> 16);
    }
    step
}

/// The 8 bytes from a place: a time of 6 bytes is read fastest as a part of them.
#[inline]
fn word<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word))
}

#[inline]
fn packed_step<const WIDTH: usize>(step: &StepState) -> [u8; WIDTH] {
    let [anchor, reached, last, offered, committed] =
        [step.anchor, step.reached, step.last, step.offered, step.committed].map(packed_bits);
    let words = [
        u64::from(step.took) | anchor << 8 | reached << 56,
        reached >> 8 | last << 40,
        last >> 24 | u64::from(step.effort) << 24 | offered << 32,
        offered >> 32 | committed << 16,
    ];
    let mut packed = [0; WIDTH];
    for (bytes, word) in packed.chunks_mut(WORD).zip(words) {
        bytes.copy_from_slice(word.to_le_bytes().get(..bytes.len()).unwrap_or(&[]));
    }
    packed
}

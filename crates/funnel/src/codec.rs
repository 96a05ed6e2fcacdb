//! A journey as bytes: in memory per visitor, and as `journeys.state` in ClickHouse. A visitor of a 5-step funnel with 3
//! events in the tail and 2 steps in the checkpoint takes about 200 bytes. The parts are packed already
//! ([`tracks`](crate::tracks), [`tail`](crate::tail)), so that reading and writing a journey is copying them.
//!
//! Layout: format (1 byte), flags (1), number of the tail's events (4), bytes of the live tracks (4), live tracks, tail,
//! checkpoint tracks unless they equal the live ones. What comes from a store is checked ([`check`]): a damaged state is
//! an error, never a panic.

use crate::journey::Journey;
use crate::tail::{Shape, last_ts};
use crate::tracks::PackedTracks;

const FORMAT: u8 = 3;
/// Flags beside the shape of the tail's events: live tracks and checkpoint have offers; the checkpoint equals the live
/// tracks.
const LIVE_OFFERS: u8 = 0x10;
const CHECKPOINT_OFFERS: u8 = 0x20;
const SAME: u8 = 0x40;
const SHAPE: u8 = 0x0f;

/// A state that this build cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored journey is damaged or of another format; build the funnel anew from the raw events")]
pub struct Damaged;

/// The parts of an encoded journey, where they stand.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// Tracks after all folded events.
    pub live: PackedTracks<'a>,
    pub(crate) checkpoint: PackedTracks<'a>,
    /// Shape, number and bytes of the tail's events.
    pub(crate) tail: (Shape, usize, &'a [u8]),
}

/// Writes the journey to `out`, in place of what is there.
pub fn encode(journey: &Journey, out: &mut Vec<u8>) {
    out.clear();
    let (shape, tail) = journey.tail.packed();
    let (live, checkpoint) = (journey.live.packed(), journey.checkpoint.packed());
    let same = journey.tail.last_match_ts().is_none();
    let flag = |is: bool, bit: u8| if is { bit } else { 0 };
    let flags =
        flag(live.offers, LIVE_OFFERS) | flag(checkpoint.offers, CHECKPOINT_OFFERS) | flag(same, SAME);
    let [e0, e1, e2, e3] = (journey.tail.len() as u32).to_le_bytes();
    let [l0, l1, l2, l3] = (live.bytes.len() as u32).to_le_bytes();
    out.extend_from_slice(&[FORMAT, shape.bits() | flags, e0, e1, e2, e3, l0, l1, l2, l3]);
    out.extend_from_slice(live.bytes);
    out.extend_from_slice(tail);
    if !same {
        out.extend_from_slice(checkpoint.bytes);
    }
}

/// Finds the parts of bytes that [`encode`] made.
pub fn parts(bytes: &[u8]) -> Result<Parts<'_>, Damaged> {
    let ([format, flags], rest) = bytes.split_first_chunk().ok_or(Damaged)?;
    let (events, rest) = rest.split_first_chunk().ok_or(Damaged)?;
    let (live, rest) = rest.split_first_chunk().ok_or(Damaged)?;
    let shape = Shape::from_bits(flags & SHAPE).filter(|_| *format == FORMAT).ok_or(Damaged)?;
    let events = u32::from_le_bytes(*events) as usize;
    let tail = events.checked_mul(shape.width()).ok_or(Damaged)?;
    let (live, rest) = rest.split_at_checked(u32::from_le_bytes(*live) as usize).ok_or(Damaged)?;
    let (tail, checkpoint) = rest.split_at_checked(tail).ok_or(Damaged)?;
    let live = PackedTracks { offers: flags & LIVE_OFFERS != 0, bytes: live };
    let checkpoint = match flags & SAME != 0 {
        true if checkpoint.is_empty() => live,
        true => return Err(Damaged),
        false => PackedTracks { offers: flags & CHECKPOINT_OFFERS != 0, bytes: checkpoint },
    };
    Ok(Parts { live, checkpoint, tail: (shape, events, tail) })
}

/// Finds the parts of bytes that come from a store, of a funnel with so many steps.
pub fn check(bytes: &[u8], steps: usize) -> Result<Parts<'_>, Damaged> {
    let parts = parts(bytes)?;
    let sound = parts.live.are_sound(steps) && parts.checkpoint.are_sound(steps);
    if sound { Ok(parts) } else { Err(Damaged) }
}

impl Parts<'_> {
    /// Fills `journey` from the parts.
    pub fn copy_to(&self, journey: &mut Journey) {
        journey.live.copy_from(self.live);
        journey.checkpoint.copy_from(self.checkpoint);
        let (shape, events, bytes) = self.tail;
        journey.tail.fill(shape, events, bytes);
    }

    /// The latest time of anything in the journey; `i64::MIN` for an empty one.
    pub fn latest(&self) -> i64 {
        let (shape, _, events) = self.tail;
        let tracks = self.live.iter().map(|track| track.latest());
        tracks.chain(last_ts(shape, events)).max().unwrap_or(i64::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::TailEvent;
    use proptest::prelude::*;

    const STEPS: usize = 4;
    const WINDOW_MS: i64 = 50;

    fn journey() -> impl Strategy<Value = Journey> {
        let event = (0..100i64, any::<u64>(), any::<u8>(), 0..3u16);
        (prop::collection::vec(event, 0..20), 0..100i64).prop_map(|(events, horizon_start)| {
            let mut journey = Journey::default();
            for (ts, message, matches, value) in events {
                let matches = u32::from(matches & 15) | u32::from(matches >> 4) << 16;
                let values = [value, 0, 0, 0];
                let own_ahead_ms = if value == 2 { 30 } else { 0 };
                journey.insert(TailEvent { ts, own_ahead_ms, message, matches, values }, WINDOW_MS);
            }
            journey.age(horizon_start, WINDOW_MS);
            journey
        })
    }

    proptest! {
        #[test]
        fn a_journey_comes_back_as_it_was(journey in journey()) {
            let (mut bytes, mut back) = (Vec::new(), Journey::default());
            encode(&journey, &mut bytes);
            check(&bytes, STEPS).unwrap().copy_to(&mut back);
            prop_assert_eq!(&back.live, &journey.live);
            prop_assert!(back.tail.iter().eq(journey.tail.iter()));
            prop_assert_eq!(&back.checkpoint, &journey.checkpoint);
        }

        #[test]
        fn a_journey_that_is_cut_off_is_damaged(journey in journey(), cut in 0..1_000usize) {
            let mut bytes = Vec::new();
            encode(&journey, &mut bytes);
            let cut = cut % bytes.len();
            let damaged = check(&bytes[..cut], STEPS).is_err();
            // A checkpoint that lost whole tracks at its end cannot be told from a shorter one.
            prop_assert!(damaged || cut > 10);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut journey = Journey::default();
            let mut bytes = bytes;
            bytes.splice(0..0, [FORMAT, 0]);
            for bytes in [&bytes[..], &bytes[2..]] {
                if let Ok(parts) = parts(bytes) {
                    parts.copy_to(&mut journey);
                    journey.age(50, WINDOW_MS);
                    std::hint::black_box(parts.latest());
                }
            }
        }
    }
}

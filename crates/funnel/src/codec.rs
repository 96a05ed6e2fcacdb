//! A journey as bytes: in memory per visitor, and as `journeys.state` in ClickHouse. Times are variable-length distances
//! from the newest one, anchors distances from the anchor of the step before (mostly 0), so that a visitor of a 5-step
//! funnel with 3 events in the tail takes about 100 bytes.
//!
//! Layout: format (1 byte), flags (bit 0: the checkpoint equals the live tracks), live tracks, tail, checkpoint tracks
//! unless equal. A block of tracks stands for itself, so that the checkpoint is carried along as bytes by the many
//! events that do not need it. Decoding checks everything it reads: a damaged state is an error, never a wrong number.

use crate::journey::{Journey, TailEvent, Tracks};
use crate::numbers::{Reader, Writer};
use crate::plan::limits::MAX_STEPS;
use crate::track::{StepState, Track, UNSET};

const FORMAT: u8 = 2;
const SAME: u8 = 1;
/// Beside the number of climbed steps: some offer was shown.
const OFFERS: u8 = 0x80;
/// Tracks of one visitor, at most: a thousand values in each of four breakdowns.
const MAX_TRACKS: u64 = 8_192;
const MAX_TAIL: u64 = 10_000_000;

/// A state that this build cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored journey is damaged or of another format; build the funnel anew from the raw events")]
pub struct Damaged;

/// Appends the journey to `out`.
pub fn encode(journey: &Journey, out: &mut Vec<u8>) {
    let same = journey.tail.iter().all(|event| event.matches == 0);
    let mut out = Writer::new(out);
    out.byte(FORMAT);
    out.byte(if same { SAME } else { 0 });
    put_tracks(&mut out, &journey.live);
    put_tail(&mut out, &journey.tail);
    if !same {
        journey.checkpoint.encode(&mut out);
    }
    out.finish();
}

/// Fills `journey` from bytes that [`encode`] made; `steps` is the funnel's number of steps. The checkpoint stays encoded
/// and unchecked until it is needed.
pub fn decode(bytes: &[u8], steps: usize, journey: &mut Journey) -> Result<(), Damaged> {
    journey.clear();
    let mut reader = Reader { rest: bytes };
    if reader.byte()? != FORMAT {
        return Err(Damaged);
    }
    let flags = reader.byte()?;
    let live = reader.rest;
    read_tracks(&mut reader, steps, &mut journey.live)?;
    let live = live.get(..live.len() - reader.rest.len()).ok_or(Damaged)?;
    read_tail(&mut reader, &mut journey.tail)?;
    match flags & SAME != 0 {
        false => journey.checkpoint.stay_encoded(reader.rest),
        true if reader.rest.is_empty() => journey.checkpoint.stay_encoded(live),
        true => return Err(Damaged),
    }
    Ok(())
}

/// Reads a block of tracks and nothing else.
pub fn decode_tracks(bytes: &[u8], steps: usize, tracks: &mut Tracks) -> Result<(), Damaged> {
    tracks.clear();
    let mut reader = Reader { rest: bytes };
    read_tracks(&mut reader, steps, tracks)?;
    if reader.rest.is_empty() { Ok(()) } else { Err(Damaged) }
}

/// Appends a block of tracks: how many, the newest time, each of them.
pub(crate) fn put_tracks(out: &mut Writer<'_>, tracks: &Tracks) {
    let tracks = tracks.as_slice();
    out.number(tracks.len() as u64);
    if tracks.is_empty() {
        return;
    }
    let times = tracks.iter().flat_map(Track::steps).map(|step| step.last.max(step.offered));
    let newest = times.max().unwrap_or(0).max(0);
    out.number(newest as u64);
    for track in tracks {
        put_track(out, track, newest);
    }
}

fn put_track(out: &mut Writer<'_>, track: &Track, newest: i64) {
    let steps = track.steps();
    let climbed = steps.iter().take_while(|step| step.anchor != UNSET).count();
    out.number(u64::from(track.key));
    let has_offers = steps.iter().any(|step| step.offered != UNSET);
    out.byte(climbed as u8 | if has_offers { OFFERS } else { 0 });
    let mut above = newest;
    for (index, step) in steps.iter().take(climbed).enumerate() {
        out.number(above.abs_diff(step.anchor));
        above = step.anchor;
        if index > 0 {
            out.number(step.reached.abs_diff(step.anchor));
            out.number(step.took as u64);
        }
    }
    put_times(out, steps, newest, |step| step.last);
    if has_offers {
        put_times(out, steps, newest, |step| step.offered);
        put_times(out, steps, newest, |step| step.committed);
        for step in steps.iter().filter(|step| step.committed != UNSET) {
            out.number(step.effort as u64);
        }
    }
}

/// A bit per step that has the time, then the times.
fn put_times(out: &mut Writer<'_>, steps: &[StepState], newest: i64, time: impl Fn(&StepState) -> i64) {
    let bit = |(k, step): (usize, &StepState)| u64::from(time(step) != UNSET) << k;
    let bits = steps.iter().enumerate().map(bit).fold(0, |bits, bit| bits | bit);
    out.number(bits);
    if bits != 0 {
        for time in steps.iter().map(&time).filter(|time| *time != UNSET) {
            out.number(newest.abs_diff(time));
        }
    }
}

fn read_tracks(reader: &mut Reader<'_>, steps: usize, tracks: &mut Tracks) -> Result<(), Damaged> {
    let count = reader.number()?;
    if count > MAX_TRACKS || steps > MAX_STEPS {
        return Err(Damaged);
    }
    let newest = if count > 0 { reader.number()? as i64 } else { 0 };
    for _ in 0..count {
        let key = u16::try_from(reader.number()?).map_err(|_| Damaged)?;
        read_track(reader, newest, tracks.push(key, steps))?;
    }
    Ok(())
}

fn read_track(reader: &mut Reader<'_>, newest: i64, track: &mut Track) -> Result<(), Damaged> {
    let steps = track.steps_mut();
    let head = reader.byte()?;
    let climbed = usize::from(head & !OFFERS);
    let mut above = newest;
    for (index, step) in steps.get_mut(..climbed).ok_or(Damaged)?.iter_mut().enumerate() {
        step.anchor = reader.time_before(above)?;
        above = step.anchor;
        step.reached = step.anchor;
        if index > 0 {
            step.reached = step.anchor.checked_add_unsigned(reader.number()?).ok_or(Damaged)?;
            step.took = reader.number()? as i64;
        }
    }
    read_times(reader, steps, newest, |step, time| step.last = time)?;
    if head & OFFERS != 0 {
        read_times(reader, steps, newest, |step, time| step.offered = time)?;
        read_times(reader, steps, newest, |step, time| step.committed = time)?;
        for step in steps.iter_mut().filter(|step| step.committed != UNSET) {
            step.effort = reader.number()? as i64;
        }
    }
    Ok(())
}

fn read_times(
    reader: &mut Reader<'_>,
    steps: &mut [StepState],
    newest: i64,
    mut set: impl FnMut(&mut StepState, i64),
) -> Result<(), Damaged> {
    let mut bits = reader.number()?;
    while bits != 0 {
        let step = steps.get_mut(bits.trailing_zeros() as usize).ok_or(Damaged)?;
        set(step, reader.time_before(newest)?);
        bits &= bits - 1;
    }
    Ok(())
}

const OWN_AHEAD: u8 = 0x80;

/// How many events, the time of the last, each of them.
fn put_tail(out: &mut Writer<'_>, tail: &[TailEvent]) {
    out.number(tail.len() as u64);
    let Some(newest) = tail.last().map(|event| event.ts.max(0)) else { return };
    out.number(newest as u64);
    for event in tail {
        put_tail_event(out, event, newest);
    }
}

fn put_tail_event(out: &mut Writer<'_>, event: &TailEvent, newest: i64) {
    out.number(newest.abs_diff(event.ts));
    out.eight_bytes(event.message);
    out.number(u64::from(event.matches));
    let values = event.values.iter().rposition(|value| *value != 0).map_or(0, |at| at + 1);
    out.byte(values as u8 | if event.own_ahead_ms > 0 { OWN_AHEAD } else { 0 });
    if event.own_ahead_ms > 0 {
        out.number(u64::from(event.own_ahead_ms));
    }
    for value in event.values.iter().take(values) {
        out.number(u64::from(*value));
    }
}

fn read_tail(reader: &mut Reader<'_>, tail: &mut Vec<TailEvent>) -> Result<(), Damaged> {
    let count = reader.number()?;
    if count > MAX_TAIL {
        return Err(Damaged);
    }
    let newest = if count > 0 { reader.number()? as i64 } else { 0 };
    tail.reserve(count.min(64) as usize + 1);
    for _ in 0..count {
        tail.push(read_tail_event(reader, newest)?);
    }
    Ok(())
}

fn read_tail_event(reader: &mut Reader<'_>, newest: i64) -> Result<TailEvent, Damaged> {
    let ts = reader.time_before(newest)?;
    let message = reader.eight_bytes()?;
    let matches = u32::try_from(reader.number()?).map_err(|_| Damaged)?;
    let flags = reader.byte()?;
    let own_ahead_ms =
        if flags & OWN_AHEAD != 0 { u32::try_from(reader.number()?).map_err(|_| Damaged)? } else { 0 };
    let mut event = TailEvent { ts, own_ahead_ms, message, matches, values: Default::default() };
    let count = usize::from(flags & !OWN_AHEAD);
    for value in event.values.get_mut(..count).ok_or(Damaged)? {
        *value = u16::try_from(reader.number()?).map_err(|_| Damaged)?;
    }
    Ok(event)
}

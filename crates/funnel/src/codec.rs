//! A journey as bytes: in memory per visitor, and as `journeys.state` in ClickHouse. Times are variable-length distances
//! from the newest one, anchors distances from the anchor of the step before (mostly 0), so that a visitor of a 5-step
//! funnel with 3 events in the tail takes about 100 bytes.
//!
//! Layout: format (1 byte), newest time, flags (bit 0: the checkpoint equals the live tracks), live tracks, checkpoint
//! tracks unless equal, tail. Decoding checks everything it reads: a damaged state is an error, never a wrong number.

use crate::journey::{Journey, TailEvent, Tracks};
use crate::plan::limits::MAX_STEPS;
use crate::track::{StepState, Track, UNSET};

const FORMAT: u8 = 1;
const SAME: u8 = 1;
/// Tracks of one visitor, at most: a thousand values in each of four breakdowns.
const MAX_TRACKS: u64 = 8_192;
const MAX_TAIL: u64 = 10_000_000;

/// A state that this build cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored journey is damaged or of another format; build the funnel anew from the raw events")]
pub struct Damaged;

/// Appends the journey to `out`.
pub fn encode(journey: &Journey, out: &mut Vec<u8>) {
    let newest = newest_time(journey);
    let same = journey.tail.iter().all(|event| event.matches == 0);
    out.push(FORMAT);
    put(out, newest as u64);
    out.push(if same { SAME } else { 0 });
    put_tracks(out, &journey.live, newest);
    if !same {
        put_tracks(out, &journey.checkpoint, newest);
    }
    put(out, journey.tail.len() as u64);
    for event in &journey.tail {
        put_tail_event(out, event, newest);
    }
}

/// Fills `journey` from bytes that [`encode`] made; `steps` is the funnel's number of steps.
pub fn decode(bytes: &[u8], steps: usize, journey: &mut Journey) -> Result<(), Damaged> {
    journey.clear();
    let mut reader = Reader { rest: bytes };
    if reader.byte()? != FORMAT {
        return Err(Damaged);
    }
    let newest = reader.number()? as i64;
    let flags = reader.byte()?;
    read_tracks(&mut reader, steps, newest, &mut journey.live)?;
    if flags & SAME == 0 {
        read_tracks(&mut reader, steps, newest, &mut journey.checkpoint)?;
    } else {
        let Journey { live, checkpoint, .. } = journey;
        checkpoint.copy_from(live);
    }
    let tail = reader.number()?;
    if tail > MAX_TAIL {
        return Err(Damaged);
    }
    for _ in 0..tail {
        journey.tail.push(read_tail_event(&mut reader, newest)?);
    }
    if reader.rest.is_empty() { Ok(()) } else { Err(Damaged) }
}

fn newest_time(journey: &Journey) -> i64 {
    let in_tracks = |tracks: &Tracks| {
        let steps = tracks.as_slice().iter().flat_map(Track::steps);
        steps.map(|step| step.last.max(step.offered)).max().unwrap_or(0)
    };
    let tail = journey.tail.last().map_or(0, |event| event.ts);
    tail.max(in_tracks(&journey.live)).max(0)
}

fn put_tracks(out: &mut Vec<u8>, tracks: &Tracks, newest: i64) {
    put(out, tracks.as_slice().len() as u64);
    for track in tracks.as_slice() {
        put(out, u64::from(track.key));
        let steps = track.steps();
        let climbed = steps.iter().take_while(|step| step.anchor != UNSET).count();
        out.push(climbed as u8);
        let mut above = newest;
        for (index, step) in steps.iter().take(climbed).enumerate() {
            put(out, above.abs_diff(step.anchor));
            above = step.anchor;
            if index > 0 {
                put(out, step.reached.abs_diff(step.anchor));
                put(out, step.took as u64);
            }
        }
        put_times(out, steps, newest, |step| step.last);
        put_times(out, steps, newest, |step| step.offered);
        put_times(out, steps, newest, |step| step.committed);
        for step in steps.iter().filter(|step| step.committed != UNSET) {
            put(out, step.effort as u64);
        }
    }
}

/// A bit per step that has the time, then the times.
fn put_times(out: &mut Vec<u8>, steps: &[StepState], newest: i64, time: impl Fn(&StepState) -> i64) {
    let set = |step: &&StepState| time(step) != UNSET;
    let bits =
        steps.iter().enumerate().filter(|(_, step)| set(step)).fold(0u64, |bits, (k, _)| bits | (1 << k));
    put(out, bits);
    for step in steps.iter().filter(set) {
        put(out, newest.abs_diff(time(step)));
    }
}

fn read_tracks(
    reader: &mut Reader<'_>,
    steps: usize,
    newest: i64,
    tracks: &mut Tracks,
) -> Result<(), Damaged> {
    let count = reader.number()?;
    if count > MAX_TRACKS {
        return Err(Damaged);
    }
    for _ in 0..count {
        let key = u16::try_from(reader.number()?).map_err(|_| Damaged)?;
        let climbed = usize::from(reader.byte()?);
        if climbed > steps || steps > MAX_STEPS {
            return Err(Damaged);
        }
        let track = tracks.push(key, steps);
        let mut above = newest;
        for (index, step) in track.steps_mut().iter_mut().take(climbed).enumerate() {
            step.anchor = reader.time_before(above)?;
            above = step.anchor;
            step.reached = step.anchor;
            if index > 0 {
                step.reached = step.anchor.checked_add_unsigned(reader.number()?).ok_or(Damaged)?;
                step.took = reader.number()? as i64;
            }
        }
        read_times(reader, track, newest, |step, time| step.last = time)?;
        read_times(reader, track, newest, |step, time| step.offered = time)?;
        read_times(reader, track, newest, |step, time| step.committed = time)?;
        for step in track.steps_mut().iter_mut().filter(|step| step.committed != UNSET) {
            step.effort = reader.number()? as i64;
        }
    }
    Ok(())
}

fn read_times(
    reader: &mut Reader<'_>,
    track: &mut Track,
    newest: i64,
    mut set: impl FnMut(&mut StepState, i64),
) -> Result<(), Damaged> {
    let bits = reader.number()?;
    if bits >> track.steps().len() != 0 {
        return Err(Damaged);
    }
    for (index, step) in track.steps_mut().iter_mut().enumerate() {
        if bits & (1 << index) != 0 {
            set(step, reader.time_before(newest)?);
        }
    }
    Ok(())
}

const OWN_AHEAD: u8 = 0x80;

fn put_tail_event(out: &mut Vec<u8>, event: &TailEvent, newest: i64) {
    put(out, newest.abs_diff(event.ts));
    out.extend_from_slice(&event.message.to_le_bytes());
    put(out, u64::from(event.matches));
    let values = event.values.iter().rposition(|value| *value != 0).map_or(0, |at| at + 1);
    out.push(values as u8 | if event.own_ahead_ms > 0 { OWN_AHEAD } else { 0 });
    if event.own_ahead_ms > 0 {
        put(out, u64::from(event.own_ahead_ms));
    }
    for value in event.values.iter().take(values) {
        put(out, u64::from(*value));
    }
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
    if count > event.values.len() {
        return Err(Damaged);
    }
    for value in event.values.iter_mut().take(count) {
        *value = u16::try_from(reader.number()?).map_err(|_| Damaged)?;
    }
    Ok(event)
}

/// A number in 7-bit groups, the lowest first.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Damaged> {
        let (first, rest) = self.rest.split_first().ok_or(Damaged)?;
        self.rest = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Damaged)
    }

    fn eight_bytes(&mut self) -> Result<u64, Damaged> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or(Damaged)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    fn time_before(&mut self, newest: i64) -> Result<i64, Damaged> {
        newest.checked_sub_unsigned(self.number()?).ok_or(Damaged)
    }
}

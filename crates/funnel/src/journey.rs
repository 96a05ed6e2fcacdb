//! One visitor's state in one funnel: the tracks now, the tracks as of everything older than the horizon (the
//! checkpoint), and the events in between (the tail), from which the tracks can be folded again when a straggler comes.
//!
//! [`fold`](crate::fold) decodes a journey, changes it and encodes it again ([`codec`](crate::codec)); the encoded form
//! is what memory and ClickHouse hold.

use crate::codec::{self, Damaged};
use crate::numbers::Writer;
use crate::plan::limits::MAX_BREAKDOWNS;
use crate::track::{OFFER_BITS, STEP_BITS, Track};

/// In place of a message's hash: the messages of the tail were not kept.
const SETTLED: u64 = u64::MAX;

/// An event younger than the horizon that matched something, or only the hash of one that must not count again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailEvent {
    /// Event time, corrected.
    pub ts: i64,
    /// How much later the client's own time is than `ts`, 0 if it is not.
    pub own_ahead_ms: u32,
    /// Hash of the message id.
    pub message: u64,
    /// Steps and offers, as [`Track::apply`] takes them; 0 remembers the message only.
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
}

/// The tracks of a visitor: first everybody's (key 0), then those of breakdown values in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Tracks {
    list: Vec<Track>,
    used: usize,
}

impl Tracks {
    /// The tracks in use.
    pub fn as_slice(&self) -> &[Track] {
        self.list.get(..self.used).unwrap_or(&[])
    }

    /// Drops all tracks, keeping their memory.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// Adds a track on which nothing happened and gives it to be filled.
    #[expect(clippy::indexing_slicing, reason = "the slot is there: found, or just pushed")]
    pub fn push(&mut self, key: u16, steps: usize) -> &mut Track {
        let at = self.used;
        match self.list.get_mut(at) {
            Some(slot) => slot.reset(key, steps),
            None => self.list.push(Track::new(key, steps)),
        }
        self.used += 1;
        &mut self.list[at]
    }

    /// Makes these tracks equal to others.
    pub fn copy_from(&mut self, other: &Self) {
        for (at, track) in other.as_slice().iter().enumerate() {
            match self.list.get_mut(at) {
                Some(slot) => slot.copy_from(track),
                None => self.list.push(track.clone()),
            }
        }
        self.used = other.used;
    }

    /// Keeps the tracks that `keep` agrees to.
    pub fn retain(&mut self, mut keep: impl FnMut(&Track) -> bool) {
        let mut kept = 0;
        for at in 0..self.used {
            if self.list.get(at).is_some_and(&mut keep) {
                self.list.swap(at, kept);
                kept += 1;
            }
        }
        self.used = kept;
    }

    /// Applies the events of one time together: their order among themselves must not count.
    pub fn apply(&mut self, events: &[TailEvent], steps: usize, window_ms: i64) {
        let Some(ts) = events.first().map(|event| event.ts) else { return };
        let union = events.iter().fold(0, |bits, event| bits | event.matches);
        if union == 0 {
            return;
        }
        if self.used == 0 {
            self.push(0, steps);
        }
        self.open_values(events, steps);
        for track in self.list.iter_mut().take(self.used) {
            let matches =
                if track.key == 0 { union } else { (union & LATER_STEPS) | entries_of(track.key, events) };
            if matches != 0 {
                track.apply(ts, matches, window_ms);
            }
        }
    }

    /// Starts a track for each breakdown value that an entry or offer brings for the first time.
    fn open_values(&mut self, events: &[TailEvent], steps: usize) {
        for event in events.iter().filter(|event| event.matches & ENTRIES != 0) {
            for key in event.values.into_iter().filter(|key| *key != 0) {
                if !self.as_slice().iter().any(|track| track.key == key) {
                    self.push(key, steps);
                }
            }
        }
    }
}

/// Events that carry a breakdown value: the first step's and offers.
pub const ENTRIES: u32 = OFFER_BITS | 1;
const LATER_STEPS: u32 = STEP_BITS & !1;

/// The entries and offers among `events` that carry this value.
fn entries_of(key: u16, events: &[TailEvent]) -> u32 {
    events
        .iter()
        .filter(|event| event.values.contains(&key))
        .fold(0, |bits, event| bits | (event.matches & ENTRIES))
}

/// The tracks after everything that left the tail. Most events do not need them, and so they stay encoded until asked for.
#[derive(Debug, Clone, Default)]
pub struct Checkpoint {
    tracks: Tracks,
    /// In place of `tracks`.
    encoded: Option<Vec<u8>>,
    spare: Vec<u8>,
}

impl Checkpoint {
    /// No tracks; keeps memory.
    pub fn clear(&mut self) {
        self.tracks.clear();
        if let Some(encoded) = self.encoded.take() {
            self.spare = encoded;
        }
    }

    /// Takes the tracks as [`codec::put_tracks`] wrote them.
    pub fn stay_encoded(&mut self, bytes: &[u8]) {
        let mut encoded = self.encoded.take().unwrap_or_else(|| std::mem::take(&mut self.spare));
        encoded.clear();
        encoded.extend_from_slice(bytes);
        self.encoded = Some(encoded);
    }

    /// Decodes the tracks if they are not yet; after an error there are none.
    pub fn decode(&mut self, steps: usize) -> Result<&mut Tracks, Damaged> {
        if let Some(encoded) = self.encoded.take() {
            let decoded = codec::decode_tracks(&encoded, steps, &mut self.tracks);
            self.spare = encoded;
            if decoded.is_err() {
                self.tracks.clear();
            }
            decoded?;
        }
        Ok(&mut self.tracks)
    }

    /// The tracks. In memory no journey is damaged: each was encoded here, or checked when it was restored.
    fn tracks(&mut self, steps: usize) -> &mut Tracks {
        let _ = self.decode(steps);
        &mut self.tracks
    }

    /// Appends them as [`codec::put_tracks`] does.
    pub(crate) fn encode(&self, out: &mut Writer<'_>) {
        match &self.encoded {
            Some(encoded) => out.slice(encoded),
            None => codec::put_tracks(out, &self.tracks),
        }
    }

    /// Keeps the tracks that `keep` agrees to.
    pub fn retain(&mut self, steps: usize, keep: impl FnMut(&Track) -> bool) {
        self.tracks(steps).retain(keep);
    }
}

/// A visitor's whole state, decoded. Reused from event to event to spare allocations.
#[derive(Debug, Clone, Default)]
pub struct Journey {
    /// After all folded events.
    pub live: Tracks,
    /// After all folded events that left the tail.
    pub checkpoint: Checkpoint,
    /// By time; `live` = `checkpoint` + `tail`.
    pub tail: Vec<TailEvent>,
}

impl Journey {
    /// Forgets everything, keeping memory.
    pub fn clear(&mut self) {
        self.live.clear();
        self.checkpoint.clear();
        self.tail.clear();
    }

    /// Moves events older than `horizon_start` from the tail into the checkpoint, all of one time together. Of an event
    /// whose own time is younger the message stays remembered, for a copy of it could still be taken for new.
    pub fn age(&mut self, horizon_start: i64, steps: usize, window_ms: i64) {
        if self.tail.first().is_none_or(|event| event.ts >= horizon_start) {
            return;
        }
        let mut done = 0;
        let mut remembered = Vec::new();
        while let Some(first) = self.tail.get(done).filter(|event| event.ts < horizon_start) {
            let rest = self.tail.get(done..).unwrap_or(&[]);
            let same = rest.iter().take_while(|event| event.ts == first.ts).count();
            let group = rest.get(..same).unwrap_or(&[]);
            self.checkpoint.tracks(steps).apply(group, steps, window_ms);
            remembered.extend(
                group.iter().filter(|event| event.own_ts() >= horizon_start).map(TailEvent::message_only),
            );
            done += same;
        }
        self.tail.drain(..done);
        for event in remembered {
            self.insert(event, steps, window_ms);
        }
    }

    /// Whether an event with this message hash counted before. To be asked after [`Journey::age`]: what the tail holds then
    /// depends on times alone, not on when it was last looked at.
    pub fn remembers(&self, message: u64) -> bool {
        self.tail.iter().any(|event| event.message == message)
    }

    /// Moves all events before `ts` into the checkpoint without remembering their messages: for events that come in time
    /// order and are too many to be kept. Until they are older than the horizon the log's events of this visitor cannot be
    /// judged ([`Journey::is_settled`]).
    pub fn settle(&mut self, ts: i64, steps: usize, window_ms: i64) {
        let Some(until) =
            self.tail.iter().filter(|event| event.ts < ts || event.matches == 0).map(TailEvent::own_ts).max()
        else {
            return;
        };
        self.age(ts, steps, window_ms);
        self.tail.retain(|event| event.matches != 0);
        let settled = TailEvent {
            ts: until,
            own_ahead_ms: 0,
            message: SETTLED,
            matches: 0,
            values: Default::default(),
        };
        self.insert(settled, steps, window_ms);
    }

    /// Whether events that were settled are still younger than the horizon. To be asked after [`Journey::age`].
    pub fn is_settled(&self) -> bool {
        self.remembers(SETTLED)
    }

    /// Adds an event to the tail and brings `live` up to date.
    pub fn insert(&mut self, event: TailEvent, steps: usize, window_ms: i64) {
        let in_order = self.follows_all(&event);
        let at = self.tail.partition_point(|other| other.ts <= event.ts);
        self.tail.insert(at, event);
        if event.matches == 0 {
            return;
        }
        if in_order {
            self.live.apply(&[event], steps, window_ms);
        } else {
            self.refold(steps, window_ms);
        }
    }

    /// Whether applying the event now equals applying the whole tail in time order.
    fn follows_all(&self, event: &TailEvent) -> bool {
        self.tail.iter().rfind(|other| other.matches != 0).is_none_or(|last| last.ts < event.ts)
    }

    fn refold(&mut self, steps: usize, window_ms: i64) {
        self.live.copy_from(self.checkpoint.tracks(steps));
        let mut rest = self.tail.as_slice();
        while let Some(first) = rest.first() {
            let same = rest.iter().take_while(|event| event.ts == first.ts).count();
            let (group, later) = rest.split_at(same);
            self.live.apply(group, steps, window_ms);
            rest = later;
        }
    }
}

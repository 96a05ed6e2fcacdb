//! One funnel in one partition of the log: every visitor's journey, and the rolling counts over all of them. The
//! aggregator feeds it events in offset order with the partition's clock; a build from raw and a report feed it distinct
//! events in time order. It decides what is late and what is a duplicate, keeps `live = checkpoint + tail` per visitor,
//! and answers the counts at any minute near its clock.
//!
//! Guarantee: after any sequence of events, counts equal those of the definition (`crate::model`) over the accepted
//! events, and everything it decides depends only on the sequence, so that a replay decides the same.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hasher};

use crate::codec::{self, Damaged};
use crate::counts::Counts;
use crate::journey::{Journey, TailEvent, Tracks};
use crate::plan::Funnel;
use crate::plan::limits::MAX_BREAKDOWNS;
use crate::tally::Tally;
use crate::track::{Track, UNSET};
use crate::values::Values;
use crate::windows::{MINUTE_MS, Windows, minute_of};

/// How long a message is remembered beyond its event's time, at most, because its client's clock was ahead.
const MAX_OWN_AHEAD_MS: i64 = 7 * 86_400_000;

/// Minutes before the longest window that stay known, so that windows can move back a little.
const SLACK_MINUTES: i64 = 1_440;

/// What a funnel needs to know to fold: from its plan and the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Number of steps.
    pub steps: usize,
    /// From the first step to the last, at most.
    pub conversion_window_ms: i64,
    /// In the plan's order.
    pub rolling_windows_ms: Vec<i64>,
    /// Events older than this by the clock are late.
    pub horizon_ms: i64,
    /// Events that a visitor's tail holds, at most.
    pub max_tail_events: usize,
}

impl Spec {
    /// The spec of a planned funnel.
    pub fn new(funnel: &Funnel, horizon_ms: i64, max_tail_events: usize) -> Self {
        Self {
            steps: funnel.steps.len(),
            conversion_window_ms: funnel.conversion_window.ms,
            rolling_windows_ms: funnel.rolling_windows.iter().map(|window| window.ms).collect(),
            horizon_ms,
            max_tail_events,
        }
    }

    fn windows(&self, end: i64) -> Windows {
        let mut lengths = self.rolling_windows_ms.clone();
        lengths.push(self.conversion_window_ms);
        Windows::new(&lengths, end)
    }

    /// An anchor before this can neither be counted nor be built upon.
    fn forgotten_before(&self, clock_ms: i64) -> i64 {
        let longest = self.rolling_windows_ms.iter().copied().max().unwrap_or(0);
        let reach = longest.max(self.conversion_window_ms + self.horizon_ms);
        clock_ms.saturating_sub(reach + 2 * 86_400_000)
    }
}

/// A matched event on its way into a journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoldEvent {
    /// Hash of the visitor's id.
    pub visitor: u128,
    /// Hash of the message id.
    pub message: u64,
    /// Event time: corrected, never later than the clock.
    pub ts: i64,
    /// The client's own time.
    pub own_ts: i64,
    /// Steps and offers, as bits (see [`crate::track`]).
    pub matches: u32,
    /// Ids of breakdown values, from [`Fold::value_id`]; 0 where there is none.
    pub values: [u16; MAX_BREAKDOWNS],
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folded {
    /// It is part of its visitor's journey.
    Counted,
    /// Its message was counted before.
    Duplicate,
    /// It is older than the horizon: stored raw, counted by the next build from raw.
    Late,
    /// Its visitor's tail is full: stored raw, counted by the next build from raw.
    TailFull,
    /// A restored journey already contains it.
    Restored,
    /// Its visitor's journey could not be read and starts anew.
    Damaged,
}

/// Hashes are taken as they are: the keys are hashes already.
#[derive(Debug, Clone, Copy, Default)]
pub struct TakenAsIs(u64);

impl Hasher for TakenAsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64(bytes);
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

type Journeys = HashMap<u128, Box<[u8]>, BuildHasherDefault<TakenAsIs>>;

/// First byte of a stored journey's entry in memory: whether it changed since it was last taken.
const CLEAN: u8 = 0;
const DIRTY: u8 = 1;

/// A funnel's journeys and counts in one partition.
pub struct Fold {
    spec: Spec,
    windows: Windows,
    clock_ms: i64,
    values: Values,
    journeys: Journeys,
    /// Visitors whose journeys changed, in the order in which they did first.
    dirty: VecDeque<u128>,
    /// Everybody's tally, then those of values by id.
    tallies: Vec<Option<Box<Tally>>>,
    /// Restored journeys that are ahead of the log position, with the offset from which events are new to them.
    ahead: FxHashMap<u128, u64>,
    scratch: Scratch,
}

#[derive(Default)]
struct Scratch {
    journey: Journey,
    before: Tracks,
    bytes: Vec<u8>,
}

impl Fold {
    /// An empty funnel whose clock stands at `clock_ms`.
    pub fn new(spec: Spec, values: Values, clock_ms: i64) -> Self {
        let windows = spec.windows(minute_of(clock_ms) + 1);
        Self {
            windows,
            clock_ms,
            values,
            journeys: Journeys::default(),
            dirty: VecDeque::new(),
            tallies: vec![Some(Box::new(Tally::new(spec.steps, spec.rolling_windows_ms.len() + 1, true)))],
            ahead: FxHashMap::default(),
            scratch: Scratch::default(),
            spec,
        }
    }

    /// What it folds by.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The clock: UTC milliseconds.
    pub fn clock_ms(&self) -> i64 {
        self.clock_ms
    }

    /// The breakdown values known so far.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The id of a breakdown's value. To be asked for every entry and offer in offset order, whatever becomes of the
    /// event: ids must not depend on it.
    pub fn value_id(&mut self, breakdown: usize, value: &str) -> u16 {
        self.values.id(breakdown, value)
    }

    /// How many visitors have a journey.
    pub fn visitors(&self) -> usize {
        self.journeys.len()
    }

    /// Journeys that changed since they were last taken.
    pub fn changed(&self) -> usize {
        self.dirty.len()
    }

    /// Moves the clock on; it never goes back. Closed minutes are the caller's business: [`Fold::counts_at`] first.
    pub fn advance(&mut self, clock_ms: i64) {
        self.clock_ms = self.clock_ms.max(clock_ms);
    }

    /// The counts of every rolling window ending at `end_ms` (a minute's end, not far from the clock): everybody's first
    /// (id 0), then those of breakdown values that count anything.
    pub fn counts_at(&mut self, end_ms: i64) -> Vec<(u16, Counts)> {
        self.roll_to(end_ms.div_euclid(MINUTE_MS));
        let windows = &self.windows;
        let tallies = self.tallies.iter().enumerate();
        let counted = tallies.filter_map(|(id, tally)| Some((id as u16, tally.as_ref()?.counts(windows))));
        counted.filter(|(id, counts)| *id == 0 || !counts.is_zero()).collect()
    }

    /// The end of the minute in which the clock stands.
    pub fn open_minute_end_ms(&self) -> i64 {
        (minute_of(self.clock_ms) + 1) * MINUTE_MS
    }

    fn roll_to(&mut self, end_minute: i64) {
        if end_minute == self.windows.end() {
            return;
        }
        let to = self.windows.ending_at(end_minute);
        // By the fold's own clock: wall time may be far ahead for a moment, and windows move back then.
        let oldest = end_minute.min(minute_of(self.clock_ms) + 1) - to.longest() - SLACK_MINUTES;
        for tally in self.tallies.iter_mut().flatten() {
            tally.roll(&self.windows, &to);
            tally.forget_before(oldest);
        }
        for slot in self.tallies.iter_mut().skip(1) {
            if slot.as_ref().is_some_and(|tally| tally.is_empty()) {
                *slot = None;
            }
        }
        self.windows = to;
    }

    /// Folds an event of the log at this offset: judged by the clock, which must have been advanced to the record's time.
    pub fn fold(&mut self, event: &FoldEvent, offset: u64) -> Folded {
        if !self.ahead.is_empty() && self.ahead.get(&event.visitor).is_some_and(|next| offset < *next) {
            return Folded::Restored;
        }
        let horizon_start = self.clock_ms - self.spec.horizon_ms;
        let late = event.ts < horizon_start || event.own_ts < horizon_start;
        if late && event.own_ts < horizon_start {
            return Folded::Late;
        }
        let (found, damaged) = self.open(event.visitor);
        let Scratch { journey, .. } = &mut self.scratch;
        journey.age(horizon_start, self.spec.steps, self.spec.conversion_window_ms);
        let verdict = if journey.remembers(event.message) {
            Folded::Duplicate
        } else if journey.tail.len() >= self.spec.max_tail_events || journey.is_settled() {
            Folded::TailFull
        } else if late {
            Folded::Late
        } else {
            Folded::Counted
        };
        if matches!(verdict, Folded::Duplicate | Folded::TailFull) {
            return verdict;
        }
        let tail_event = self.tail_event(event);
        let tail_event = if late { tail_event.message_only() } else { tail_event };
        self.scratch.journey.insert(tail_event, self.spec.steps, self.spec.conversion_window_ms);
        self.close(event.visitor, found);
        if damaged { Folded::Damaged } else { verdict }
    }

    /// Folds one of the distinct raw events, which come in time order: nothing is late or a duplicate, and a full tail is
    /// settled. Advances the clock to the event.
    pub fn fold_raw(&mut self, event: &FoldEvent) {
        self.advance(event.ts);
        let horizon_start = self.clock_ms - self.spec.horizon_ms;
        let (found, _) = self.open(event.visitor);
        let tail_event = self.tail_event(event);
        let journey = &mut self.scratch.journey;
        journey.age(horizon_start, self.spec.steps, self.spec.conversion_window_ms);
        if journey.tail.len() >= self.spec.max_tail_events {
            journey.settle(event.ts, self.spec.steps, self.spec.conversion_window_ms);
        }
        journey.insert(tail_event, self.spec.steps, self.spec.conversion_window_ms);
        self.close(event.visitor, found);
    }

    /// Reads a little of the journeys of visitors whose events come next, all at once, so that folding these does not wait
    /// for memory one by one: with millions of journeys that wait is most of the time. A few dozen visitors are enough.
    pub fn warm(&self, visitors: impl IntoIterator<Item = u128>) {
        let touched = visitors.into_iter().fold(0u8, |touched, visitor| {
            let journey = self.journeys.get(&visitor);
            touched ^ journey.and_then(|entry| entry.get(entry.len().min(64) - 1)).copied().unwrap_or(0)
        });
        std::hint::black_box(touched);
    }

    fn tail_event(&self, event: &FoldEvent) -> TailEvent {
        let own_ahead = (event.own_ts - event.ts).clamp(0, MAX_OWN_AHEAD_MS);
        TailEvent {
            ts: event.ts,
            own_ahead_ms: own_ahead as u32,
            message: event.message,
            matches: event.matches,
            values: event.values,
        }
    }

    /// Decodes a visitor's journey into the scratch and notes its tracks as they are; (there was one, it was damaged).
    fn open(&mut self, visitor: u128) -> (bool, bool) {
        let Scratch { journey, before, .. } = &mut self.scratch;
        before.clear();
        let Some(stored) = self.journeys.get(&visitor).and_then(|entry| entry.get(1..)) else {
            journey.clear();
            return (false, false);
        };
        match codec::decode(stored, self.spec.steps, journey) {
            Ok(()) => {
                before.copy_from(&journey.live);
                (true, false)
            }
            Err(Damaged) => {
                journey.clear();
                (true, true)
            }
        }
    }

    /// Counts what changed in the scratch, and stores it.
    fn close(&mut self, visitor: u128, found: bool) {
        self.count_changes();
        self.prune();
        let Scratch { journey, bytes, .. } = &mut self.scratch;
        bytes.clear();
        bytes.push(DIRTY);
        codec::encode(journey, bytes);
        match self.journeys.entry(visitor) {
            Entry::Occupied(mut entry) if found => {
                let stored = entry.get_mut();
                if stored.first() == Some(&CLEAN) {
                    self.dirty.push_back(visitor);
                }
                if stored.len() == bytes.len() {
                    stored.copy_from_slice(bytes);
                } else {
                    *stored = bytes.as_slice().into();
                }
            }
            entry => {
                self.dirty.push_back(visitor);
                entry.insert(bytes.as_slice().into());
            }
        }
    }

    fn count_changes(&mut self) {
        let Scratch { journey, before, .. } = &self.scratch;
        let before = before.as_slice();
        for track in journey.live.as_slice() {
            let old = before.iter().find(|old| old.key == track.key);
            if old != Some(track) {
                let tally = tally_of(&mut self.tallies, &self.spec, track.key);
                tally.replace(old, Some(track), &self.windows);
            }
        }
        for gone in before.iter().filter(|old| !journey.live.as_slice().iter().any(|new| new.key == old.key))
        {
            let tally = tally_of(&mut self.tallies, &self.spec, gone.key);
            tally.replace(Some(gone), None, &self.windows);
        }
    }

    /// Drops tracks of breakdown values that nothing can count or build upon any more.
    fn prune(&mut self) {
        let Journey { live, checkpoint, .. } = &mut self.scratch.journey;
        if live.as_slice().len() <= 1 {
            return;
        }
        let oldest = self.spec.forgotten_before(self.clock_ms);
        let alive = |track: &Track| track.key == 0 || latest(track) >= oldest;
        if live.as_slice().iter().all(alive) {
            return;
        }
        live.retain(alive);
        checkpoint.retain(self.spec.steps, alive);
    }

    /// Takes up to `limit` journeys that changed since they were last taken, encoded; those that wait longest first.
    pub fn take_changed(&mut self, limit: usize) -> Vec<(u128, Vec<u8>)> {
        let count = self.dirty.len().min(limit);
        let mut taken = Vec::with_capacity(count);
        for visitor in self.dirty.drain(..count) {
            if let Some(entry) = self.journeys.get_mut(&visitor)
                && let Some((flag, state)) = entry.split_first_mut()
            {
                *flag = CLEAN;
                taken.push((visitor, state.to_vec()));
            }
        }
        taken
    }

    /// Puts a stored journey back. `folded_to` is the offset from which events are new to it; if that is ahead of
    /// `position`, where the log will be read from, events before it are left out for this visitor.
    pub fn restore(
        &mut self,
        visitor: u128,
        state: &[u8],
        folded_to: u64,
        position: u64,
    ) -> Result<(), Damaged> {
        codec::decode(state, self.spec.steps, &mut self.scratch.journey)?;
        self.scratch.journey.checkpoint.decode(self.spec.steps)?;
        for track in self.scratch.journey.live.as_slice() {
            if usize::from(track.key) > self.values.len() && folded_to <= position {
                return Err(Damaged);
            }
            let tally = tally_of(&mut self.tallies, &self.spec, track.key);
            tally.replace(None, Some(track), &self.windows);
        }
        let mut entry = Vec::with_capacity(state.len() + 1);
        entry.push(CLEAN);
        entry.extend_from_slice(state);
        self.journeys.insert(visitor, entry.into_boxed_slice());
        if folded_to > position {
            self.ahead.insert(visitor, folded_to);
        }
        Ok(())
    }

    /// Tells that the log was read past every restored journey.
    pub fn caught_up(&mut self) {
        self.ahead = FxHashMap::default();
    }

    /// Forgets visitors whom no window counts and no event can carry further; returns how many. It looks at every
    /// journey: for once an hour, not for every event.
    pub fn forget_idle(&mut self) -> usize {
        let oldest = self.spec.forgotten_before(self.clock_ms);
        let steps = self.spec.steps;
        let before = self.journeys.len();
        let mut journey = Journey::default();
        self.journeys.retain(|_, entry| {
            let dirty = entry.first() == Some(&DIRTY);
            let stored = entry.get(1..).unwrap_or(&[]);
            dirty || codec::decode(stored, steps, &mut journey).is_err() || newest_of(&journey) >= oldest
        });
        before - self.journeys.len()
    }

    /// Heap bytes of journeys (with the table's share and the allocator's rounding), and of histograms.
    pub fn bytes(&self) -> (usize, usize) {
        let entries: usize = self.journeys.values().map(|entry| entry.len().next_multiple_of(16)).sum();
        let table = self.journeys.capacity() * 8 / 7 * (size_of::<(u128, Box<[u8]>)>() + 1);
        let tallies = self.tallies.iter().flatten().map(|tally| tally.bytes()).sum();
        (entries + table, tallies)
    }
}

#[expect(clippy::indexing_slicing, reason = "the list was made longer than the index")]
fn tally_of<'a>(tallies: &'a mut Vec<Option<Box<Tally>>>, spec: &Spec, key: u16) -> &'a mut Tally {
    let at = usize::from(key);
    if tallies.len() <= at {
        tallies.resize_with(at + 1, || None);
    }
    let windows = spec.rolling_windows_ms.len() + 1;
    tallies[at].get_or_insert_with(|| Box::new(Tally::new(spec.steps, windows, key == 0)))
}

fn latest(track: &Track) -> i64 {
    track.steps().iter().map(|step| step.anchor.max(step.offered).max(step.last)).max().unwrap_or(UNSET)
}

fn newest_of(journey: &Journey) -> i64 {
    let tail = journey.tail.last().map_or(UNSET, |event| event.ts);
    journey.live.as_slice().iter().map(latest).max().unwrap_or(UNSET).max(tail)
}

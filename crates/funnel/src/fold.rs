//! One funnel in one partition of the log: every visitor's journey, and the rolling counts over all of them. The
//! aggregator feeds it events in offset order with the partition's clock; a build from raw and a report feed it distinct
//! events in time order. It decides what is late and what is a duplicate, keeps `live = checkpoint + tail` per visitor,
//! and answers the counts at any minute near its clock.
//!
//! Guarantee: after any sequence of events, counts equal those of the definition (`crate::model`) over the accepted
//! events, and everything it decides depends only on the sequence, so that a replay decides the same.

use rustc_hash::FxHashMap;

use crate::codec::{self, Damaged};
use crate::counts::Counts;
use crate::journey::Journey;
use crate::journeys::Journeys;
use crate::plan::Funnel;
use crate::plan::limits::MAX_BREAKDOWNS;
use crate::tail::TailEvent;
use crate::tallies::Tallies;
use crate::track::STEP_BITS;
use crate::tracks::{PackedTracks, Track};
use crate::values::Values;
use crate::windows::{MINUTE_MS, Windows, minute_of};

/// How long a message is remembered beyond its event's time, at most, because its client's clock was ahead.
const MAX_OWN_AHEAD_MS: i64 = 7 * 86_400_000;

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
    /// It counts for a visitor who goes by another id: stored raw, counted by the next build from raw. No fold says so; who
    /// knows the links does not hand it one.
    Linked,
}

/// A funnel's journeys and counts in one partition.
pub struct Fold {
    spec: Spec,
    clock_ms: i64,
    values: Values,
    journeys: Journeys,
    tallies: Tallies,
    /// Restored journeys that are ahead of the log position, with the offset from which events are new to them.
    ahead: FxHashMap<u128, u64>,
    scratch: Scratch,
}

#[derive(Default)]
struct Scratch {
    journey: Journey,
    bytes: Vec<u8>,
}

impl Fold {
    /// An empty funnel whose clock stands at `clock_ms`.
    pub fn new(spec: Spec, values: Values, clock_ms: i64) -> Self {
        let windows = spec.windows(minute_of(clock_ms) + 1);
        Self {
            clock_ms,
            values,
            journeys: Journeys::default(),
            tallies: Tallies::new(spec.steps, windows),
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

    /// Whether a visitor has a journey.
    pub fn knows(&self, visitor: u128) -> bool {
        self.journeys.contains(visitor)
    }

    /// Journeys that changed since they were last taken.
    pub fn changed(&self) -> usize {
        self.journeys.changed()
    }

    /// Moves the clock on; it never goes back. Closed minutes are the caller's business: [`Fold::counts_at`] first.
    pub fn advance(&mut self, clock_ms: i64) {
        self.clock_ms = self.clock_ms.max(clock_ms);
    }

    /// The counts of every rolling window ending at `end_ms` (a minute's end, not far from the clock): everybody's first
    /// (id 0), then those of breakdown values that count anything.
    pub fn counts_at(&mut self, end_ms: i64) -> Vec<(u16, Counts)> {
        self.tallies.counts_at(end_ms.div_euclid(MINUTE_MS), self.clock_ms)
    }

    /// The end of the minute in which the clock stands.
    pub fn open_minute_end_ms(&self) -> i64 {
        (minute_of(self.clock_ms) + 1) * MINUTE_MS
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
        let (window_ms, Scratch { journey, bytes }) = (self.spec.conversion_window_ms, &mut self.scratch);
        let slot = self.journeys.slot(event.visitor);
        let (before, damaged) = open(slot.state(), journey);
        journey.age(horizon_start, window_ms);
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
        let tail_event = tail_event(event);
        let changed = journey.insert(if late { tail_event.message_only() } else { tail_event }, window_ms);
        self.tallies.replace(before, journey.live.packed(), changed);
        prune(journey, &self.spec, self.clock_ms);
        codec::encode(journey, bytes);
        slot.store(bytes);
        if damaged { Folded::Damaged } else { verdict }
    }

    /// Folds one of the distinct raw events, which come in time order: nothing is late or a duplicate, and a full tail is
    /// settled. Advances the clock to the event.
    pub fn fold_raw(&mut self, event: &FoldEvent) {
        self.advance(event.ts);
        let horizon_start = self.clock_ms - self.spec.horizon_ms;
        let (window_ms, Scratch { journey, bytes }) = (self.spec.conversion_window_ms, &mut self.scratch);
        let slot = self.journeys.slot(event.visitor);
        let (before, _) = open(slot.state(), journey);
        journey.age(horizon_start, window_ms);
        let tail_event = tail_event(event);
        if journey.tail.len() >= self.spec.max_tail_events {
            journey.settle(event.ts, window_ms);
        }
        // What is of one time cannot be settled before that time is over: an import may give a day's events one.
        let changed = if journey.tail.len() >= self.spec.max_tail_events && journey.has_like(&tail_event) {
            journey.settle_like(&tail_event);
            0
        } else {
            journey.insert(tail_event, window_ms)
        };
        self.tallies.replace(before, journey.live.packed(), changed);
        prune(journey, &self.spec, self.clock_ms);
        codec::encode(journey, bytes);
        slot.store(bytes);
    }

    /// Removes a visitor, as if no event of theirs had ever come: from all counts, and from the journeys that are to be
    /// stored. Whether there was anything to remove. Later events of theirs are the caller's business.
    pub fn erase(&mut self, visitor: u128) -> bool {
        self.ahead.remove(&visitor);
        let Self { journeys, tallies, .. } = self;
        journeys.remove(visitor, |state| {
            if let Ok(parts) = codec::parts(state) {
                tallies.replace(parts.live, PackedTracks::NONE, STEP_BITS);
            }
        })
    }

    /// Reads a little of the journeys of visitors whose events come next, all at once, so that folding these does not wait
    /// for memory one by one: with millions of journeys that wait is most of the time. A few dozen visitors are enough.
    pub fn warm(&self, visitors: impl IntoIterator<Item = u128>) {
        self.journeys.warm(visitors);
    }

    /// Takes up to `limit` journeys that changed since they were last taken, encoded; those that wait longest first.
    pub fn take_changed(&mut self, limit: usize) -> Vec<(u128, Vec<u8>)> {
        self.journeys.take_changed(limit)
    }

    /// Puts a stored journey back. `folded_to` is the offset from which events are new to it; if that is ahead of
    /// `position`, where the log will be read from, events before it are left out for this visitor. One that nothing can
    /// count any more stays out, as after [`Fold::forget_idle`].
    pub fn restore(
        &mut self,
        visitor: u128,
        state: &[u8],
        folded_to: u64,
        position: u64,
    ) -> Result<(), Damaged> {
        let parts = codec::check(state, self.spec.steps)?;
        if parts.latest() < self.spec.forgotten_before(self.clock_ms) {
            return Ok(());
        }
        let live = parts.live;
        if folded_to <= position && live.iter().any(|track| usize::from(track.key) > self.values.len()) {
            return Err(Damaged);
        }
        self.tallies.replace(PackedTracks::NONE, live, STEP_BITS);
        self.journeys.restore(visitor, state);
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
        let before = self.journeys.len();
        self.journeys
            .retain_unchanged(|state| codec::parts(state).is_ok_and(|parts| parts.latest() >= oldest));
        before - self.journeys.len()
    }

    /// Heap bytes of journeys (with the table's share and the allocator's rounding), and of histograms.
    pub fn bytes(&self) -> (usize, usize) {
        (self.journeys.bytes(), self.tallies.bytes())
    }
}

/// Copies a visitor's journey to `journey`; its tracks as they stand in the state, and whether the state was damaged, so
/// that the journey begins anew.
fn open<'a>(state: Option<&'a [u8]>, journey: &mut Journey) -> (PackedTracks<'a>, bool) {
    match state.map(codec::parts) {
        Some(Ok(parts)) => {
            parts.copy_to(journey);
            (parts.live, false)
        }
        other => {
            journey.clear();
            (PackedTracks::NONE, other.is_some())
        }
    }
}

/// Drops tracks of breakdown values that nothing can count or build upon any more.
fn prune(journey: &mut Journey, spec: &Spec, clock_ms: i64) {
    let tracks = journey.live.packed();
    if tracks.iter().nth(1).is_none() {
        return;
    }
    let oldest = spec.forgotten_before(clock_ms);
    let alive = |track: &Track<'_>| track.key == 0 || track.latest() >= oldest;
    if !tracks.iter().all(|track| alive(&track)) {
        journey.live.retain(alive);
        journey.checkpoint.retain(alive);
    }
}

fn tail_event(event: &FoldEvent) -> TailEvent {
    let own_ahead = (event.own_ts - event.ts).clamp(0, MAX_OWN_AHEAD_MS);
    TailEvent {
        ts: event.ts,
        own_ahead_ms: own_ahead as u32,
        message: event.message,
        matches: event.matches,
        values: event.values,
    }
}

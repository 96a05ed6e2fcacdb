//! Where one visitor stands on one ladder: per step the anchor of the latest chain that reached it (the time of its
//! first step), when it was reached and how long after the previous step, the latest match of the step, and the
//! two-step chain from the step's offer to the step.
//!
//! [`Track::apply`] takes events in time order, those of equal time together, and equals ClickHouse's
//! `windowFunnel(w)` in default mode: the highest `k` with times t1 <= ... <= tk, one matching event each, and
//! tk - t1 <= w; ties count in step order. It is O(steps) and never lowers a level.

use crate::plan::limits::MAX_STEPS;

/// No such time.
pub const UNSET: i64 = i64::MIN;

/// An event's matches as bits: step `k` is bit `k`, the offer of step `k` is bit `OFFER_SHIFT + k`.
pub const OFFER_SHIFT: u32 = 16;
/// The bits of steps.
pub const STEP_BITS: u32 = 0xffff;
/// The bits of offers.
pub const OFFER_BITS: u32 = 0xffff_0000;

/// One step of a track. All times are UTC milliseconds or [`UNSET`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepState {
    /// The first step's time in the latest chain that reached this step.
    pub anchor: i64,
    /// When that chain reached it first.
    pub reached: i64,
    /// `reached` less the time at which that chain reached the previous step.
    pub took: i64,
    /// The latest match of the step, part of a chain or not.
    pub last: i64,
    /// The latest time at which its offer was shown.
    pub offered: i64,
    /// The latest offer that was taken up within the conversion window.
    pub committed: i64,
    /// How long after that offer the step was taken first.
    pub effort: i64,
}

impl StepState {
    /// Nothing happened.
    pub const NEW: Self = Self {
        anchor: UNSET,
        reached: UNSET,
        took: 0,
        last: UNSET,
        offered: UNSET,
        committed: UNSET,
        effort: 0,
    };
}

/// A visitor's position on a ladder, for everybody (`key` 0) or for the entries with one breakdown value.
#[derive(Debug, Clone)]
pub struct Track {
    /// 0, or the breakdown value's id.
    pub key: u16,
    steps: [StepState; MAX_STEPS],
    used: usize,
}

impl Track {
    /// A track of `steps` steps on which nothing happened.
    pub fn new(key: u16, steps: usize) -> Self {
        Self { key, steps: [StepState::NEW; MAX_STEPS], used: steps.min(MAX_STEPS) }
    }

    /// Makes it a track on which nothing happened, without touching unused steps.
    pub fn reset(&mut self, key: u16, steps: usize) {
        self.key = key;
        self.used = steps.min(MAX_STEPS);
        self.steps_mut().fill(StepState::NEW);
    }

    /// The steps in order.
    pub fn steps(&self) -> &[StepState] {
        self.steps.get(..self.used).unwrap_or(&[])
    }

    /// The steps in order, to be filled by a decoder.
    pub fn steps_mut(&mut self) -> &mut [StepState] {
        self.steps.get_mut(..self.used).unwrap_or(&mut [])
    }

    /// Makes this track equal to another without copying unused steps.
    pub fn copy_from(&mut self, other: &Self) {
        self.key = other.key;
        self.used = other.used;
        self.steps_mut().copy_from_slice(other.steps());
    }

    /// Takes the events of one time: `matches` has a bit per matched step and shown offer. Offers come before steps,
    /// steps in their order.
    pub fn apply(&mut self, ts: i64, matches: u32, conversion_window_ms: i64) {
        let mut previous: Option<StepState> = None;
        for (index, step) in self.steps_mut().iter_mut().enumerate() {
            if matches & (1 << (OFFER_SHIFT + index as u32)) != 0 {
                step.offered = ts;
            }
            if matches & (1 << index) != 0 {
                step.last = ts;
                step.climb(ts, index, previous, conversion_window_ms);
                step.commit(ts, conversion_window_ms);
            }
            previous = Some(*step);
        }
    }
}

impl StepState {
    fn climb(&mut self, ts: i64, index: usize, previous: Option<Self>, window_ms: i64) {
        let (anchor, came_from) = match previous {
            None if index == 0 => (ts, ts),
            Some(below) if below.anchor != UNSET && ts - below.anchor <= window_ms => {
                (below.anchor, below.reached)
            }
            _ => return,
        };
        if self.anchor != anchor {
            *self = Self { anchor, reached: ts, took: ts - came_from, ..*self };
        }
    }

    fn commit(&mut self, ts: i64, window_ms: i64) {
        if self.offered != UNSET && ts - self.offered <= window_ms && self.committed != self.offered {
            self.committed = self.offered;
            self.effort = ts - self.offered;
        }
    }
}

impl PartialEq for Track {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.steps() == other.steps()
    }
}

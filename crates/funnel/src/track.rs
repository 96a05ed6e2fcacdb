//! Where one visitor stands on one step of a ladder: the anchor of the latest chain that reached it (the time of its
//! first step), when it was reached and how long after the previous step, the latest match of the step, and the two-step
//! chain from the step's offer to the step. [`tracks`](crate::tracks) holds the steps of a visitor together.
//!
//! [`Tracks::apply`](crate::tracks::Tracks::apply) takes events in time order, those of equal time together, and equals
//! ClickHouse's `windowFunnel(w)` in default mode: the highest `k` with times t1 <= ... <= tk, one matching event each, and
//! tk - t1 <= w; ties count in step order. It is O(steps) and never lowers a level.

use crate::buckets;

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
    /// The latest match of the step, part of a chain or not.
    pub last: i64,
    /// `reached` less the time at which that chain reached the previous step, as its [bucket](buckets::bucket_of).
    pub took: u8,
    /// How long after the offer that was taken up the step was taken first, as its bucket.
    pub effort: u8,
    /// The latest time at which its offer was shown.
    pub offered: i64,
    /// The latest offer that was taken up within the conversion window.
    pub committed: i64,
}

impl StepState {
    /// Nothing happened.
    pub const NEW: Self = Self {
        anchor: UNSET,
        reached: UNSET,
        last: UNSET,
        took: 0,
        effort: 0,
        offered: UNSET,
        committed: UNSET,
    };

    /// The latest of its times.
    pub fn latest(&self) -> i64 {
        self.anchor.max(self.offered).max(self.last)
    }

    /// The step is matched at `ts`. `below`: where the chain of the step below starts and when it got there.
    pub(crate) fn climb(&mut self, ts: i64, below: (i64, i64), window_ms: i64) {
        self.last = ts;
        let (anchor, came_from) = below;
        if anchor != UNSET && ts - anchor <= window_ms && self.anchor != anchor {
            (self.anchor, self.reached) = (anchor, ts);
            self.took = buckets::bucket_of(ts - came_from) as u8;
        }
    }

    pub(crate) fn commit(&mut self, ts: i64, window_ms: i64) {
        if self.offered != UNSET && ts - self.offered <= window_ms && self.committed != self.offered {
            self.committed = self.offered;
            self.effort = buckets::bucket_of(ts - self.offered) as u8;
        }
    }
}

/// The steps that matches are about, as bits: matched, or their offer was shown.
pub fn steps_in(matches: u32) -> u32 {
    (matches & STEP_BITS) | (matches >> OFFER_SHIFT)
}

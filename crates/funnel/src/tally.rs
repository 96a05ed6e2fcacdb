//! The rolling counts of one funnel, for everybody or one breakdown value: what is counted, by the minute of what puts a
//! visitor into a window (the anchor of a chain, the latest match, the offer).
//!
//! All plain counts of a funnel share one histogram: an event changes several of them, mostly in the same two minutes,
//! and those lie side by side in memory.

use crate::buckets;
use crate::counts::Counts;
use crate::histogram::{Density, Histogram, NOWHERE};
use crate::track::{StepState, UNSET};
use crate::tracks::Track;
use crate::windows::{Windows, minute_of};

/// What is counted of every step, as buckets of one histogram: bucket = step * [`KINDS`] + kind.
const KINDS: usize = 5;
const VISITORS: usize = 0;
const OFFERED: usize = 1;
const COMMITTED: usize = 2;
/// Latest match of a later step.
const LATER: usize = 3;
/// The earlier of that and the latest match of this step.
const BOTH: usize = 4;

/// Histograms of a funnel's steps.
#[derive(Debug, Clone)]
pub struct Tally {
    plain: Histogram,
    /// Per step.
    durations: Vec<Durations>,
    everybody: bool,
}

#[derive(Debug, Clone)]
struct Durations {
    seconds: Histogram,
    effort: Histogram,
}

impl Tally {
    /// Nothing counted yet. `everybody`: also who skipped steps.
    pub fn new(steps: usize, windows: usize, everybody: bool) -> Self {
        let density = if everybody { Density::Everybody } else { Density::Value };
        let timed = || Histogram::new(buckets::COUNT, windows, density);
        let step = Durations { seconds: timed(), effort: timed() };
        let plain = Histogram::new(steps * KINDS, windows, density);
        Self { plain, durations: vec![step; steps], everybody }
    }

    /// Counts a visitor's track where it was `before` (nothing: a new one) and is `after` now (nothing: gone). `changed` are
    /// the steps that may have changed, as bits.
    pub fn replace(
        &mut self,
        before: Option<&Track<'_>>,
        after: Option<&Track<'_>>,
        changed: u32,
        windows: &Windows,
    ) {
        let (before, after) = (before.unwrap_or(&Track::NONE), after.unwrap_or(&Track::NONE));
        let held = before.held().max(after.held());
        let (mut left, mut matched) = (changed & ((1 << held) - 1), 0);
        while left != 0 {
            let index = left.trailing_zeros() as usize;
            left &= left - 1;
            let (was, is) = (before.step(index), after.step(index));
            if was != is {
                self.replace_step(index, &was, &is, windows);
                matched = if was.last == is.last { matched } else { index + 1 };
            }
        }
        if self.everybody {
            self.replace_matches(before, after, matched, windows);
        }
    }

    /// Counts the latest matches of steps: who took a later step, and who took both. From `matched` on nothing changed.
    fn replace_matches(&mut self, before: &Track<'_>, after: &Track<'_>, matched: usize, windows: &Windows) {
        let unchanged = matched..before.held().max(after.held());
        let later = unchanged.map(|index| after.last(index)).max().unwrap_or(UNSET);
        let (mut old_later, mut new_later) = (later, later);
        for index in (0..matched).rev() {
            let (old, new) = (before.last(index), after.last(index));
            self.shift(index, LATER, old_later, new_later, windows);
            self.shift(index, BOTH, old_later.min(old), new_later.min(new), windows);
            (old_later, new_later) = (old_later.max(old), new_later.max(new));
        }
    }

    fn replace_step(&mut self, index: usize, was: &StepState, is: &StepState, windows: &Windows) {
        if (was.anchor, was.took) != (is.anchor, is.took) {
            self.shift(index, VISITORS, was.anchor, is.anchor, windows);
            if index > 0
                && let Some(durations) = self.durations.get_mut(index)
            {
                shift_timed(&mut durations.seconds, (was.anchor, was.took), (is.anchor, is.took), windows);
            }
        }
        self.shift(index, OFFERED, was.offered, is.offered, windows);
        if (was.committed, was.effort) != (is.committed, is.effort) {
            self.shift(index, COMMITTED, was.committed, is.committed, windows);
            if let Some(durations) = self.durations.get_mut(index) {
                let (old, new) = ((was.committed, was.effort), (is.committed, is.effort));
                shift_timed(&mut durations.effort, old, new, windows);
            }
        }
    }

    /// Moves one visitor of a plain count from one time to another; [`UNSET`] is nowhere.
    #[inline]
    fn shift(&mut self, step: usize, kind: usize, old: i64, new: i64, windows: &Windows) {
        if old != new {
            self.plain.shift(minute_of(old), minute_of(new), step * KINDS + kind, windows);
        }
    }

    /// Moves all windows on (or back).
    pub fn roll(&mut self, from: &Windows, to: &Windows) {
        self.plain.roll(from, to);
        for durations in &mut self.durations {
            durations.seconds.roll(from, to);
            durations.effort.roll(from, to);
        }
    }

    /// Forgets what lies before a minute that no window reaches any more.
    pub fn forget_before(&mut self, minute: i64) {
        self.plain.forget_before(minute);
        for durations in &mut self.durations {
            durations.seconds.forget_before(minute);
            durations.effort.forget_before(minute);
        }
    }

    /// The counts in every rolling window; the last of `windows` is the conversion window and serves `open`.
    pub fn counts(&self, windows: &Windows) -> Counts {
        let rolling = windows.len().saturating_sub(1);
        let mut counts = Counts::new(self.durations.len(), rolling);
        for (step, durations) in self.durations.iter().enumerate() {
            for (flat, window) in (0..rolling).map(|window| (step * rolling + window, window)) {
                set(&mut counts.visitors, flat, self.sum(step, VISITORS, window));
                set(&mut counts.offered, flat, self.sum(step, OFFERED, window));
                set(&mut counts.committed, flat, self.sum(step, COMMITTED, window));
                let skipped = self.sum(step, LATER, window).wrapping_sub(self.sum(step, BOTH, window));
                set(&mut counts.skipped, flat, skipped);
                for bucket in 0..buckets::COUNT {
                    let cell = flat * buckets::COUNT + bucket;
                    set(&mut counts.seconds, cell, durations.seconds.sum(window, bucket));
                    set(&mut counts.effort, cell, durations.effort.sum(window, bucket));
                }
            }
            let above = self.sum(step + 1, VISITORS, rolling);
            set(&mut counts.open, step, self.sum(step, VISITORS, rolling).wrapping_sub(above));
        }
        counts
    }

    /// 0 for a step that there is not.
    fn sum(&self, step: usize, kind: usize, window: usize) -> u32 {
        self.plain.sum(window, step * KINDS + kind)
    }

    /// Whether no visitor is counted any more.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        let durations = self.durations.iter().map(|step| step.seconds.bytes() + step.effort.bytes());
        self.plain.bytes() + durations.sum::<usize>()
    }
}

fn set(cells: &mut [u32], at: usize, count: u32) {
    if let Some(cell) = cells.get_mut(at) {
        *cell = count;
    }
}

/// Moves one visitor from a (time, bucket) to another; a time that is [`UNSET`] is nowhere.
fn shift_timed(histogram: &mut Histogram, old: (i64, u8), new: (i64, u8), windows: &Windows) {
    let (from, to) = (minute_of(old.0), minute_of(new.0));
    if old.1 == new.1 {
        histogram.shift(from, to, usize::from(new.1), windows);
    } else {
        histogram.shift(from, NOWHERE, usize::from(old.1), windows);
        histogram.shift(NOWHERE, to, usize::from(new.1), windows);
    }
}

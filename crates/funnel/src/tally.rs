//! The rolling counts of one funnel, for everybody or one breakdown value: a histogram per thing that is counted, all of
//! them by the minute of what puts a visitor into a window (the anchor of a chain, the latest match, the offer).

use crate::buckets;
use crate::counts::Counts;
use crate::histogram::Histogram;
use crate::track::{StepState, Track, UNSET};
use crate::windows::{Windows, minute_of};

/// Histograms of a funnel's steps.
#[derive(Debug, Clone)]
pub struct Tally {
    steps: Vec<StepTally>,
    everybody: bool,
}

#[derive(Debug, Clone)]
struct StepTally {
    visitors: Histogram,
    seconds: Histogram,
    offered: Histogram,
    committed: Histogram,
    effort: Histogram,
    /// Latest match of a later step.
    later: Histogram,
    /// The earlier of that and the latest match of this step.
    both: Histogram,
}

impl Tally {
    /// Nothing counted yet. `everybody`: also who skipped steps.
    pub fn new(steps: usize, windows: usize, everybody: bool) -> Self {
        let plain = || Histogram::new(1, windows);
        let timed = || Histogram::new(buckets::COUNT, windows);
        let step = StepTally {
            visitors: plain(),
            seconds: timed(),
            offered: plain(),
            committed: plain(),
            effort: timed(),
            later: plain(),
            both: plain(),
        };
        Self { steps: vec![step; steps], everybody }
    }

    /// Counts a visitor's track where it was `before` (nothing: a new one) and is `after` now (nothing: gone).
    pub fn replace(&mut self, before: Option<&Track>, after: Option<&Track>, windows: &Windows) {
        let old = before.map_or(&[] as &[StepState], Track::steps);
        let new = after.map_or(&[] as &[StepState], Track::steps);
        let (mut old_later, mut new_later) = (UNSET, UNSET);
        for (index, step) in self.steps.iter_mut().enumerate().rev() {
            let (was, is) = (old.get(index), new.get(index));
            if was != is {
                step.replace(was, is, index > 0, windows);
            }
            let old_last = was.map_or(UNSET, |state| state.last);
            let new_last = is.map_or(UNSET, |state| state.last);
            if self.everybody {
                move_plain(&mut step.later, old_later, new_later, windows);
                move_plain(&mut step.both, old_later.min(old_last), new_later.min(new_last), windows);
                (old_later, new_later) = (old_later.max(old_last), new_later.max(new_last));
            }
        }
    }

    /// Moves all windows on (or back).
    pub fn roll(&mut self, from: &Windows, to: &Windows) {
        for histogram in self.steps.iter_mut().flat_map(StepTally::histograms) {
            histogram.roll(from, to);
        }
    }

    /// The counts in every rolling window; the last of `windows` is the conversion window and serves `open`.
    pub fn counts(&self, windows: &Windows) -> Counts {
        let rolling = windows.len().saturating_sub(1);
        let mut counts = Counts::new(self.steps.len(), rolling);
        for (index, step) in self.steps.iter().enumerate() {
            let cells = (0..rolling).map(|window| (index * rolling + window, window));
            for (flat, window) in cells {
                set(&mut counts.visitors, flat, step.visitors.sum(window, 0));
                set(&mut counts.offered, flat, step.offered.sum(window, 0));
                set(&mut counts.committed, flat, step.committed.sum(window, 0));
                set(
                    &mut counts.skipped,
                    flat,
                    step.later.sum(window, 0).wrapping_sub(step.both.sum(window, 0)),
                );
                for bucket in 0..buckets::COUNT {
                    set(
                        &mut counts.seconds,
                        flat * buckets::COUNT + bucket,
                        step.seconds.sum(window, bucket),
                    );
                    set(&mut counts.effort, flat * buckets::COUNT + bucket, step.effort.sum(window, bucket));
                }
            }
            let above = self.steps.get(index + 1).map_or(0, |above| above.visitors.sum(rolling, 0));
            set(&mut counts.open, index, step.visitors.sum(rolling, 0).wrapping_sub(above));
        }
        counts
    }

    /// Whether no visitor is counted any more.
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| {
            step.visitors.is_empty()
                && step.offered.is_empty()
                && step.later.is_empty()
                && step.both.is_empty()
        })
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        let of_step = |step: &StepTally| {
            let plain = [&step.visitors, &step.offered, &step.committed, &step.later, &step.both];
            let timed = [&step.seconds, &step.effort];
            plain.into_iter().chain(timed).map(Histogram::bytes).sum::<usize>()
        };
        self.steps.iter().map(of_step).sum()
    }
}

impl StepTally {
    fn histograms(&mut self) -> [&mut Histogram; 7] {
        [
            &mut self.visitors,
            &mut self.seconds,
            &mut self.offered,
            &mut self.committed,
            &mut self.effort,
            &mut self.later,
            &mut self.both,
        ]
    }

    fn replace(&mut self, was: Option<&StepState>, is: Option<&StepState>, timed: bool, windows: &Windows) {
        let pair = |state: Option<&StepState>, time: fn(&StepState) -> i64| state.map_or(UNSET, time);
        let (old, new) = (pair(was, |s| s.anchor), pair(is, |s| s.anchor));
        move_plain(&mut self.visitors, old, new, windows);
        if timed {
            let took = |state: Option<&StepState>| state.map_or(0, |s| s.took);
            move_timed(&mut self.seconds, (old, took(was)), (new, took(is)), windows);
        }
        move_plain(&mut self.offered, pair(was, |s| s.offered), pair(is, |s| s.offered), windows);
        let (old, new) = (pair(was, |s| s.committed), pair(is, |s| s.committed));
        move_plain(&mut self.committed, old, new, windows);
        let effort = |state: Option<&StepState>| state.map_or(0, |s| s.effort);
        move_timed(&mut self.effort, (old, effort(was)), (new, effort(is)), windows);
    }
}

fn set(cells: &mut [u32], at: usize, count: u32) {
    if let Some(cell) = cells.get_mut(at) {
        *cell = count;
    }
}

fn move_plain(histogram: &mut Histogram, old: i64, new: i64, windows: &Windows) {
    move_timed(histogram, (old, 0), (new, 0), windows);
}

/// Moves one visitor from a (time, duration) to another; [`UNSET`] is nowhere. Plain histograms get duration 0.
fn move_timed(histogram: &mut Histogram, old: (i64, i64), new: (i64, i64), windows: &Windows) {
    let cell = |(time, duration): (i64, i64)| (minute_of(time), buckets::bucket_of(duration));
    if old == new || (old.0 != UNSET && new.0 != UNSET && cell(old) == cell(new)) {
        return;
    }
    if old.0 != UNSET {
        let (minute, bucket) = cell(old);
        histogram.remove(minute, bucket, windows);
    }
    if new.0 != UNSET {
        let (minute, bucket) = cell(new);
        histogram.add(minute, bucket, windows);
    }
}

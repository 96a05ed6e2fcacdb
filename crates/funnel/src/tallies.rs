//! The rolling counts of a funnel: everybody's tally and those of breakdown values by id, at the minute at which all of
//! them are evaluated. Used by [`fold`](crate::fold).

use crate::counts::Counts;
use crate::tally::Tally;
use crate::track::STEP_BITS;
use crate::tracks::{PackedTracks, Track};
use crate::windows::{Windows, minute_of};

/// Minutes before the longest window that stay known, so that windows can move back a little.
const SLACK_MINUTES: i64 = 1_440;

/// Tallies by value id; 0 is everybody.
pub(crate) struct Tallies {
    steps: usize,
    windows: Windows,
    by_value: Vec<Option<Box<Tally>>>,
}

impl Tallies {
    /// Nothing counted yet.
    pub(crate) fn new(steps: usize, windows: Windows) -> Self {
        let everybody = Tally::new(steps, windows.len(), true);
        Self { steps, windows, by_value: vec![Some(Box::new(everybody))] }
    }

    /// Counts a visitor's tracks where they were `before` and are `after` now. `changed` are the steps that may have changed,
    /// as bits; where it is [`STEP_BITS`], tracks may also be gone.
    pub(crate) fn replace(&mut self, before: PackedTracks<'_>, after: PackedTracks<'_>, changed: u32) {
        if changed == 0 {
            return;
        }
        for track in after.iter() {
            let old = before.track(track.key);
            if old.is_none_or(|old| !old.is(&track)) {
                self.replace_track(track.key, old.as_ref(), Some(&track), changed);
            }
        }
        if changed == STEP_BITS {
            for gone in before.iter().filter(|old| after.track(old.key).is_none()) {
                self.replace_track(gone.key, Some(&gone), None, changed);
            }
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the list was made longer than the index")]
    fn replace_track(
        &mut self,
        key: u16,
        before: Option<&Track<'_>>,
        after: Option<&Track<'_>>,
        changed: u32,
    ) {
        let at = usize::from(key);
        if self.by_value.len() <= at {
            self.by_value.resize_with(at + 1, || None);
        }
        let (steps, windows) = (self.steps, self.windows.len());
        let tally = self.by_value[at].get_or_insert_with(|| Box::new(Tally::new(steps, windows, key == 0)));
        tally.replace(before, after, changed, &self.windows);
    }

    /// The counts of every rolling window ending at this minute: everybody's first (id 0), then those of breakdown values
    /// that count anything. `clock_ms` says what may be forgotten: wall time may be far ahead for a moment, and windows
    /// move back then.
    pub(crate) fn counts_at(&mut self, end_minute: i64, clock_ms: i64) -> Vec<(u16, Counts)> {
        self.roll_to(end_minute, clock_ms);
        let windows = &self.windows;
        let tallies = self.by_value.iter().enumerate();
        let counted = tallies.filter_map(|(id, tally)| Some((id as u16, tally.as_ref()?.counts(windows))));
        counted.filter(|(id, counts)| *id == 0 || !counts.is_zero()).collect()
    }

    fn roll_to(&mut self, end_minute: i64, clock_ms: i64) {
        if end_minute == self.windows.end() {
            return;
        }
        let to = self.windows.ending_at(end_minute);
        let oldest = end_minute.min(minute_of(clock_ms) + 1) - to.longest() - SLACK_MINUTES;
        for tally in self.by_value.iter_mut().flatten() {
            tally.roll(&self.windows, &to);
            tally.forget_before(oldest);
        }
        for slot in self.by_value.iter_mut().skip(1) {
            if slot.as_ref().is_some_and(|tally| tally.is_empty()) {
                *slot = None;
            }
        }
        self.windows = to;
    }

    /// Heap bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.by_value.iter().flatten().map(|tally| tally.bytes()).sum()
    }
}

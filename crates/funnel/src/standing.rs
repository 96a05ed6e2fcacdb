//! Who stands on a step: of one visitor's stored journey, whether it is among those that `open` or the drop-off behind
//! a step count, and since when. The console lists them; the rules are [`Tally`](crate::tally::Tally)'s, so a list is
//! as long as its number says.

use crate::codec::{Damaged, check};
use crate::plan::Funnel;
use crate::windows::{MINUTE_MS, minute_of};

/// Which visitors of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They stand on it and can still go on: counted in the step's `open`.
    Open,
    /// They took it within the window and not the next one: counted in the next step's `drop_off`.
    Dropped,
}

/// A question to many journeys of one funnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    steps: usize,
    step: usize,
    standing: Standing,
    /// First minutes of the rolling window and of the conversion window.
    window_start: i64,
    open_start: i64,
}

/// Where a visitor stands. Times are UTC milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// When the climb began.
    pub entered_at: i64,
    /// When it reached the step.
    pub reached_at: i64,
    /// Whether the conversion window is not over yet.
    pub can_go_on: bool,
}

impl Question {
    /// About the step at a position, at a minute's end, in a rolling window; times in milliseconds.
    pub fn new(funnel: &Funnel, step: usize, standing: Standing, window_ms: i64, minute_end_ms: i64) -> Self {
        let end = minute_end_ms / MINUTE_MS;
        Self {
            steps: funnel.steps.len(),
            step,
            standing,
            window_start: end - window_ms / MINUTE_MS,
            open_start: end - funnel.conversion_window.ms / MINUTE_MS,
        }
    }

    /// Where the visitor of this journey stands, if it is one of those asked for.
    ///
    /// # Errors
    /// When the bytes are no journey of such a funnel.
    pub fn spot(&self, journey: &[u8]) -> Result<Option<Spot>, Damaged> {
        let Some(track) = check(journey, self.steps)?.live.track(0) else { return Ok(None) };
        let (here, next) = (track.step(self.step), track.step(self.step + 1));
        let is_in = |anchor: i64, start: i64| anchor != crate::track::UNSET && minute_of(anchor) >= start;
        let stands = |start: i64| is_in(here.anchor, start) && !is_in(next.anchor, start);
        let can_go_on = stands(self.open_start);
        let is_asked_for = match self.standing {
            Standing::Open => can_go_on,
            Standing::Dropped => stands(self.window_start),
        };
        let spot = Spot { entered_at: here.anchor, reached_at: here.reached, can_go_on };
        Ok(is_asked_for.then_some(spot))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::encode;
    use crate::journey::Journey;
    use crate::plan::Plan;
    use crate::tail::TailEvent;
    use crate::tally::Tally;
    use crate::track::STEP_BITS;
    use crate::windows::Windows;

    const PLAN: &str = r#"
        [[sites]]
        id = "s"
        write_keys = ["wk"]
        [[funnels]]
        site = "s"
        id = "f"
        conversion_window = "10m"
        rolling_windows = ["3m", "10m", "30m"]
        [[funnels.steps]]
        id = "a"
        event = "a"
        [[funnels.steps]]
        id = "b"
        event = "b"
        [[funnels.steps]]
        id = "c"
        event = "c"
    "#;

    proptest! {
        #[test]
        fn a_list_is_as_long_as_its_number_says(
            visitors in prop::collection::vec(prop::collection::vec((0..3_000_000i64, 1..8u32), 0..12), 1..12),
            end in 20..60i64,
        ) {
            let plan = Plan::parse("plan", PLAN).unwrap();
            let funnel = &plan.funnels[0];
            let window_ms = funnel.conversion_window.ms;
            let mut lengths: Vec<i64> = funnel.rolling_windows.iter().map(|window| window.ms).collect();
            lengths.push(window_ms);
            let windows = Windows::new(&lengths, end);
            let mut tally = Tally::new(3, lengths.len(), true);
            let mut journeys = Vec::new();
            for events in &visitors {
                let mut journey = Journey::default();
                for (message, (ts, matches)) in events.iter().enumerate() {
                    // Nothing is later than the clock.
                    let ts = ts % (end * MINUTE_MS);
                    let event = TailEvent { ts, own_ahead_ms: 0, message: message as u64, matches: *matches, values: [0; 4] };
                    journey.insert(event, window_ms);
                }
                let tracks = journey.live.packed();
                tally.replace(None, tracks.track(0).as_ref(), STEP_BITS, &windows);
                let mut bytes = Vec::new();
                encode(&journey, &mut bytes);
                journeys.push(bytes);
            }
            let counts = tally.counts(&windows);
            let count = |question: Question| {
                journeys.iter().filter(|bytes| question.spot(bytes).unwrap().is_some()).count() as u32
            };
            for (index, window) in funnel.rolling_windows.iter().enumerate() {
                let visitors = |step: usize| counts.visitors[step * 3 + index];
                for step in 0..2 {
                    let ask = |standing| Question::new(funnel, step, standing, window.ms, end * MINUTE_MS);
                    prop_assert_eq!(count(ask(Standing::Dropped)), visitors(step) - visitors(step + 1));
                    prop_assert_eq!(count(ask(Standing::Open)), counts.open[step]);
                }
            }
        }
    }
}

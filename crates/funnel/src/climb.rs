//! Where single events stand in the climb of their visitor: whether the steps that they match count, or which step is
//! missing before. `rungs trace` tells it. The states are [`Tracks`]', so nothing can count here that counts in no fold.

use std::collections::HashMap;

use crate::intake::Incoming;
use crate::plan::{CompiledFunnel, Funnel, Plan};
use crate::tail::TailEvent;
use crate::track::{STEP_BITS, UNSET};
use crate::tracks::{Track, Tracks};

/// What a step that an event matches is to its visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footing {
    /// It is the first step: a climb begins here.
    Begins,
    /// The steps before were taken: it counts.
    Counts,
    /// It counted already on the same climb.
    Again,
    /// It counts nowhere: the step at this position (from 0) was not taken before it, within the conversion window of the
    /// first step and in order.
    Without(usize),
}

/// An event (its message's hash), a funnel's id, and the position (from 0) of a step of it.
pub type Foothold<'p> = (u64, &'p str, usize);

/// One visitor's climbs through the funnels of a site.
#[derive(Debug)]
pub struct Climbs<'p> {
    funnels: Vec<Climb<'p>>,
}

#[derive(Debug)]
struct Climb<'p> {
    funnel: &'p Funnel,
    compiled: CompiledFunnel,
    events: Vec<TailEvent>,
}

impl Plan {
    /// What takes the events of one visitor of a site.
    pub fn climbs(&self, site: &str) -> Climbs<'_> {
        let climb = |funnel| Climb { funnel, compiled: CompiledFunnel::new(funnel), events: Vec::new() };
        Climbs { funnels: self.funnels_of(site).map(climb).collect() }
    }
}

impl<'p> Climbs<'p> {
    /// Takes the visitor's next event; they come distinct and in time order.
    pub fn push(&mut self, event: &Incoming<'_>) {
        for climb in &mut self.funnels {
            let matches = climb.compiled.matches(&event.fields) & STEP_BITS;
            if matches != 0 {
                let values = Default::default();
                let (ts, message) = (event.ts, event.message);
                climb.events.push(TailEvent { ts, own_ahead_ms: 0, message, matches, values });
            }
        }
    }

    /// What each step that an event matched is to the visitor.
    pub fn footings(&self) -> HashMap<Foothold<'p>, Footing> {
        self.funnels.iter().flat_map(Climb::footings).collect()
    }
}

impl<'p> Climb<'p> {
    fn footings(&self) -> Vec<(Foothold<'p>, Footing)> {
        let window_ms = self.funnel.conversion_window.ms;
        let mut tracks = Tracks::default();
        let mut found = Vec::new();
        for of_one_time in self.events.chunk_by(|one, other| one.ts == other.ts) {
            let before = tracks.clone();
            tracks.apply(of_one_time, window_ms);
            let (before, now) = (everybody(&before), everybody(&tracks));
            for event in of_one_time {
                let steps = (0..self.funnel.steps.len()).filter(|step| event.matches & (1 << step) != 0);
                found.extend(steps.map(|step| {
                    let footing = footing(step, event.ts, window_ms, &before, &now);
                    ((event.message, self.funnel.id.as_str(), step), footing)
                }));
            }
        }
        found
    }
}

fn everybody(tracks: &Tracks) -> Track<'_> {
    tracks.packed().track(0).unwrap_or(Track::NONE)
}

/// Of a step that was matched at `ts`, by where the visitor stood before and stands now.
fn footing(step: usize, ts: i64, window_ms: i64, before: &Track<'_>, now: &Track<'_>) -> Footing {
    let Some(below) = step.checked_sub(1) else { return Footing::Begins };
    let is_taken = |step: &usize| {
        let anchor = now.step(*step).anchor;
        anchor != UNSET && ts - anchor <= window_ms
    };
    if let Some(missing) = (0..step).find(|step| !is_taken(step)) {
        return Footing::Without(missing);
    }
    match before.step(step).anchor == now.step(below).anchor {
        true => Footing::Again,
        false => Footing::Counts,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::{Derived, EventFields};

    const DAY_MS: i64 = 86_400_000;

    fn plan() -> Plan {
        let steps = ["a", "b", "c", "d"]
            .map(|step| format!("[[funnels.steps]]\nid = \"{step}\"\nevent = \"{step}\"\n"))
            .concat();
        let funnel =
            "[[funnels]]\nsite = \"s\"\nid = \"f\"\nconversion_window = \"1d\"\nrolling_windows = [\"1d\"]\n";
        let site = "[[sites]]\nid = \"s\"\nwrite_keys = [\"k\"]\n";
        Plan::parse("plan", &format!("{site}{funnel}{steps}")).unwrap()
    }

    /// Of each event (name, time) its footing; the events are in time order.
    fn footings(events: &[(&str, i64)]) -> Vec<Option<Footing>> {
        let plan = plan();
        let mut climbs = plan.climbs("s");
        for (message, (event, ts)) in (0..).zip(events) {
            let fields = EventFields { event, properties: "", context: "", derived: Derived::default() };
            climbs.push(&Incoming { fields, visitor: 0, user_id: "", message, ts: *ts, own_ts: *ts });
        }
        let found = climbs.footings();
        let step = |event: &str| ["a", "b", "c", "d"].iter().position(|step| *step == event);
        let of =
            |(message, (event, _)): (u64, &(&str, i64))| found.get(&(message, "f", step(event)?)).copied();
        (0..).zip(events).map(of).collect()
    }

    #[test]
    fn a_step_counts_after_those_before_it_and_names_the_first_that_is_missing() {
        use Footing::*;
        for (events, expected) in [
            (&[("a", 1), ("b", 2), ("c", 3), ("d", 4)][..], &[Begins, Counts, Counts, Counts][..]),
            (&[("d", 1)], &[Without(0)]),
            (&[("a", 1), ("d", 2)], &[Begins, Without(1)]),
            (&[("b", 1), ("a", 2), ("c", 3)], &[Without(0), Begins, Without(1)]),
            (&[("a", 1), ("b", 2), ("d", 3), ("c", 4)], &[Begins, Counts, Without(2), Counts]),
            (&[("a", 1), ("b", 2), ("b", 3)], &[Begins, Counts, Again]),
            (&[("a", 1), ("b", 2), ("a", 3), ("b", 4)], &[Begins, Counts, Begins, Counts]),
            (&[("a", 1), ("b", 2 + DAY_MS)], &[Begins, Without(0)]),
            (&[("a", 0), ("b", 1), ("c", DAY_MS)], &[Begins, Counts, Counts]),
            (&[("b", 5), ("a", 5)], &[Counts, Begins]),
        ] {
            let expected: Vec<_> = expected.iter().copied().map(Some).collect();
            assert_eq!(footings(events), expected, "{events:?}");
        }
        assert_eq!(footings(&[("other", 1)]), [None]);
    }

    /// Whether there are times of the steps up to this one, in order, the last of them `ts`, within the window.
    fn is_reached(events: &[(&str, i64)], step: usize, ts: i64) -> bool {
        let mut start = ts;
        for below in ["a", "b", "c", "d"].iter().take(step).rev() {
            let latest =
                events.iter().filter(|(event, at)| event == below && *at <= start).map(|(_, at)| *at);
            match latest.max() {
                Some(at) => start = at,
                None => return false,
            }
        }
        ts - start <= DAY_MS
    }

    proptest! {
        #[test]
        fn an_event_has_a_footing_exactly_where_a_chain_ends_with_it(
            mut events in proptest::collection::vec((prop::sample::select(vec!["a", "b", "c", "d"]), 0..8_i64), 0..12)
        ) {
            events.iter_mut().for_each(|(_, ts)| *ts *= DAY_MS / 4);
            events.sort_by_key(|(_, ts)| *ts);
            for ((event, ts), footing) in events.iter().zip(footings(&events)) {
                let step = ["a", "b", "c", "d"].iter().position(|step| step == event).unwrap();
                let counts = !matches!(footing.unwrap(), Footing::Without(_));
                prop_assert_eq!(counts, is_reached(&events, step, *ts), "{} at {} of {:?}", event, ts, events);
            }
        }
    }
}

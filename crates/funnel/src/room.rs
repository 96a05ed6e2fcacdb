//! Which events of a visitor found no room among those that a fold remembers (`[aggregator] max_tail_events`): they were not
//! counted live, and are by the next build. `rungs trace` tells it. A property test holds it equal to [`Fold`](crate::Fold) as
//! lanes use it; a build in between, after which a lane may have less room for a while, is not known here.

use std::collections::HashSet;

use crate::intake::Incoming;
use crate::plan::{CompiledFunnel, Funnel, Plan};

/// An event (its message's hash) and a funnel's id.
pub type Without<'p> = (u64, &'p str);

/// The room of one visitor in each funnel of a site.
#[derive(Debug)]
pub struct Rooms<'p> {
    funnels: Vec<Room<'p>>,
    horizon_ms: i64,
    max_tail_events: usize,
    clock_ms: i64,
    without: HashSet<Without<'p>>,
}

#[derive(Debug)]
struct Room<'p> {
    funnel: &'p Funnel,
    compiled: CompiledFunnel,
    /// Until when each remembered event is remembered: while this is not older than the horizon.
    remembered: Vec<i64>,
}

impl Plan {
    /// What takes the events of one visitor of a site in the order of the log.
    pub fn rooms(&self, site: &str, horizon_ms: i64, max_tail_events: usize) -> Rooms<'_> {
        let room = |funnel| Room { funnel, compiled: CompiledFunnel::new(funnel), remembered: Vec::new() };
        let funnels = self.funnels_of(site).map(room).collect();
        Rooms { funnels, horizon_ms, max_tail_events, clock_ms: i64::MIN, without: HashSet::new() }
    }
}

impl<'p> Rooms<'p> {
    /// Takes the visitor's next event by the log, distinct, and when it came.
    pub fn push(&mut self, event: &Incoming<'_>, received_at_ms: i64) {
        self.clock_ms = self.clock_ms.max(received_at_ms);
        let oldest = self.clock_ms.saturating_sub(self.horizon_ms);
        if event.own_ts < oldest {
            return;
        }
        for room in &mut self.funnels {
            if room.compiled.matches(&event.fields) == 0 {
                continue;
            }
            room.remembered.retain(|until| *until >= oldest);
            if room.remembered.len() < self.max_tail_events {
                room.remembered.push(event.ts.max(event.own_ts));
            } else {
                self.without.insert((event.message, room.funnel.id.as_str()));
            }
        }
    }

    /// The events that found no room, each with the funnel.
    pub fn without(self) -> HashSet<Without<'p>> {
        self.without
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fold::{Fold, Folded, Spec};
    use crate::intake::matched;
    use crate::plan::{Derived, EventFields};
    use crate::values::Values;

    const HORIZON_MS: i64 = 1_000;
    const MAX: usize = 3;

    fn plan() -> Plan {
        let text = "[[sites]]\nid = \"s\"\nwrite_keys = [\"k\"]\n[[funnels]]\nsite = \"s\"\nid = \"f\"\n\
            conversion_window = \"1d\"\nrolling_windows = [\"1d\"]\n[[funnels.steps]]\nid = \"a\"\nevent = \"a\"\n\
            [[funnels.steps]]\nid = \"b\"\nevent = \"b\"\noffer = \"o\"\n";
        Plan::parse("plan", text).unwrap()
    }

    proptest! {
        #[test]
        fn who_found_no_room_is_whom_the_fold_says_had_a_full_tail(
            events in prop::collection::vec(("[aboz]", 0i64..400, 0i64..1_500, -300i64..300), 1..60),
        ) {
            let plan = plan();
            let funnel = &plan.funnels[0];
            let spec = Spec::new(funnel, HORIZON_MS, MAX);
            let (mut fold, compiled) = (Fold::new(spec, Values::new(&[]), 0), CompiledFunnel::new(funnel));
            let mut rooms = plan.rooms("s", HORIZON_MS, MAX);
            let (mut clock_ms, mut full) = (10_000, HashSet::new());
            for (message, (name, later, ago, ahead)) in (0..).zip(&events) {
                clock_ms += later;
                let fields = EventFields { event: name, properties: "", context: "", derived: Derived::default() };
                let ts = clock_ms - ago;
                let event = Incoming { fields, visitor: 7, user_id: "", message, ts, own_ts: ts + ahead };
                fold.advance(clock_ms);
                let verdict = matched(&compiled, &mut fold, &event).map(|matched| fold.fold(&matched, message));
                if verdict == Some(Folded::TailFull) {
                    full.insert((message, "f"));
                }
                rooms.push(&event, clock_ms);
            }
            prop_assert_eq!(rooms.without(), full);
        }
    }
}

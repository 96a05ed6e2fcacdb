//! What a plan will cost before it runs: series in Prometheus, rows in ClickHouse, memory in the aggregator. Estimates
//! from the plan alone, with formulas one can check by hand; `rungs check` prints them.

use super::limits::MAX_UNLISTED_VALUES;
use super::{Funnel, Plan};
use crate::buckets;

/// Visitors, eligible, offered, committed, skipped and open visitors.
const GAUGES_A_STEP_AND_WINDOW: usize = 6;

/// A histogram's buckets, its sum and its count.
const SERIES_A_HISTOGRAM: usize = buckets::COUNT + 2;

/// A visitor's place in a funnel's table at its emptiest, the heads of the journey, and the allocator's rounding.
const ENTRY_BYTES: usize = 104;

/// What the process grows by beside what can be counted, as `rungs-bench` measures it: the list of journeys that changed, the
/// allocator's slack.
const BESIDE_BYTES: usize = 46;

/// A step in a track, and one where offers have room too.
const STEP_BYTES: usize = 20;
const STEP_AND_OFFER_BYTES: usize = 33;

/// An event in the tail, and its breakdown values where the funnel has breakdowns.
const EVENT_BYTES: usize = 18;
const VALUES_BYTES: usize = 8;

/// Estimates for a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Series that `/metrics` exports, over all processes: a funnel of S steps, O of them with an offer, W rolling
    /// windows and V listed values has `6·S·W` gauges, `S` step infos, `V·S·W` breakdown gauges, and one histogram
    /// (27 series) in each window for each of S-1 steps and O offers.
    pub prometheus_series: usize,
    /// Rows a minute and partition of the log if only listed values occur: one a funnel, and for each of its breakdowns
    /// one a listed value and one for `(none)`.
    pub history_rows_per_minute: usize,
    /// The same if every breakdown has as many unlisted values as are kept.
    pub history_rows_per_minute_at_most: usize,
    /// Memory of a visitor who saw every offer and took every step of every funnel once within the horizon: a funnel of S
    /// steps, O of them with an offer, and B breakdowns takes `150 + (1 + B)·20·S + 18·(S + O)` bytes, 33 in place of 20 if any
    /// step has an offer, 26 in place of 18 if there are breakdowns.
    pub bytes_per_visitor: usize,
}

impl Plan {
    /// What the plan will cost.
    pub fn cost(&self) -> Cost {
        self.funnels.iter().map(Funnel::cost).fold(Cost::default(), Cost::plus)
    }
}

impl Funnel {
    /// What the funnel will cost.
    pub fn cost(&self) -> Cost {
        let (steps, windows) = (self.steps.len(), self.rolling_windows.len());
        let offers = self.steps.iter().filter(|step| step.offer.is_some()).count();
        let listed: usize = self.breakdowns.iter().map(|breakdown| breakdown.values.len()).sum();
        let breakdowns = self.breakdowns.len();
        let gauges = (GAUGES_A_STEP_AND_WINDOW + listed) * steps * windows + steps;
        let histograms = (steps.saturating_sub(1) + offers) * windows;
        let rows = 1 + listed + breakdowns;
        Cost {
            prometheus_series: gauges + histograms * SERIES_A_HISTOGRAM,
            history_rows_per_minute: rows,
            history_rows_per_minute_at_most: rows + breakdowns * (MAX_UNLISTED_VALUES + 1),
            bytes_per_visitor: ENTRY_BYTES + BESIDE_BYTES + journey_bytes(steps, offers, breakdowns),
        }
    }
}

/// The journey of somebody who saw every offer and took every step once within the horizon.
fn journey_bytes(steps: usize, offers: usize, breakdowns: usize) -> usize {
    let step = if offers > 0 { STEP_AND_OFFER_BYTES } else { STEP_BYTES };
    let event = EVENT_BYTES + if breakdowns > 0 { VALUES_BYTES } else { 0 };
    (1 + breakdowns) * step * steps + event * (steps + offers)
}

impl Cost {
    fn plus(self, other: Self) -> Self {
        Self {
            prometheus_series: self.prometheus_series + other.prometheus_series,
            history_rows_per_minute: self.history_rows_per_minute + other.history_rows_per_minute,
            history_rows_per_minute_at_most: self.history_rows_per_minute_at_most
                + other.history_rows_per_minute_at_most,
            bytes_per_visitor: self.bytes_per_visitor + other.bytes_per_visitor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::{Fold, FoldEvent, Spec};
    use crate::intake::visitor_hash;
    use crate::plan::limits::MAX_BREAKDOWNS;
    use crate::track::OFFER_SHIFT;
    use crate::values::Values;

    /// One more than fit into a table of 1,024 places, so that it is at its emptiest.
    const VISITORS: usize = 897;

    fn plan(steps: usize, offers: usize, breakdowns: usize) -> Plan {
        let names: Vec<String> = (0..breakdowns).map(|number| format!("\"by_{number}\"")).collect();
        let mut text = format!(
            "[[sites]]\nid = \"s\"\nwrite_keys = [\"wk\"]\n[[funnels]]\nsite = \"s\"\nid = \"f\"\n\
             conversion_window = \"7d\"\nrolling_windows = [\"7d\"]\nbreakdowns = [{}]\n",
            names.join(", ")
        );
        for step in 0..steps {
            let offer = if step < offers { format!("offer = \"seen_{step}\"\n") } else { String::new() };
            text.push_str(&format!("[[funnels.steps]]\nid = \"s{step}\"\nevent = \"e{step}\"\n{offer}"));
        }
        Plan::parse("plan.toml", &text).unwrap()
    }

    /// What a fold counts for a visitor, when all have seen every offer and taken every step.
    fn counted(funnel: &Funnel) -> usize {
        let spec = Spec::new(funnel, 86_400_000, 256);
        let mut fold = Fold::new(spec, Values::new(&funnel.breakdowns), 0);
        let mut values = [0; MAX_BREAKDOWNS];
        for (breakdown, value) in values.iter_mut().enumerate().take(funnel.breakdowns.len()) {
            *value = fold.value_id(breakdown, "email");
        }
        for visitor in 0..VISITORS {
            for (step, planned) in funnel.steps.iter().enumerate() {
                let offer = planned.offer.as_ref().map(|_| 1 << (OFFER_SHIFT + step as u32));
                for matches in offer.into_iter().chain([1 << step]) {
                    let ts = 10_000 * step as i64;
                    let (visitor, message) = (visitor_hash(&visitor.to_string()), u64::from(matches));
                    fold.fold(&FoldEvent { visitor, message, ts, own_ts: ts, matches, values }, 1);
                }
            }
        }
        assert_eq!(fold.visitors(), VISITORS);
        fold.bytes().0 / VISITORS
    }

    #[test]
    fn bytes_a_visitor_are_near_to_what_a_fold_counts_for_one_who_climbs_to_the_top() {
        for (steps, offers, breakdowns) in
            [(2, 0, 0), (5, 0, 0), (5, 0, 1), (5, 2, 0), (5, 2, 1), (5, 3, 2), (8, 8, 4), (16, 0, 2)]
        {
            let plan = plan(steps, offers, breakdowns);
            let (told, counted) = (plan.cost().bytes_per_visitor - BESIDE_BYTES, counted(&plan.funnels[0]));
            let is_near = told.abs_diff(counted) * 5 <= counted;
            assert!(
                is_near,
                "{steps} steps, {offers} offers, {breakdowns} breakdowns: {told}, counted {counted}"
            );
        }
    }

    #[test]
    fn five_steps_without_breakdowns_take_what_the_docs_say() {
        assert_eq!(plan(5, 0, 0).cost().bytes_per_visitor, 340);
    }
}

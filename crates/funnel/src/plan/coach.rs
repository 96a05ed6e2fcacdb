//! Advice on a plan that is valid but will disappoint: what `rungs check` says beyond right and wrong. The rules are
//! those of people who build ladders of small commitments: few steps, each with an ask, the purchase last.

use std::fmt;

use super::listed::text_of_number;
use super::{Commitment, Condition, Filter, Funnel, Plan, Step};

/// Steps before the last, at most: each further one loses visitors.
const GOOD_STEPS_BEFORE_LAST: usize = 4;

/// Series beyond which Prometheus deserves a thought.
const MANY_SERIES: usize = 50_000;

/// One piece of advice and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// `None`: the plan as a whole.
    pub site: Option<String>,
    /// `None`: the site as a whole.
    pub funnel: Option<String>,
    /// `None`: the funnel as a whole.
    pub step: Option<String>,
    /// What to think about, and why.
    pub text: String,
}

impl fmt::Display for Advice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place: Vec<&str> =
            [&self.site, &self.funnel, &self.step].into_iter().filter_map(|id| id.as_deref()).collect();
        let place = if place.is_empty() { "the plan".to_owned() } else { place.join("/") };
        write!(formatter, "{place}: {}", self.text)
    }
}

impl Plan {
    /// Advice in the plan's order, and at the end what the plan will cost.
    pub fn coach(&self) -> Vec<Advice> {
        let mut advice: Vec<Advice> = self.funnels.iter().flat_map(Funnel::coach).collect();
        advice.push(self.cost_advice());
        advice
    }

    fn cost_advice(&self) -> Advice {
        let cost = self.cost();
        let many = match cost.prometheus_series > MANY_SERIES {
            true => "; that is a lot: list fewer breakdown values or rolling windows",
            false => "",
        };
        let text = format!(
            "it will export about {} Prometheus series{many}, write {} to {} history rows a minute and partition, and \
             keep about {} bytes in memory for a visitor who climbs every funnel to the top",
            cost.prometheus_series,
            cost.history_rows_per_minute,
            cost.history_rows_per_minute_at_most,
            cost.bytes_per_visitor,
        );
        Advice { site: None, funnel: None, step: None, text }
    }
}

impl Funnel {
    fn coach(&self) -> Vec<Advice> {
        let whole = [self.too_many_steps(), self.no_offer(), self.purchase_first(), self.short_windows()];
        whole.into_iter().flatten().chain(self.events_of_two_steps()).collect()
    }

    fn advice(&self, step: Option<&Step>, text: String) -> Advice {
        let step = step.map(|step| step.id.clone());
        Advice { site: Some(self.site.clone()), funnel: Some(self.id.clone()), step, text }
    }

    fn too_many_steps(&self) -> Option<Advice> {
        let before = self.steps.len().saturating_sub(1);
        let text = || {
            format!(
                "{before} steps before the last; more than {GOOD_STEPS_BEFORE_LAST} lose visitors on the way: leave out \
                 what is no yes of its own, or make two funnels"
            )
        };
        (before > GOOD_STEPS_BEFORE_LAST).then(|| self.advice(None, text()))
    }

    fn no_offer(&self) -> Option<Advice> {
        let text = "no step names its offer, so there will be no click-through rates: add offer = \"…\", the event that \
                    says the ask was seen; to compare two asks, make a funnel whose first step is the offer, broken \
                    down by the ask";
        self.steps.iter().all(|step| step.offer.is_none()).then(|| self.advice(None, text.to_owned()))
    }

    fn purchase_first(&self) -> Option<Advice> {
        let first = self.steps.first().filter(|step| step.commitment == Commitment::Purchase)?;
        let text = "the first step is a purchase, the largest yes of all: begin with a small one (a click, an answer, \
                    a download) and let it lead there";
        Some(self.advice(Some(first), text.to_owned()))
    }

    fn short_windows(&self) -> Option<Advice> {
        let short = self.rolling_windows.iter().filter(|window| window.ms < self.conversion_window.ms);
        let short: Vec<&str> = short.map(|window| window.label.as_str()).collect();
        let text = || {
            format!(
                "rolling windows {} are shorter than the conversion window {}: most visitors in them have time left, \
                 so late steps read low there; compare such windows with themselves, not with longer ones",
                short.join(", "),
                self.conversion_window.label
            )
        };
        (!short.is_empty()).then(|| self.advice(None, text()))
    }

    fn events_of_two_steps(&self) -> Vec<Advice> {
        let later = |position: usize| self.steps.iter().skip(position + 1);
        let pairs = self
            .steps
            .iter()
            .enumerate()
            .flat_map(|(position, step)| later(position).map(move |other| (step, other)));
        pairs.filter_map(|(step, other)| self.event_of_both(step, other)).collect()
    }

    fn event_of_both(&self, step: &Step, other: &Step) -> Option<Advice> {
        let event = step.events.iter().find(|event| other.events.contains(event))?;
        if exclude_each_other(step.filter.as_ref(), other.filter.as_ref()) {
            return None;
        }
        let text = format!(
            "an event \"{event}\" can match step \"{}\" too, and then one event climbs both: tell them apart with \
             `where`, unless that is meant",
            step.id
        );
        Some(self.advice(Some(other), text))
    }
}

/// Whether no event can pass both filters, as far as one can tell from the filters.
fn exclude_each_other(a: Option<&Filter>, b: Option<&Filter>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    a.property == b.property && (excludes(&a.condition, &b.condition) || excludes(&b.condition, &a.condition))
}

fn excludes(a: &Condition, b: &Condition) -> bool {
    match (&with_numbers(a), &with_numbers(b)) {
        (Condition::In(values), other) => !values.iter().any(|value| other.holds_for(value)),
        (Condition::Range { max: Some(max), .. }, Condition::Range { min: Some(min), .. }) => max < min,
        (Condition::Exists(false), other) => !matches!(other, Condition::Exists(false)),
        _ => false,
    }
}

/// Listed texts that are numbers stand for the number too.
fn with_numbers(condition: &Condition) -> Condition {
    match condition {
        Condition::In(values) => {
            let numbers = values.iter().filter_map(|value| text_of_number(value));
            Condition::In(values.iter().cloned().chain(numbers).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(windows: &str, steps: &[&str]) -> Plan {
        let steps: String = steps
            .iter()
            .enumerate()
            .map(|(n, step)| format!("[[funnels.steps]]\nid = \"s{n}\"\n{step}\n"))
            .collect();
        let text = format!(
            "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\n[[funnels]]\nsite = \"shop\"\nid = \"f\"\n\
             conversion_window = \"7d\"\nrolling_windows = [{windows}]\n\
             breakdowns = [{{ by = \"channel\", values = [\"email\"] }}, \"plan\"]\n{steps}"
        );
        Plan::parse("plan.toml", &text).unwrap()
    }

    /// All but the cost.
    fn advice(windows: &str, steps: &[&str]) -> Vec<String> {
        let mut advice = plan(windows, steps).coach();
        assert!(advice.pop().unwrap().to_string().starts_with("the plan: it will export"));
        advice.iter().map(Advice::to_string).collect()
    }

    #[track_caller]
    fn only(advice: &[String], start: &str) {
        assert!(advice.len() == 1 && advice[0].starts_with(start), "{advice:#?}");
    }

    const OFFERED: &str = "event = \"a\"\noffer = \"seen\"\ncommitment = \"click\"";

    #[test]
    fn a_good_ladder_is_only_told_its_cost() {
        assert!(advice("\"7d\"", &[OFFERED, "event = \"b\""]).is_empty());
    }

    #[test]
    fn more_than_four_steps_before_the_last_are_many() {
        let step = |n: usize| format!("event = \"e{n}\"\noffer = \"seen\"");
        let steps: Vec<String> = (0..6).map(step).collect();
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        assert!(advice("\"7d\"", &steps[..5]).is_empty());
        only(&advice("\"7d\"", &steps), "shop/f: 5 steps before the last");
    }

    #[test]
    fn a_funnel_without_offers_has_no_click_through_rates() {
        only(&advice("\"7d\"", &["event = \"a\"", "event = \"b\""]), "shop/f: no step names its offer");
    }

    #[test]
    fn a_purchase_is_no_first_step() {
        let first = "event = \"a\"\noffer = \"seen\"\ncommitment = \"purchase\"";
        only(&advice("\"7d\"", &[first, "event = \"b\""]), "shop/f/s0: the first step is a purchase");
    }

    #[test]
    fn rolling_windows_shorter_than_the_conversion_window_are_named() {
        only(
            &advice("\"1h\", \"24h\", \"7d\"", &[OFFERED, "event = \"b\""]),
            "shop/f: rolling windows 1h, 24h are shorter",
        );
    }

    #[test]
    fn an_event_that_can_match_two_steps_is_told_apart_by_filters_only() {
        only(
            &advice("\"7d\"", &[OFFERED, "event = [\"b\", \"a\"]"]),
            "shop/f/s1: an event \"a\" can match step \"s0\" too",
        );
        let apart = [
            ("in = [\"pro\"]", "in = [\"free\"]", true),
            ("in = [\"pro\"]", "in = [\"free\", \"pro\"]", false),
            ("min = 5", "max = 4", true),
            ("min = 5", "max = 5", false),
            ("matches = \"^a\"", "in = [\"b\"]", true),
            ("exists = false", "exists = true", true),
            ("exists = true", "in = [\"b\"]", false),
        ];
        for (one, other, are_apart) in apart {
            let step = |condition| {
                format!("event = \"a\"\noffer = \"seen\"\nwhere = {{ property = \"x\", {condition} }}")
            };
            let advice = advice("\"7d\"", &[&step(one), &step(other)]);
            assert_eq!(advice.is_empty(), are_apart, "{one} and {other}: {advice:?}");
        }
    }

    #[test]
    fn the_cost_follows_its_formulas() {
        let cost = plan("\"1h\", \"7d\"", &[OFFERED, "event = \"b\"", "event = \"c\""]).cost();
        assert_eq!(cost.prometheus_series, 6 * 3 * 2 + 3 + 3 * 2 + (2 + 1) * 2 * 27);
        assert_eq!(cost.history_rows_per_minute, 1 + 1 + 2);
        assert_eq!(cost.history_rows_per_minute_at_most, 4 + 2 * 1_001);
        assert_eq!(cost.bytes_per_visitor, 150 + 3 * 33 * 3 + (18 + 8) * (3 + 1));
    }
}

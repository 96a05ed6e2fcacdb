//! Which steps and offers an event matches. The aggregator asks [`PlanMatcher::funnels_for`] once an event (a name that
//! no funnel of the site knows costs one look-up there), and then each of those funnels for the bits.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use super::filtering::CompiledFilter;
use super::listed::ListedNumbers;
use super::lookup::{EventFields, PropertyName, PropertyValue};
use super::{Funnel, Plan};
use crate::track::OFFER_SHIFT;

/// The breakdown value of an event that has none.
pub const NO_VALUE: &str = "(none)";

/// Bytes of a breakdown value, at most; longer ones are cut at a character.
pub const MAX_VALUE_BYTES: usize = 256;

/// Where a funnel stands in [`Plan::funnels`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunnelIndex(pub usize);

/// A whole plan, prepared for many events.
#[derive(Debug, Clone, Default)]
pub struct PlanMatcher {
    sites: FxHashMap<String, SiteMatcher>,
    funnels: Vec<CompiledFunnel>,
}

/// The event names of one site's funnels.
#[derive(Debug, Clone, Default)]
pub struct SiteMatcher {
    by_event: FxHashMap<String, Vec<FunnelIndex>>,
}

/// A funnel, prepared for many events.
#[derive(Debug, Clone, Default)]
pub struct CompiledFunnel {
    by_event: FxHashMap<String, Candidates>,
    breakdowns: Vec<(PropertyName, ListedNumbers)>,
}

/// What an event of one name can match.
#[derive(Debug, Clone, Default)]
struct Candidates {
    /// Bits without a filter.
    always: u32,
    /// Bits of steps whose filter has to agree.
    filtered: Vec<(u32, CompiledFilter)>,
}

impl PlanMatcher {
    /// Prepares a plan.
    pub fn new(plan: &Plan) -> Self {
        let mut matcher = Self::default();
        for (index, funnel) in plan.funnels.iter().enumerate() {
            let compiled = CompiledFunnel::new(funnel);
            let site = matcher.sites.entry(funnel.site.clone()).or_default();
            for event in compiled.by_event.keys() {
                site.by_event.entry(event.clone()).or_default().push(FunnelIndex(index));
            }
            matcher.funnels.push(compiled);
        }
        matcher
    }

    /// The funnels of a site that an event of this name can matter to, in the plan's order.
    pub fn funnels_for(&self, site: &str, event: &str) -> &[FunnelIndex] {
        self.site(site).map_or(&[], |site| site.funnels_for(event))
    }

    /// A site's part; `None` for a site without funnels.
    pub fn site(&self, site: &str) -> Option<&SiteMatcher> {
        self.sites.get(site)
    }

    /// The prepared funnel at this place of the plan.
    pub fn funnel(&self, index: FunnelIndex) -> Option<&CompiledFunnel> {
        self.funnels.get(index.0)
    }
}

impl SiteMatcher {
    /// The funnels that an event of this name can matter to, in the plan's order.
    pub fn funnels_for(&self, event: &str) -> &[FunnelIndex] {
        self.by_event.get(event).map_or(&[], Vec::as_slice)
    }
}

impl CompiledFunnel {
    /// Prepares a funnel.
    pub fn new(funnel: &Funnel) -> Self {
        let mut by_event: FxHashMap<String, Candidates> = FxHashMap::default();
        for (position, step) in funnel.steps.iter().enumerate() {
            for event in &step.events {
                let candidates = by_event.entry(event.clone()).or_default();
                match &step.filter {
                    None => candidates.always |= bit(position),
                    Some(filter) => candidates.filtered.push((bit(position), CompiledFilter::new(filter))),
                }
            }
            if let Some(offer) = &step.offer {
                by_event.entry(offer.clone()).or_default().always |= bit(OFFER_SHIFT as usize + position);
            }
        }
        let breakdowns = funnel
            .breakdowns
            .iter()
            .map(|breakdown| (PropertyName::new(&breakdown.by), ListedNumbers::of(&breakdown.values)))
            .collect();
        Self { by_event, breakdowns }
    }

    /// The steps and offers that an event matches, as bits; 0 for most events.
    pub fn matches(&self, fields: &EventFields<'_>) -> u32 {
        let Some(candidates) = self.by_event.get(fields.event) else { return 0 };
        let passing = candidates.filtered.iter().filter(|(_, filter)| filter.passes(fields));
        passing.fold(candidates.always, |bits, (bit, _)| bits | bit)
    }

    /// The event's value of each breakdown, in the plan's order; [`NO_VALUE`] where there is none.
    pub fn breakdown_values<'a>(&self, fields: &EventFields<'a>) -> impl Iterator<Item = Cow<'a, str>> {
        self.breakdowns.iter().map(|(property, numbers)| match property.look_up(fields) {
            Some(value) => cut(as_listed(numbers, value)),
            None => Cow::Borrowed(NO_VALUE),
        })
    }
}

/// The bit at a position; none beyond the 32 that a plan's limits allow.
fn bit(position: usize) -> u32 {
    u32::try_from(position).ok().and_then(|position| 1u32.checked_shl(position)).unwrap_or(0)
}

fn as_listed<'a>(numbers: &ListedNumbers, value: PropertyValue<'a>) -> Cow<'a, str> {
    let listed = if value.is_number { numbers.as_listed(&value.text) } else { None };
    listed.map_or(value.text, |listed| Cow::Owned(listed.to_owned()))
}

fn cut(value: Cow<'_, str>) -> Cow<'_, str> {
    let end = value.floor_char_boundary(MAX_VALUE_BYTES);
    match value {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or(text)),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::lookup::Derived;

    fn plan() -> Plan {
        let text = r#"
[[sites]]
id = "shop"
write_keys = ["wk"]
[[sites]]
id = "blog"
write_keys = ["wk2"]
[[funnels]]
site = "shop"
id = "purchase"
conversion_window = "7d"
rolling_windows = ["24h"]
breakdowns = ["channel", "plan"]
[[funnels.steps]]
id = "view"
event = ["product_view", "quick_view"]
offer = "card_seen"
[[funnels.steps]]
id = "pro"
event = "quick_view"
where = { property = "plan", in = ["pro"] }
[[funnels.steps]]
id = "buy"
event = "purchase"
offer = "quick_view"
[[funnels]]
site = "shop"
id = "short"
conversion_window = "1h"
rolling_windows = ["24h"]
[[funnels.steps]]
id = "a"
event = "purchase"
[[funnels.steps]]
id = "b"
event = "refer"
"#;
        Plan::parse("plan.toml", text).unwrap()
    }

    fn event<'a>(event: &'a str, properties: &'a str) -> EventFields<'a> {
        EventFields {
            event,
            properties,
            context: "",
            derived: Derived { channel: "direct", ..Derived::default() },
        }
    }

    #[test]
    fn an_event_matches_steps_whose_filter_agrees_and_offers_without_one() {
        let funnel = CompiledFunnel::new(&plan().funnels[0]);
        let offer = |step: u32| 1 << (16 + step);
        assert_eq!(funnel.matches(&event("product_view", "")), 0b001);
        assert_eq!(funnel.matches(&event("quick_view", "")), 0b001 | offer(2));
        assert_eq!(funnel.matches(&event("quick_view", r#"{"plan":"pro"}"#)), 0b011 | offer(2));
        assert_eq!(funnel.matches(&event("card_seen", "")), offer(0));
        assert_eq!(funnel.matches(&event("purchase", "")), 0b100);
        assert_eq!(funnel.matches(&event("refer", "")), 0);
    }

    #[test]
    fn only_funnels_that_know_the_event_are_asked() {
        let matcher = PlanMatcher::new(&plan());
        assert_eq!(matcher.funnels_for("shop", "purchase"), [FunnelIndex(0), FunnelIndex(1)]);
        assert_eq!(matcher.funnels_for("shop", "refer"), [FunnelIndex(1)]);
        assert_eq!(matcher.funnels_for("shop", "card_seen"), [FunnelIndex(0)]);
        assert!(matcher.funnels_for("shop", "scroll").is_empty());
        assert!(matcher.funnels_for("blog", "purchase").is_empty());
        assert_eq!(matcher.funnel(FunnelIndex(1)).unwrap().matches(&event("refer", "")), 0b10);
    }

    #[test]
    fn every_breakdown_has_a_value() {
        let funnel = CompiledFunnel::new(&plan().funnels[0]);
        let values =
            |properties| funnel.breakdown_values(&event("product_view", properties)).collect::<Vec<_>>();
        assert_eq!(values(""), ["direct", NO_VALUE]);
        assert_eq!(values(r#"{"channel":"email","plan":7}"#), ["email", "7"]);
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        let funnel = CompiledFunnel::new(&plan().funnels[0]);
        let long = format!("{{\"channel\":\"x{}\",\"plan\":\"\\n{}\"}}", "é".repeat(200), "y".repeat(300));
        let values: Vec<_> =
            funnel.breakdown_values(&event("product_view", &long)).map(|value| value.len()).collect();
        assert_eq!(values, [255, 256]);
    }

    #[test]
    fn all_sixteen_steps_and_offers_have_a_bit_of_their_own() {
        let mut funnel = plan().funnels.remove(0);
        let step = funnel.steps.remove(2);
        let named = |n: usize| crate::plan::Step {
            events: vec![format!("e{n}")],
            offer: Some(format!("o{n}")),
            ..step.clone()
        };
        funnel.steps = (0..16).map(named).collect();
        let funnel = CompiledFunnel::new(&funnel);
        let names = (0..16).map(|n| format!("e{n}")).chain((0..16).map(|n| format!("o{n}")));
        let bits: Vec<u32> = names.map(|name| funnel.matches(&event(&name, ""))).collect();
        assert!(bits.iter().enumerate().all(|(position, bits)| *bits == 1 << position), "{bits:?}");
    }
}

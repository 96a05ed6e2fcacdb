//! Where an event stands in a site's funnels, in words that people understand: which steps and offers it is, and which it
//! would be but for their `where`. `rungs trace` and the console tell it; [`CompiledFunnel`] decides, as in every fold.

use super::lookup::EventFields;
use super::{CompiledFunnel, Funnel, Plan, Step};
use crate::track::OFFER_SHIFT;

/// What an event is to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It takes the step.
    Step,
    /// It has the step's name, but not what its `where` asks for.
    Filtered,
    /// It is the step's offer.
    Offer,
}

/// A step that an event has to do with.
#[derive(Debug, Clone, Copy)]
pub struct Place<'p> {
    pub funnel: &'p Funnel,
    /// From 0.
    pub position: usize,
    pub step: &'p Step,
    pub role: Role,
}

/// A site's funnels, compiled: tells where events stand in them.
#[derive(Debug)]
pub struct PlaceFinder<'p> {
    funnels: Vec<(&'p Funnel, CompiledFunnel)>,
}

impl Plan {
    /// What tells where a site's events stand in its funnels.
    pub fn place_finder(&self, site: &str) -> PlaceFinder<'_> {
        let of_site = self.funnels.iter().filter(|funnel| funnel.site == site);
        PlaceFinder { funnels: of_site.map(|funnel| (funnel, CompiledFunnel::new(funnel))).collect() }
    }

    /// The names that the steps and offers of a site's funnels look for, sorted, each once.
    pub fn event_names(&self, site: &str) -> Vec<String> {
        let mut names: Vec<String> = self.funnels_of(site).flat_map(Funnel::event_names).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl<'p> PlaceFinder<'p> {
    /// Every step and offer that an event is, in the plan's order.
    pub fn places(&self, fields: &EventFields<'_>) -> Vec<Place<'p>> {
        self.funnels.iter().flat_map(|(funnel, compiled)| places_in(funnel, compiled, fields)).collect()
    }
}

fn places_in<'p>(funnel: &'p Funnel, compiled: &CompiledFunnel, fields: &EventFields<'_>) -> Vec<Place<'p>> {
    let bits = compiled.matches(fields);
    let is_set =
        |bit: usize| u32::try_from(bit).ok().and_then(|bit| 1u32.checked_shl(bit)).unwrap_or(0) & bits != 0;
    let mut places = Vec::new();
    for (position, step) in funnel.steps.iter().enumerate() {
        let mut add = |role| places.push(Place { funnel, position, step, role });
        if is_set(position) {
            add(Role::Step);
        } else if step.filter.is_some() && step.events.iter().any(|event| event == fields.event) {
            add(Role::Filtered);
        }
        if is_set(OFFER_SHIFT as usize + position) {
            add(Role::Offer);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Derived;

    #[test]
    fn an_event_is_steps_and_offers_of_several_funnels_or_nearly_a_step() {
        let funnel = |id: &str| {
            format!(
                "[[funnels]]\nsite = \"shop\"\nid = \"{id}\"\nconversion_window = \"7d\"\nrolling_windows = [\"7d\"]\n\
                 [[funnels.steps]]\nid = \"view\"\nevent = \"view\"\noffer = \"seen\"\n[[funnels.steps]]\nid = \"buy\"\n\
                 event = [\"buy\", \"view\"]\noffer = \"view\"\nwhere = {{ property = \"plan\", in = [\"pro\"] }}\n"
            )
        };
        let site = "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\n";
        let plan = Plan::parse("plan", &format!("{site}{}{}", funnel("a"), funnel("b"))).unwrap();
        let told = |event: &str, properties: &str, site: &str| {
            let fields = EventFields { event, properties, context: "", derived: Derived::default() };
            let places = plan.place_finder(site).places(&fields);
            places
                .iter()
                .map(|place| format!("{} {} {:?}", place.funnel.id, place.step.id, place.role))
                .collect::<Vec<_>>()
        };
        let [all, nearly] = ["Step", "Filtered"].map(|role| {
            ["a", "b"]
                .map(|id| [format!("{id} view Step"), format!("{id} buy {role}"), format!("{id} buy Offer")])
                .concat()
        });
        assert_eq!(told("view", r#"{"plan":"pro"}"#, "shop"), all);
        assert_eq!(told("view", "", "shop"), nearly);
        assert_eq!(told("seen", "", "shop"), ["a view Offer", "b view Offer"]);
        assert!(told("vieww", "", "shop").is_empty() && told("view", "", "blog").is_empty());
    }
}

//! What of an event breaks its site's schema. Pure, one pass over the properties, no tree: it runs on every event of a site
//! that has a schema, and on none of the others.
//!
//! Of a property that is there twice the last one counts, and `null` is absent, as everywhere. Of each rule that an event
//! breaks the first violation is told: required properties and types in the plan's order, unplanned ones in the event's.

use rustc_hash::FxHashMap;

use super::kind::kind_of;
use super::members::members;
use super::{Enforcement, EventSchema, PropertyType, PropertyTypes, SiteSchema};

/// Up to so many planned properties are told apart without a hash and an allocation.
const FEW: usize = 16;
/// Characters of a name that nobody planned that are told: it may be as long as an event.
const MAX_TOLD_CHARS: usize = 100;

/// A rule that an event can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// It is named, where others may not come.
    PlannedEvent,
    /// What is required is there.
    Required,
    /// Properties have one of their types.
    DataType,
    /// There are no other properties.
    PlannedProperty,
}

/// An event that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The property, the rule and what to do, for people; for an event that is not planned, its name.
    pub message: String,
}

/// A site's schema, prepared for many events.
#[derive(Debug)]
pub struct CompiledSchema {
    enforcement: Enforcement,
    additional_events: bool,
    events: FxHashMap<String, CompiledEvent>,
}

#[derive(Debug)]
struct CompiledEvent {
    additional_properties: bool,
    places: FxHashMap<String, usize>,
    /// Required ones first, in the plan's order.
    properties: Vec<Planned>,
}

#[derive(Debug)]
struct Planned {
    name: String,
    is_required: bool,
    /// None: of any type.
    types: Option<PropertyTypes>,
}

/// What an event has of what is planned.
struct Found<'e> {
    event: &'e CompiledEvent,
    /// In the order of the planned properties; none where it is absent.
    types: &'e mut [Option<PropertyType>],
    unplanned: Option<String>,
}

impl CompiledSchema {
    /// Prepares a schema.
    pub fn new(schema: &SiteSchema) -> Self {
        let events = schema.events.iter().map(|event| (event.name.clone(), CompiledEvent::new(event)));
        let SiteSchema { enforcement, additional_events, .. } = *schema;
        Self { enforcement, additional_events, events: events.collect() }
    }

    /// What becomes of an event that breaks a rule.
    pub fn enforcement(&self) -> Enforcement {
        self.enforcement
    }

    /// The rules that an event breaks, one violation each, in the order of [`Rule`]. `properties` is a JSON object that was
    /// checked before, or empty; what cannot be read has no properties.
    pub fn check(&self, event: &str, properties: &str) -> Vec<Violation> {
        match self.events.get(event) {
            Some(planned) => planned.check(event, properties),
            None if self.additional_events || event.starts_with('$') => Vec::new(),
            None => vec![Violation {
                rule: Rule::PlannedEvent,
                message: format!(
                    "the event {event:?} is not in the site's schema, which allows no others (additional_events = false): correct its \
                     name, or add it as [[sites.events]]"
                ),
            }],
        }
    }
}

impl CompiledEvent {
    fn new(event: &EventSchema) -> Self {
        let typed =
            |name: &str| event.properties.iter().find(|(known, _)| known == name).map(|(_, types)| *types);
        let required = event.required.iter().map(|name| Planned {
            name: name.clone(),
            is_required: true,
            types: typed(name),
        });
        let optional = event.properties.iter().filter(|(name, _)| !event.required.contains(name));
        let optional = optional.map(|(name, types)| Planned {
            name: name.clone(),
            is_required: false,
            types: Some(*types),
        });
        let properties: Vec<Planned> = required.chain(optional).collect();
        let places = properties.iter().enumerate().map(|(place, planned)| (planned.name.clone(), place));
        Self { additional_properties: event.additional_properties, places: places.collect(), properties }
    }

    fn check(&self, event: &str, properties: &str) -> Vec<Violation> {
        if self.properties.is_empty() && self.additional_properties {
            return Vec::new();
        }
        let (mut few, mut many) = ([None; FEW], Vec::new());
        let types = match few.get_mut(..self.properties.len()) {
            Some(few) => few,
            None => {
                many.resize(self.properties.len(), None);
                &mut many
            }
        };
        let found = Found::read(self, types, properties);
        if found.is_all_right() { Vec::new() } else { found.violations(event) }
    }

    #[inline]
    fn place(&self, name: &str) -> Option<usize> {
        match self.properties.len() {
            // Most differ in length already.
            ..=FEW => self.properties.iter().position(|planned| planned.name == name),
            _ => self.places.get(name).copied(),
        }
    }
}

impl Planned {
    fn lacks(&self, found: Option<PropertyType>) -> bool {
        self.is_required && found.is_none()
    }

    /// The types that it may have, and what it has instead.
    fn mismatch(&self, found: Option<PropertyType>) -> Option<(PropertyTypes, PropertyType)> {
        let (types, found) = (self.types?, found?);
        (!types.allow(found)).then_some((types, found))
    }
}

impl<'e> Found<'e> {
    /// Nothing is found where the properties cannot be read. Up to their end: a name may come again, and the last one counts.
    fn read(event: &'e CompiledEvent, types: &'e mut [Option<PropertyType>], properties: &str) -> Self {
        let mut found = Self { event, types, unplanned: None };
        if members(properties, |name, value| found.take(name, value)).is_none() {
            found.types.fill(None);
            found.unplanned = None;
        }
        found
    }

    #[inline]
    fn take(&mut self, name: &str, value: &str) -> Option<()> {
        match self.event.place(name).and_then(|place| self.types.get_mut(place)) {
            Some(found) => *found = kind_of(value)?,
            // Clients add some of their own, whose names begin like this.
            None if self.event.additional_properties || name.starts_with('$') => {}
            None => {
                self.unplanned.get_or_insert_with(|| name.chars().take(MAX_TOLD_CHARS).collect());
            }
        }
        Some(())
    }

    fn planned(&self) -> impl Iterator<Item = (&Planned, Option<PropertyType>)> {
        self.event.properties.iter().zip(self.types.iter().copied())
    }

    fn is_all_right(&self) -> bool {
        let is_right =
            |(planned, found): (&Planned, _)| !planned.lacks(found) && planned.mismatch(found).is_none();
        self.unplanned.is_none() && self.planned().all(is_right)
    }

    #[cold]
    fn violations(&self, event: &str) -> Vec<Violation> {
        let missing = self.planned().find(|(planned, found)| planned.lacks(*found));
        let wrong =
            self.planned().find_map(|(planned, found)| Some((&planned.name, planned.mismatch(found)?)));
        let mut violations = Vec::new();
        let mut tell = |rule, message| violations.push(Violation { rule, message });
        if let Some((Planned { name, .. }, _)) = missing {
            tell(
                Rule::Required,
                format!("the property {name:?} of {event:?} is required and missing or null: send it"),
            );
        }
        if let Some((name, (types, found))) = wrong {
            let found = found.as_str();
            tell(
                Rule::DataType,
                format!("the property {name:?} of {event:?} must be {types}, not {found}: send it as such"),
            );
        }
        if let Some(name) = &self.unplanned {
            tell(
                Rule::PlannedProperty,
                format!(
                    "the property {name:?} of {event:?} is not in the event's schema, which allows no others \
                     (additional_properties = false): leave it out, or add it to the event's properties"
                ),
            );
        }
        violations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_property_is_found_however_many_are_planned() {
        for count in [1, FEW, FEW + 1, 200] {
            let names: Vec<String> = (0..count).map(|place| format!("p{place}")).collect();
            let integer = PropertyTypes::from_iter([PropertyType::Integer]);
            let event = EventSchema {
                name: "buy".into(),
                required: names.clone(),
                properties: names.iter().map(|name| (name.clone(), integer)).collect(),
                additional_properties: false,
            };
            let (enforcement, events) = (Enforcement::Strict, vec![event]);
            let schema = CompiledSchema::new(&SiteSchema { enforcement, additional_events: false, events });
            let sent: String = names.iter().map(|name| format!("\"{name}\":1,")).collect();
            let broken_by = |more: &str| -> Vec<Rule> {
                let broken = schema.check("buy", &format!("{{{sent}{more}}}"));
                broken.into_iter().map(|violation| violation.rule).collect()
            };
            assert_eq!(broken_by(r#""$lib":"web""#), []);
            // Of those that come twice the last one counts.
            assert_eq!(
                broken_by(&format!(r#""p{}":null,"q":1"#, count - 1)),
                [Rule::Required, Rule::PlannedProperty]
            );
            assert_eq!(broken_by(r#""\u00700":"1""#), [Rule::DataType]);
            assert_eq!(broken_by(r#""q":1,"#), [Rule::Required], "what cannot be read has no properties");
        }
    }
}

//! What of an event breaks its site's schema. Pure, one pass over the properties, no tree: it runs on every event of a site
//! that has a schema, and on none of the others.
//!
//! Of a property that is there twice the last one counts, and `null` is absent, as everywhere. Of each rule that an event
//! breaks the first violation is told: required properties and types in the plan's order, unplanned ones in the event's.

use std::borrow::Cow;
use std::fmt;

use rustc_hash::FxHashMap;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::kind::KindOf;
use super::{Enforcement, EventSchema, PropertyType, PropertyTypes, SiteSchema};

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
    types: Vec<Option<PropertyType>>,
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

    /// The rules that an event breaks, one violation each, in the order of [`Rule`]. `properties` is a JSON object, or
    /// empty; what cannot be read has no properties.
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
        let found = Found::nothing(self).read(properties).unwrap_or_else(|| Found::nothing(self));
        let planned = || self.properties.iter().zip(&found.types);
        let missing = planned().find(|(planned, found)| planned.is_required && found.is_none());
        let wrong = planned().find_map(|(planned, found)| {
            let (types, found) = (planned.types?, (*found)?);
            (!types.allow(found)).then_some((&planned.name, types, found))
        });
        let mut violations = Vec::new();
        let mut tell = |rule, message| violations.push(Violation { rule, message });
        if let Some((Planned { name, .. }, _)) = missing {
            tell(
                Rule::Required,
                format!("the property {name:?} of {event:?} is required and missing or null: send it"),
            );
        }
        if let Some((name, types, found)) = wrong {
            let found = found.as_str();
            tell(
                Rule::DataType,
                format!("the property {name:?} of {event:?} must be {types}, not {found}: send it as such"),
            );
        }
        if let Some(name) = &found.unplanned {
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

impl<'e> Found<'e> {
    fn nothing(event: &'e CompiledEvent) -> Self {
        Self { event, types: vec![None; event.properties.len()], unplanned: None }
    }

    fn read(self, properties: &str) -> Option<Self> {
        if properties.is_empty() {
            return Some(self);
        }
        let mut deserializer = serde_json::Deserializer::from_str(properties);
        let found = self.deserialize(&mut deserializer).ok()?;
        deserializer.end().ok().map(|()| found)
    }
}

impl<'de> DeserializeSeed<'de> for Found<'_> {
    type Value = Self;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Found<'_> {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(name) = map.next_key_seed(Name)? {
            match self.event.places.get(&*name).and_then(|place| self.types.get_mut(*place)) {
                Some(found) => *found = map.next_value_seed(KindOf)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                    // Clients add some of their own, whose names begin like this.
                    let is_clients = name.starts_with('$');
                    if !self.event.additional_properties && !is_clients && self.unplanned.is_none() {
                        self.unplanned = Some(name.chars().take(MAX_TOLD_CHARS).collect());
                    }
                }
            }
        }
        Ok(self)
    }
}

/// A field's name, copied only where something in it is escaped.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field's name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

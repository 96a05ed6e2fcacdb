//! What a site's events are held to: `[[sites.events]]` say what properties an event has, and where `additional_events` is
//! `false` no others may come. Read with the plan, compiled once for each
//! plan, asked by the collector for every event and by the console for those that it lists.
//!
//! The words are those of other tracking plans: an unplanned event, a required property that is missing, a data type that
//! does not match, a property that is not planned. `schema/check.rs` says what breaks a rule.

mod check;
mod kind;
mod members;

pub use check::{CompiledSchema, Rule, Violation};

/// In `rejected_events` it stands before the reason of an event that is stored all the same: it breaks a rule of a
/// schema that is lenient.
pub const STORED_PREFIX: &str = "stored_";

/// What a site's events are held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteSchema {
    /// `schema`
    pub enforcement: Enforcement,
    /// Whether events may come that it does not name; they are held to nothing.
    pub additional_events: bool,
    /// In the file's order; names are unique.
    pub events: Vec<EventSchema>,
}

/// What becomes of an event that breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Enforcement {
    /// It is stored, and the violation is counted.
    #[default]
    Lenient,
    /// It is rejected.
    Strict,
}

/// One event that is held to rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSchema {
    /// As the site sends it.
    pub name: String,
    /// Properties that must be there and not be `null`; unique, in the file's order.
    pub required: Vec<String>,
    /// Properties and their types; unique, sorted.
    pub properties: Vec<(String, PropertyTypes)>,
    /// Whether it may have other properties too.
    pub additional_properties: bool,
}

/// The types that a property may have, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PropertyTypes(u8);

/// A type of JSON, under JSON Schema's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyType {
    String,
    /// Any number.
    Number,
    /// A number without a fraction, however it is written.
    Integer,
    Boolean,
    Object,
    Array,
}

impl Enforcement {
    /// As the plan writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lenient => "lenient",
            Self::Strict => "strict",
        }
    }
}

impl PropertyType {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::String, Self::Number, Self::Integer, Self::Boolean, Self::Object, Self::Array];

    /// As the plan writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Object => "object",
            Self::Array => "array",
        }
    }
}

impl PropertyTypes {
    /// With one more.
    #[must_use]
    pub fn with(self, more: PropertyType) -> Self {
        Self(self.0 | 1 << more as u8)
    }

    /// Whether this one is among them by name.
    pub fn has(self, wanted: PropertyType) -> bool {
        self.0 & 1 << wanted as u8 != 0
    }

    /// Whether a value of this type may stand there: an integer is a number too.
    pub fn allow(self, found: PropertyType) -> bool {
        self.has(found) || found == PropertyType::Integer && self.has(PropertyType::Number)
    }
}

impl FromIterator<PropertyType> for PropertyTypes {
    fn from_iter<T: IntoIterator<Item = PropertyType>>(types: T) -> Self {
        types.into_iter().fold(Self::default(), Self::with)
    }
}

/// `string or number`
impl std::fmt::Display for PropertyTypes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = PropertyType::ALL.into_iter().filter(|known| self.has(*known)).map(PropertyType::as_str);
        formatter.write_str(&names.collect::<Vec<_>>().join(" or "))
    }
}

impl SiteSchema {
    /// Whether an event of this name may be sent: those that clients name themselves (`$page`) need not be named.
    pub fn plans(&self, event: &str) -> bool {
        self.additional_events
            || event.starts_with('$')
            || self.events.iter().any(|planned| planned.name == event)
    }
}

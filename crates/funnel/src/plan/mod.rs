//! The tracking plan: which sites send events and which funnels are counted. Made only by [`Plan::parse`] from
//! `tracking-plan.toml`, which refuses everything that the rest of the project would have to check again.
//!
//! Who calls it: the collector (keys, origins), the aggregator (funnels), the console (names, windows) and
//! `rungs check`.

mod coach;
mod commitment;
mod cost;
mod definition;
mod filtering;
mod find;
mod listed;
mod lookup;
mod matching;
mod parse;
mod places;
mod policy;
mod quotas;
mod redirects;
mod schema;

use subtle::ConstantTimeEq;

pub use coach::Advice;
pub use commitment::Commitment;
pub use cost::Cost;
pub use lookup::{Derived, EventFields, PropertyName, PropertyValue};
pub use matching::{CompiledFunnel, FunnelIndex, MAX_VALUE_BYTES, NO_VALUE, PlanMatcher, SiteMatcher};
pub use places::{Place, PlaceFinder, Role};
pub use policy::{Bots, Identity, Signal, SitePolicy};
pub use quotas::{Rate, SiteLimits};
pub use redirects::{NotARedirect, Redirect};
pub use schema::{
    CompiledSchema, Enforcement, EventSchema, PropertyType, PropertyTypes, Rule, STORED_PREFIX, SiteSchema,
    Violation,
};

/// Limits of a plan; each is named in the error that refuses a plan beyond it.
pub mod limits {
    /// Sites in a plan.
    pub const MAX_SITES: usize = 200;
    /// Funnels in a plan.
    pub const MAX_FUNNELS: usize = 500;
    /// Steps of a funnel, at least.
    pub const MIN_STEPS: usize = 2;
    /// Steps of a funnel, at most (an event's matches are kept as bits: 16 steps and 16 offers).
    pub const MAX_STEPS: usize = 16;
    /// Rolling windows of a funnel.
    pub const MAX_ROLLING_WINDOWS: usize = 8;
    /// Breakdowns of a funnel.
    pub const MAX_BREAKDOWNS: usize = 4;
    /// Listed values of a breakdown, the ones exported to Prometheus.
    pub const MAX_LISTED_VALUES: usize = 50;
    /// Values of a breakdown kept in a partition that the plan does not list; later ones count as `other`.
    pub const MAX_UNLISTED_VALUES: usize = 1_000;
    /// Bytes of a site, funnel or step id.
    pub const MAX_ID_BYTES: usize = 64;
    /// Bytes of an event's or property's name in a plan.
    pub const MAX_NAME_BYTES: usize = 256;
    /// Bytes of an address that a counted link leads to.
    pub const MAX_DESTINATION_BYTES: usize = 2_048;
    /// A conversion or rolling window, at most: 92 days.
    pub const MAX_WINDOW_MS: i64 = 92 * 86_400_000;
    /// How long a site's raw events are kept, at most: 100 years.
    pub const MAX_RETENTION_DAYS: u16 = 36_525;
    /// Events or bytes a second, and at once, that a site's limits may name.
    pub const MAX_PER_SECOND: u64 = 1_000_000_000_000;
    /// Events that a site's schema names.
    pub const MAX_PLANNED_EVENTS: usize = 500;
    /// Properties of an event that a schema names.
    pub const MAX_PLANNED_PROPERTIES: usize = 200;
    /// A conversion or rolling window, at least: a minute.
    pub const MIN_WINDOW_MS: i64 = 60_000;
}

/// A valid tracking plan.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Sites, in the file's order; ids are unique.
    pub sites: Vec<Site>,
    /// Funnels, in the file's order; (site, id) is unique and the site exists.
    pub funnels: Vec<Funnel>,
}

/// A website or app that sends events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// An IANA time zone for "today" and "yesterday"; storage is UTC.
    pub timezone: String,
    /// Public keys: they sit in pages. Unique over all sites.
    pub write_keys: Vec<String>,
    /// SHA-256 of the keys that may import, erase, list visitors and set their own timestamps.
    pub secret_keys_sha256: Vec<[u8; 32]>,
    /// Origins that browsers may send from.
    pub origins: Origins,
    /// How long its raw events are kept, in days from when they were written; none: as long as the settings say.
    pub retention_days: Option<u16>,
    /// Where counted links may lead; nowhere by default. Asked by [`Site::destination`].
    pub redirects: Vec<Redirect>,
    /// How much may be sent to it; any amount by default.
    pub limits: SiteLimits,
    /// Whose events it wants.
    pub policy: SitePolicy,
    /// What its events are held to; anything may be sent where there is none.
    pub schema: Option<SiteSchema>,
}

/// Origins that browsers may send from. Requests without an Origin header (servers, pixels) are not limited by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// `["*"]`
    Any,
    /// Exact origins, `scheme://host[:port]`, lower case.
    Only(Vec<String>),
}

/// A ladder of steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Funnel {
    /// The site whose events count.
    pub site: String,
    /// Unique within the site.
    pub id: String,
    /// For people; the id where the plan names none.
    pub name: String,
    /// From the first step to the last, at most.
    pub conversion_window: Window,
    /// Unique, in the file's order.
    pub rolling_windows: Vec<Window>,
    /// Unique by `by`, in the file's order.
    pub breakdowns: Vec<Breakdown>,
    /// 2 to 16, ids unique.
    pub steps: Vec<Step>,
    /// Its site's: whom it counts.
    pub identity: Identity,
}

/// A span of time and how the plan wrote it: the text is the label and the query value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// E.g. `7d`.
    pub label: String,
    /// Milliseconds: whole minutes, at least one.
    pub ms: i64,
}

/// Numbers split by a value read at the entry step (and, for offers, at the offer).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breakdown {
    /// `properties.X`, then `context.X`, then a derived field of that name.
    pub by: String,
    /// Values exported to Prometheus; others are kept up to a limit and not exported.
    pub values: Vec<String>,
}

/// One small yes.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Unique within the funnel.
    pub id: String,
    /// For people; the id where the plan names none.
    pub name: String,
    /// Events of any of these names match, if the filter agrees.
    pub events: Vec<String>,
    /// What a matching event's property must be.
    pub filter: Option<Filter>,
    /// The event that shows the ask; commits / offers is the step's CTR.
    pub offer: Option<String>,
    /// What kind of yes it is.
    pub commitment: Commitment,
}

/// `where`: a condition on one property of a step's event (looked up as `properties.X`, `context.X`, derived field).
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// The property's name; `a.b` reaches into an object.
    pub property: String,
    /// What it must be.
    pub condition: Condition,
}

/// What a property must be.
#[derive(Debug, Clone)]
pub enum Condition {
    /// `in`: equal to one of these, compared as text (`true`, `false`; a number by its one text, also if it is listed otherwise).
    In(Vec<String>),
    /// `min` and/or `max`: a number, or a text that is one, within these bounds, both included.
    Range {
        /// Lower bound.
        min: Option<f64>,
        /// Upper bound.
        max: Option<f64>,
    },
    /// `matches`: a regular expression found somewhere in the text.
    Matches(regex::Regex),
    /// `exists`: there is a text that is not empty, a number or a boolean (`true`), or there is not (`false`).
    Exists(bool),
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::In(a), Self::In(b)) => a == b,
            (Self::Range { min: a, max: b }, Self::Range { min: c, max: d }) => a == c && b == d,
            (Self::Matches(a), Self::Matches(b)) => a.as_str() == b.as_str(),
            (Self::Exists(a), Self::Exists(b)) => a == b,
            _ => false,
        }
    }
}

impl Funnel {
    /// The names of all events that can matter to the funnel, sorted: those of its steps and offers.
    pub fn event_names(&self) -> Vec<String> {
        let steps = self.steps.iter();
        let mut names: Vec<String> =
            steps.flat_map(|step| step.events.iter().chain(&step.offer)).cloned().collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Site {
    /// Whether a key with this SHA-256 is one of the site's secret keys. Compares in constant time, and with all of them
    /// also after one matched: how long it takes tells nothing.
    pub fn has_secret_key(&self, sha256: &[u8; 32]) -> bool {
        self.secret_keys_sha256.iter().fold(false, |found, known| found | bool::from(known.ct_eq(sha256)))
    }
}

impl Plan {
    /// The site with this id.
    pub fn site(&self, id: &str) -> Option<&Site> {
        self.sites.iter().find(|site| site.id == id)
    }

    /// The funnels of a site, in the file's order.
    pub fn funnels_of(&self, site: &str) -> impl Iterator<Item = &Funnel> {
        self.funnels.iter().filter(move |funnel| funnel.site == site)
    }

    /// The funnel of a site with this id.
    pub fn funnel(&self, site: &str, id: &str) -> Option<&Funnel> {
        self.funnels.iter().find(|funnel| funnel.site == site && funnel.id == id)
    }
}

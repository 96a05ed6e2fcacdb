//! Which ids are one visitor, where a site asks for that (`identity = "links"` in the plan). Three pure parts: ids that
//! name nobody ([`placeholder`]), the rule that joins the others ([`rule`]), and how an event finds the visitor that it
//! counts for ([`joined`]). The aggregator finds what the rule needs in the raw events, once in a while, and keeps its
//! outcome as a set of links; builds from raw and lanes count by such a set.
//!
//! Guarantee: the outcome depends on what was seen alone, not on its order, and joins nobody through an id that more than
//! one person may have.

pub mod joined;
pub mod placeholder;
pub mod rule;
#[cfg(test)]
mod rule_tests;

pub use joined::{Joined, Person, Whose};
pub use placeholder::is_placeholder;
pub use rule::{Apart, Companions, Link, Links, MAX_IDS_OF_A_VISITOR, join};

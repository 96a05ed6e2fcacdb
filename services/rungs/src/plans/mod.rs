//! The tracking plan in force: put there ([`in_force`]), over HTTP ([`http`]) or from a file that is watched
//! ([`file`]), and followed by collector and console ([`follow`]). [`difference`] tells people what a plan changes,
//! [`reached`] is the plan in force as a command reaches it.

pub(crate) mod difference;
pub(crate) mod file;
pub(crate) mod follow;
pub(crate) mod http;
pub(crate) mod in_force;
pub(crate) mod reached;
mod site_rules;

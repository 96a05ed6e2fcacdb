//! The tracking plan in force: put there ([`in_force`]), over HTTP ([`http`]) or from a file that is watched ([`file`]),
//! and followed by collector and console ([`follow`]).

pub(crate) mod file;
pub(crate) mod follow;
pub(crate) mod http;
pub(crate) mod in_force;

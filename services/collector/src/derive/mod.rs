//! What the collector tells about an event beyond what was sent: where the visitor came from, with what device, what
//! the purchase was worth. Each file derives one thing from texts it is given, without I/O.

pub(crate) mod address;
mod bots;
pub(crate) mod campaign;
pub(crate) mod channel;
pub(crate) mod channels;
pub(crate) mod context;
pub(crate) mod message_id;
pub(crate) mod revenue;
pub(crate) mod user_agent;

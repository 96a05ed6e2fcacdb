//! The collector: takes events over HTTP and answers when they are durable.
//!
//! One request, from the wire to the log: [`server`] hands it to `receive`, which asks the table of `adapters` what the
//! path means; `body` reads and expands it within limits; the adapter makes drafts of its bytes (`json`, one pass, no
//! copies); `keys` and `cors` say whose it is and whether the origin may send; `validate` turns each draft into a
//! record (`derive`, `record`) or a rejection; the records go to the log in one call; when its receipt resolves,
//! `answer` tells how many were accepted and which were rejected, and why.
//!
//! A 200 promises that every event it counts as accepted survives a power cut. It does not promise that an event is
//! new (duplicates are dropped later, by message id) or that a funnel counts it.

mod account;
mod adapters;
mod answer;
mod body;
mod connection;
mod cors;
pub mod decoding;
mod derive;
mod draft;
mod fields;
mod forget;
mod imports;
mod json;
mod kept;
mod keys;
pub mod limits;
mod listener;
mod log_json;
mod mask;
mod metrics;
mod outcome;
mod places;
mod properties;
pub mod publish;
mod quota;
mod receive;
mod record;
pub mod refusal;
pub mod rejection;
mod server;
mod skew;
mod spill_metrics;
mod tag;
mod timestamp;
mod validate;
mod warehouse_status;

pub use derive::channels::CHANNELS;
pub use derive::context::{ALLOWED as CONTEXT_ALLOWED, ALLOWED_IN as CONTEXT_ALLOWED_IN};
pub use log_json::event_of_json;
pub use metrics::{Metrics, unkept_rejections};
pub use outcome::Undecided;
pub use quota::OverQuota;
pub use server::{Bound, Collector, CollectorError, run};
pub use spill_metrics::{SpillMetrics, SpillState};
pub use warehouse_status::{ImportProgress, WarehouseAnswer, WarehouseStatus, WarehouseStatusError};

/// Every path with its method, as the docs list them; what differs from request to request stands in braces.
pub fn paths() -> impl Iterator<Item = (&'static str, &'static str)> {
    adapters::ROUTES.iter().chain(adapters::PATTERNS).map(|(path, endpoint)| (endpoint.method(), *path))
}

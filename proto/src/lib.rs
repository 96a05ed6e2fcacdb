//! The log's contract (`rungs/v1/event.proto`) as Rust types: written by the collector, read by the aggregator
//! ([`view`] without copying). The messages document themselves in the proto file.

pub mod view;

/// Version 1 of the contract.
#[allow(clippy::pedantic, missing_docs)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/rungs.v1.rs"));
}

//! The log's contract (`rungs/v1/event.proto`) as Rust types: written by the collector, read by the aggregator
//! ([`view`] without copying). The messages document themselves in the proto file.

pub mod view;

/// Version 1 of the contract.
// An event is what nearly every record holds: boxing it would cost an allocation each.
#[allow(clippy::large_enum_variant, missing_docs)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/rungs.v1.rs"));
}

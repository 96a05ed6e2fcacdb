//! The log's contract (`rungs/v1/event.proto`) as Rust types: written by the collector, read by the aggregator
//! ([`view`] without copying). The messages document themselves in the proto file.

use prost::Message as _;

pub mod view;

/// Version 1 of the contract.
// An event is what nearly every record holds: boxing it would cost an allocation each.
#[allow(clippy::large_enum_variant, missing_docs)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/rungs.v1.rs"));
}

/// A control record of the log, encoded.
pub fn control_record(generation: u64, action: v1::control::Action) -> Vec<u8> {
    let control = v1::Control { generation, action: Some(action) };
    v1::Record { body: Some(v1::record::Body::Control(control)) }.encode_to_vec()
}

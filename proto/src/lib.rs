//! The log's contract (`rungs/v1/event.proto`) as Rust types: written by the collector, read by the aggregator.
//! The messages document themselves in the proto file.

#![allow(clippy::pedantic, missing_docs)]

/// Version 1 of the contract.
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/rungs.v1.rs"));
}

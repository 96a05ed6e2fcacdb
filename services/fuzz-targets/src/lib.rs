//! What everything that reads bytes of strangers promises, as functions of any bytes: one [`Target`] for each decoder. They
//! panic where a promise is broken. Three callers: `fuzz` (libFuzzer looks for such bytes), `tests/replay.rs` (the corpus
//! and changed copies of it, for some seconds in `make test`), and this crate's program, which writes the seeds of `fuzz`.
//!
//! Beside "no bytes bring it down": the same bytes come to the same events; each event of the request has one result, in
//! order; what is accepted is within the limits, is a record that prost and the aggregator take, and comes to the same
//! record when it is sent again in our own form ([`judge`]); packed bodies come to what plain ones do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // stops where it is wrong

mod adapters;
pub mod corpus;
mod expanding;
mod judge;
mod log_records;
pub mod mutation;
mod plans;
mod queries;
mod wire;

use corpus::Corpus;

/// A decoder and its promises.
pub struct Target {
    /// Of the file in `fuzz/fuzz_targets`, and of its seeds' folder.
    pub name: &'static str,
    /// Decodes and judges; panics where a promise is broken.
    pub check: fn(&[u8]),
    /// What to begin with.
    pub seeds: fn(&Corpus) -> Vec<Vec<u8>>,
}

/// Every decoder.
pub const TARGETS: &[Target] = &[
    Target { name: "segment", check: adapters::segment, seeds: adapters::segment_seeds },
    Target { name: "posthog", check: adapters::posthog, seeds: adapters::posthog_seeds },
    Target { name: "umami", check: adapters::umami, seeds: |corpus| corpus.bodies(&["umami"]) },
    Target { name: "snowplow", check: adapters::snowplow, seeds: |corpus| corpus.bodies(&["snowplow"]) },
    Target { name: "openpanel", check: adapters::openpanel, seeds: |corpus| corpus.bodies(&["openpanel"]) },
    Target { name: "json", check: adapters::json, seeds: adapters::json_seeds },
    Target { name: "lines", check: adapters::lines, seeds: adapters::lines_seeds },
    Target { name: "protobuf", check: adapters::protobuf, seeds: adapters::protobuf_seeds },
    Target { name: "beacon", check: adapters::beacon, seeds: adapters::beacon_seeds },
    Target { name: "pixel", check: queries::pixel, seeds: queries::pixel_seeds },
    Target { name: "click", check: queries::click, seeds: queries::click_seeds },
    Target { name: "snowplow_query", check: queries::snowplow, seeds: queries::snowplow_seeds },
    Target { name: "packed", check: expanding::packed, seeds: expanding::packed_seeds },
    Target { name: "log_json", check: log_records::json, seeds: log_records::json_seeds },
    Target { name: "log_protobuf", check: log_records::protobuf, seeds: log_records::protobuf_seeds },
    Target { name: "plan", check: plans::check, seeds: plans::seeds },
];

/// Checks bytes by a target's name, as the files of `fuzz/fuzz_targets` do.
///
/// # Panics
/// When a promise is broken, or there is no such target.
pub fn check(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("there is no target {name}")).check)(data);
}

//! The domain of Rungs, pure: tracking plan, matching, chains, rolling counts, statistics. No I/O, no clock, no async:
//! time comes in as an argument, so that every number can be computed again and compared with a model.

pub mod buckets;
mod cells;
pub mod climb;
pub mod codec;
pub mod counts;
pub mod fold;
pub mod histogram;
pub mod identity;
pub mod intake;
pub mod journey;
mod journeys;
pub mod ladder;
pub mod model;
mod packed_time;
pub mod plan;
pub mod report;
pub mod room;
pub mod standing;
pub mod tail;
mod tallies;
pub mod tally;
pub mod track;
pub mod tracks;
pub mod values;
pub mod windows;

pub use counts::Counts;
pub use plan::Plan;

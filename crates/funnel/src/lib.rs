//! The domain of Rungs, pure: tracking plan, matching, chains, rolling counts, statistics. No I/O, no clock, no async:
//! time comes in as an argument, so that every number can be computed again and compared with a model.

pub mod buckets;
pub mod counts;
pub mod plan;

pub use counts::Counts;
pub use plan::Plan;

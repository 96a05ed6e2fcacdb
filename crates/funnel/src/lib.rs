//! The domain of Rungs, pure: tracking plan, matching, chains, rolling counts, statistics. No I/O, no clock, no async:
//! time comes in as an argument, so that every number can be computed again and compared with a model.

pub mod plan;

pub use plan::Plan;

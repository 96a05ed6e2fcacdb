//! The aggregator: reads the log, keeps every funnel's rolling counts, writes ClickHouse, exposes the counts as metrics.
//!
//! The way of an event: [`run`] serves the partitions that this process owns, each on a thread; [`lane`] decodes each
//! record, moves the partition's clock, and gives events to the funnels they match ([`funnel_lane`]); what is to be
//! stored leaves as ordered [`store::Write`]s, which [`writer`] executes. [`restore`] brings a partition back after a
//! restart, [`build`] counts a new or changed funnel from the raw events, [`metrics`] renders the live counts at a
//! scrape.

pub mod build;
pub mod clickhouse;
mod clock_watch;
pub mod counters;
mod ending;
pub mod erased;
mod erased_rows;
pub mod funnel_lane;
pub mod joining;
mod journey_budget;
pub mod lane;
mod lane_thread;
pub mod linking;
mod links;
pub mod memory;
pub mod metrics;
pub mod panics;
mod partitions;
mod refused;
pub mod refused_raw;
mod rejected;
pub mod restore;
mod restores;
pub mod run;
mod screened;
mod site_retention;
#[cfg(test)]
mod small_lane;
pub mod snapshot;
pub mod store;
pub mod timing;
pub mod writer;

pub use run::{Aggregator, AggregatorError, run};
pub use screened::{Translate, Untranslatable};

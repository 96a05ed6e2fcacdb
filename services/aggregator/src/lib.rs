//! The aggregator: reads the log, keeps every funnel's rolling counts, writes ClickHouse, exposes the counts as metrics.
//!
//! The way of an event: [`run`] reads records from the log on a thread a partition; [`lane`] decodes each, moves the
//! partition's clock, and gives events to the funnels they match ([`funnel_lane`]); what is to be stored leaves as ordered
//! [`store::Write`]s, which [`writer`] executes. [`restore`] brings a partition back after a restart, [`build`] counts a
//! new or changed funnel from the raw events, [`metrics`] renders the live counts at a scrape.

pub mod build;
pub mod clickhouse;
pub mod counters;
pub mod funnel_lane;
pub mod lane;
mod lane_thread;
pub mod memory;
pub mod metrics;

pub mod restore;
pub mod run;
pub mod snapshot;
pub mod store;
pub mod writer;

pub use run::{Aggregator, AggregatorError, run};

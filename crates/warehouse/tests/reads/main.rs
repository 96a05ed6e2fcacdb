//! What services read from ClickHouse, against the real engine and hand-made rows: which generation is in force, stale
//! and missing partitions, the minute history, and that raw events are made distinct before they are filtered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod arriving;
mod database;
#[path = "../embedded_support/mod.rs"]
mod embedded_support;
mod engine;
mod erasures;
mod history;
mod imports;
mod journeys;
mod links;
mod live;
mod logs;
mod notes;
mod raw;
mod retention;
mod schema;
mod tls;
mod trace;
mod visitors;

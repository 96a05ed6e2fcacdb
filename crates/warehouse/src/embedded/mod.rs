//! Embedded ClickHouse: the engine (libchdb, loaded at run time) behind ClickHouse's HTTP interface on loopback, so
//! that the same clients and the same code serve a laptop and a production server.
//!
//! A request's way: [`server`] accepts it, [`request`] reads URL, headers and form into one value, [`body`] hands its
//! bytes over a bounded channel, [`pool`] queues it (bounded; full is a 503) for a worker thread that owns one engine
//! connection, [`session`] brings that connection to the request's database and settings, [`execute`] runs it and
//! [`response`] sends what comes back. Only [`library`] calls C, and it is the only `unsafe` code of the project.
//!
//! Started by `rungs up`, `rungs clickhouse` and tests. One data folder per process; another process is refused.

mod at_exit;
mod blocks;
mod body;
mod encoding;
mod engine;
mod engine_state;
mod error;
mod execute;
mod formats;
mod library;
mod locate;
mod metrics;
mod multipart;
mod origin;
mod pool;
mod quick_ack;
mod request;
mod response;
mod server;
mod session;
mod statement;
mod status;

pub use engine_state::{ClickHouseState, TableState};
pub use error::EmbeddedError;
pub use library::{Connection, InsertStream, Library, Parameter, QueryResult, SelectStream, StatementClass};
pub use metrics::ClickHouseMetrics;
pub use server::{EmbeddedServer, EmbeddedSettings};

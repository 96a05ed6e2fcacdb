//! ClickHouse behind one seam: the schema (`migrations/`), the rows ([`rows`]), the client every service shares, and the
//! queries of aggregator and console. The same code talks to a server and to [`embedded`] ClickHouse, over HTTP.

pub mod annotations;
pub mod arriving;
pub mod client;
mod connector;
pub mod embedded;
mod engines;
pub mod erasures;
pub mod error;
pub mod event_batch;
pub mod event_names;
pub mod generations;
pub mod history;
pub mod imports;
mod journey_batch;
pub mod links;
pub mod live;
pub mod logs;
pub mod migrate;
pub mod native;
pub mod newest;
mod numbers;
pub mod raw;
pub mod rejected;
mod retention;
pub mod rows;
pub mod state;
mod statements;
pub mod trace;
pub mod visitors;

pub use client::Warehouse;
pub use error::WarehouseError;
pub use generations::FunnelKey;
pub use migrate::migrate;
pub use retention::{Kept, Retention};

//! The console: the report API under `/api/v1` and the live page at `/`, for people and programs that read numbers.
//!
//! A request's way: [`access`] lets it in or not, [`params`] reads what it asks for against the plan in force,
//! [`source`] gives counts (from ClickHouse in production), [`answer`] derives what is sent. [`hub`] does the same once
//! a second for all clients of a stream together. Every refusal is an [`api_error::ApiError`].
//!
//! The console keeps nothing but the newest numbers, for a second or two ([`shared_reads`]): whatever it answers can be
//! read again from ClickHouse.

#[cfg(test)]
extern crate self as rungs_console;

pub mod access;
mod annotations;
pub mod answer;
pub mod api_error;
mod assets;
mod catalog;
mod csv;
pub mod day;
mod event_names;
mod history;
pub mod hub;
mod live;
mod metrics;
mod params;
pub mod raw_reports;
mod readiness;
pub mod recent;
pub mod report;
mod request_id;
mod routes;
mod secret;
mod server;
pub mod shared_reads;
pub mod source;
mod stream;
mod visitors;
pub mod warehouse_source;

#[cfg(test)]
#[path = "../tests/api/fake.rs"]
#[allow(dead_code, clippy::cast_possible_truncation)]
mod fake;

use std::net::SocketAddr;
use std::sync::Arc;

use funnel::Plan;
use runtime::settings::ConsoleSettings;
use runtime::{Health, Metrics, Shutdown, Tasks};
use tokio::sync::watch;

pub use routes::PATHS;
pub use server::Server;
pub use source::NumberSource;
pub use warehouse_source::WarehouseSource;

/// What a console is made of.
pub struct Console {
    pub settings: ConsoleSettings,
    /// Where numbers come from: [`WarehouseSource`].
    pub source: Arc<dyn NumberSource>,
    /// The plan in force; `None` before the first one.
    pub plan: watch::Receiver<Option<Arc<Plan>>>,
    pub tasks: Tasks,
    pub metrics: Metrics,
    pub health: Health,
}

/// The console did not start or broke off.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The address is in use or not ours.
    #[error(
        "the console cannot listen on {listen}: {source}; end what uses the port, or choose another one with --console or \
         [console] listen"
    )]
    Listen {
        /// Where it was to listen.
        listen: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The HTTP server ended with an error.
    #[error("the console's HTTP server broke off: {0}")]
    Serve(std::io::Error),
    /// A metric could not be registered.
    #[error(transparent)]
    Metrics(#[from] runtime::metrics::MetricsError),
}

/// Serves until `shutdown` is requested; then open streams end, requests that run are answered, and it returns.
///
/// # Errors
/// When the address cannot be bound or the server breaks off.
pub async fn run(console: Console, shutdown: Shutdown) -> Result<(), ConsoleError> {
    Server::bind(console, shutdown)?.serve().await
}

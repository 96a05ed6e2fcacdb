//! What every service needs: settings, logging, metrics registry, health, admin server, tasks and shutdown.
//!
//! A process starts them in this order: [`settings`], [`logging`], [`metrics`], [`health`], [`tasks`], [`shutdown`],
//! [`admin`]; then its services, each of which gets clones.

pub mod admin;
mod basic_auth;
mod clock;
pub mod descriptors;
pub mod health;
pub mod logging;
pub mod metrics;
pub mod retry;
pub mod settings;
pub mod shutdown;
mod task_metrics;
pub mod tasks;

pub use admin::AdminServer;
pub use basic_auth::basic_user_name;
pub use clock::now_ms;
pub use health::Health;
pub use metrics::Metrics;
pub use settings::Settings;
pub use shutdown::Shutdown;
pub use tasks::Tasks;

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit this build was made from, where the build said so (`RUNGS_COMMIT`).
pub const COMMIT: &str = match option_env!("RUNGS_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

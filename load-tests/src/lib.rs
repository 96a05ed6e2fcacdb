//! Benchmarks of Rungs: what each part carries, as ratios to the bare limits of the machine measured in the same run.
//! `rungs-bench` (`make bench`) runs them; docs/benchmarks.md says what each figure means.
//!
//! [`http`] is the load generator: closed loop (as fast as the server answers) or open loop (a fixed rate, latency
//! from the time at which a request was due, so that a server that stalls is charged for everybody who had to wait).
//! [`stream`] makes events, [`template`] writes them as requests, [`process`] starts servers and reads what they use.

pub mod bare;
pub mod checks;
pub mod collector;
pub mod end_to_end;
pub mod fold;
pub mod http;
pub mod ingest;
pub mod journeys;
pub mod kafka;
pub mod live;
pub mod markers;
mod packed;
pub mod process;
pub mod rungs;
pub mod stream;
pub mod table;
pub mod template;

/// Why a benchmark could not be run.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("{0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    #[error("{0}")]
    Other(String),
}

impl BenchError {
    /// An error that is only a text.
    pub fn other(text: impl ToString) -> Self {
        Self::Other(text.to_string())
    }
}

//! `rungs.toml`: how services run (what is counted is the tracking plan). Every value has a default that suits a laptop;
//! the environment overrides the file (`RUNGS_CLICKHOUSE__URL`), and every secret can come from a file (`…_file`).
//!
//! Fields end in their unit (`horizon_ms`); the file writes the unit with the value (`horizon = "24h"`).

mod kafka;
mod keys;
mod load;
mod read;
mod reference;
mod secrets;

pub use kafka::KafkaSettings;
pub use reference::{reference, variables};

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// All settings, checked. Sections are tables of `rungs.toml`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    pub collector: CollectorSettings,
    pub aggregator: AggregatorSettings,
    pub console: ConsoleSettings,
    pub admin: AdminSettings,
    pub log: LogSettings,
    pub clickhouse: ClickHouseSettings,
    pub logging: LoggingSettings,
    pub kafka: KafkaSettings,
}

/// `[collector]`
#[derive(Debug, Clone, PartialEq)]
pub struct CollectorSettings {
    /// Where events come in.
    pub listen: SocketAddr,
    /// Threads that serve HTTP; 0 = one a core.
    pub workers: usize,
    /// A request's body as sent, at most.
    pub max_body_bytes: usize,
    /// A request's body decompressed, at most.
    pub max_expanded_bytes: usize,
    /// Events of one request, at most.
    pub max_batch_events: usize,
    /// One event as JSON, at most.
    pub max_event_bytes: usize,
    /// Bytes of requests that are being handled at the same time, at most; beyond: 503.
    pub max_in_flight_bytes: usize,
    /// How much of them one site may have where the plan has several, in percent; beyond: 503.
    pub site_share_percent: usize,
    /// Connections at the same time, at most.
    pub max_connections: usize,
    /// How many of them one address may hold, in percent; further ones are closed at once.
    pub address_share_percent: usize,
    /// Client clocks that differ from ours by less are not corrected.
    pub skew_threshold_ms: i64,
    /// A request's head must be here within this time.
    pub head_timeout_ms: u64,
    /// A header that the reverse proxy sets with the visitor's two-letter country; none by default.
    pub country_header: Option<String>,
    /// A header that the reverse proxy sets with the visitor's address; none by default: the connection's counts.
    pub address_header: Option<String>,
    /// The tag is served at this path too; none by default.
    pub tag_path: Option<String>,
}

/// `[aggregator]`
#[derive(Debug, Clone, PartialEq)]
pub struct AggregatorSettings {
    /// Events older than this by the partition's clock are late: stored, not folded until the next build from raw.
    pub horizon_ms: i64,
    /// Raw events are written this often, or when `events_batch_rows` wait.
    pub events_interval_ms: u64,
    /// Rows of one insert of raw events, at most.
    pub events_batch_rows: usize,
    /// Journeys that changed are written this often.
    pub journeys_interval_ms: u64,
    /// Journeys of one insert, at most; more are written one insert every `events_interval_ms`.
    pub journeys_batch_rows: usize,
    /// Events that one visitor's tail holds; beyond: stored, not folded until the next build from raw.
    pub max_tail_events: usize,
    /// Journeys in memory over all partitions of the process; beyond: it reads no further.
    pub max_journeys: usize,
    /// How long minute ends are answered.
    pub minute_history_days: u32,
    /// How long hour ends are answered.
    pub hour_history_days: u32,
    /// How long raw events are kept, counted from when they were written.
    pub raw_retention_days: u32,
    /// How often rows of erased visitors are looked for, to be deleted.
    pub erasure_interval_ms: u64,
    /// How often the ids of sites that join them are joined anew.
    pub link_interval_ms: u64,
}

/// `[console]`
#[derive(Clone, PartialEq)]
pub struct ConsoleSettings {
    /// Where the page and the API are served.
    pub listen: SocketAddr,
    /// Threads that serve HTTP; 0 = one a core.
    pub workers: usize,
    /// Whoever reads must send it as a Bearer token or `?token=`; none: this machine only.
    pub token: Option<String>,
    /// Visitors that a report counts, at most: it holds them in memory.
    pub max_report_visitors: usize,
}

/// `[admin]`
#[derive(Debug, Clone, PartialEq)]
pub struct AdminSettings {
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub listen: SocketAddr,
}

/// `[log]`: the local log (standalone) and the collector's spill.
#[derive(Debug, Clone, PartialEq)]
pub struct LogSettings {
    /// Partitions of a new local log.
    pub partitions: u32,
    /// Bytes of records that wait to be aggregated, at most; beyond: 503.
    pub max_bytes: u64,
    /// Bytes in the queue before the disk, at most; beyond: 503.
    pub max_queued_bytes: usize,
    /// Aggregated records are kept at least this long.
    pub retention_ms: i64,
    /// … unless they take more than this.
    pub retention_bytes: u64,
}

/// `[clickhouse]`
#[derive(Clone, PartialEq)]
pub struct ClickHouseSettings {
    /// The HTTP interface, e.g. `https://clickhouse.internal:8443`; `rungs up` without it starts the embedded one.
    pub url: Option<String>,
    pub user: String,
    pub password: Option<String>,
    pub database: String,
    /// Certificates of the authorities to trust beside the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// Whether the tables are replicated, and inserts wait for a majority of replicas.
    pub replicated: bool,
}

/// `[logging]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggingSettings {
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, or tracing's directives.
    pub level: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

impl Default for CollectorSettings {
    fn default() -> Self {
        Self {
            listen: loopback(8080),
            workers: 0,
            max_body_bytes: 4 << 20,
            max_expanded_bytes: 16 << 20,
            max_batch_events: 10_000,
            max_event_bytes: 32 << 10,
            max_in_flight_bytes: 64 << 20,
            site_share_percent: 50,
            max_connections: 10_000,
            address_share_percent: 50,
            skew_threshold_ms: 60_000,
            head_timeout_ms: 10_000,
            country_header: None,
            address_header: None,
            tag_path: None,
        }
    }
}

impl Default for AggregatorSettings {
    fn default() -> Self {
        Self {
            horizon_ms: 86_400_000,
            events_interval_ms: 500,
            events_batch_rows: 100_000,
            journeys_interval_ms: 30_000,
            journeys_batch_rows: 50_000,
            max_tail_events: 256,
            max_journeys: 20_000_000,
            minute_history_days: 7,
            hour_history_days: 730,
            raw_retention_days: 400,
            erasure_interval_ms: 600_000,
            link_interval_ms: 86_400_000,
        }
    }
}

impl Default for ConsoleSettings {
    fn default() -> Self {
        Self { listen: loopback(8081), workers: 1, token: None, max_report_visitors: 1_000_000 }
    }
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self { listen: loopback(9464) }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            partitions: 1,
            max_bytes: 8 << 30,
            max_queued_bytes: 32 << 20,
            retention_ms: 3_600_000,
            retention_bytes: 1 << 30,
        }
    }
}

impl Default for ClickHouseSettings {
    fn default() -> Self {
        Self {
            url: None,
            user: "default".into(),
            password: None,
            database: "rungs".into(),
            ca_file: None,
            replicated: false,
        }
    }
}

impl Default for LoggingSettings {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}

/// The process's environment variables, those that are text: what [`Settings::load`] reads.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The folder where `rungs up` keeps its log and its ClickHouse.
pub fn default_data_dir() -> PathBuf {
    PathBuf::from("data")
}

//! The collector by itself: its library on a local log, without aggregator and ClickHouse behind it, in a process of its
//! own. `ingest` measures it beside the bare handler: what receiving an event costs until it is durable.
//!
//! Records are released as soon as they are stored, as a reader that keeps up would do, so that the log neither fills
//! nor grows.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use collector::Collector;
use event_log::local::{LocalLog, LocalLogSettings};
use event_log::{Source, SystemClock};
use funnel::Plan;
use runtime::settings::{CollectorSettings, LogSettings};
use runtime::{Health, Metrics, Shutdown, Tasks};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::BenchError;
use crate::process::Server;
use crate::stream::PLAN;

/// Released records that stay on the disk, at most.
const KEPT_BYTES: u64 = 256 << 20;
/// How often records are released.
const RELEASED_EVERY: Duration = Duration::from_millis(20);

/// A collector that runs.
pub struct Alone {
    pub server: Server,
    pub address: SocketAddr,
    _folder: TempDir,
}

impl Alone {
    /// Starts this program again as a collector; `folder` is where its log's folder is made.
    pub fn start(folder: &Path) -> Result<Self, BenchError> {
        let folder = tempfile::tempdir_in(folder)?;
        let mut command = Command::new(std::env::current_exe()?);
        let mut server = Server::start(command.arg("collector").arg(folder.path().join("log")))?;
        let address = server.first_address()?;
        Ok(Self { server, address, _folder: folder })
    }
}

/// Serves on a free port of loopback, prints the address, and runs until it is ended.
pub fn serve(dir: &Path) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(run(dir))
}

async fn run(dir: &Path) -> Result<(), BenchError> {
    let log = Arc::new(open(dir)?);
    let plan = Plan::parse("tracking-plan.toml", PLAN)
        .map_err(|problems| BenchError::other(format!("{problems:?}")))?;
    let (_plans, plan) = watch::channel(Some(Arc::new(plan)));
    let shutdown = Shutdown::new();
    let collector = Collector {
        settings: CollectorSettings {
            listen: ([127, 0, 0, 1], 0).into(),
            workers: 2,
            ..CollectorSettings::default()
        },
        publisher: Arc::clone(&log) as _,
        direct: Arc::clone(&log) as _,
        plan,
        warehouse: None,
        salts: watch::channel(None).1,
        generations: Arc::default(),
        rejections: None,
        metrics: &Metrics::new().map_err(BenchError::other)?,
        health: Health::new(),
    };
    let bound = collector.bind(&shutdown).map_err(BenchError::other)?;
    println!("{}", bound.address());
    drop(Tasks::new().spawn("release", release(log)));
    bound.serve().await.map_err(BenchError::other)
}

/// The log as `rungs up` opens it by default.
fn open(dir: &Path) -> Result<LocalLog, BenchError> {
    let defaults = LogSettings::default();
    let settings = LocalLogSettings {
        max_bytes: defaults.max_bytes,
        max_queued_bytes: defaults.max_queued_bytes as u64,
        retention_bytes: KEPT_BYTES,
        ..LocalLogSettings::new(dir, defaults.partitions)
    };
    LocalLog::open(settings, Arc::new(SystemClock)).map_err(BenchError::other)
}

/// Releases all that is stored, for ever.
async fn release(log: Arc<LocalLog>) {
    loop {
        tokio::time::sleep(RELEASED_EVERY).await;
        for partition in 0..Source::partitions(log.as_ref()) {
            let end = *log.end(partition).borrow();
            log.release(partition, end);
        }
    }
}

//! The collector by itself: its library on a local log, without aggregator and ClickHouse behind it, in a process of its
//! own. `ingest` measures it beside the bare handler: what receiving an event costs until it is durable.
//!
//! Records are released as soon as they are stored, as a reader that keeps up would do, so that the log neither fills
//! nor grows. Settings of `[collector]` may come from the environment, as they do for `rungs`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use collector::{Bound, Collector};
use event_log::local::{LocalLog, LocalLogSettings};
use event_log::{Publisher, Source, SystemClock};
use funnel::Plan;
use runtime::settings::{CollectorSettings, LogSettings, environment};
use runtime::{Health, Metrics, Settings, Shutdown, Tasks};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::BenchError;
use crate::process::Server;
use crate::stream::PLAN;

/// Released records that stay on the disk, at most.
const KEPT_BYTES: u64 = 256 << 20;
/// How often records are released.
const RELEASED_EVERY: Duration = Duration::from_millis(20);

/// The plan that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Plans {
    /// Of all benchmarks.
    Benchmark,
    /// With limits, a schema and whatever else events are held to.
    Checked,
    /// Without any of that.
    Unchecked,
}

impl Plans {
    fn name(self) -> &'static str {
        match self {
            Self::Benchmark => "benchmark",
            Self::Checked => "checked",
            Self::Unchecked => "unchecked",
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Benchmark => PLAN,
            Self::Checked => include_str!("../checked-plan.toml"),
            Self::Unchecked => include_str!("../unchecked-plan.toml"),
        }
    }
}

/// A collector that runs.
pub struct Alone {
    pub server: Server,
    pub address: SocketAddr,
    _folder: TempDir,
}

impl Alone {
    /// Starts this program again as a collector; `folder` is where its log's folder is made.
    pub fn start(folder: &Path, plan: Plans) -> Result<Self, BenchError> {
        let folder = tempfile::tempdir_in(folder)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("collector").arg(folder.path().join("log")).arg(plan.name());
        let mut server = Server::start(&mut command)?;
        let address = server.first_address()?;
        Ok(Self { server, address, _folder: folder })
    }
}

/// Serves on a free port of loopback, prints the address, and runs until it is ended.
pub fn serve(dir: &Path, plan: Plans) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(run(dir, plan))
}

async fn run(dir: &Path, plan: Plans) -> Result<(), BenchError> {
    let log = Arc::new(open(dir)?);
    let plan = in_force(plan.text())?;
    let bound = bind(settings()?, &plan, Arc::clone(&log) as _, &Shutdown::new())?;
    println!("{}", bound.address());
    drop(Tasks::new().spawn("release", release(log)));
    bound.serve().await.map_err(BenchError::other)
}

/// A plan that is in force as long as this is kept.
pub(crate) type PlanInForce = watch::Sender<Option<Arc<Plan>>>;

/// Puts a plan in force.
pub(crate) fn in_force(plan: &str) -> Result<PlanInForce, BenchError> {
    let plan = Plan::parse("tracking-plan.toml", plan)
        .map_err(|problems| BenchError::other(format!("{problems:?}")))?;
    Ok(watch::Sender::new(Some(Arc::new(plan))))
}

/// A collector that has nothing but a plan and a log, about to serve.
pub(crate) fn bind(
    settings: CollectorSettings,
    plan: &PlanInForce,
    log: Arc<dyn Publisher>,
    shutdown: &Shutdown,
) -> Result<Bound, BenchError> {
    let collector = Collector {
        settings,
        publisher: Arc::clone(&log),
        direct: log,
        plan: plan.subscribe(),
        warehouse: None,
        salts: watch::channel(None).1,
        generations: Arc::default(),
        rejections: None,
        metrics: &Metrics::new().map_err(BenchError::other)?,
        health: Health::new(),
    };
    collector.bind(shutdown).map_err(BenchError::other)
}

fn settings() -> Result<CollectorSettings, BenchError> {
    let settings =
        Settings::load(None, environment()).map_err(|problems| BenchError::other(format!("{problems:?}")))?;
    Ok(CollectorSettings { listen: ([127, 0, 0, 1], 0).into(), workers: 2, ..settings.collector })
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

//! The services of production as processes of their own on a real Kafka broker, in a folder that goes with them: `rungs
//! collector`, `rungs aggregator`, and the embedded ClickHouse in the server's place.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use kafka_server::{Kafka, Options};
use tempfile::TempDir;

use crate::BenchError;
use crate::process::{Server, cpu, cpu_of_threads, free_address};
use crate::rungs::{PROBE, count, data_root, get, query};
use crate::stream::PLAN;

/// Partitions of the events' topic.
pub(super) const PARTITIONS: u32 = 8;
/// Lines of a log that are shown of a benchmark that failed.
const TAIL: usize = 30;
/// The setting for topics of their own.
const APART: Setting = ("RUNGS_KAFKA__TOPIC_PREFIX", "apart.");
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A variable of a process's environment, and its value.
type Setting = (&'static str, &'static str);

/// A process of ours with its ports.
pub(super) struct Service {
    pub(super) server: Server,
    /// Of the collector; of the others their admin address.
    pub(super) address: SocketAddr,
    pub(super) admin: SocketAddr,
}

/// A broker, and the means to start services on it.
pub(super) struct Cluster {
    pub(super) kafka: Kafka,
    binary: PathBuf,
    folder: TempDir,
    pub(super) clickhouse: SocketAddr,
    clickhouse_server: Server,
}

impl Cluster {
    /// Starts broker and ClickHouse, and puts the benchmark's plan in force.
    pub(super) fn start(binary: &Path) -> Result<Self, BenchError> {
        let folder = tempfile::tempdir_in(data_root(binary))?;
        let clickhouse = free_address()?;
        let mut command = Command::new(binary);
        command.arg("clickhouse").arg("--data-dir").arg(folder.path().join("clickhouse"));
        command.args(["--listen", &clickhouse.to_string()]).stderr(log(folder.path(), "clickhouse")?);
        let server = Server::start(&mut command)?;
        // Beside the binary as well: a folder in memory would flatter the disk.
        let kafka =
            Kafka::with(&Options { fast: true, folder: Some(folder.path().into()), ..Options::default() });
        let cluster = Self { kafka, binary: binary.into(), folder, clickhouse, clickhouse_server: server };
        until("ClickHouse answers", || query(clickhouse, "SELECT 1").is_ok())?;
        cluster.write_settings()?;
        cluster.apply_plan(None)?;
        Ok(cluster)
    }

    fn write_settings(&self) -> Result<(), BenchError> {
        let settings = format!(
            "[kafka]\nbrokers = \"{}\"\npartitions = {PARTITIONS}\nreplication = 1\n[clickhouse]\nurl = \
             \"http://{}\"\n[logging]\nlevel = \"warn\"\n[collector]\nworkers = 2\n",
            self.kafka.bootstrap(),
            self.clickhouse
        );
        Ok(std::fs::write(self.settings(), settings)?)
    }

    fn settings(&self) -> PathBuf {
        self.folder.path().join("rungs.toml")
    }

    fn apply_plan(&self, setting: Option<Setting>) -> Result<(), BenchError> {
        let plan = self.folder.path().join("tracking-plan.toml");
        std::fs::write(&plan, format!("{PLAN}{PROBE}"))?;
        let mut command = Command::new(&self.binary);
        command.args(["plan", "apply"]).arg(&plan).arg("--settings").arg(self.settings());
        command.envs(setting);
        let applied = command.output()?;
        match applied.status.success() {
            true => Ok(()),
            false => Err(BenchError::other(String::from_utf8_lossy(&applied.stderr))),
        }
    }

    /// A collector that is ready.
    pub(super) fn collector(&self) -> Result<Service, BenchError> {
        self.collector_with(None)
    }

    /// A collector with topics of its own on the same broker.
    pub(super) fn collector_apart(&self) -> Result<Service, BenchError> {
        self.apply_plan(Some(APART))?;
        self.collector_with(Some(APART))
    }

    fn collector_with(&self, setting: Option<Setting>) -> Result<Service, BenchError> {
        let address = free_address()?;
        let data = self.folder.path().join(format!("collector{}", name_of(setting)));
        let arguments = ["--listen", &address.to_string(), "--data-dir", &data.to_string_lossy()];
        Ok(Service { address, ..self.service("collector", &arguments, setting)? })
    }

    /// An aggregator that is a member of the group by this name; it may still be restoring.
    pub(super) fn aggregator(&self, name: &'static str) -> Result<Service, BenchError> {
        self.service("aggregator", &[], Some(("RUNGS_KAFKA__INSTANCE_ID", name)))
    }

    fn service(
        &self,
        kind: &str,
        arguments: &[&str],
        setting: Option<Setting>,
    ) -> Result<Service, BenchError> {
        let admin = free_address()?;
        let mut command = Command::new(&self.binary);
        command.arg(kind).arg("--settings").arg(self.settings()).args(["--admin", &admin.to_string()]);
        let name = format!("{kind}{}", name_of(setting));
        command.args(arguments).stderr(log(self.folder.path(), &name)?).envs(setting);
        let server = Server::start(&mut command)?;
        let probe = if kind == "aggregator" { "/healthz" } else { "/readyz" };
        until(&format!("the {kind} answers"), || get(admin, probe).is_ok())?;
        Ok(Service { server, address: admin, admin })
    }

    /// What the services said last, for a benchmark that failed.
    pub(super) fn said(&self) -> String {
        let files = std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten();
        let logs =
            files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "log"));
        let tail = |path: PathBuf| {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(TAIL).collect();
            let lines: Vec<&str> = lines.into_iter().rev().collect();
            format!("--- {}\n{}\n", path.display(), lines.join("\n"))
        };
        logs.map(tail).collect()
    }

    /// CPU time of the broker so far.
    pub(super) fn broker_cpu(&self) -> Duration {
        self.kafka.pid(0).map_or(Duration::ZERO, cpu)
    }

    /// CPU time that Java's optimizing compiler took of it.
    pub(super) fn compiler_cpu(&self) -> Result<Duration, BenchError> {
        let broker = self.kafka.pid(0).ok_or_else(|| BenchError::other("the broker does not run"))?;
        Ok(cpu_of_threads(broker, "C2 ")?)
    }

    /// CPU time of ClickHouse so far.
    pub(super) fn clickhouse_cpu(&self) -> Duration {
        self.clickhouse_server.cpu()
    }

    /// A query to ClickHouse whose answer is a number.
    pub(super) fn count(&self, sql: &str) -> Result<u64, BenchError> {
        count(self.clickhouse, sql)
    }

    /// Raw events of the benchmark's site, duplicates among them.
    pub(super) fn stored(&self) -> Result<u64, BenchError> {
        self.count("SELECT count() FROM rungs.events WHERE site = 'bench'")
    }
}

impl Service {
    /// The sum of a metric's series that have `label`; 0 without an answer.
    pub(super) fn metric(&self, name: &str, label: &str) -> f64 {
        let text = get(self.admin, "/metrics").unwrap_or_default();
        let series = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
        });
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Events that a collector accepted so far.
    pub(super) fn accepted(&self) -> u64 {
        self.metric("rungs_collector_events_total", "outcome=\"accepted\"") as u64
    }

    /// Partitions that it serves and counts.
    pub(super) fn live_partitions(&self) -> f64 {
        self.metric("rungs_aggregator_partitions", "state=\"live\"")
    }
}

/// Waits until something holds; how long that took.
pub(super) fn until(what: &str, holds: impl FnMut() -> bool) -> Result<Duration, BenchError> {
    within(READY_WITHIN, what, holds)
}

/// As [`until`], for at most this long.
pub(super) fn within(
    limit: Duration,
    what: &str,
    mut holds: impl FnMut() -> bool,
) -> Result<Duration, BenchError> {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > limit {
            return Err(BenchError::other(format!("not within {} s: {what}", limit.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(began.elapsed())
}

/// What tells a process with a setting from one without.
fn name_of(setting: Option<Setting>) -> &'static str {
    setting.map_or("", |(_, value)| value)
}

fn log(folder: &Path, name: &str) -> Result<std::fs::File, BenchError> {
    Ok(std::fs::File::create(folder.join(format!("{name}.log")))?)
}

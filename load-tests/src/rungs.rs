//! `rungs up` as a process under load, in a folder of its own that goes with it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::BenchError;
use crate::markers::Doors;
use crate::process::{Server, free_address};
use crate::stream::PLAN;

/// A site of its own for marker events: each marker is a new visitor, so that counts tell which of them are visible.
pub(crate) const PROBE: &str = r#"
[[sites]]
id = "probe"
write_keys = ["wk_probe"]
origins = ["*"]
[[funnels]]
site = "probe"
id = "markers"
conversion_window = "1h"
rolling_windows = ["1h"]
[[funnels.steps]]
id = "marker"
event = "marker"
[[funnels.steps]]
id = "never"
event = "never"
"#;

const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running `rungs up`.
pub struct Rungs {
    pub server: Server,
    pub collector: SocketAddr,
    pub console: SocketAddr,
    pub admin: SocketAddr,
    pub clickhouse: SocketAddr,
    _folder: TempDir,
}

impl Rungs {
    /// Starts the binary on an empty folder and waits until it is ready.
    pub fn start(binary: &Path) -> Result<Self, BenchError> {
        let folder = tempfile::tempdir_in(data_root(binary))?;
        let plan = folder.path().join("tracking-plan.toml");
        std::fs::write(&plan, format!("{PLAN}{PROBE}"))?;
        let [collector, console, admin, clickhouse] =
            [free_address()?, free_address()?, free_address()?, free_address()?];
        let mut command = Command::new(binary);
        command.arg("up").arg("--plan").arg(&plan).arg("--data-dir").arg(folder.path().join("data"));
        let addresses = [
            ("--listen", collector),
            ("--console", console),
            ("--admin", admin),
            ("--clickhouse", clickhouse),
        ];
        for (flag, address) in addresses {
            command.arg(flag).arg(address.to_string());
        }
        // Warnings are worth reading, its welcome is not: they go to a file that is shown if it does not start.
        let said = folder.path().join("said");
        command.env("RUNGS_LOGGING__LEVEL", "warn").stderr(std::fs::File::create(&said)?);
        let server = Server::start(&mut command)?;
        let mut rungs = Self { server, collector, console, admin, clickhouse, _folder: folder };
        rungs.wait_until_ready().map_err(|_| {
            BenchError::other(format!(
                "rungs up was not ready:\n{}",
                std::fs::read_to_string(said).unwrap_or_default()
            ))
        })?;
        Ok(rungs)
    }

    fn wait_until_ready(&mut self) -> Result<(), BenchError> {
        let until = Instant::now() + READY_WITHIN;
        let live = "/api/v1/funnels/bench/purchase/live?window=7d";
        while Instant::now() < until && self.server.is_running() {
            let is_live = get(self.console, live).is_ok_and(|text| text.contains(r#""state":"ready""#));
            if get(self.admin, "/readyz").is_ok() && is_live {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(BenchError::other("not ready within a minute"))
    }

    /// Where markers are sent to and looked for.
    pub fn doors(&self) -> Doors {
        Doors { collector: self.collector, admin: self.admin, clickhouse: self.clickhouse }
    }

    /// The answer of the embedded ClickHouse to a query.
    pub fn query(&self, sql: &str) -> Result<String, BenchError> {
        query(self.clickhouse, sql)
    }

    /// Waits until ClickHouse holds at least this many events of a site; tells how many it holds at the end.
    pub fn wait_for_events(&self, site: &str, events: u64, patience: Duration) -> Result<u64, BenchError> {
        let until = Instant::now() + patience;
        // ClickHouse knows the number of rows of all sites by heart; a count of one site would burden what it measures.
        let is_near = || Ok::<_, BenchError>(self.count("SELECT count() FROM rungs.events")? >= events);
        while !is_near()? && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        let of_site = format!("SELECT count() FROM rungs.events WHERE site = '{site}'");
        while self.count(&of_site)? < events && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(200));
        }
        self.count(&of_site)
    }

    /// Distinct events of a site in ClickHouse.
    pub fn distinct_events(&self, site: &str) -> Result<u64, BenchError> {
        self.count(&format!(
            "SELECT uniqExact(visitor_id, message_id) FROM rungs.events WHERE site = '{site}'"
        ))
    }

    /// A query whose answer is a number.
    pub fn count(&self, sql: &str) -> Result<u64, BenchError> {
        count(self.clickhouse, sql)
    }
}

/// Beside the binary: a temporary folder in memory would flatter the disk.
pub fn data_root(binary: &Path) -> PathBuf {
    binary.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

thread_local! {
    /// A client a thread: making one reads the system's certificates, which would burden what is measured.
    static CLIENT: std::io::Result<(Runtime, Client)> =
        Ok((tokio::runtime::Builder::new_current_thread().enable_all().build()?, one_request_a_connection()));
}

/// Between two looks a server may close a connection that is kept, just when the next request is sent on it.
fn one_request_a_connection() -> Client {
    Client::builder().pool_max_idle_per_host(0).build().unwrap_or_default()
}

/// A query to a ClickHouse.
pub fn query(address: SocketAddr, sql: &str) -> Result<String, BenchError> {
    fetch(|client| client.post(format!("http://{address}/")).body(sql.to_owned()))
}

/// A query to a ClickHouse whose answer is a number.
pub fn count(address: SocketAddr, sql: &str) -> Result<u64, BenchError> {
    let text = query(address, sql)?;
    text.trim().parse().map_err(|_| BenchError::other(format!("no number: {text}")))
}

/// The body of a 2xx answer.
pub fn get(address: SocketAddr, path: &str) -> Result<String, BenchError> {
    fetch(|client| client.get(format!("http://{address}{path}")))
}

fn fetch(request: impl FnOnce(&Client) -> RequestBuilder) -> Result<String, BenchError> {
    CLIENT.with(|client| {
        let (runtime, client) = client.as_ref().map_err(BenchError::other)?;
        let answer = async { request(client).send().await?.error_for_status()?.text().await };
        Ok(runtime.block_on(answer)?)
    })
}

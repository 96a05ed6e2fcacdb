//! The engines below the services: the local log and ClickHouse, embedded or a server. Opened together, because each
//! takes part of a second; closed last, log before ClickHouse.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::SystemClock;
use event_log::local::{LocalLog, LocalLogSettings, OpenError, SaltFile, holder_of};
use runtime::Settings;
use runtime::settings::{ClickHouseSettings, LogSettings};
use warehouse::embedded::{EmbeddedServer, EmbeddedSettings};
use warehouse::{Retention, Warehouse, migrate};

use super::Options;
use crate::failure::Failure;

/// Memory that the embedded ClickHouse may use before it refuses queries.
pub(super) const CLICKHOUSE_MEMORY_BYTES: u64 = 2 << 30;
/// Connections of the embedded ClickHouse; one of them serves inserts only.
const CLICKHOUSE_WORKERS: usize = 3;

/// For so long a process that holds the folder is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The open log and warehouse.
pub(crate) struct Engines {
    pub(crate) log: Arc<LocalLog>,
    pub(crate) salts: Arc<SaltFile>,
    pub(crate) warehouse: Warehouse,
    embedded: Option<EmbeddedServer>,
}

/// How the embedded ClickHouse of a data folder is run.
pub(crate) fn settings(data_dir: &Path, listen: SocketAddr) -> EmbeddedSettings {
    EmbeddedSettings {
        data_dir: data_dir.join("clickhouse"),
        listen,
        library: None,
        workers: CLICKHOUSE_WORKERS,
        max_server_memory_bytes: CLICKHOUSE_MEMORY_BYTES,
    }
}

impl Engines {
    /// Opens both and brings ClickHouse to this program's schema.
    pub(crate) async fn open(options: &Options) -> Result<Self, Failure> {
        let dir = &options.data_dir;
        std::fs::create_dir_all(dir).map_err(|error| {
            Failure::new(format!("the data folder {} cannot be created: {error}", dir.display()))
        })?;
        let salts = dir.join("salts");
        let salts = SaltFile::open(&salts)
            .map_err(|error| Failure::new(format!("{} cannot be read: {error}", salts.display())))?;
        let log_dir = dir.join("log");
        until_let_go(&log_dir).await;
        let log = open_log(local_log_settings(&options.settings.log, &log_dir));
        let (log, clickhouse) = tokio::join!(log, open_clickhouse(options));
        let (log, (embedded, warehouse)) = match (log, clickhouse) {
            (Ok(log), Ok(clickhouse)) => (log, clickhouse),
            (Err(failure), Ok((Some(embedded), _))) => {
                embedded.stop().await;
                return Err(failure);
            }
            (Err(failure), _) | (_, Err(failure)) => return Err(failure),
        };
        let engines = Self { log, salts: Arc::new(salts), warehouse, embedded };
        match engines.migrate(&options.settings).await {
            Ok(()) => Ok(engines),
            Err(failure) => {
                engines.close().await;
                Err(failure)
            }
        }
    }

    async fn migrate(&self, settings: &Settings) -> Result<(), Failure> {
        let retention = Retention::from(&settings.aggregator);
        self.warehouse.retry(|| async { migrate(&self.warehouse, &retention).await }).await?;
        Ok(())
    }

    /// Where the embedded ClickHouse answers, if there is one.
    pub(crate) fn clickhouse_address(&self) -> Option<SocketAddr> {
        self.embedded.as_ref().map(EmbeddedServer::address)
    }

    /// Stores what is queued, then ends both. Nothing may use them any more.
    pub(crate) async fn close(self) {
        let log = self.log;
        let closed = tokio::task::spawn_blocking(move || log.close()).await;
        if let Err(error) = closed {
            tracing::error!(%error, "the log did not close cleanly");
        }
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
    }
}

fn local_log_settings(settings: &LogSettings, dir: &Path) -> LocalLogSettings {
    LocalLogSettings {
        max_bytes: settings.max_bytes,
        max_queued_bytes: settings.max_queued_bytes as u64,
        retention_ms: settings.retention_ms,
        retention_bytes: settings.retention_bytes,
        ..LocalLogSettings::new(dir, settings.partitions)
    }
}

/// A process that was killed holds its locks and ports until the system has taken its memory back: it is waited for, and who
/// does not end is named by the error that follows.
async fn until_let_go(log_dir: &Path) {
    let Some(holder) = holder_of(log_dir) else { return };
    let (dir, seconds) = (log_dir.display(), PATIENCE.as_secs());
    eprintln!("waiting up to {seconds} s for process {holder} to end, which holds {dir}");
    let deadline = Instant::now() + PATIENCE;
    while holder_of(log_dir).is_some() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Replaying the journal blocks, so it runs off the runtime's threads.
async fn open_log(settings: LocalLogSettings) -> Result<Arc<LocalLog>, Failure> {
    let open = move || LocalLog::open(settings, Arc::new(SystemClock));
    let opened: Result<LocalLog, OpenError> = tokio::task::spawn_blocking(open).await?;
    Ok(Arc::new(opened?))
}

async fn open_clickhouse(options: &Options) -> Result<(Option<EmbeddedServer>, Warehouse), Failure> {
    let configured = &options.settings.clickhouse;
    if configured.url.is_some() {
        return Ok((None, Warehouse::connect(configured)?));
    }
    let embedded = EmbeddedServer::start(settings(&options.data_dir, options.clickhouse)).await?;
    let url = Some(format!("http://{}", embedded.address()));
    let connected = Warehouse::connect(&ClickHouseSettings {
        url,
        replicated: false,
        ca_file: None,
        ..configured.clone()
    });
    match connected {
        Ok(warehouse) => Ok((Some(embedded), warehouse)),
        Err(error) => {
            embedded.stop().await;
            Err(error.into())
        }
    }
}

//! Starts the engine on a data folder: writes its configuration, opens connections, explains a refusal.
//!
//! Called by [`super::server`] once a process. The engine locks the folder itself (an `flock` on its `status` file, so
//! a lock left by a killed process does not hold); here that lock is only read, to say who has it.
//!
//! Measured on an empty folder: 0.1 s to start, 230 MB resident, of which 170 MB are the library's own pages. There are
//! no system log tables to turn off; what the defaults would let grow are the caches (5 GB each), so they are bounded.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Connection, EmbeddedError, Library};

/// The database every Rungs table lives in.
pub(super) const DATABASE: &str = "rungs";

/// Settings every connection starts with, and returns to after a request that changed them.
///
/// Insert blocks are a quarter of the engine's default: a request's rows are stored in blocks of at most this size, and
/// memory is bounded by a few such blocks a worker. Times are UTC whatever the machine's zone is.
/// Files are read by the query's own thread: the hand-over to a pool costs more than a page cache hit.
pub(super) const BASE_SETTINGS: [(&str, &str); 5] = [
    ("min_insert_block_size_rows", "262144"),
    ("min_insert_block_size_bytes", "67108864"),
    ("async_insert", "0"),
    ("session_timezone", "UTC"),
    ("local_filesystem_read_method", "pread"),
];

/// On a terminal the engine would log to it: its ends of threads look fatal there and are not. What goes wrong with a
/// query is in the query's answer.
const SILENCE: &str = "  <logger><console>false</console></logger>\n";

/// The engine of this process: opens connections to one data folder.
pub(super) struct Engine {
    library: Library,
    arguments: Vec<String>,
}

impl Engine {
    /// Writes the configuration and returns the engine with its first connection, which starts it.
    pub(super) fn start(
        library: Library,
        data_dir: &Path,
        max_server_memory_bytes: u64,
    ) -> Result<(Self, Connection), EmbeddedError> {
        fs::create_dir_all(data_dir).map_err(|error| EmbeddedError::file(data_dir, error))?;
        let data_dir = fs::canonicalize(data_dir).map_err(|error| EmbeddedError::file(data_dir, error))?;
        if let Some(owner) = owner_of(&data_dir) {
            return Err(EmbeddedError::InUse { path: data_dir, owner });
        }
        let config = write_config(&data_dir, max_server_memory_bytes)?;
        let arguments =
            vec![format!("--path={}", data_dir.display()), format!("--config-file={}", config.display())];
        let first = library.connect(&arguments).ok_or_else(|| refusal(&data_dir))?;
        let engine = Self { library, arguments };
        let mut first = prepared(first)?;
        first.query(&format!("CREATE DATABASE IF NOT EXISTS `{DATABASE}`"), "Null", &[])?;
        Ok((engine, first))
    }

    /// Another connection, with the base settings.
    pub(super) fn connect(&self) -> Result<Connection, EmbeddedError> {
        let path = || self.arguments.first().map(|path| path.replace("--path=", "")).unwrap_or_default();
        let connection = self
            .library
            .connect(&self.arguments)
            .ok_or_else(|| EmbeddedError::Open { path: path().into() })?;
        prepared(connection)
    }
}

fn prepared(mut connection: Connection) -> Result<Connection, EmbeddedError> {
    let list: Vec<String> = BASE_SETTINGS.iter().map(|(name, value)| format!("{name} = '{value}'")).collect();
    connection.query(&format!("SET {}", list.join(", ")), "Null", &[])?;
    Ok(connection)
}

/// Two threads for merges suit a small server and keep merges prompt. They give way to whatever else wants to run: a
/// merge can wait, an event cannot, and parts that wait are merged more of them at once. Thread pools shrink again after
/// a burst.
fn write_config(data_dir: &Path, max_server_memory_bytes: u64) -> Result<PathBuf, EmbeddedError> {
    const MIB: u64 = 1024 * 1024;
    let mark_cache = (max_server_memory_bytes / 16).clamp(16 * MIB, 256 * MIB);
    let values = [
        ("max_server_memory_usage", max_server_memory_bytes),
        ("mark_cache_size", mark_cache),
        ("primary_index_cache_size", mark_cache),
        ("index_mark_cache_size", 8 * MIB),
        ("query_condition_cache_size", 8 * MIB),
        ("compiled_expression_cache_size", 8 * MIB),
        ("background_pool_size", 2),
        ("os_threads_nice_value_merge_mutate", 10),
        ("max_thread_pool_size", 1000),
        ("max_thread_pool_free_size", 16),
        ("asynchronous_metrics_update_period_s", 30),
    ];
    let lines: Vec<String> =
        values.iter().map(|(name, value)| format!("  <{name}>{value}</{name}>\n")).collect();
    let text = format!(
        "<!-- Written at every start by the embedded ClickHouse; changes here are lost. -->\n\
         <clickhouse>\n{SILENCE}{}</clickhouse>\n",
        lines.concat()
    );
    let path = data_dir.join("engine.xml");
    fs::write(&path, text).map_err(|error| EmbeddedError::file(&path, error))?;
    Ok(path)
}

fn refusal(data_dir: &Path) -> EmbeddedError {
    match owner_of(data_dir) {
        Some(owner) => EmbeddedError::InUse { path: data_dir.to_owned(), owner },
        None => EmbeddedError::Open { path: data_dir.to_owned() },
    }
}

/// Who holds the folder's lock: "process N", or nobody.
fn owner_of(data_dir: &Path) -> Option<String> {
    let status = data_dir.join("status");
    let file = fs::OpenOptions::new().read(true).write(true).open(&status).ok()?;
    match file.try_lock() {
        Err(fs::TryLockError::WouldBlock) => {}
        _ => return None,
    }
    let text = fs::read_to_string(&status).unwrap_or_default();
    let process = text.lines().find_map(|line| line.strip_prefix("PID: ")).unwrap_or("unknown");
    Some(format!("process {process}"))
}

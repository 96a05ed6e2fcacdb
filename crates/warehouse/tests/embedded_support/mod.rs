//! What the tests of the embedded ClickHouse share: its library, and one server a test process (the engine opens one
//! data folder a process), started by whichever test comes first.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use warehouse::embedded::{EmbeddedServer, EmbeddedSettings};

/// The fetched library; fetches it when it is missing.
pub(crate) fn library() -> PathBuf {
    if let Some(path) = std::env::var_os("RUNGS_LIBCHDB") {
        return path.into();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/fetch-libchdb.sh");
    let output = Command::new(&script).output().expect("scripts/fetch-libchdb.sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

pub(crate) fn settings(data_dir: &Path) -> EmbeddedSettings {
    EmbeddedSettings {
        data_dir: data_dir.to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        library: Some(library()),
        workers: 3,
        max_server_memory_bytes: 1_000_000_000,
    }
}

/// Base URL of this process's server, such as `http://127.0.0.1:40123`.
#[allow(dead_code)]
pub(crate) fn url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| std::thread::spawn(start).join().expect("the embedded server starts"))
}

/// Its own runtime only starts it; the server then runs on its own threads for the rest of the process.
#[allow(dead_code)]
fn start() -> String {
    let data_dir = tempfile::tempdir().unwrap().keep();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(EmbeddedServer::start(settings(&data_dir))).unwrap();
    let url = format!("http://{}", server.address());
    std::mem::forget(server);
    url
}

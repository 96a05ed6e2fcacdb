//! The engine of these tests. It is stopped when the last test lets go of it: a process must not end while the engine's
//! own threads still run.

use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;
use warehouse::embedded::EmbeddedServer;

use crate::embedded_support;

static RUNNING: Mutex<Running> = Mutex::new(Running { users: 0, server: None });

struct Running {
    users: usize,
    server: Option<(EmbeddedServer, TempDir)>,
}

/// Keeps the engine running while it lives.
pub(crate) struct Engine {
    pub(crate) url: String,
}

impl Engine {
    pub(crate) fn lease() -> Self {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let (server, _) = running.server.get_or_insert_with(|| on_its_own_thread(start));
        let url = format!("http://{}", server.address());
        running.users += 1;
        Self { url }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.users -= 1;
        if running.users == 0
            && let Some((server, folder)) = running.server.take()
        {
            on_its_own_thread(move || {
                runtime().block_on(server.stop());
                drop(folder);
            });
        }
    }
}

fn start() -> (EmbeddedServer, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let server =
        runtime().block_on(EmbeddedServer::start(embedded_support::settings(folder.path()))).unwrap();
    (server, folder)
}

/// Tests run inside a runtime, which must not wait for another one on the same thread.
fn on_its_own_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(work).join().unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

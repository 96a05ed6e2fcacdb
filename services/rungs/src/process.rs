//! What every part of a process gets a clone of, and how its services are run: the end of one, whatever the reason, asks
//! everything else to stop. Used by [`standalone`](crate::standalone) and [`production`](crate::production).

use runtime::{Health, Metrics, Shutdown, Tasks};
use tokio::task::JoinHandle;

use crate::failure::Failure;

/// Metrics, readiness, tasks and the wish to stop.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) tasks: Tasks,
    /// Set off by a signal, or by a service that failed.
    pub(crate) shutdown: Shutdown,
}

/// A running service; an error says why it failed.
pub(crate) type Running = JoinHandle<Result<(), String>>;

/// Waits for a service.
pub(crate) async fn ended(name: &str, service: Running) -> Result<(), String> {
    service.await.unwrap_or_else(|error| Err(format!("the {name} ended: {error}")))
}

impl Process {
    /// A process that signals stop.
    pub(crate) fn new() -> Result<Self, Failure> {
        let process = Self {
            metrics: Metrics::new()?,
            health: Health::new(),
            tasks: Tasks::new(),
            shutdown: Shutdown::on_signals()?,
        };
        process.tasks.register(&process.metrics)?;
        Ok(process)
    }

    /// Runs a service. Its end, whatever the reason, asks everything else to stop.
    pub(crate) fn serve<E: std::error::Error>(
        &self,
        name: &'static str,
        service: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Running {
        let asks = AsksToStop(self.shutdown.clone());
        self.tasks.spawn(name, async move {
            let outcome = service.await.map_err(|error| format!("the {name} failed: {error}"));
            drop(asks);
            outcome
        })
    }
}

/// Asks for a stop when it is dropped, which a panic does too.
struct AsksToStop(Shutdown);

impl Drop for AsksToStop {
    fn drop(&mut self) {
        self.0.request();
    }
}

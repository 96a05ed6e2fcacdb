//! The wish to stop, as a handle that everything long-lived holds. It is asked for once, by a signal or by a failure,
//! and never taken back. What is done about it is written in each service's `run`.
//!
//! A first SIGINT or SIGTERM asks; a second one ends the process at once (exit code 128 + the signal's number).

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::tasks::spawn_for_the_process;

/// A clonable handle on the wish to stop.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// A handle that only [`Shutdown::request`] sets off.
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle that SIGINT and SIGTERM set off. To be called inside a tokio runtime, once a process.
    ///
    /// # Errors
    /// The system's, when it refuses a signal handler.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::new();
        let listener = Listener {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        };
        spawn_for_the_process(listener.run(shutdown.clone()));
        Ok(shutdown)
    }

    /// Ends when a stop has been asked for; at once if it already was.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Whether a stop has been asked for.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Asks for a stop. Asking again changes nothing.
    pub fn request(&self) {
        self.token.cancel();
    }
}

struct Listener {
    interrupt: Signal,
    terminate: Signal,
}

impl Listener {
    async fn run(mut self, shutdown: Shutdown) {
        let (name, _) = self.next().await;
        tracing::info!(signal = name, "stopping; a second signal ends at once");
        shutdown.request();
        let (name, exit_code) = self.next().await;
        tracing::warn!(signal = name, "ending at once");
        std::process::exit(exit_code);
    }

    async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", 130),
            _ = self.terminate.recv() => ("SIGTERM", 143),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_sees_the_request() {
        let shutdown = Shutdown::new();
        let clone = shutdown.clone();
        assert!(!clone.is_requested());
        shutdown.request();
        shutdown.request();
        clone.requested().await;
        assert!(clone.is_requested());
    }
}

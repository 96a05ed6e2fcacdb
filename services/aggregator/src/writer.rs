//! Executes a partition's writes one after the other, each until it succeeds: the queue before it is short, so that a
//! warehouse that is away stops the lane (back-pressure) and nothing is skipped or overtaken. What is only shown goes beside it
//! ([`show`]).

use std::sync::Arc;
use std::time::Duration;

use event_log::Source;
use rand::Rng;
use runtime::{Shutdown, now_ms};
use tokio::sync::{mpsc, watch};

use crate::store::{Store, Write};
use crate::timing::Timing;

/// Writes between a lane and its writer, at most. One of them holds up to 16 MiB of raw events, or as many journeys as
/// one insert takes.
pub const QUEUE: usize = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// At shutdown a warehouse that is away gets this long; the log still has what was not written.
const PATIENCE_AT_SHUTDOWN: Duration = Duration::from_secs(10);

/// Serves a lane's queue until the lane closes it.
pub async fn run<S: Store>(
    store: S,
    mut queue: mpsc::Receiver<Write>,
    source: Arc<dyn Source>,
    partition: u32,
    shutdown: Shutdown,
    timing: Timing,
) {
    let mut gave_up = false;
    while let Some(write) = queue.recv().await {
        match write {
            // After a write was given up nothing behind it may claim to be stored.
            _ if gave_up => {}
            Write::Reached { next_offset } => source.release(partition, next_offset),
            Write::Barrier(done) => drop(done.send(())),
            write => {
                let patience = Patience::new(shutdown.clone());
                let watched = timing.write(&write);
                let failed = || {
                    watched.failed();
                    patience.is_over()
                };
                if persist(&store, &write, failed).await {
                    watched.stored(now_ms());
                } else {
                    gave_up = true;
                    tracing::warn!(
                        partition,
                        "shutting down without ClickHouse: the log keeps what was not written"
                    );
                }
            }
        }
    }
}

/// Writes what a lane shows, beside its queue, in which raw events and journeys may take seconds; until the lane closes it. What
/// is not written when there is something newer is left out.
pub async fn show<S: Store>(store: S, mut shown: watch::Receiver<Option<Arc<Write>>>, timing: Timing) {
    while shown.changed().await.is_ok() {
        let Some(write) = shown.borrow_and_update().clone() else { continue };
        let watched = timing.write(&write);
        let newer = shown.clone();
        let failed = || {
            watched.failed();
            newer.has_changed().unwrap_or(true)
        };
        if persist(&store, &write, failed).await {
            watched.stored(now_ms());
        }
    }
}

/// Executes a write until it succeeds (`true`), or until `give_up` says so between two attempts.
pub async fn persist<S: Store>(store: &S, write: &Write, give_up: impl Fn() -> bool + Send) -> bool {
    let mut pause = FIRST_PAUSE;
    loop {
        match store.write(write).await {
            Ok(()) => return true,
            Err(error) => {
                if give_up() {
                    return false;
                }
                tracing::warn!(%error, "a write to ClickHouse failed; trying again");
            }
        }
        let jitter = rand::rng().random_range(0.5..1.5);
        tokio::time::sleep(pause.mul_f64(jitter)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Ends some time after shutdown was requested.
struct Patience {
    shutdown: Shutdown,
    since: std::sync::OnceLock<std::time::Instant>,
}

impl Patience {
    fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, since: std::sync::OnceLock::new() }
    }

    fn is_over(&self) -> bool {
        self.shutdown.is_requested()
            && self.since.get_or_init(std::time::Instant::now).elapsed() >= PATIENCE_AT_SHUTDOWN
    }
}

#[cfg(test)]
mod tests {
    use runtime::Tasks;
    use runtime::metrics::Metrics;
    use warehouse::erasures::ErasureRow;

    use super::*;
    use crate::memory::MemoryStore;

    fn shown(site: &str) -> Option<Arc<Write>> {
        Some(Arc::new(Write::Erasures(vec![ErasureRow::new(site, "ann", (1, 0))])))
    }

    #[tokio::test]
    async fn of_what_is_shown_the_newest_is_written_and_what_is_left_at_the_end() {
        let (store, timing) = (MemoryStore::default(), Timing::register(&Metrics::new().unwrap()).unwrap());
        let (display, newest) = watch::channel(None);
        for site in ["first", "second"] {
            display.send_replace(shown(site));
        }
        let task = Tasks::new().spawn("display", show(store.clone(), newest, timing));
        let sites = || store.tables().erasures.keys().map(|(site, _)| site.clone()).collect::<Vec<_>>();
        while sites().is_empty() {
            tokio::task::yield_now().await;
        }
        display.send_replace(shown("third"));
        drop(display);
        task.await.unwrap();
        assert_eq!(sites(), ["second", "third"]);
    }
}

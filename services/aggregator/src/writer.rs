//! Executes a partition's writes, each until it succeeds: the queue before it is short, so that a warehouse that is away
//! stops the lane (back-pressure) and nothing is skipped.
//!
//! Raw events are stored one write after the other, and all else is: journeys take seconds, and raw events do not wait for
//! them. What vouches for raw events (progress, markers, barriers, and that the log may forget) waits until those before it
//! are stored; nothing else that is overtaken so is missed by a restore. The open minute goes with the raw events: whoever
//! reads as of when it is finds those that were handed over before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_log::Source;
use rand::Rng;
use runtime::{Shutdown, now_ms};
use tokio::sync::{mpsc, watch};

use crate::store::{Sink, Write};
use crate::timing::Timing;

/// Writes between a lane and its writer, at most. One of them holds a batch of raw events (`EVENTS_BYTES` over the
/// partitions), or as many journeys as one insert takes.
pub const QUEUE: usize = 1;
/// Writes of raw events, or of the open minute, that wait for the one before them, at most.
const EVENTS_WAITING: usize = 1;
/// Other writes that wait, at most: as many as a step of a flush has.
const OTHERS_WAITING: usize = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// At shutdown a warehouse that is away gets this long; the log still has what was not written.
const PATIENCE_AT_SHUTDOWN: Duration = Duration::from_secs(10);

/// Serves a lane's queue until the lane closes it.
pub async fn run<S: Sink>(
    store: S,
    queue: mpsc::Receiver<Write>,
    source: Arc<dyn Source>,
    partition: u32,
    shutdown: Shutdown,
    timing: Timing,
) {
    let (events, to_store) = mpsc::channel(EVENTS_WAITING);
    let (others, in_order) = mpsc::channel(OTHERS_WAITING);
    let gave_up = AtomicBool::new(false);
    let (count, ended) = watch::channel(0);
    let writer = Writer { store, source, partition, shutdown, timing, gave_up };
    tokio::join!(
        sort(queue, events, others),
        writer.store_events(to_store, count),
        writer.execute_others(in_order, ended)
    );
}

/// Hands raw events and the open minute to the one, all else to the other, with the number of those before it.
async fn sort(
    mut queue: mpsc::Receiver<Write>,
    events: mpsc::Sender<Write>,
    others: mpsc::Sender<(Write, u64)>,
) {
    let mut before = 0;
    while let Some(write) = queue.recv().await {
        let taken = if matches!(write, Write::Events(..) | Write::Open(_)) {
            before += 1;
            events.send(write).await.is_ok()
        } else {
            others.send((write, before)).await.is_ok()
        };
        if !taken {
            return;
        }
    }
}

/// What executes a partition's writes.
struct Writer<S> {
    store: S,
    source: Arc<dyn Source>,
    partition: u32,
    shutdown: Shutdown,
    timing: Timing,
    /// A write was given up: nothing behind it may claim to be stored.
    gave_up: AtomicBool,
}

impl<S: Sink> Writer<S> {
    /// Stores raw events and the open minute, and counts the writes that ended.
    async fn store_events(&self, mut events: mpsc::Receiver<Write>, count: watch::Sender<u64>) {
        while let Some(write) = events.recv().await {
            self.execute(&write).await;
            count.send_modify(|ended| *ended += 1);
        }
    }

    /// Executes all other writes. Those that vouch for raw events wait for them.
    async fn execute_others(
        &self,
        mut writes: mpsc::Receiver<(Write, u64)>,
        mut ended: watch::Receiver<u64>,
    ) {
        while let Some((write, before)) = writes.recv().await {
            let vouches = matches!(write, Write::Progress(_) | Write::Barrier(_) | Write::Reached { .. });
            if vouches {
                // Whoever counts ends after the last one.
                drop(ended.wait_for(|ended| *ended >= before).await);
            }
            match write {
                _ if self.gave_up.load(Ordering::Acquire) => {}
                Write::Reached { next_offset } => self.source.release(self.partition, next_offset),
                Write::Barrier(done) => drop(done.send(())),
                write => self.execute(&write).await,
            }
        }
    }

    async fn execute(&self, write: &Write) {
        if self.gave_up.load(Ordering::Acquire) {
            return;
        }
        let patience = Patience::new(self.shutdown.clone());
        let watched = self.timing.write(write);
        let failed = || {
            watched.failed();
            patience.is_over()
        };
        if persist(&self.store, write, failed).await {
            watched.stored(now_ms());
        } else {
            self.gave_up.store(true, Ordering::Release);
            tracing::warn!(
                self.partition,
                "shutting down without ClickHouse: the log keeps what was not written"
            );
        }
    }
}

/// Executes a write until it succeeds (`true`), or until `give_up` says so between two attempts.
pub async fn persist<S: Sink>(store: &S, write: &Write, give_up: impl Fn() -> bool + Send) -> bool {
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
    use event_log::SystemClock;
    use event_log::memory::MemoryLog;
    use runtime::Tasks;
    use runtime::metrics::Metrics;
    use tokio::sync::{Semaphore, oneshot};
    use warehouse::event_batch::EventBatch;

    use super::*;
    use crate::store::OnItsWay;

    /// A warehouse that takes rows of a table when the test lets it.
    #[derive(Clone)]
    struct Gated {
        table: &'static str,
        gate: Arc<Semaphore>,
        stored: Arc<std::sync::Mutex<Vec<&'static str>>>,
    }

    impl Sink for Gated {
        async fn write(&self, write: &Write) -> Result<(), warehouse::WarehouseError> {
            let (table, _) = write.rows().unwrap();
            if table == self.table {
                self.gate.acquire().await.unwrap().forget();
            }
            self.stored.lock().unwrap().push(table);
            Ok(())
        }
    }

    impl Gated {
        fn at(table: &'static str) -> Self {
            Self { table, gate: Arc::new(Semaphore::new(0)), stored: Arc::default() }
        }

        async fn has(&self, tables: &[&str]) {
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            assert_eq!(*self.stored.lock().unwrap(), tables);
        }
    }

    fn timing() -> Timing {
        Timing::register(&Metrics::new().unwrap()).unwrap()
    }

    async fn writing(store: &Gated, writes: Vec<Write>) {
        let (queue, to_write) = mpsc::channel(QUEUE);
        let source = Arc::new(MemoryLog::new(1, Arc::new(SystemClock)));
        let run = run(store.clone(), to_write, source, 0, Shutdown::new(), timing());
        drop(Tasks::new().spawn("writer", run));
        for write in writes {
            queue.send(write).await.unwrap();
        }
    }

    fn events() -> Write {
        Write::Events(EventBatch::default().seal(), OnItsWay::default())
    }

    #[tokio::test]
    async fn raw_events_do_not_wait_for_journeys() {
        let store = Gated::at("journeys");
        writing(&store, vec![Write::Journeys(Vec::new()), events(), Write::Progress(Vec::new()), events()])
            .await;
        store.has(&["events", "events"]).await;
        store.gate.add_permits(1);
        store.has(&["events", "events", "journeys", "progress"]).await;
    }

    #[tokio::test]
    async fn what_vouches_for_raw_events_waits_for_those_before_it() {
        let store = Gated::at("events");
        let (stored, mut barrier) = oneshot::channel();
        let writes = vec![events(), Write::Journeys(Vec::new()), Write::Barrier(stored), events()];
        writing(&store, writes).await;
        store.has(&["journeys"]).await;
        assert!(barrier.try_recv().is_err());
        store.gate.add_permits(1);
        store.has(&["journeys", "events"]).await;
        assert_eq!(barrier.try_recv(), Ok(()), "it stands for the first ones only");
        store.gate.add_permits(1);
        store.has(&["journeys", "events", "events"]).await;
    }
}

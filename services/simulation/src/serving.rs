//! A lane that is served, with its writer, its builds and what waits between them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aggregator::build::{BuildError, Built};
use aggregator::joining::{Orders, Waiting};
use aggregator::lane::{BuildOrder, Lane};
use aggregator::store::Write;
use aggregator::writer;
use event_log::Source;
use runtime::Shutdown;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::fate::{Task, poll};
use crate::store::SimStore;

/// A lane and what goes on around it.
pub struct Serving {
    pub lane: Lane,
    /// Closed when the lane ends.
    writes: Option<mpsc::Sender<Write>>,
    /// Made, and not in the queue: the lane waits.
    pub backlog: VecDeque<Write>,
    writer: Task<()>,
    pub builds: Vec<(BuildOrder, Task<Result<Built, BuildError>>)>,
    pub waiting: Waiting,
    pub orders: Orders,
    /// Whether builds are to go on.
    pub alive: Arc<AtomicBool>,
}

impl Serving {
    /// A lane whose writes go to `store`; `source` hears what is stored.
    pub fn new(lane: Lane, store: SimStore, source: Arc<dyn Source>) -> Self {
        let (writes, queue) = mpsc::channel(writer::QUEUE);
        let timing = lane.counters.timing.clone();
        let writer = writer::run(store, queue, source, lane.partition.partition, Shutdown::new(), timing);
        Self {
            lane,
            writes: Some(writes),
            backlog: VecDeque::new(),
            writer: Box::pin(writer),
            builds: Vec::new(),
            waiting: Waiting::default(),
            orders: Orders::default(),
            alive: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Moves what waits into the writer's queue.
    pub fn push(&mut self) {
        while let (Some(write), Some(writes)) = (self.backlog.pop_front(), &self.writes) {
            match writes.try_send(write) {
                Ok(()) => {}
                Err(TrySendError::Full(write) | TrySendError::Closed(write)) => {
                    self.backlog.push_front(write);
                    return;
                }
            }
        }
    }

    /// One step of the writer.
    pub fn write(&mut self) {
        self.push();
        let _ = poll(&mut self.writer);
    }

    /// Whether there is nothing to do but to wait for records.
    pub fn is_at_rest(&self) -> bool {
        self.backlog.is_empty() && self.builds.is_empty() && self.lane.building().is_empty()
    }

    /// Writes everything there is; the lane is not served any more.
    pub fn write_all(&mut self) {
        while !self.backlog.is_empty() {
            self.write();
        }
        self.writes = None;
        while poll(&mut self.writer).is_pending() {}
    }

    /// Ends the lane: what is left is to write what it made.
    pub fn into_writing(mut self) -> Task<()> {
        self.alive.store(false, Ordering::Relaxed);
        Box::pin(std::future::poll_fn(move |context| {
            self.push();
            if self.backlog.is_empty() {
                self.writes = None;
            }
            self.writer.as_mut().poll(context)
        }))
    }
}

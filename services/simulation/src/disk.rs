//! A collector's disk: the local log of its spill, which outlives the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use event_log::memory::MemoryLog;
use event_log::spill::Shelter;
use event_log::{
    LogId, LogRecord, Message, PlanError, PlanRecord, PlanTopic, PublishError, Publisher, ReadError, Receipt,
    Source,
};
use tokio::sync::watch;

/// Something that happens in the middle of a step of the spill.
pub type Interruption = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// Lets it happen, if it did not.
pub fn interrupt(interruption: &Interruption) {
    let happens = interruption.lock().unwrap().take();
    if let Some(happens) = happens {
        happens();
    }
}

/// A process's hold on its disk.
#[derive(Clone)]
pub struct Disk {
    pub log: Arc<MemoryLog>,
    /// Whether the process lives; a dead one writes nothing.
    pub alive: Arc<AtomicBool>,
    pub interruption: Interruption,
}

impl Disk {
    fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }
}

impl Publisher for Disk {
    fn partitions(&self) -> u32 {
        Publisher::partitions(self.log.as_ref())
    }

    fn publish(&self, messages: Vec<Message>) -> Result<Receipt, PublishError> {
        if self.is_alive() { self.log.publish(messages) } else { Err(PublishError::Closed) }
    }
}

impl Source for Disk {
    fn id(&self) -> LogId {
        self.log.id()
    }

    fn partitions(&self) -> u32 {
        Source::partitions(self.log.as_ref())
    }

    fn read(&self, partition: u32, from: u64, max_bytes: usize) -> Result<Vec<LogRecord>, ReadError> {
        self.log.read(partition, from, max_bytes)
    }

    fn end(&self, partition: u32) -> watch::Receiver<u64> {
        self.log.end(partition)
    }

    fn release(&self, partition: u32, offset: u64) {
        if self.is_alive() {
            self.log.release(partition, offset);
            self.log.remove_released();
        }
    }
}

impl PlanTopic for Disk {
    fn append(&self, plan: PlanRecord) -> Result<(), PlanError> {
        self.log.append(plan)
    }

    fn latest(&self) -> watch::Receiver<Option<Arc<PlanRecord>>> {
        self.log.latest()
    }

    fn history(&self) -> Result<Vec<PlanRecord>, ReadError> {
        self.log.history()
    }
}

impl Shelter for Disk {
    fn released(&self, partition: u32) -> u64 {
        self.log.released(partition)
    }

    fn barrier(&self) -> Result<Receipt, PublishError> {
        interrupt(&self.interruption);
        self.publish(Vec::new())
    }

    fn unreleased_bytes(&self) -> u64 {
        self.log.unreleased_bytes()
    }

    fn keep_plan(&self, plan: PlanRecord) -> Result<(), PlanError> {
        self.log.keep_plan(plan)
    }

    fn close(&self) {}
}

//! Where a spill keeps messages while Kafka is away: the local log, and the log in memory in simulations.

use crate::local::LocalLog;
use crate::memory::MemoryLog;
use crate::{PlanError, PlanRecord, PlanTopic, PublishError, Publisher, Receipt, Source};

/// A log of the process's own. It remembers over a restart what was stored and not released.
pub trait Shelter: Publisher + Source + PlanTopic {
    /// The offset before which everything was handed over.
    fn released(&self, partition: u32) -> u64;

    /// Resolves when everything that was published before is stored, or was answered as failed.
    fn barrier(&self) -> Result<Receipt, PublishError>;

    /// Bytes of stored records that were not released.
    fn unreleased_bytes(&self) -> u64;

    /// Keeps a plan in place of all others, whatever their numbers: it is of another topic, which may have begun anew.
    fn keep_plan(&self, plan: PlanRecord) -> Result<(), PlanError>;

    /// Refuses further messages and waits until the others are stored.
    fn close(&self);
}

impl Shelter for LocalLog {
    fn released(&self, partition: u32) -> u64 {
        Self::released(self, partition)
    }

    fn barrier(&self) -> Result<Receipt, PublishError> {
        Self::barrier(self)
    }

    fn unreleased_bytes(&self) -> u64 {
        Self::unreleased_bytes(self)
    }

    fn keep_plan(&self, plan: PlanRecord) -> Result<(), PlanError> {
        Self::keep_plan(self, plan)
    }

    fn close(&self) {
        Self::close(self);
    }
}

impl Shelter for MemoryLog {
    fn released(&self, partition: u32) -> u64 {
        Self::released(self, partition)
    }

    fn barrier(&self) -> Result<Receipt, PublishError> {
        // Whatever is published is stored at once.
        self.publish(Vec::new())
    }

    fn unreleased_bytes(&self) -> u64 {
        Self::unreleased_bytes(self)
    }

    fn keep_plan(&self, plan: PlanRecord) -> Result<(), PlanError> {
        Self::keep_plan(self, plan)
    }

    fn close(&self) {
        Self::close(self);
    }
}

//! The plan topic of the memory log.

use std::sync::{Arc, PoisonError};

use tokio::sync::watch;

use super::MemoryLog;
use crate::{PlanError, PlanRecord, PlanTopic, ReadError};

/// How many plans the topic keeps.
const KEPT: usize = 100;

impl MemoryLog {
    /// Keeps a plan in place of all others, whatever their numbers.
    pub fn keep_plan(&self, plan: PlanRecord) -> Result<(), PlanError> {
        *self.plans.lock().unwrap_or_else(PoisonError::into_inner) = vec![plan.clone()];
        self.latest_plan.send_replace(Some(Arc::new(plan)));
        Ok(())
    }
}

impl PlanTopic for MemoryLog {
    fn append(&self, plan: PlanRecord) -> Result<(), PlanError> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = plans.last().map_or(0, |latest| latest.number);
        if plan.number <= latest {
            return Err(PlanError::Outdated { number: plan.number, latest });
        }
        plans.push(plan.clone());
        let surplus = plans.len().saturating_sub(KEPT);
        plans.drain(..surplus);
        self.latest_plan.send_replace(Some(Arc::new(plan)));
        Ok(())
    }

    fn latest(&self) -> watch::Receiver<Option<Arc<PlanRecord>>> {
        self.latest_plan.subscribe()
    }

    fn history(&self) -> Result<Vec<PlanRecord>, ReadError> {
        Ok(self.plans.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

//! The plan topic of the memory log.

use std::sync::{Arc, PoisonError};

use tokio::sync::watch;

use super::MemoryLog;
use crate::{PlanError, PlanRecord, PlanTopic, ReadError};

/// How many plans the topic keeps.
const KEPT: usize = 100;

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

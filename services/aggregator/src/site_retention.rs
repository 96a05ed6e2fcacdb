//! Sites that keep their raw events longer or shorter than the settings say (`retention` of a site in the plan). New rows
//! carry it (the lane writes it); here the rows that are there already are brought to it, when a plan comes into force
//! and once more a while later, because rows written by the plan before may still have been on their way.
//!
//! Every aggregator does so; what another one did already is nothing left to do.

use std::sync::Arc;
use std::time::Duration;

use event_log::PlanRecord;
use funnel::Plan;
use runtime::Shutdown;
use tokio::sync::watch;
use warehouse::{Warehouse, WarehouseError};

/// When the rows are looked at again after a plan came into force, and after a failure.
const AGAIN: Duration = Duration::from_secs(300);
/// How often they are looked at after a plan came into force.
const LOOKS: u32 = 2;

/// Brings stored rows to the plan in force.
pub(crate) struct SiteRetention {
    warehouse: Warehouse,
    plans: watch::Receiver<Option<Arc<PlanRecord>>>,
}

impl SiteRetention {
    pub(crate) fn new(warehouse: Warehouse, plans: watch::Receiver<Option<Arc<PlanRecord>>>) -> Self {
        Self { warehouse, plans }
    }

    /// Runs until shutdown is requested.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let (mut looks, mut may_change) = (LOOKS, true);
        loop {
            let record = self.plans.borrow_and_update().clone();
            if let Some(record) = record.filter(|_| looks > 0) {
                match self.apply(&record).await {
                    Ok(()) => looks -= 1,
                    Err(error) => {
                        tracing::warn!(%error, "how long sites keep their events is not applied yet")
                    }
                }
            }
            tokio::select! {
                () = shutdown.requested() => return,
                changed = self.plans.changed(), if may_change => match changed {
                    Ok(()) => looks = LOOKS,
                    Err(_) => may_change = false,
                },
                () = tokio::time::sleep(AGAIN), if looks > 0 || !may_change => {}
            }
        }
    }

    /// Sites that a plan does not name any more stay as they are.
    async fn apply(&self, record: &PlanRecord) -> Result<(), WarehouseError> {
        // One that this build refuses is told of by the lanes.
        let Ok(plan) = Plan::parse("tracking-plan.toml", &record.text) else { return Ok(()) };
        for site in &plan.sites {
            let days = site.retention_days.unwrap_or(0);
            if self.warehouse.keep_events(&site.id, days).await? {
                tracing::info!(site = site.id, days, "stored events are kept as the plan says now");
            }
        }
        Ok(())
    }
}

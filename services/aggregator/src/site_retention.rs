//! Sites that keep their raw events longer or shorter than the settings say (`retention` of a site in the plan). New rows
//! carry it (the lane writes it); here the rows that are there already are brought to it, when a plan comes into force
//! and once more a while later, because rows written by the plan before may still have been on their way.
//!
//! Of all aggregators the one that serves partition 0 does so, and none while the table is being changed: each change
//! rewrites the sites' rows. One that takes the partition over looks for itself.

use std::sync::Arc;
use std::time::Duration;

use event_log::PlanRecord;
use funnel::Plan;
use funnel::plan::Site;
use runtime::Shutdown;
use tokio::sync::watch;
use warehouse::{Kept, Warehouse, WarehouseError};

use crate::snapshot::{Board, LaneState};

/// When the rows are looked at again after a plan came into force, and after a failure.
const AGAIN: Duration = Duration::from_secs(300);
/// How often it is looked whether partition 0 has come here, while there is something to do.
const TURN: Duration = Duration::from_secs(5);
/// How often they are looked at after a plan came into force.
const LOOKS: u32 = 2;

/// Brings stored rows to the plan in force.
pub(crate) struct SiteRetention {
    warehouse: Warehouse,
    plans: watch::Receiver<Option<Arc<PlanRecord>>>,
    board: Board,
}

impl SiteRetention {
    pub(crate) fn new(
        warehouse: Warehouse,
        plans: watch::Receiver<Option<Arc<PlanRecord>>>,
        board: Board,
    ) -> Self {
        Self { warehouse, plans, board }
    }

    /// Runs until shutdown is requested.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let (mut looks, mut may_change) = (LOOKS, true);
        loop {
            let record = self.plans.borrow_and_update().clone();
            let is_ours = is_ours(&self.board);
            if let Some(record) = record.filter(|_| looks > 0 && is_ours) {
                match self.apply(&record).await {
                    Ok(Kept::Later) => {}
                    Ok(Kept::AsAsked | Kept::Changing) => looks -= 1,
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
                () = tokio::time::sleep(if is_ours { AGAIN } else { TURN }), if looks > 0 || !may_change => {}
            }
        }
    }

    /// Sites that a plan does not name any more stay as they are.
    async fn apply(&self, record: &PlanRecord) -> Result<Kept, WarehouseError> {
        // One that this build refuses is told of by the lanes.
        let Ok(plan) = Plan::parse("tracking-plan.toml", &record.text) else { return Ok(Kept::AsAsked) };
        let days = |site: &Site| (site.id.clone(), site.retention_days.unwrap_or(0));
        let sites: Vec<(String, u16)> = plan.sites.iter().map(days).collect();
        let kept = self.warehouse.keep_events(&sites).await?;
        match kept {
            Kept::AsAsked => {}
            Kept::Changing => {
                tracing::info!(plan = record.number, "stored events are kept as the plan says now")
            }
            Kept::Later => {
                tracing::info!("the table of events is being changed; how long sites keep theirs waits")
            }
        }
        Ok(kept)
    }
}

/// Whether this process serves partition 0, and so looks after what there is once.
fn is_ours(board: &Board) -> bool {
    let state = board.lane(0).map(|lane| lane.load().state);
    state.is_some_and(|state| state != LaneState::Elsewhere)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::LaneSnapshot;

    #[test]
    fn the_one_that_serves_partition_0_looks_after_the_table() {
        let board = Board::new(2);
        let show = |partition, state| {
            let shown = LaneSnapshot { state, ..LaneSnapshot::default() };
            board.lane(partition).unwrap().store(Arc::new(shown));
            is_ours(&board)
        };
        assert!(!is_ours(&board));
        assert!(!show(1, LaneState::Live));
        assert!(show(0, LaneState::Restoring) && show(0, LaneState::Live) && show(0, LaneState::Paused));
        assert!(!show(0, LaneState::Elsewhere), "another one took it over");
    }
}

//! Sites that keep their raw events longer or shorter than the settings say (`retention` of a site in the plan). New rows
//! carry it (the lane writes it); here the rows that are there already are brought to it, when a plan comes into force,
//! soon again, and every hour for ever: a lane that lags writes by the plan before until it reaches the new one.
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

use crate::snapshot::Board;

/// When the rows are looked at again after a plan came into force, and after a failure.
const SOON: Duration = Duration::from_secs(300);
/// When they are looked at again once they were as asked for twice. A look is one count over two small columns.
const LATER: Duration = Duration::from_secs(3_600);
/// How often it is looked whether partition 0 has come here.
const TURN: Duration = Duration::from_secs(5);
/// Looks after a plan came into force that are soon followed by another one.
const SOON_LOOKS: u32 = 1;
/// Looks in a row that find an earlier change of the table failing, after which somebody has to be told.
const FAILING_LOOKS: u32 = 3;

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
        let (mut looks, mut may_change) = (Looks::default(), true);
        loop {
            let record = self.plans.borrow_and_update().clone();
            let pause = match record.filter(|_| self.board.is_first_served()) {
                Some(record) => looks.after(&self.apply(&record).await),
                None => TURN,
            };
            tokio::select! {
                () = shutdown.requested() => return,
                changed = self.plans.changed(), if may_change => match changed {
                    Ok(()) => looks = Looks::default(),
                    Err(_) => may_change = false,
                },
                () = tokio::time::sleep(pause) => {}
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
            Kept::AsAsked | Kept::Later { .. } => {}
            Kept::Changing => {
                tracing::info!(plan = record.number, "stored events are kept as the plan says now")
            }
        }
        Ok(kept)
    }
}

/// What the looks at the rows found since a plan came into force.
#[derive(Debug, Default)]
struct Looks {
    /// Those that found or made the rows as asked for.
    done: u32,
    /// The last ones, that all found an earlier change failing.
    failing: u32,
}

impl Looks {
    /// Tells what a look found where it is news, and when the next one is due.
    fn after(&mut self, found: &Result<Kept, WarehouseError>) -> Duration {
        self.failing = match found {
            Ok(Kept::Later { failing: Some(_) }) => self.failing.saturating_add(1),
            _ => 0,
        };
        match found {
            Ok(Kept::AsAsked | Kept::Changing) => {
                self.done = self.done.saturating_add(1);
                return if self.done > SOON_LOOKS { LATER } else { SOON };
            }
            Ok(Kept::Later { failing: Some(reason) }) if self.is_stuck() => tracing::warn!(
                reason,
                "how long sites keep their events is not applied: a mutation of the table of events fails again and \
                 again. Remove its cause, or end it with KILL MUTATION; system.mutations has it"
            ),
            Ok(Kept::Later { .. }) => {
                tracing::info!("the table of events is being changed; how long sites keep theirs waits")
            }
            Err(error) => tracing::warn!(%error, "how long sites keep their events is not applied yet"),
        }
        SOON
    }

    fn is_stuck(&self) -> bool {
        self.failing >= FAILING_LOOKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{LaneSnapshot, LaneState};

    #[test]
    fn rows_are_looked_at_soon_again_and_then_every_hour_for_ever() {
        let mut looks = Looks::default();
        assert_eq!(looks.after(&Ok(Kept::Changing)), SOON);
        for found in [Kept::AsAsked, Kept::Changing, Kept::AsAsked, Kept::AsAsked] {
            assert_eq!(looks.after(&Ok(found)), LATER, "a lane may still write by the plan before");
        }
        let lost = WarehouseError::Timeout { statement: "events", limit: SOON };
        assert_eq!(looks.after(&Err(lost)), SOON);
        assert_eq!(looks.after(&Ok(Kept::Later { failing: None })), SOON);
    }

    #[test]
    fn a_change_that_fails_look_after_look_is_told_and_one_that_goes_on_is_not() {
        let mut looks = Looks::default();
        let mut is_stuck_after = |failing: Option<&str>| {
            looks.after(&Ok(Kept::Later { failing: failing.map(str::to_owned) }));
            looks.is_stuck()
        };
        assert!((0..9).all(|_| !is_stuck_after(None)));
        assert_eq!([(); 4].map(|()| is_stuck_after(Some("no space"))), [false, false, true, true]);
        assert!(!is_stuck_after(None), "it goes on");
        assert!(!is_stuck_after(Some("no space")));
    }

    #[test]
    fn the_one_that_serves_partition_0_looks_after_the_table() {
        let board = Board::new(2);
        let show = |partition, state| {
            let shown = LaneSnapshot { state, ..LaneSnapshot::default() };
            board.lane(partition).unwrap().store(Arc::new(shown));
            board.is_first_served()
        };
        assert!(!board.is_first_served());
        assert!(!show(1, LaneState::Live));
        assert!(show(0, LaneState::Restoring) && show(0, LaneState::Live) && show(0, LaneState::Paused));
        assert!(!show(0, LaneState::Elsewhere), "another one took it over");
    }
}

//! Deletes what ClickHouse holds of erased visitors ([`Warehouse::remove_erased`]), now and then for ever: whatever a writer
//! that was away or a log that is read again brings late is found by the next round. Reads leave it out before.
//!
//! Of all aggregators the one that serves partition 0 does so, as with [`crate::site_retention`].

use std::time::Duration;

use runtime::Shutdown;
use warehouse::erasures::Removal;
use warehouse::{Warehouse, WarehouseError};

use crate::snapshot::Board;

/// Rounds in a row that find a change of a table failing, after which somebody has to be told.
const FAILING_ROUNDS: u32 = 3;

/// Where a round could not do all, the next one comes so soon.
const UNFINISHED_PAUSE: Duration = Duration::from_secs(30);

/// Runs until shutdown is requested, a round each interval, or sooner while there is more to do.
pub(crate) async fn run(warehouse: Warehouse, board: Board, interval: Duration, shutdown: Shutdown) {
    let (mut failing, mut pause) = (0, interval);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = interval;
        if board.is_first_served() {
            let found = warehouse.remove_erased().await;
            tell(&found, &mut failing);
            if found.is_ok_and(|removal| removal.is_partial && removal.failing.is_none()) {
                pause = interval.min(UNFINISHED_PAUSE);
            }
        }
    }
}

fn tell(found: &Result<Removal, WarehouseError>, failing: &mut u32) {
    match found {
        Ok(Removal { failing: Some(reason), .. }) => {
            *failing = failing.saturating_add(1);
            if *failing >= FAILING_ROUNDS {
                tracing::warn!(
                    reason,
                    "rows of erased visitors are not deleted, only left out of every read: a mutation of their table fails \
                     again and again. Remove its cause, or end it with KILL MUTATION; system.mutations has it"
                );
            }
        }
        Ok(Removal { visitors: 0, .. }) => *failing = 0,
        Ok(Removal { visitors, .. }) => {
            *failing = 0;
            tracing::info!(visitors, "rows of erased visitors are being deleted");
        }
        Err(error) => tracing::warn!(%error, "rows of erased visitors are not deleted yet"),
    }
}

//! What the collector asks ClickHouse: of which visitors it has events, how many rows of an import, and whether the funnels
//! of the site count them.
//!
//! An import ends with a control record in each partition that has the site's funnels built from everything before it. So
//! they count the import when the generation in force was built as of a place after its last row, in every partition. What
//! is asked is places in the log, for collectors' clocks differ. It is said once every partition has taken the import's end,
//! and so has stored all that it stores of it. What is missing then are copies of events that were there before, rows of erased
//! visitors, and what was removed since: which of them, no table tells.

use std::collections::HashSet;
use std::sync::Arc;

use collector::{ImportProgress, WarehouseAnswer, WarehouseStatus, WarehouseStatusError};
use funnel::Plan;
use tokio::sync::watch;
use warehouse::{FunnelKey, Warehouse, WarehouseError};

/// Answers from the warehouse's tables `events` and `progress`.
pub(crate) struct WarehouseAnswers {
    pub(crate) warehouse: Warehouse,
    pub(crate) plan: watch::Receiver<Option<Arc<Plan>>>,
    /// Part of a funnel's identity.
    pub(crate) horizon_ms: i64,
}

impl WarehouseStatus for WarehouseAnswers {
    fn progress<'a>(
        &'a self,
        site: &'a str,
        import_id: &'a str,
    ) -> WarehouseAnswer<'a, Option<ImportProgress>> {
        Box::pin(async move { self.read(site, import_id).await.map_err(failed) })
    }

    fn stored_visitors<'a>(
        &'a self,
        site: &'a str,
        visitors: Vec<String>,
    ) -> WarehouseAnswer<'a, HashSet<String>> {
        Box::pin(async move { self.warehouse.stored_visitors(site, &visitors).await.map_err(failed) })
    }
}

fn failed(error: WarehouseError) -> WarehouseStatusError {
    WarehouseStatusError(error.to_string())
}

impl WarehouseAnswers {
    async fn read(&self, site: &str, import_id: &str) -> Result<Option<ImportProgress>, WarehouseError> {
        // The end first: whatever stands before it is then among the rows.
        let read = self.warehouse.read_import(site, import_id).await?;
        let rows = self.warehouse.imported_rows(site, import_id).await?;
        if rows.is_empty() && read.is_none() {
            return Ok(None);
        }
        let mut done = Vec::new();
        for key in self.funnels(site) {
            let generations = self.warehouse.generations(&key).await?;
            let counted = match generations.in_force() {
                Some(generation) => {
                    let cutoffs = self.warehouse.cutoffs(&key, generation).await?;
                    cutoffs.are_after(&rows) && read.as_ref().is_none_or(|read| cutoffs.reach(read))
                }
                None => false,
            };
            done.push(share_done(counted, generations.building));
        }
        let stored_rows = rows.iter().map(|rows| rows.rows).sum();
        Ok(Some(ImportProgress {
            stored_rows,
            not_stored_rows: read.as_ref().map_or(0, |read| read.accepted_rows.saturating_sub(stored_rows)),
            is_ready: read.is_some() && done.iter().all(|share| *share >= 1.0),
            progress: mean(&done),
        }))
    }

    fn funnels(&self, site: &str) -> Vec<FunnelKey> {
        let plan = self.plan.borrow().clone().unwrap_or_default();
        let key = |funnel: &funnel::plan::Funnel| FunnelKey {
            site: funnel.site.clone(),
            funnel: funnel.id.clone(),
            definition: funnel.definition_hash(self.horizon_ms),
        };
        plan.funnels_of(site).map(key).collect()
    }
}

/// 1 when the generation in force counts the import; what is built may be for something else, so it is never told as all.
fn share_done(is_counted: bool, building: Option<f64>) -> f64 {
    if is_counted { 1.0 } else { building.unwrap_or(0.0).min(0.999) }
}

/// A site without funnels has nothing to wait for.
fn mean(shares: &[f64]) -> f64 {
    if shares.is_empty() { 1.0 } else { shares.iter().sum::<f64>() / shares.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_done_when_it_is_counted_and_never_because_a_build_is() {
        assert_eq!(share_done(true, None), 1.0);
        assert_eq!(share_done(true, Some(0.2)), 1.0, "a build for something later");
        assert_eq!(share_done(false, None), 0.0);
        assert_eq!(share_done(false, Some(0.5)), 0.5);
        assert_eq!(share_done(false, Some(1.0)), 0.999);
    }

    #[test]
    fn a_site_without_funnels_has_nothing_to_wait_for() {
        assert_eq!(mean(&[]), 1.0);
        assert_eq!(mean(&[1.0, 0.5]), 0.75);
    }
}

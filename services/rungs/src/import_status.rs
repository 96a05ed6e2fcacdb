//! What the collector tells an import about itself: how many of its rows ClickHouse holds, and whether the funnels of the
//! site count them.
//!
//! A generation is named by the time at which it was begun, and an import ends with a control record that begins one
//! after its last row was received. So the funnels count the import when the generation in force is not older than its
//! last row. While not all rows are stored that can be said too early; the caller knows how many there must be.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use collector::{ImportProgress, ImportStatus, ImportStatusError};
use funnel::Plan;
use tokio::sync::watch;
use warehouse::generations::Generations;
use warehouse::{FunnelKey, Warehouse, WarehouseError};

/// Answers from the warehouse's tables `events` and `progress`.
pub(crate) struct WarehouseImports {
    pub(crate) warehouse: Warehouse,
    pub(crate) plan: watch::Receiver<Option<Arc<Plan>>>,
    /// Part of a funnel's identity.
    pub(crate) horizon_ms: i64,
}

impl ImportStatus for WarehouseImports {
    fn progress<'a>(
        &'a self,
        site: &'a str,
        import_id: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Option<ImportProgress>, ImportStatusError>> + Send + 'a>> {
        let failed = |error: WarehouseError| ImportStatusError(error.to_string());
        Box::pin(async move { self.read(site, import_id).await.map_err(failed) })
    }
}

impl WarehouseImports {
    async fn read(&self, site: &str, import_id: &str) -> Result<Option<ImportProgress>, WarehouseError> {
        let stored_rows = self.warehouse.import_status(site, import_id).await?;
        if stored_rows == 0 {
            return Ok(None);
        }
        let last_row_ms = self.last_received_ms(site, import_id).await?;
        let mut done = Vec::new();
        for key in self.funnels(site) {
            done.push(share_done(&self.warehouse.generations(&key).await?, last_row_ms));
        }
        Ok(Some(ImportProgress {
            stored_rows,
            is_ready: done.iter().all(|share| *share >= 1.0),
            progress: mean(&done),
        }))
    }

    async fn last_received_ms(&self, site: &str, import_id: &str) -> Result<u64, WarehouseError> {
        const SQL: &str = "SELECT toUInt64(toUnixTimestamp64Milli(max(received_at))) FROM events \
            WHERE site = ? AND import_id = ?";
        let query = self.warehouse.client().query(SQL).bind(site).bind(import_id);
        query
            .fetch_one()
            .await
            .map_err(|source| WarehouseError::Statement { statement: "events".into(), source })
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

/// 1 when the generation in force was begun at or after `since_ms`.
fn share_done(generations: &Generations, since_ms: u64) -> f64 {
    match generations.in_force() {
        Some(generation) if generation >= since_ms => 1.0,
        _ => generations.building.unwrap_or(0.0).min(0.999),
    }
}

/// A site without funnels has nothing to wait for.
fn mean(shares: &[f64]) -> f64 {
    if shares.is_empty() { 1.0 } else { shares.iter().sum::<f64>() / shares.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_counted_when_a_generation_begun_after_its_last_row_is_in_force() {
        let generations =
            |complete: &[u64], building| Generations { partitions: 2, complete: complete.to_vec(), building };
        assert_eq!(share_done(&generations(&[500, 400], None), 500), 1.0);
        assert_eq!(share_done(&generations(&[499], None), 500), 0.0);
        assert_eq!(share_done(&generations(&[499], Some(0.5)), 500), 0.5);
        assert_eq!(share_done(&generations(&[499], Some(1.0)), 500), 0.999);
        assert_eq!(share_done(&generations(&[], None), 500), 0.0);
    }

    #[test]
    fn a_site_without_funnels_has_nothing_to_wait_for() {
        assert_eq!(mean(&[]), 1.0);
        assert_eq!(mean(&[1.0, 0.5]), 0.75);
    }
}

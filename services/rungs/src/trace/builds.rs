//! Which stored events the builds in force took from the raw events: those count whatever their times are, and however many
//! their visitor had sent.

use std::collections::HashMap;

use event_log::partition_of;
use funnel::Plan;
use funnel::plan::Identity;
use warehouse::imports::{Cutoffs, ImportedRows};
use warehouse::links::LinkSet;
use warehouse::trace::{Reached, Traced};
use warehouse::{FunnelKey, Warehouse, WarehouseError};

/// The builds of a site's funnels.
#[derive(Debug, Default)]
pub(super) struct Builds {
    partitions: u32,
    /// By funnel.
    in_force: HashMap<String, Build>,
}

#[derive(Debug)]
struct Build {
    cutoffs: Cutoffs,
    /// What it joins ids by, where the site does.
    links: Option<LinkSet>,
}

impl Builds {
    /// Those of all funnels of a site.
    pub(super) async fn read(
        warehouse: &Warehouse,
        plan: &Plan,
        site: &str,
        reached: &[Reached],
        horizon_ms: i64,
    ) -> Result<Self, WarehouseError> {
        let partitions = reached.first().map_or(1, |partition| partition.log_partitions.max(1));
        let joins = plan.site(site).is_some_and(|site| site.policy.identity == Identity::Links);
        let mut in_force = HashMap::new();
        for funnel in plan.funnels_of(site) {
            let key = FunnelKey {
                site: site.to_owned(),
                funnel: funnel.id.clone(),
                definition: funnel.definition_hash(horizon_ms),
            };
            let Some(generation) = warehouse.generations(&key).await?.in_force() else { continue };
            let cutoffs = warehouse.cutoffs(&key, generation).await?;
            let links = match joins {
                true => warehouse.link_set(site, generation, cutoffs.log_epoch).await?,
                false => None,
            };
            in_force.insert(funnel.id.clone(), Build { cutoffs, links });
        }
        Ok(Self { partitions, in_force })
    }

    /// Whether the funnel's build took the event, for its own id or for the one that it was joined with.
    pub(super) fn took(&self, funnel: &str, row: &Traced) -> bool {
        let Some(build) = self.in_force.get(funnel) else { return false };
        let last = (row.stored.log_epoch, row.stored.offset);
        let log_partition = self.partition(row);
        build.cutoffs.are_after(&[ImportedRows { log_partition, rows: 1, last }])
    }

    /// Whether the links by which the funnel is counted were made when the event was stored already.
    pub(super) fn joined(&self, funnel: &str, row: &Traced) -> bool {
        let Some(links) = self.in_force.get(funnel).and_then(|build| build.links.as_ref()) else {
            return false;
        };
        let passed = links.passed.get(self.partition(row) as usize).copied().unwrap_or(0);
        (row.stored.log_epoch, row.stored.offset) < (links.log_epoch, passed)
    }

    fn partition(&self, row: &Traced) -> u32 {
        partition_of(&row.site, &row.event.visitor_id, self.partitions.max(1))
    }

    /// One build that took every event before an offset, with links or without.
    #[cfg(test)]
    pub(super) fn of(funnel: &str, epoch: u32, offset: u64, joins: bool) -> Self {
        let cutoffs = Cutoffs { log_epoch: epoch, offsets: HashMap::from([(0, offset)]) };
        let links = joins.then(|| LinkSet { log_epoch: epoch, passed: vec![offset], ..LinkSet::default() });
        Self { partitions: 1, in_force: HashMap::from([(funnel.to_owned(), Build { cutoffs, links })]) }
    }
}

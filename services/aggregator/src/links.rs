//! By which links a funnel counts, where its site joins ids: those of its generation's set. Called by builds and restores
//! before anything is folded. `linking` makes the sets.

use std::sync::Arc;

use warehouse::WarehouseError;
use warehouse::links::LinkSet;

use crate::funnel_lane::{FunnelLane, PartitionId};
use crate::store::{LinksOf, Store};

/// Has a funnel count by its generation's set, which is returned; `None` where its site joins no ids, or has no set yet.
pub(crate) async fn join<S: Store>(
    store: &S,
    partition: &PartitionId,
    lane: &mut FunnelLane,
) -> Result<Option<LinkSet>, WarehouseError> {
    if !lane.joins_ids() {
        return Ok(None);
    }
    let (epoch, partition) = (partition.epoch, partition.partition);
    let of = LinksOf { site: &lane.key.site, generation: lane.generation, epoch, partition };
    Ok(store.links(of).await?.map(|(set, joined)| {
        lane.join(Arc::new(joined), set.number);
        set
    }))
}

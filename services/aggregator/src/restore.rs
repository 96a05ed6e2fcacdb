//! Brings a partition back from the warehouse: progress first, then who was erased, then journeys, marker last.
//! Journeys may be ahead of progress where a flush was cut off: their visitors leave out what they contain already, and
//! until the marker no minute is written (all of those were stored before it).

use std::collections::BTreeMap;
use std::sync::Arc;

use funnel::Plan;
use funnel::plan::Funnel;
use warehouse::WarehouseError;
use warehouse::rows::{BUILDING, COMPLETE, MARKER, PROGRESS, ProgressRow};

use crate::erased::{Erased, Erasure};
use crate::funnel_lane::{FoldSettings, FunnelLane, PartitionId};
use crate::lane::{BuildOrder, PlanInForce, rebuilt_of_values};
use crate::links;
use crate::snapshot::RestoreProgress;
use crate::store::{GenerationKey, Store, StoredJourney};

/// What a restore found.
#[derive(Default)]
pub struct Restored {
    pub in_force: PlanInForce,
    /// The largest generation of each site's rebuilds and imports.
    pub rebuilt: BTreeMap<String, u64>,
    /// Visitors who were erased before the position.
    pub erased: Erased,
    pub next_offset: u64,
    /// Raw events before this offset are stored.
    pub raw_stored: u64,
    pub clock_ms: i64,
    pub funnels: Vec<FunnelLane>,
    /// Builds that did not come to their end.
    pub unfinished: Vec<BuildOrder>,
}

/// Why a partition cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    /// Going on without it would forget every funnel.
    #[error(
        "plan {number}, which is in force, is refused by this version: {problem}. Start the version that applied it, \
         apply a plan that both accept, and upgrade then"
    )]
    Plan { number: u64, problem: String },
}

/// Reads a partition's state.
pub async fn restore<S: Store>(
    store: &S,
    partition: &PartitionId,
    settings: &FoldSettings,
) -> Result<Restored, RestoreError> {
    restore_with(store, partition, settings, &RestoreProgress::default()).await
}

/// As [`restore`], telling how far it is. Journeys are streamed: what is read beside them is small.
pub async fn restore_with<S: Store>(
    store: &S,
    partition: &PartitionId,
    settings: &FoldSettings,
    told: &RestoreProgress,
) -> Result<Restored, RestoreError> {
    told.begin();
    let progress = store.progress(&partition.log_id, partition.partition, PROGRESS).await?;
    // Who was erased before the position was stored before the progress that says so.
    let erased =
        Erasures { all: store.erasures((partition.partition, partition.partitions)).await?, partition };
    let Some(own) = progress.iter().find(|row| row.funnel.is_empty()) else {
        return Ok(Restored { erased: erased.before(0), ..Restored::default() });
    };
    let mut restored = Restored {
        in_force: plan_of(own)?,
        rebuilt: rebuilt_of_values(&own.values),
        next_offset: own.next_offset,
        clock_ms: own.clock_ms,
        ..Restored::default()
    };
    for funnel in &Arc::clone(&restored.in_force.plan).funnels {
        let definition = funnel.definition_hash(settings.horizon_ms);
        let mine = |row: &&ProgressRow| {
            row.site == funnel.site && row.funnel == funnel.id && row.definition == definition
        };
        let latest = |building: bool| {
            let rows = progress.iter().filter(mine).filter(|row| (row.state == BUILDING) == building);
            rows.max_by_key(|row| row.generation)
        };
        // A generation that was dropped hides older ones, which nobody keeps up to date.
        let complete = latest(false).filter(|row| row.state == COMPLETE);
        let building =
            latest(true).filter(|row| complete.is_none_or(|live| live.generation < row.generation));
        // A build that took over the number of the live generation has ended that one: an older one was left long ago.
        let complete = complete.filter(|live| building.is_none() || live.next_offset >= own.next_offset);
        let funnel = Arc::new(funnel.clone());
        if let Some(row) = complete {
            let mut lane = FunnelLane::from_progress(Arc::clone(&funnel), settings, row);
            join(store, partition, &mut lane, &restored.funnels).await?;
            match journeys(store, partition, lane, &erased.before(row.next_offset), told).await? {
                Some(lane) => restored.funnels.push(lane),
                // All that was stored up to the position is in the raw events; the log goes on from there.
                None => {
                    let (cutoff, clock_ms) = (own.next_offset, own.clock_ms);
                    let order = BuildOrder { cutoff, clock_ms, ..order_of(&funnel, row) };
                    restored.unfinished.push(order.repairing(row.version));
                }
            }
        }
        // A build that was ordered by a record after the position is ordered again when that record is read again; but
        // without a live generation its row alone knows the number. What it reads was stored before that row.
        if let Some(row) = building.filter(|row| complete.is_none() || row.cutoff <= own.next_offset) {
            restored.unfinished.push(order_of(&funnel, row));
        }
    }
    mark(store, partition, &mut restored).await?;
    // The one that is furthest behind decides where to read, and with which clock.
    for lane in &restored.funnels {
        restored.next_offset = restored.next_offset.min(lane.joins_at);
        restored.clock_ms = restored.clock_ms.min(lane.fold().clock_ms());
    }
    restored.erased = erased.before(restored.next_offset);
    Ok(restored)
}

/// The order whose row this is.
fn order_of(funnel: &Arc<Funnel>, row: &ProgressRow) -> BuildOrder {
    BuildOrder {
        funnel: Arc::clone(funnel),
        generation: row.generation,
        cutoff: row.cutoff,
        clock_ms: row.cutoff_clock_ms,
        least_version: row.version,
    }
}

fn plan_of(own: &ProgressRow) -> Result<PlanInForce, RestoreError> {
    if own.plan_number == 0 {
        return Ok(PlanInForce::default());
    }
    let number = own.plan_number;
    match Plan::parse("tracking-plan.toml", &own.plan_text) {
        Ok(plan) => Ok(PlanInForce { number, text: own.plan_text.clone(), plan: Arc::new(plan) }),
        Err(problems) => {
            let problem = problems.first().map(ToString::to_string).unwrap_or_default();
            Err(RestoreError::Plan { number, problem })
        }
    }
}

/// The erasures of a partition.
struct Erasures<'p> {
    all: Vec<Erasure>,
    partition: &'p PartitionId,
}

impl Erasures<'_> {
    /// Those before an offset of the log.
    fn before(&self, offset: u64) -> Erased {
        Erased::before((self.partition.epoch, offset), &self.all)
    }
}

/// As [`links::join`]; funnels of one generation share what it reads.
async fn join<S: Store>(
    store: &S,
    partition: &PartitionId,
    lane: &mut FunnelLane,
    others: &[FunnelLane],
) -> Result<(), WarehouseError> {
    let same = |other: &&FunnelLane| {
        lane.joins_ids() && (&other.key.site, other.generation) == (&lane.key.site, lane.generation)
    };
    if let Some((joined, set)) = others.iter().find(same).map(FunnelLane::joined) {
        lane.join(joined, set);
        return Ok(());
    }
    links::join(store, partition, lane).await.map(drop)
}

/// Loads a funnel's journeys; `None` if one is damaged, so that the funnel must be built anew.
async fn journeys<S: Store>(
    store: &S,
    partition: &PartitionId,
    mut lane: FunnelLane,
    erased: &Erased,
    told: &RestoreProgress,
) -> Result<Option<FunnelLane>, WarehouseError> {
    let key = GenerationKey {
        funnel: lane.key.clone(),
        generation: lane.generation,
        partition: partition.partition,
    };
    // Only shown: a count that fails is no reason to read nothing. No room is made by it: a table that grows takes less
    // time than one that is large, and so in no cache, from the first journey on.
    told.expect(store.count_journeys(&key).await.unwrap_or(0));
    let mut damaged = 0u64;
    let mut take = |(visitor, state, folded_to): StoredJourney<'_>| {
        told.read_one();
        // What is stored of them is deleted later.
        if erased.contains(&key.funnel.site, visitor) {
            return;
        }
        damaged += u64::from(lane.restore(visitor, state, folded_to).is_err());
    };
    store.journeys(&key, &mut take).await?;
    if damaged > 0 {
        tracing::error!(
            funnel = key.funnel.funnel,
            damaged,
            "stored journeys are damaged; building anew from raw events"
        );
        return Ok(None);
    }
    Ok(Some(lane))
}

async fn mark<S: Store>(
    store: &S,
    partition: &PartitionId,
    restored: &mut Restored,
) -> Result<(), WarehouseError> {
    let markers = store.progress(&partition.log_id, partition.partition, MARKER).await?;
    let own = markers.iter().filter(|row| row.funnel.is_empty());
    restored.raw_stored = own.map(|row| row.next_offset).max().unwrap_or(0);
    for lane in &mut restored.funnels {
        let mine = |row: &&ProgressRow| {
            row.site == lane.key.site
                && row.funnel == lane.key.funnel
                && row.definition == lane.key.definition
                && row.generation == lane.generation
        };
        let marker = markers.iter().filter(mine).map(|row| row.next_offset).max().unwrap_or(0);
        if marker > lane.joins_at {
            lane.set_marker(marker);
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;

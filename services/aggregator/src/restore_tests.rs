//! A restore from a warehouse that answers some of what it is asked.

use event_log::ManualClock;
use event_log::memory::MemoryLog;
use funnel::identity::Joined;
use prost::Message as _;
use rungs_proto::v1::{Control, PlanApplied, Record, control::Action, record::Body};
use warehouse::FunnelKey;
use warehouse::links::LinkSet;
use warehouse::logs::KnownLog;

use super::*;
use crate::build::Builder;
use crate::lane::{Effects, Lane};
use crate::memory::{MemoryRaw, MemoryStore};
use crate::refused_raw::RefusedRaw;
use crate::small_lane::{PLAN, counters, event, first_of, flush_limits, fold_settings};
use crate::store::{LinksOf, RawRange, Sink, StoredJourney, Write};

const NOW_MS: i64 = 1_700_000_000_000;

/// A warehouse that cannot count journeys.
#[derive(Clone, Default)]
struct Uncounted(MemoryStore);

impl Sink for Uncounted {
    async fn write(&self, write: &Write) -> Result<(), WarehouseError> {
        self.0.write(write).await
    }
}

impl Store for Uncounted {
    type Raw = MemoryRaw;

    async fn register_log(&self, log_id: &str, partitions: u32) -> Result<KnownLog, WarehouseError> {
        self.0.register_log(log_id, partitions).await
    }

    async fn progress(
        &self,
        log_id: &str,
        partition: u32,
        kind: &'static str,
    ) -> Result<Vec<ProgressRow>, WarehouseError> {
        self.0.progress(log_id, partition, kind).await
    }

    async fn journeys(
        &self,
        key: &GenerationKey,
        take: &mut (dyn FnMut(StoredJourney<'_>) + Send),
    ) -> Result<(), WarehouseError> {
        self.0.journeys(key, take).await
    }

    async fn count_journeys(&self, _: &GenerationKey) -> Result<u64, WarehouseError> {
        Err(WarehouseError::NoSchema { database: "rungs".into() })
    }

    async fn erasures(&self, place: (u32, u32)) -> Result<Vec<Erasure>, WarehouseError> {
        self.0.erasures(place).await
    }

    async fn links(&self, of: LinksOf<'_>) -> Result<Option<(LinkSet, Joined)>, WarehouseError> {
        self.0.links(of).await
    }

    async fn raw(&self, range: &RawRange) -> Result<(u64, Self::Raw), WarehouseError> {
        self.0.raw(range).await
    }

    async fn remove_journeys(&self, key: &GenerationKey) -> Result<(), WarehouseError> {
        self.0.remove_journeys(key).await
    }

    async fn remove_journeys_of(
        &self,
        key: &GenerationKey,
        visitors: &[u128],
        until: u64,
    ) -> Result<(), WarehouseError> {
        self.0.remove_journeys_of(key, visitors, until).await
    }
}

/// The store of a partition with one visitor in its funnel.
fn with_one_visitor(id: &PartitionId) -> Uncounted {
    let store = Uncounted::default();
    let mut lane = Lane::new(id.clone(), fold_settings(), flush_limits(), counters());
    let mut effects = Effects::default();
    let take = |lane: &mut Lane, body: Body, effects: &mut Effects| {
        let value = Record { body: Some(body) }.encode_to_vec();
        lane.record(lane.next_offset(), NOW_MS, &value, &|_| Some(PLAN.into()), effects);
    };
    let action = Some(Action::PlanApplied(PlanApplied { number: 1 }));
    take(&mut lane, Body::Control(Control { generation: 1, action }), &mut effects);
    take(&mut lane, event("v", "m", NOW_MS), &mut effects);
    lane.flush(NOW_MS, &mut effects);
    effects.writes.iter().for_each(|write| store.0.tables().apply(write));
    store
}

#[tokio::test]
async fn journeys_that_cannot_be_counted_are_restored_all_the_same() {
    let id = first_of(1, "log".into());
    let (store, told) = (with_one_visitor(&id), RestoreProgress::default());
    let restored = restore_with(&store, &id, &fold_settings(), &told).await.unwrap();
    assert_eq!((restored.next_offset, restored.funnels.len()), (2, 1));
    assert_eq!(restored.funnels[0].fold().visitors(), 1);
    assert!(restored.unfinished.is_empty(), "nothing is built anew");
}

/// What a build works with that nothing breaks.
fn builder(store: &Uncounted, id: &PartitionId) -> Builder<Uncounted> {
    Builder {
        store: store.clone(),
        source: Arc::new(MemoryLog::new(id.partitions, Arc::new(ManualClock::at(NOW_MS)))),
        partition: id.clone(),
        settings: fold_settings(),
        refused: RefusedRaw::default(),
        wanted: Arc::new(|| true),
    }
}

/// The lane that goes on from what was restored; what it writes is stored.
fn resumed(store: &Uncounted, id: &PartitionId, found: Restored) -> Lane {
    let mut lane = Lane::new(id.clone(), fold_settings(), flush_limits(), counters());
    let mut effects = Effects::default();
    lane.resume(found, &mut effects);
    effects.writes.iter().for_each(|write| store.0.tables().apply(write));
    lane
}

/// A partition one of whose journeys cannot be read; the order to repair its funnel.
async fn ordered_repair(store: &Uncounted, id: &PartitionId) -> (Lane, BuildOrder) {
    let found = restore(store, id, &fold_settings()).await.unwrap();
    assert_eq!((found.funnels.len(), found.unfinished.len()), (0, 1), "it is built anew");
    let order = found.unfinished[0].clone();
    (resumed(store, id, found), order)
}

#[tokio::test]
async fn a_repair_that_is_cut_off_begins_again_and_one_that_came_to_its_end_does_not() {
    let id = first_of(1, "log".into());
    let store = with_one_visitor(&id);
    for attempt in 0..3 {
        store.0.tables().journeys.values_mut().for_each(|row| row.state.truncate(3));
        let (_, order) = ordered_repair(&store, &id).await;
        let key = GenerationKey {
            funnel: FunnelKey { site: "s".into(), funnel: "f".into(), definition: definition(&order) },
            generation: order.generation,
            partition: 0,
        };
        // As far as a build comes before it has read anything.
        store.remove_journeys(&key).await.unwrap();
        let (mut lane, order) = ordered_repair(&store, &id).await;
        let built = builder(&store, &id).build(order).await.unwrap();
        let mut effects = Effects::default();
        lane.adopt(built.lane, NOW_MS, &mut effects);
        effects.writes.iter().for_each(|write| store.0.tables().apply(write));
        let found = restore(&store, &id, &fold_settings()).await.unwrap();
        assert_eq!((found.funnels.len(), found.unfinished.len()), (1, 0), "attempt {attempt}");
        assert_eq!(found.funnels[0].fold().visitors(), 1, "attempt {attempt}");
    }
}

fn definition(order: &BuildOrder) -> u64 {
    order.funnel.definition_hash(fold_settings().horizon_ms)
}

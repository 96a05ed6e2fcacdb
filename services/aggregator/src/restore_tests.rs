//! A restore from a warehouse that answers some of what it is asked.

use funnel::identity::Joined;
use prost::Message as _;
use rungs_proto::v1::{Control, Event, PlanApplied, Record, control::Action, record::Body};
use warehouse::links::LinkSet;
use warehouse::logs::KnownLog;

use super::*;
use crate::lane::{Effects, Lane};
use crate::memory::{MemoryRaw, MemoryStore};
use crate::small_lane::{PLAN, counters, first_of, flush_limits, fold_settings};
use crate::store::{LinksOf, RawRange, StoredJourney, Write};

const NOW_MS: i64 = 1_700_000_000_000;

/// A warehouse that cannot count journeys.
#[derive(Clone, Default)]
struct Uncounted(MemoryStore);

impl Store for Uncounted {
    type Raw = MemoryRaw;

    async fn write(&self, write: &Write) -> Result<(), WarehouseError> {
        self.0.write(write).await
    }

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
        take: &mut (dyn FnMut(StoredJourney) + Send),
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
    let (site, visitor_id, message_id, event) = ("s".into(), "v".into(), "m".into(), "a".into());
    let event = Event { site, visitor_id, message_id, event, ts_ms: NOW_MS, ..Event::default() };
    take(&mut lane, Body::Event(event), &mut effects);
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

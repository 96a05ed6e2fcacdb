//! The aggregator without a store: the topic from its beginning through the log's reader and the lanes, duplicates and
//! late events handled, raw rows and journeys made and thrown away. A thread a partition, in a process of its own.

use std::sync::Arc;

use aggregator::counters::LaneCounters;
use aggregator::funnel_lane::{FunnelLane, PartitionId};
use aggregator::lane::{Effects, FlushLimits, Lane, PlanInForce};
use aggregator::restore::Restored;
use event_log::Source;
use event_log::kafka::{KafkaSettings, KafkaSource};
use rungs_proto::view::RecordView;
use runtime::{Metrics, now_ms};

use super::cluster::PARTITIONS;
use super::counted::Counted;
use crate::BenchError;
use crate::fold::{WARM, plan, settings};

const SENT_WITHIN_MS: i64 = 30 * 60_000;
/// As the aggregator reads.
const READ_BYTES: usize = 1 << 20;

/// Reads to the topic's end as it is now.
pub(super) fn run(brokers: &str) -> Result<Counted, BenchError> {
    let mut settings = KafkaSettings::new(brokers);
    (settings.partitions, settings.replication) = (PARTITIONS, 1);
    let source = KafkaSource::open(&settings).map_err(BenchError::other)?;
    let counters = LaneCounters::register(&Metrics::new().map_err(BenchError::other)?);
    let counters = counters.map_err(BenchError::other)?;
    let lanes = (0..PARTITIONS).map(|partition| lane(partition, counters.clone()));
    let lanes = lanes.collect::<Result<Vec<Lane>, BenchError>>()?;
    let ends: Vec<u64> = (0..PARTITIONS).map(|partition| *source.end(partition).borrow()).collect();
    let counted = Counted::begin();
    std::thread::scope(|scope| {
        let source = &source;
        let threads =
            lanes.into_iter().zip(ends).map(|(lane, end)| scope.spawn(move || fold(lane, end, source)));
        let threads: Vec<_> = threads.collect();
        let mut joined = threads.into_iter().map(|thread| thread.join());
        joined.try_for_each(|ended| ended.unwrap_or_else(|_| Err(BenchError::other("a lane panicked"))))
    })?;
    Ok(counted.end(counters.events.get()))
}

fn lane(partition: u32, counters: LaneCounters) -> Result<Lane, BenchError> {
    let settings = settings();
    let limits = FlushLimits {
        events_interval_ms: 1_000,
        events_batch_rows: 100_000,
        journeys_interval_ms: 30_000,
        journeys_batch_rows: 1_000_000,
    };
    let plan = plan()?;
    // Before the events, which were sent in the last minutes.
    let began_ms = now_ms() - SENT_WITHIN_MS;
    let funnels = plan.funnels.iter().map(|funnel| Arc::new(funnel.clone()));
    let funnels = funnels.map(|funnel| FunnelLane::new(funnel, 1, &settings, began_ms, 0)).collect();
    let id = PartitionId {
        log_id: "bench".into(),
        epoch: 0,
        generation_floor: 0,
        partition,
        partitions: PARTITIONS,
    };
    let mut lane = Lane::new(id, settings, limits, counters);
    // A number above all others, so that the topic's control records change nothing.
    let in_force = PlanInForce { number: u64::MAX, text: String::new(), plan: Arc::new(plan) };
    let found = Restored { in_force, clock_ms: began_ms, funnels, ..Restored::default() };
    lane.resume(found, &mut Effects::default());
    Ok(lane)
}

fn fold(mut lane: Lane, end: u64, source: &KafkaSource) -> Result<(), BenchError> {
    let partition = lane.partition.partition;
    while lane.next_offset() < end {
        let records = source.read(partition, lane.next_offset(), READ_BYTES).map_err(BenchError::other)?;
        let mut effects = Effects::default();
        for group in records.chunks(WARM) {
            let mut decoded: Vec<_> = group.iter().map(|record| RecordView::decode(&record.value)).collect();
            lane.warm(decoded.iter().flatten());
            for (record, view) in group.iter().zip(&mut decoded) {
                lane.take(record.offset, record.appended_at_ms, view, &|_| None, &mut effects);
            }
        }
        lane.tick(now_ms(), records.is_empty(), &mut effects);
        std::hint::black_box(effects.writes.len());
    }
    Ok(())
}

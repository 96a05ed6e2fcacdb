//! Builds a funnel from the raw events: all distinct events before the cut-off in time order, their history included, then
//! the log from the cut-off on, until it stands close to the lane, which takes it over. A new or changed funnel, an
//! import and lost journeys are built this way, beside the live generation, on a thread of their own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use event_log::{LogRecord, ReadError, Source, partition_of};
use funnel::intake::Incoming;
use prost::Message;
use rungs_proto::v1::{Control, control::Action};
use rungs_proto::view::{EventView, RecordView};
use warehouse::WarehouseError;
use warehouse::links::LinkSet;
use warehouse::raw::RawEvent;
use warehouse::rows::RollingRow;

use crate::erased::{Erased, visitors_of};
use crate::funnel_lane::{FoldSettings, FunnelLane, PartitionId};
use crate::lane::{BuildOrder, admit, incoming_of};
use crate::links;
use crate::panics::{Panicked, text_of};
use crate::refused_raw::{PanickedRaw, RefusedRaw};
use crate::store::{
    GenerationKey, JOURNEYS_PER_WRITE, ROWS_PER_WRITE, RawRange, RawStream, Store, StoredJourney, Write,
    in_pieces,
};
use crate::writer::persist;

/// How often the share that is done is written.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
/// Bytes of the log read at once while catching up.
const READ_BYTES: usize = 4 << 20;

/// A finished build and the order it carries out.
pub struct Built {
    pub lane: FunnelLane,
    pub order: BuildOrder,
}

/// Why a build ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    #[error(transparent)]
    Log(#[from] ReadError),
    #[error(transparent)]
    Poisonous(#[from] Panicked),
    #[error(transparent)]
    PoisonousRaw(#[from] PanickedRaw),
    #[error("it panicked: {0}. Please report it")]
    Panicked(String),
    #[error("the system gives it no thread: {0}")]
    Thread(#[from] std::io::Error),
    #[error("a newer build or the end of the service replaced it")]
    Cancelled,
}

/// What a build works with.
pub struct Builder<S: Store> {
    pub store: S,
    pub source: Arc<dyn Source>,
    pub partition: PartitionId,
    pub settings: FoldSettings,
    /// What is left out of the raw events.
    pub refused: RefusedRaw,
    /// Whether the order is still wanted.
    pub wanted: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl<S: Store> Builder<S> {
    /// Carries out an order; returns the funnel standing at the end of the log as it was a moment ago. It reads the log
    /// in between, which may block: for a thread of its own.
    pub async fn build(&self, order: BuildOrder) -> Result<Built, BuildError> {
        self.check_wanted()?;
        let mut lane = FunnelLane::ordered(&order, &self.settings);
        let key = GenerationKey {
            funnel: lane.key.clone(),
            generation: order.generation,
            partition: self.partition.partition,
        };
        if order.repairs() {
            self.store.remove_journeys(&key).await?;
        }
        let erased = self.store.erasures((self.partition.partition, self.partition.partitions)).await?;
        lane.erased = Erased::before((self.partition.epoch, order.cutoff), &erased);
        let set = links::join(&self.store, &self.partition, &mut lane).await?;
        self.fold_raw(&order, set, &mut lane).await?;
        while lane.fold().changed() > 0 {
            let piece = lane.journey_rows(JOURNEYS_PER_WRITE, order.cutoff, &self.partition);
            self.persist(Write::Journeys(piece)).await?;
        }
        if lane.joins_ids() {
            self.remove_others(&key, &lane, order.cutoff).await?;
        }
        self.catch_up(&mut lane, order.clock_ms).await?;
        Ok(Built { lane, order })
    }

    /// Removes journeys of visitors whom this build does not have, up to its cut-off: of ids of other partitions an attempt
    /// before it may have found more, visitors who were erased since. Nothing else: another writer may have completed the same
    /// build meanwhile, and gone on from there.
    async fn remove_others(
        &self,
        key: &GenerationKey,
        lane: &FunnelLane,
        cutoff: u64,
    ) -> Result<(), BuildError> {
        let mut others = Vec::new();
        let mut take = |(visitor, _, folded_to): StoredJourney<'_>| {
            if folded_to <= cutoff && !lane.fold().knows(visitor) {
                others.push(visitor);
            }
        };
        self.store.journeys(key, &mut take).await?;
        if others.is_empty() {
            return Ok(());
        }
        self.check_wanted()?;
        Ok(self.store.remove_journeys_of(key, &others, cutoff).await?)
    }

    async fn fold_raw(
        &self,
        order: &BuildOrder,
        joined: Option<LinkSet>,
        lane: &mut FunnelLane,
    ) -> Result<(), BuildError> {
        let range = RawRange {
            site: order.funnel.site.clone(),
            events: order.funnel.event_names(),
            partition: self.partition.partition,
            partitions: self.partition.partitions,
            before: (self.partition.epoch, order.cutoff),
            joined,
        };
        let (total, mut events) = self.store.raw(&range).await?;
        let (mut done, mut told) = (0u64, Instant::now());
        let mut rows = Vec::new();
        let cutoff = (order.cutoff, order.clock_ms);
        while let Some(event) = events.next().await? {
            if self.refused.contains(&lane.key.site, &event) {
                continue;
            }
            let ts = event.ts.min(order.clock_ms);
            if done == 0 {
                lane.start_history_at(ts);
            }
            done += 1;
            self.write_history(lane, ts, cutoff, &mut rows).await?;
            fold_one(lane, event, ts, &self.partition)?;
            if done % 256 == 0 && told.elapsed() >= PROGRESS_INTERVAL {
                told = Instant::now();
                self.check_wanted()?;
                let share = done as f64 / total.max(1) as f64;
                let row = lane.building_row(share.min(0.99), &self.partition);
                self.persist(Write::Progress(vec![row])).await?;
            }
        }
        self.write_history(lane, order.clock_ms, cutoff, &mut rows).await?;
        self.write_rows(&mut rows).await
    }

    /// Closes the minutes up to a time, a bounded number at once: years may lie between two events.
    async fn write_history(
        &self,
        lane: &mut FunnelLane,
        until_ms: i64,
        cutoff: (u64, i64),
        rows: &mut Vec<RollingRow>,
    ) -> Result<(), BuildError> {
        while !lane.history_until(until_ms, cutoff, ROWS_PER_WRITE, &self.partition, rows) {
            self.write_rows(rows).await?;
            self.check_wanted()?;
        }
        Ok(())
    }

    /// Follows the log until its end as it was when a round began lies within one read.
    async fn catch_up(&self, lane: &mut FunnelLane, clock_ms: i64) -> Result<(), BuildError> {
        let mut clock_ms = clock_ms;
        let mut rows = Vec::new();
        loop {
            self.check_wanted()?;
            let records = self.source.read(self.partition.partition, lane.joins_at, READ_BYTES)?;
            follow(lane, &records, &mut clock_ms, &self.partition, &mut rows)?;
            self.write_rows(&mut rows).await?;
            let end = *self.source.end(self.partition.partition).borrow();
            if records.is_empty() || end.saturating_sub(lane.joins_at) < 1_000 {
                return Ok(());
            }
        }
    }

    async fn write_rows(&self, rows: &mut Vec<RollingRow>) -> Result<(), BuildError> {
        for piece in in_pieces(std::mem::take(rows), ROWS_PER_WRITE) {
            self.persist(Write::Rolling(piece)).await?;
        }
        Ok(())
    }

    async fn persist(&self, write: Write) -> Result<(), BuildError> {
        // One that was replaced must not write into its successor's rows.
        self.check_wanted()?;
        let wanted = Arc::clone(&self.wanted);
        match persist(&self.store, &write, move || !wanted()).await {
            true => Ok(()),
            false => Err(BuildError::Cancelled),
        }
    }

    fn check_wanted(&self) -> Result<(), BuildError> {
        if (self.wanted)() { Ok(()) } else { Err(BuildError::Cancelled) }
    }
}

/// Folds a raw event as of its corrected time; if that panics, the funnel is not to be used any more.
fn fold_one(
    lane: &mut FunnelLane,
    event: RawEvent,
    ts: i64,
    partition: &PartitionId,
) -> Result<(), PanickedRaw> {
    let fold = || {
        let home = |event: &RawEvent| partition_of(&lane.key.site, &event.visitor_id, partition.partitions);
        let is_own = !lane.joins_ids() || home(&event) == partition.partition;
        let counted = lane.as_counted(Incoming { ts, ..event.incoming() }, is_own, partition);
        // A visitor may go by an id that was erased after the links were found.
        if let Some(event) = counted.filter(|event| !lane.erased.contains(&lane.key.site, event.visitor)) {
            lane.fold_raw(&event);
        }
    };
    catch_unwind(AssertUnwindSafe(fold)).map_err(|panic| {
        let cause = text_of(panic.as_ref());
        PanickedRaw { site: lane.key.site.clone(), event: Box::new(event), cause }
    })
}

/// Takes records of the log for one funnel only; `clock_ms` is the partition's clock before them.
///
/// # Errors
/// The record that made the fold panic; the funnel is not to be used any more.
pub fn follow(
    lane: &mut FunnelLane,
    records: &[LogRecord],
    clock_ms: &mut i64,
    partition: &PartitionId,
    out: &mut Vec<RollingRow>,
) -> Result<(), Panicked> {
    let folded = catch_unwind(AssertUnwindSafe(|| fold_records(lane, records, clock_ms, partition, out)));
    folded.map_err(|panic| {
        let found = records.iter().find(|record| record.offset == lane.joins_at);
        let nameless = || LogRecord { offset: lane.joins_at, appended_at_ms: *clock_ms, value: Bytes::new() };
        let record = found.or(records.last()).cloned().unwrap_or_else(nameless);
        Panicked { record, cause: text_of(panic.as_ref()) }
    })
}

fn fold_records(
    lane: &mut FunnelLane,
    records: &[LogRecord],
    clock_ms: &mut i64,
    partition: &PartitionId,
    out: &mut Vec<RollingRow>,
) {
    let from = lane.joins_at;
    for record in records.iter().filter(|record| record.offset >= from) {
        // So it is known which one panicked.
        lane.joins_at = record.offset;
        *clock_ms = record.appended_at_ms.max(*clock_ms);
        if *clock_ms >= lane.open_end_ms() {
            lane.tick(record.offset, *clock_ms, usize::MAX, out, partition);
        }
        match RecordView::decode(&record.value) {
            Ok(RecordView::Event(event)) if event.site == lane.key.site => {
                fold_event(lane, event, record.offset, *clock_ms, partition);
            }
            Ok(RecordView::Control(bytes)) => erase(lane, bytes, *clock_ms, partition),
            _ => {}
        }
    }
    if let Some(last) = records.last() {
        lane.joins_at = lane.joins_at.max(last.offset + 1);
        lane.stand_at(*clock_ms);
    }
}

fn fold_event(
    lane: &mut FunnelLane,
    mut event: EventView<'_>,
    offset: u64,
    clock_ms: i64,
    partition: &PartitionId,
) {
    if admit(&mut event, clock_ms, partition).is_err() {
        return;
    }
    let incoming = incoming_of(&event, clock_ms);
    if lane.erased.contains(&lane.key.site, incoming.visitor) {
        lane.pass_over(&incoming);
    } else {
        lane.fold_event(&incoming, offset, clock_ms);
    }
}

/// Removes visitors, if that is what a control record says.
fn erase(lane: &mut FunnelLane, control: &[u8], clock_ms: i64, partition: &PartitionId) {
    let Ok(Control { action: Some(Action::Erase(erase)), .. }) = Control::decode(control) else { return };
    if erase.site == lane.key.site {
        for (_, visitor) in visitors_of(&erase, partition) {
            if lane.erased.add(&erase.site, visitor) {
                lane.erase(visitor, clock_ms);
            }
        }
    }
}

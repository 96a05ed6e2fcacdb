//! What the aggregator needs from a warehouse: ordered, absolute writes, and the reads of a restore and of a build from
//! raw. ClickHouse is behind it in production and on a laptop ([`crate::clickhouse`]), a model of it in tests
//! ([`crate::memory`]).

use std::future::Future;
use std::sync::Arc;

use funnel::identity::Joined;
use warehouse::erasures::ErasureRow;
use warehouse::event_batch::SealedBatch;
use warehouse::links::LinkSet;
use warehouse::logs::KnownLog;
use warehouse::raw::RawEvent;
use warehouse::rows::{JourneyRow, ProgressRow, RollingRow};
use warehouse::{FunnelKey, WarehouseError};

use crate::erased::Erasure;

/// One step of a flush. Writes of a partition are executed in the order in which they were made, but for raw events, which
/// overtake what does not vouch for them ([`crate::writer`]); each is an upsert, so that repeating it changes nothing.
#[derive(Debug)]
pub enum Write {
    /// Raw events.
    Events(SealedBatch, OnItsWay),
    /// Minute ends.
    Rolling(Vec<RollingRow>),
    /// The open minute, for display.
    Open(Vec<RollingRow>),
    /// Journeys, as of the marker before them.
    Journeys(Vec<JourneyRow>),
    /// Visitors who asked to be forgotten.
    Erasures(Vec<ErasureRow>),
    /// Progress and markers.
    Progress(Vec<ProgressRow>),
    /// Everything before the log's offset is stored: readers of the log need no record before it.
    Reached {
        /// The first offset that a restart needs.
        next_offset: u64,
    },
    /// Tells the waiting build that everything before it is stored.
    Barrier(tokio::sync::oneshot::Sender<()>),
}

/// Held by a write until it is stored or given up, for the lane that made it.
#[derive(Debug, Clone, Default)]
pub struct OnItsWay(Arc<()>);

impl OnItsWay {
    /// Whether a write holds one of these.
    pub fn is_any(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl Write {
    /// The table that it goes to and its rows; none where nothing is stored.
    pub fn rows(&self) -> Option<(&'static str, usize)> {
        match self {
            Self::Events(batch, _) => Some(("events", batch.rows())),
            Self::Rolling(rows) => Some(("funnel_rolling", rows.len())),
            Self::Open(rows) => Some(("funnel_open", rows.len())),
            Self::Journeys(rows) => Some(("journeys", rows.len())),
            Self::Erasures(rows) => Some(("erasures", rows.len())),
            Self::Progress(rows) => Some(("progress", rows.len())),
            Self::Reached { .. } | Self::Barrier(_) => None,
        }
    }
}

/// Journeys in one insert, at most.
pub const JOURNEYS_PER_WRITE: usize = 50_000;
/// Minute rows in one insert, at most.
pub const ROWS_PER_WRITE: usize = 5_000;

/// Cuts rows into pieces of at most `most` (above 0), one for each insert.
pub fn in_pieces<T>(rows: Vec<T>, most: usize) -> impl Iterator<Item = Vec<T>> {
    let mut rest = rows.into_iter();
    std::iter::from_fn(move || {
        let piece: Vec<T> = rest.by_ref().take(most).collect();
        (!piece.is_empty()).then_some(piece)
    })
}

/// A visitor's stored journey: (visitor, state, folded to).
pub type StoredJourney<'a> = (u128, &'a [u8], u64);

/// Identifies journeys and history: one build of one definition of one funnel in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationKey {
    pub funnel: FunnelKey,
    pub generation: u64,
    pub partition: u32,
}

/// The distinct raw events of a site that a build reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRange {
    pub site: String,
    pub events: Vec<String>,
    pub partition: u32,
    pub partitions: u32,
    /// Only events that the log had before this offset (or an earlier log had), without visitors whom it had erased there.
    pub before: (u32, u64),
    /// Where the site joins ids: the set that says which. Events of ids of other partitions that count here are then among
    /// them, as of when the set was made.
    pub joined: Option<LinkSet>,
}

/// Whose links: those that a generation of a site counts by, as far as a partition has to do with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinksOf<'a> {
    pub site: &'a str,
    pub generation: u64,
    /// The log's number.
    pub epoch: u32,
    pub partition: u32,
}

/// A stream of raw events in time order.
pub trait RawStream: Send {
    /// The next event; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<RawEvent>, WarehouseError>> + Send;
}

/// Where writes go.
pub trait Sink: Clone + Send + Sync + 'static {
    /// Executes one write; it is durable when this returns.
    fn write(&self, write: &Write) -> impl Future<Output = Result<(), WarehouseError>> + Send;
}

/// A warehouse.
pub trait Store: Sink {
    /// Streams raw events.
    type Raw: RawStream + 'static;

    /// What the warehouse knows of this log: its number and the floor of its generations, given now if it is new.
    fn register_log(
        &self,
        log_id: &str,
        partitions: u32,
    ) -> impl Future<Output = Result<KnownLog, WarehouseError>> + Send;

    /// The latest progress rows of a partition; `kind` tells progress from marker.
    fn progress(
        &self,
        log_id: &str,
        partition: u32,
        kind: &'static str,
    ) -> impl Future<Output = Result<Vec<ProgressRow>, WarehouseError>> + Send;

    /// Hands every visitor's latest journey to `take`.
    fn journeys(
        &self,
        key: &GenerationKey,
        take: &mut (dyn FnMut(StoredJourney<'_>) + Send),
    ) -> impl Future<Output = Result<(), WarehouseError>> + Send;

    /// How many journeys [`Store::journeys`] will hand over, about; only to tell how far a restore is.
    fn count_journeys(
        &self,
        _key: &GenerationKey,
    ) -> impl Future<Output = Result<u64, WarehouseError>> + Send {
        async { Ok(0) }
    }

    /// The visitors of a partition (of so many) who were erased, the latest first.
    fn erasures(
        &self,
        place: (u32, u32),
    ) -> impl Future<Output = Result<Vec<Erasure>, WarehouseError>> + Send;

    /// The set of links that a generation counts by, if there is one.
    fn links(
        &self,
        of: LinksOf<'_>,
    ) -> impl Future<Output = Result<Option<(LinkSet, Joined)>, WarehouseError>> + Send;

    /// The distinct raw events of a range, in time order, and how many there are.
    fn raw(&self, range: &RawRange) -> impl Future<Output = Result<(u64, Self::Raw), WarehouseError>> + Send;

    /// Removes the journeys of a generation, before a build writes them anew.
    fn remove_journeys(&self, key: &GenerationKey)
    -> impl Future<Output = Result<(), WarehouseError>> + Send;

    /// Removes the journeys of some visitors of a generation, as they were stored up to a version.
    fn remove_journeys_of(
        &self,
        key: &GenerationKey,
        visitors: &[u128],
        until: u64,
    ) -> impl Future<Output = Result<(), WarehouseError>> + Send;
}

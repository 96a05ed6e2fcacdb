//! The warehouse as a lane's writer, a build or a restore has it: the tables of [`MemoryStore`], one operation a poll, with
//! inserts that are refused, applied in part or not answered, and reads that fail. Rules of the design about the order and
//! content of writes and reads are left out here.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aggregator::erased::Erasure;
use aggregator::memory::{MemoryRaw, MemoryStore, Tables};
use aggregator::store::{GenerationKey, LinksOf, RawRange, Sink, Store, StoredJourney, Write};
use funnel::identity::Joined;
use warehouse::WarehouseError;
use warehouse::links::LinkSet;
use warehouse::logs::KnownLog;
use warehouse::rows::{MARKER, PROGRESS, ProgressRow};

use crate::fate::{Fate, turn};
use crate::plans::T0;
use crate::rules::Rule;
use crate::weather::Weather;
use crate::writes::{brief, copy};

/// A life's access to the warehouse.
#[derive(Clone)]
pub struct SimStore {
    pub tables: MemoryStore,
    fate: Fate,
    bad_inserts: u64,
    bad_reads: u64,
    read_turns: u64,
    left_out: Option<Rule>,
    name: Arc<str>,
    broken: Arc<Mutex<Broken>>,
}

/// What a rule left out remembers.
#[derive(Default)]
struct Broken {
    /// Acknowledged, and not stored.
    late: Vec<Write>,
    /// The tables when a restore began.
    before: Tables,
    /// Where the flush before stood.
    flushed_to: u64,
}

impl SimStore {
    /// Access for the life of this name.
    pub fn new(
        tables: MemoryStore,
        fate: Fate,
        weather: &Weather,
        left_out: Option<Rule>,
        name: &str,
    ) -> Self {
        let Weather { bad_inserts, bad_reads, read_turns, .. } = *weather;
        Self {
            tables,
            fate,
            bad_inserts,
            bad_reads,
            read_turns,
            left_out,
            name: name.into(),
            broken: Arc::default(),
        }
    }

    async fn insert(&self, write: &Write) {
        loop {
            turn().await;
            let (bad, says) = (self.fate.strikes(self.bad_inserts), || brief(write));
            if !bad {
                self.apply(write);
                self.fate.say(|| format!("{}: stores {}", self.name, says()));
                return;
            }
            match self.fate.below(3) {
                0 => {
                    self.fate.note("an insert was refused");
                    self.fate.say(|| format!("{}: is refused {}", self.name, says()));
                }
                1 => {
                    let rows = self.fate.below(4) as usize;
                    self.tables.tables().apply_first(write, rows);
                    self.fate.note("an insert was applied in part");
                    self.fate.say(|| format!("{}: stores {rows} rows of {}", self.name, says()));
                }
                _ => {
                    self.apply(write);
                    self.fate.note("an insert was not answered");
                    self.fate.say(|| format!("{}: stores {}, unanswered", self.name, says()));
                }
            }
        }
    }

    fn apply(&self, write: &Write) {
        let mut tables = self.tables.tables();
        if self.left_out == Some(Rule::FirstCopyWins) && matches!(write, Write::Events(..)) {
            let before = std::mem::take(&mut tables.events);
            tables.apply(write);
            let new = std::mem::replace(&mut tables.events, before);
            tables.events.extend(new);
        } else {
            tables.apply(write);
        }
    }

    async fn read(&self, statement: &'static str) -> Result<(), WarehouseError> {
        for _ in 0..self.read_turns {
            turn().await;
        }
        if self.fate.strikes(self.bad_reads) {
            self.fate.note("a read of the warehouse failed");
            return Err(WarehouseError::Timeout { statement, limit: Duration::ZERO });
        }
        self.fate.say(|| format!("{}: reads {statement}", self.name));
        Ok(())
    }

    /// What goes out in place of a write, in order.
    fn arranged(&self, write: &Write) -> Vec<Write> {
        let mut broken = self.broken.lock().unwrap();
        let marker = matches!(write, Write::Progress(rows) if rows.iter().any(|row| row.kind == MARKER));
        let own = own_progress(write);
        let held = match self.left_out {
            Some(Rule::Marker) if marker => return Vec::new(),
            Some(Rule::MinutesBeforeMarker) => matches!(write, Write::Rolling(_)),
            Some(Rule::EventsBeforeMarker | Rule::EventsBeforeProgress) => matches!(write, Write::Events(..)),
            Some(Rule::ErasuresBeforeProgress) => matches!(write, Write::Erasures(_)),
            Some(Rule::JourneysBeforeProgress) => matches!(write, Write::Journeys(_)),
            _ => false,
        };
        if held {
            broken.late.extend(copy(write));
            return Vec::new();
        }
        let mut all: Vec<Write> = copy(write).into_iter().collect();
        let by_marker =
            [Rule::MinutesBeforeMarker, Rule::EventsBeforeMarker].map(Some).contains(&self.left_out);
        if own.is_some() || (marker && by_marker) {
            all.append(&mut broken.late);
        }
        if self.left_out == Some(Rule::JourneyStamp) {
            for write in &mut all {
                if let Write::Journeys(rows) = write {
                    rows.iter_mut().for_each(|row| row.version = row.version.min(broken.flushed_to));
                }
            }
        }
        if let Some(own) = own {
            broken.flushed_to = own.next_offset;
        }
        all
    }

    /// What a restore reads in place of the tables.
    async fn bent(
        &self,
        log_id: &str,
        partition: u32,
        kind: &'static str,
    ) -> Result<Vec<ProgressRow>, WarehouseError> {
        if kind == PROGRESS {
            let now = self.tables.tables().clone();
            self.broken.lock().unwrap().before = now;
        }
        if kind == MARKER && self.left_out == Some(Rule::MarkerLast) {
            return self.before().progress(log_id, partition, kind).await;
        }
        if matches!(self.left_out, Some(Rule::JourneysAfterProgress | Rule::MarkerLast)) {
            // The others go on meanwhile.
            for _ in 0..12 {
                turn().await;
            }
        }
        let mut rows = self.tables.progress(log_id, partition, kind).await?;
        for row in rows.iter_mut().filter(|row| row.kind == PROGRESS) {
            match self.left_out {
                Some(Rule::ProgressClock) => row.clock_ms = row.clock_ms.min(T0),
                Some(Rule::ProgressOffset) => row.next_offset += 1,
                _ => {}
            }
            if row.funnel.is_empty() {
                self.broken.lock().unwrap().flushed_to = row.next_offset;
            }
        }
        Ok(rows)
    }

    /// The tables when the restore began.
    fn before(&self) -> MemoryStore {
        let store = MemoryStore::default();
        *store.tables() = self.broken.lock().unwrap().before.clone();
        store
    }
}

impl Sink for SimStore {
    async fn write(&self, write: &Write) -> Result<(), WarehouseError> {
        if self.left_out.is_none() {
            self.insert(write).await;
            return Ok(());
        }
        for write in self.arranged(write) {
            self.insert(&write).await;
        }
        Ok(())
    }
}

impl Store for SimStore {
    type Raw = MemoryRaw;

    async fn register_log(&self, log_id: &str, partitions: u32) -> Result<KnownLog, WarehouseError> {
        self.tables.register_log(log_id, partitions).await
    }

    async fn progress(
        &self,
        log_id: &str,
        partition: u32,
        kind: &'static str,
    ) -> Result<Vec<ProgressRow>, WarehouseError> {
        self.read(if kind == MARKER { "markers" } else { "progress" }).await?;
        match self.left_out {
            None => self.tables.progress(log_id, partition, kind).await,
            Some(_) => self.bent(log_id, partition, kind).await,
        }
    }

    async fn journeys(
        &self,
        key: &GenerationKey,
        take: &mut (dyn FnMut(StoredJourney<'_>) + Send),
    ) -> Result<(), WarehouseError> {
        self.read("journeys").await?;
        match self.left_out {
            Some(Rule::JourneysAfterProgress) => self.before().journeys(key, take).await,
            _ => self.tables.journeys(key, take).await,
        }
    }

    async fn erasures(&self, place: (u32, u32)) -> Result<Vec<Erasure>, WarehouseError> {
        self.read("erasures").await?;
        self.tables.erasures(place).await
    }

    async fn links(&self, of: LinksOf<'_>) -> Result<Option<(LinkSet, Joined)>, WarehouseError> {
        self.read("links").await?;
        self.tables.links(of).await
    }

    async fn raw(&self, range: &RawRange) -> Result<(u64, Self::Raw), WarehouseError> {
        self.read("raw events").await?;
        let mut range = range.clone();
        if let (Some(Rule::LinkedAsOfSet), Some(set)) = (self.left_out, &mut range.joined) {
            set.passed.fill(u64::MAX);
        }
        self.tables.raw(&range).await
    }

    async fn remove_journeys(&self, key: &GenerationKey) -> Result<(), WarehouseError> {
        turn().await;
        self.tables.remove_journeys(key).await
    }

    async fn remove_journeys_of(
        &self,
        key: &GenerationKey,
        visitors: &[u128],
        until: u64,
    ) -> Result<(), WarehouseError> {
        turn().await;
        self.tables.remove_journeys_of(key, visitors, until).await
    }
}

/// The partition's own progress, if the write brings it.
fn own_progress(write: &Write) -> Option<&ProgressRow> {
    let Write::Progress(rows) = write else { return None };
    rows.iter().find(|row| row.funnel.is_empty() && row.kind == PROGRESS)
}

//! A model of the warehouse for tests and simulation: tables as maps that keep the row with the largest version. A write
//! is applied whole, or as far as a test says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_log::partition_of;
use funnel::identity::{Joined, Person};
use warehouse::WarehouseError;
use warehouse::erasures::ErasureRow;
use warehouse::links::{LinkRow, LinkSet};
use warehouse::logs::KnownLog;
use warehouse::native::Block;
use warehouse::raw::RawEvent;
use warehouse::rows::{JourneyRow, ProgressRow, RollingRow};

use crate::erased::Erasure;
use crate::store::{GenerationKey, LinksOf, RawRange, RawStream, Sink, Store, StoredJourney, Write};

/// (site, funnel, definition, generation, partition, visitor)
type JourneyKey = (String, String, u64, u64, u32, u128);
/// (log id, partition, site, funnel, definition, generation, kind)
type ProgressKey = (String, u32, String, String, u64, u64, String);
/// (site, funnel, definition, generation, minute, partition, breakdown, value)
type RollingKey = (String, String, u64, u64, u32, u32, String, String);

/// The tables.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// Raw events as they were pushed: (epoch, offset) decides which copy is the first.
    pub events: BTreeMap<(String, String, String), (u32, u64, RawEvent)>,
    /// By site and visitor.
    pub erasures: BTreeMap<(String, String), ErasureRow>,
    /// By site and number.
    pub links: BTreeMap<(String, u64), (LinkSet, Vec<LinkRow>)>,
    pub journeys: BTreeMap<JourneyKey, JourneyRow>,
    pub progress: BTreeMap<ProgressKey, ProgressRow>,
    pub rolling: BTreeMap<RollingKey, RollingRow>,
    pub open: BTreeMap<RollingKey, RollingRow>,
    /// In the order in which they came, with the floor of their generations.
    pub logs: Vec<(String, u64)>,
}

/// A warehouse in memory; clones share the tables.
#[derive(Clone, Default)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
}

/// Raw events in time order.
pub struct MemoryRaw(std::vec::IntoIter<RawEvent>);

impl RawStream for MemoryRaw {
    async fn next(&mut self) -> Result<Option<RawEvent>, WarehouseError> {
        Ok(self.0.next())
    }
}

impl MemoryStore {
    /// The tables, locked.
    pub fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    /// Executes one write whole.
    pub fn apply(&mut self, write: &Write) {
        self.apply_first(write, usize::MAX);
    }

    /// Executes a write as one that was cut off: only its first rows.
    pub fn apply_first(&mut self, write: &Write, rows: usize) {
        match write {
            Write::Events(batch, _) => {
                decode_events(batch).into_iter().take(rows).for_each(|row| self.upsert_event(row))
            }
            Write::Rolling(all) => {
                all.iter().take(rows).for_each(|row| upsert_rolling(&mut self.rolling, row))
            }
            Write::Open(all) => all.iter().take(rows).for_each(|row| upsert_rolling(&mut self.open, row)),
            Write::Journeys(all) => all.iter().take(rows).for_each(|row| self.upsert_journey(row)),
            Write::Erasures(all) => all.iter().take(rows).for_each(|row| {
                self.erasures.insert((row.site.clone(), row.visitor_id.clone()), row.clone());
            }),
            Write::Progress(all) => all.iter().take(rows).for_each(|row| self.upsert_progress(row)),
            Write::Reached { .. } | Write::Barrier(_) => {}
        }
    }

    /// What is known of a log, which gets the next number if it is new.
    pub fn register_log(&mut self, log_id: &str) -> KnownLog {
        let at = self.logs.iter().position(|(known, _)| known == log_id).unwrap_or(self.logs.len());
        if at == self.logs.len() {
            let floor = self.next_floor();
            self.logs.push((log_id.to_owned(), floor));
        }
        let generation_floor = self.logs.get(at).map_or(0, |(_, floor)| *floor);
        KnownLog { epoch: at as u32 + 1, generation_floor }
    }

    /// 0 for the first log; for each other one larger than whatever was used.
    fn next_floor(&self) -> u64 {
        let Some((_, last)) = self.logs.last() else { return 0 };
        let generations = self.progress.values().map(|row| row.generation);
        generations.chain(self.links.keys().map(|(_, number)| *number)).fold(*last, u64::max) + 1
    }

    /// Up to where a visitor's events belong to a range; `None` if it has none of them.
    fn before(&self, range: &RawRange, visitor: &str) -> Option<(u32, u64)> {
        let home = partition_of(&range.site, visitor, range.partitions);
        if home == range.partition {
            return Some(range.before);
        }
        let set = range.joined.as_ref()?;
        let (_, links) = self.links.get(&(set.site.clone(), set.number))?;
        let counts_here =
            |link: &LinkRow| link.visitor_id == visitor && link.person_partition == range.partition;
        let passed = set.passed.get(home as usize).copied().unwrap_or(0);
        links.iter().any(counts_here).then_some((set.log_epoch, passed))
    }

    fn upsert_event(&mut self, (epoch, offset, site, event): (u32, u64, String, RawEvent)) {
        let key = (site, event.visitor_id.clone(), event.message_id.clone());
        let known = self.events.get(&key).map(|(epoch, offset, _)| (*epoch, *offset));
        if known.is_none_or(|first| (epoch, offset) < first) {
            self.events.insert(key, (epoch, offset, event));
        }
    }

    fn upsert_journey(&mut self, row: &JourneyRow) {
        let key = (
            row.site.clone(),
            row.funnel.clone(),
            row.definition,
            row.generation,
            row.log_partition,
            row.visitor,
        );
        if self.journeys.get(&key).is_none_or(|known| known.version <= row.version) {
            self.journeys.insert(key, row.clone());
        }
    }

    fn upsert_progress(&mut self, row: &ProgressRow) {
        let key = (
            row.log_id.clone(),
            row.log_partition,
            row.site.clone(),
            row.funnel.clone(),
            row.definition,
            row.generation,
            row.kind.clone(),
        );
        if self.progress.get(&key).is_none_or(|known| known.version <= row.version) {
            self.progress.insert(key, row.clone());
        }
    }
}

fn is_of(row: &JourneyRow, key: &GenerationKey) -> bool {
    row.generation == key.generation && row.funnel == key.funnel.funnel && row.log_partition == key.partition
}

fn upsert_rolling(table: &mut BTreeMap<RollingKey, RollingRow>, row: &RollingRow) {
    let key = (
        row.site.clone(),
        row.funnel.clone(),
        row.definition,
        row.generation,
        row.minute,
        row.log_partition,
        row.breakdown.clone(),
        row.value.clone(),
    );
    if table.get(&key).is_none_or(|known| known.version <= row.version) {
        table.insert(key, row.clone());
    }
}

/// Reads what `EventBatch` wrote: (epoch, offset, site, event).
fn decode_events(block: &Block) -> Vec<(u32, u64, String, RawEvent)> {
    let body: Vec<u8> = block.body().flatten().collect();
    let mut columns = decode_columns(&body);
    let rows = (0..block.rows()).map(|_| {
        let mut text = |name| columns.get_mut(name).map(take_text).unwrap_or_default();
        let event = RawEvent {
            visitor_id: text("visitor_id"),
            user_id: text("user_id"),
            message_id: text("message_id"),
            event: text("event"),
            properties: text("properties"),
            context: text("context"),
            channel: text("channel"),
            source: text("source"),
            medium: text("medium"),
            campaign: text("campaign"),
            content: text("content"),
            device: text("device"),
            browser: text("browser"),
            os: text("os"),
            country: text("country"),
            ..RawEvent::default()
        };
        let site = text("site");
        let mut number = |name| columns.get_mut(name).and_then(take::<8>).map_or(0, u64::from_le_bytes);
        let event = RawEvent { ts: number("ts") as i64, own_ts: number("own_ts") as i64, ..event };
        let offset = number("offset");
        let epoch = columns.get_mut("log_epoch").and_then(take::<4>).map_or(0, u32::from_le_bytes);
        (epoch, offset, site, event)
    });
    rows.collect()
}

/// The values of each column of a block in ClickHouse's Native format.
fn decode_columns(mut body: &[u8]) -> BTreeMap<String, &[u8]> {
    let (count, rows) = (take_number(&mut body), take_number(&mut body));
    let mut columns = BTreeMap::new();
    for _ in 0..count {
        let (name, kind) = (take_text(&mut body), take_text(&mut body));
        let mut rest = body;
        match kind.as_str() {
            "String" => (0..rows).for_each(|_| drop(take_text(&mut rest))),
            "UInt16" => rest = rest.get(rows * 2..).unwrap_or_default(),
            "UInt32" => rest = rest.get(rows * 4..).unwrap_or_default(),
            _ => rest = rest.get(rows * 8..).unwrap_or_default(),
        }
        columns.insert(name, body.get(..body.len() - rest.len()).unwrap_or_default());
        body = rest;
    }
    columns
}

fn take<const N: usize>(body: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, rest) = body.split_first_chunk::<N>()?;
    *body = rest;
    Some(*bytes)
}

fn take_number(body: &mut &[u8]) -> usize {
    let mut number = 0usize;
    for shift in (0..35).step_by(7) {
        let [byte] = take::<1>(body).unwrap_or_default();
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

fn take_text(body: &mut &[u8]) -> String {
    let length = take_number(body);
    let (text, rest) = body.split_at(length.min(body.len()));
    *body = rest;
    String::from_utf8_lossy(text).into_owned()
}

impl Sink for MemoryStore {
    async fn write(&self, write: &Write) -> Result<(), WarehouseError> {
        self.tables().apply(write);
        Ok(())
    }
}

impl Store for MemoryStore {
    type Raw = MemoryRaw;

    async fn register_log(&self, log_id: &str, _partitions: u32) -> Result<KnownLog, WarehouseError> {
        Ok(self.tables().register_log(log_id))
    }

    async fn progress(
        &self,
        log_id: &str,
        partition: u32,
        kind: &'static str,
    ) -> Result<Vec<ProgressRow>, WarehouseError> {
        let rows = self.tables();
        let mine =
            |row: &&ProgressRow| row.log_id == log_id && row.log_partition == partition && row.kind == kind;
        Ok(rows.progress.values().filter(mine).cloned().collect())
    }

    async fn journeys(
        &self,
        key: &GenerationKey,
        take: &mut (dyn FnMut(StoredJourney<'_>) + Send),
    ) -> Result<(), WarehouseError> {
        for row in self.tables().journeys.values() {
            let funnel = (&row.site, &row.funnel, row.definition)
                == (&key.funnel.site, &key.funnel.funnel, key.funnel.definition);
            if funnel && row.generation == key.generation && row.log_partition == key.partition {
                take((row.visitor, &row.state, row.version));
            }
        }
        Ok(())
    }

    async fn erasures(&self, (partition, partitions): (u32, u32)) -> Result<Vec<Erasure>, WarehouseError> {
        let tables = self.tables();
        let mine = |row: &&ErasureRow| partition_of(&row.site, &row.visitor_id, partitions) == partition;
        let mut rows: Vec<&ErasureRow> = tables.erasures.values().filter(mine).collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.log_epoch, row.log_offset, row.visitor_id.clone())));
        Ok(rows.into_iter().map(Erasure::from).collect())
    }

    async fn links(&self, of: LinksOf<'_>) -> Result<Option<(LinkSet, Joined)>, WarehouseError> {
        let tables = self.tables();
        let sets = tables.links.range((of.site.to_owned(), 0)..=(of.site.to_owned(), of.generation)).rev();
        let Some((_, (set, rows))) = sets.into_iter().find(|(_, (set, _))| set.log_epoch == of.epoch) else {
            return Ok(None);
        };
        let counts_here = |row: &&LinkRow| row.person_partition == of.partition;
        let here: Vec<u128> = rows.iter().filter(counts_here).map(|row| row.visitor).collect();
        let mut joined = Joined::default();
        for row in rows {
            if row.visitor_partition == of.partition || here.contains(&row.visitor) {
                let person = Person { visitor: row.person, partition: row.person_partition };
                joined.add(row.visitor, row.user_hash, row.is_second, person);
            }
        }
        Ok(Some((set.clone(), joined)))
    }

    async fn raw(&self, range: &RawRange) -> Result<(u64, Self::Raw), WarehouseError> {
        let tables = self.tables();
        let wanted = |((site, visitor, _), (epoch, offset, event)): &(
            &(String, String, String),
            &(u32, u64, RawEvent),
        )| {
            let Some(before) = tables.before(range, visitor) else { return false };
            let erased = tables.erasures.get(&(site.clone(), visitor.clone()));
            *site == range.site
                && erased.is_none_or(|row| (row.log_epoch, row.log_offset) >= before)
                && (*epoch, *offset) < before
                && range.events.contains(&event.event)
        };
        let mut events: Vec<RawEvent> =
            tables.events.iter().filter(wanted).map(|(_, (_, _, event))| event.clone()).collect();
        events.sort_by(|a, b| (a.ts, &a.visitor_id).cmp(&(b.ts, &b.visitor_id)));
        Ok((events.len() as u64, MemoryRaw(events.into_iter())))
    }

    async fn remove_journeys(&self, key: &GenerationKey) -> Result<(), WarehouseError> {
        self.tables().journeys.retain(|_, row| !is_of(row, key));
        Ok(())
    }

    async fn remove_journeys_of(
        &self,
        key: &GenerationKey,
        visitors: &[u128],
        until: u64,
    ) -> Result<(), WarehouseError> {
        let goes =
            |row: &JourneyRow| is_of(row, key) && row.version <= until && visitors.contains(&row.visitor);
        self.tables().journeys.retain(|_, row| !goes(row));
        Ok(())
    }
}

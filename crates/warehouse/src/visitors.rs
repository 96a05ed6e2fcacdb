//! Who stands on a step: visitors found in the stored journeys, with their ids from the raw events. Called by the console.
//!
//! Journeys name nobody: they have hashes. A page takes journeys in the order of their hashes, so the next one goes on after
//! the last hash; the ids are looked for among those whose climb began at these very milliseconds. Raw events are ordered by
//! visitor and parted by the month of receipt, so the looking is bound by receipt: nothing is received before it happened.

use std::collections::HashMap;

use clickhouse::Row;
use funnel::intake::visitor_hash;
use funnel::standing::{Question, Spot};
use serde::Deserialize;

use crate::client::{READ_TIMEOUT, Warehouse, within};
use crate::error::WarehouseError;
use crate::generations::FunnelKey;
use crate::logs::current_log;
use crate::raw::NOT_ERASED;

/// Visitors of a page, at most.
pub const MAX_PAGE: usize = 1_000;
/// Journeys of one read.
const BATCH: usize = 10_000;
/// Journeys that are looked at for one page, at most; a page may so be shorter although there are more.
const MAX_LOOKED_AT: usize = 300_000;
/// So much earlier than its time an event may have been received, by clocks that differ: an ample guess.
const CLOCKS_DIFFER_MS: i64 = 86_400_000;

/// A place between two journeys: the partition and the hash of the last visitor before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub partition: u32,
    pub visitor: u128,
}

/// Which page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    /// Names of the first step's events.
    pub entries: Vec<String>,
    pub question: Question,
    pub after: Option<Cursor>,
    pub limit: usize,
}

/// A visitor on a step. Times are UTC milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub visitor: String,
    /// The latest that was said; empty where none was.
    pub user_id: String,
    pub spot: Spot,
    /// Of the visitor's latest event of any name.
    pub last_seen_at: i64,
}

/// Some visitors, in no order that means anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    pub visitors: Vec<Standing>,
    /// Visitors of the page whose raw events are not stored any more, or who asked to be forgotten.
    pub nameless: usize,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

#[derive(Debug, Row, Deserialize)]
struct StateRow {
    visitor: u128,
    #[serde(with = "serde_bytes")]
    state: Vec<u8>,
}

#[derive(Debug, Row, Deserialize)]
struct NameRow {
    visitor_id: String,
    user_id: String,
    last_seen_at: i64,
}

const BATCH_SQL: &str = "
    SELECT visitor, state FROM journeys
    WHERE generation = ? AND definition = ? AND log_partition = ? AND site = ? AND funnel = ?
      AND visitor >= toUInt128(?) AND visitor NOT IN (SELECT visitor_hash FROM erasures WHERE site = ?)
    ORDER BY visitor, version DESC LIMIT 1 BY visitor LIMIT ?";

/// A partition whose open minute has no more records than its stored journeys is as far as that minute.
const AS_OF_SQL: &str = concat!(
    "WITH (",
    current_log!(),
    ") AS log
    SELECT min(if(shown.records <= stored.records, greatest(shown.at, stored.at), stored.at))
    FROM (
        SELECT log_partition, argMax(next_offset, version) AS records, argMax(clock_ms, version) AS at
        FROM progress
        WHERE log_id = log.1 AND log_partition < log.2 AND site = ? AND funnel = ? AND definition = ?
          AND generation = ? AND kind = 'progress'
        GROUP BY log_partition
    ) AS stored
    LEFT JOIN (
        SELECT log_partition, max(version) AS newest,
               if(bitTest(newest, 63), bitShiftRight(bitShiftLeft(newest, 1), 1), bitShiftRight(newest, 20)) AS records,
               toUnixTimestamp64Milli(argMax(as_of, (version, as_of))) AS at
        FROM funnel_open
        WHERE site = ? AND funnel = ? AND definition = ? AND generation = ? AND breakdown = ''
        GROUP BY log_partition
    ) AS shown USING log_partition"
);

impl Warehouse {
    /// A page of the visitors that a question asks for, of the generation in force.
    ///
    /// # Errors
    /// ClickHouse's.
    pub async fn standing(&self, key: &FunnelKey, wanted: &PageQuery) -> Result<Page, WarehouseError> {
        let generations = self.generations(key).await?;
        let Some(generation) = generations.in_force() else { return Ok(Page::default()) };
        let (found, next) = self.spots(key, generation, generations.partitions, wanted).await?;
        let names = self.names_of(&key.site, &wanted.entries, &found).await?;
        let visitors: Vec<Standing> = names
            .into_iter()
            .filter_map(|row| {
                let spot = *found.get(&visitor_hash(&row.visitor_id))?;
                let NameRow { visitor_id: visitor, user_id, last_seen_at } = row;
                Some(Standing { visitor, user_id, spot, last_seen_at })
            })
            .collect();
        Ok(Page { nameless: found.len() - visitors.len(), visitors, next })
    }

    /// Up to which time the journeys that [`Warehouse::standing`] lists are stored, in the partition furthest behind: UTC
    /// milliseconds. Ask before it. `None` before a generation is complete.
    ///
    /// # Errors
    /// ClickHouse's.
    pub async fn journeys_as_of(&self, key: &FunnelKey) -> Result<Option<i64>, WarehouseError> {
        let Some(generation) = self.generations(key).await?.in_force() else { return Ok(None) };
        let query = (0..2).fold(self.query(AS_OF_SQL), |query, _| {
            query.bind(&key.site).bind(&key.funnel).bind(key.definition).bind(generation)
        });
        let found: i64 = within("progress", READ_TIMEOUT, query.fetch_one()).await?;
        Ok(Some(found).filter(|ms| *ms > 0))
    }

    /// The hashes of a page, and where the next one begins.
    async fn spots(
        &self,
        key: &FunnelKey,
        generation: u64,
        partitions: u32,
        wanted: &PageQuery,
    ) -> Result<(HashMap<u128, Spot>, Option<Cursor>), WarehouseError> {
        let mut found = HashMap::new();
        let mut looked_at = 0;
        let after = wanted.after;
        let mut partition = after.map_or(0, |after| after.partition);
        let mut from = after.map_or(Some(0), |after| after.visitor.checked_add(1));
        while partition < partitions {
            let batch = match from {
                Some(from) => self.batch(key, generation, partition, from).await?,
                None => Vec::new(),
            };
            for row in &batch {
                looked_at += 1;
                if let Ok(Some(spot)) = wanted.question.spot(&row.state) {
                    found.insert(row.visitor, spot);
                }
                if found.len() >= wanted.limit || looked_at >= MAX_LOOKED_AT {
                    return Ok((found, Some(Cursor { partition, visitor: row.visitor })));
                }
            }
            match batch.last().filter(|_| batch.len() == BATCH) {
                Some(last) => from = last.visitor.checked_add(1),
                None => (partition, from) = (partition + 1, Some(0)),
            }
        }
        Ok((found, None))
    }

    async fn batch(
        &self,
        key: &FunnelKey,
        generation: u64,
        partition: u32,
        from: u128,
    ) -> Result<Vec<StateRow>, WarehouseError> {
        let query = self.query(BATCH_SQL).bind(generation).bind(key.definition).bind(partition);
        let query =
            query.bind(&key.site).bind(&key.funnel).bind(from.to_string()).bind(&key.site).bind(BATCH);
        within("journeys", READ_TIMEOUT, query.fetch_all()).await
    }

    async fn names_of(
        &self,
        site: &str,
        entries: &[String],
        found: &HashMap<u128, Spot>,
    ) -> Result<Vec<NameRow>, WarehouseError> {
        let began: Vec<i64> = found.values().map(|spot| spot.entered_at).collect();
        let Some(first) = began.iter().min() else { return Ok(Vec::new()) };
        let received_from = first.saturating_sub(CLOCKS_DIFFER_MS);
        let sql = format!(
            "SELECT visitor_id, argMaxIf(user_id, received_at, user_id != '') AS user_id,
                    toUnixTimestamp64Milli(max(ts)) AS last_seen_at
             FROM events
             WHERE site = ? AND {NOT_ERASED} AND visitor_id IN (
                 SELECT visitor_id FROM events
                 WHERE site = ? AND event IN ? AND received_at >= fromUnixTimestamp64Milli(toInt64(?), 'UTC')
                   AND toUnixTimestamp64Milli(ts) IN ?)
             GROUP BY visitor_id"
        );
        let query = self.query(&sql).bind(site).bind(site).bind(site);
        let query = query.bind(entries).bind(received_from).bind(began);
        within("events", READ_TIMEOUT, query.fetch_all()).await
    }
}

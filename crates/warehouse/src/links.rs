//! Sets of links: which ids of a site are one visitor. The aggregator that serves partition 0 makes a set now and then of what
//! the raw events say ([`Warehouse::companions`]); builds, restores and reports read the set of their generation.
//!
//! Guarantee: a set is never changed. It is there once its row in `link_sets` is, which is written after its links.

use clickhouse::Row;
use clickhouse::query::RowCursor;
use funnel::identity::{Companions, Joined, MAX_IDS_OF_A_VISITOR, Person};
use serde::{Deserialize, Serialize};

use crate::client::{READ_TIMEOUT, Warehouse, fetch_all, within};
use crate::erasures::Stored;
use crate::error::WarehouseError;
use crate::logs::current_log;

mod removal;

/// A link of a set; ids are hashes, as journeys name visitors.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct LinkRow {
    pub site: String,
    /// The set's.
    pub number: u64,
    pub visitor_id: String,
    pub visitor: u128,
    /// 0 for none.
    pub user_hash: u128,
    pub is_second: bool,
    pub person: u128,
    pub visitor_partition: u32,
    pub person_partition: u32,
}

/// A set that is complete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct LinkSet {
    pub site: String,
    pub number: u64,
    pub log_epoch: u32,
    /// By partition: everything before this offset was stored when the set was made.
    pub passed: Vec<u64>,
    pub links: u64,
    /// Whether every partition was told to build by it.
    pub announced: bool,
}

/// A site's newest set, and how old it is.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct NewestSet {
    pub number: u64,
    pub log_epoch: u32,
    pub links: u64,
    pub announced: bool,
    pub age_ms: i64,
}

/// A link as [`Joined`] takes it.
#[derive(Debug, Row, Deserialize)]
struct JoinedRow {
    visitor: u128,
    user_hash: u128,
    is_second: bool,
    person: u128,
    person_partition: u32,
}

#[derive(Debug, Row, Deserialize)]
struct CompanionsRow {
    id: String,
    last_seen_ms: i64,
    users: Vec<String>,
}

/// What a partition's progress keeps of rebuilds.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Rebuilt {
    pub log_partition: u32,
    pub values: Vec<String>,
}

/// Ids that came with a user id, those seen last first; an alias that names no user joins with its own visitor. Its values:
/// users an id, twice (site, epoch, offsets twice), twice the site, ids.
const COMPANIONS_SQL: &str = "
    SELECT id, toUnixTimestamp64Milli(max(seen)) AS last_seen_ms,
           arrayMap(first -> first.2, arraySlice(arraySort(groupArray((place, user_id))), 1, ?)) AS users
    FROM (
        SELECT id, user_id, min(at) AS place, max(seen_at) AS seen
        FROM (
            SELECT visitor_id AS id, user_id, (received_at, log_epoch, offset) AS at, received_at AS seen_at
            FROM events FINAL
            WHERE site = ? AND user_id != '' AND STORED
            UNION ALL
            SELECT PREVIOUS_ID AS id,
                   if(user_id != '', user_id, visitor_id) AS user_id, (received_at, log_epoch, offset) AS at,
                   fromUnixTimestamp64Milli(toInt64(0), 'UTC') AS seen_at
            FROM events FINAL
            WHERE site = ? AND kind = 'alias' AND STORED
        )
        WHERE id != '' AND id NOT IN (SELECT visitor_id FROM erasures WHERE site = ?)
          AND user_id NOT IN (SELECT visitor_id FROM erasures WHERE site = ?)
        GROUP BY id, user_id
    )
    GROUP BY id
    ORDER BY last_seen_ms DESC, id
    LIMIT ?";

/// In place of `PREVIOUS_ID`: an alias's `previousId`, a number by its own digits. ClickHouse writes numbers anew that are no 64-bit
/// integers (`1e3` is `1000` then), and reads nothing of an object that has an integer beyond 64 bits anywhere; of those the
/// text itself is searched.
const PREVIOUS_ID: &str = r#"multiIf(
    toString(JSONType(properties, 'previousId')) = 'Double',
        arrayFirst(number -> toFloat64OrZero(number) = JSONExtractFloat(properties, 'previousId'),
            extractAll(properties, '"previousId"\\s*:\\s*(-*[0-9][-+.0-9eE]*)')),
    NOT isValidJSON(properties),
        (extract(properties, '"previousId"\\s*:\\s*("([^"\\\\]|\\\\.)*"|-*[0-9][-+.0-9eE]*)') AS written,
            if(startsWith(written, '"'), JSONExtractString(concat('[', written, ']'), 1), written)).2,
    toString(JSONType(properties, 'previousId')) = 'String', JSONExtractString(properties, 'previousId'),
    JSONExtractRaw(properties, 'previousId'))"#;

/// In place of `STORED`. Its values: epoch, offsets twice.
const STORED: &str = "(log_epoch, offset) < (?, arrayElement(?, kafkaMurmurHash(concat(site, '\\0', visitor_id)) % length(?) + 1))";

const REBUILT_SQL: &str = concat!(
    "WITH (",
    current_log!(),
    ") AS log
    SELECT log_partition, argMax(`values`, (version, written_at)) AS `values`
    FROM progress
    WHERE log_id = log.1 AND log_partition < log.2 AND kind = 'progress' AND funnel = ''
    GROUP BY log_partition"
);

impl Warehouse {
    /// What the raw events of a site say that were stored there: the ids that came with a user id, at most `limit`, those seen
    /// last first. Erased ids link nothing.
    pub async fn companions(
        &self,
        site: &str,
        stored: &Stored,
        limit: usize,
    ) -> Result<Vec<Companions>, WarehouseError> {
        let sql = COMPANIONS_SQL.replace("STORED", STORED).replace("PREVIOUS_ID", PREVIOUS_ID);
        let query = self.query_all(&sql).bind(MAX_IDS_OF_A_VISITOR + 1);
        let query = (0..2).fold(query, |query, _| {
            query.bind(site).bind(stored.epoch).bind(&stored.passed).bind(&stored.passed)
        });
        let query = query.bind(site).bind(site).bind(limit);
        let failed = |source| WarehouseError::statement("events", source);
        let mut rows: RowCursor<CompanionsRow> = query.fetch().map_err(failed)?;
        let mut all = Vec::new();
        while let Some(row) = within("events", READ_TIMEOUT * 20, rows.next()).await? {
            let CompanionsRow { id, last_seen_ms, users } = row;
            all.push(Companions { id, last_seen_ms, users });
        }
        Ok(all)
    }

    /// The set that a generation of the site counts by on the log of this number: the newest one that is no newer.
    pub async fn link_set(
        &self,
        site: &str,
        generation: u64,
        epoch: u32,
    ) -> Result<Option<LinkSet>, WarehouseError> {
        let sql = "SELECT ?fields FROM link_sets FINAL WHERE site = ? AND number <= ? AND log_epoch = ? \
                   ORDER BY number DESC LIMIT 1";
        let found: Vec<LinkSet> =
            fetch_all("link_sets", self.query_all(sql).bind(site).bind(generation).bind(epoch)).await?;
        Ok(found.into_iter().next())
    }

    /// The links of a set that a partition has to do with, or all of them.
    pub async fn joined(&self, set: &LinkSet, partition: Option<u32>) -> Result<Joined, WarehouseError> {
        let of_partition = "AND (visitor_partition = ? OR visitor IN (SELECT visitor FROM links \
                            WHERE site = ? AND number = ? AND person_partition = ?))";
        let sql = "SELECT ?fields FROM links WHERE site = ? AND number = ?";
        let query = match partition {
            None => self.query_all(sql).bind(&set.site).bind(set.number),
            Some(partition) => {
                let query = self.query_all(&format!("{sql} {of_partition}"));
                let query = query.bind(&set.site).bind(set.number).bind(partition);
                query.bind(&set.site).bind(set.number).bind(partition)
            }
        };
        let failed = |source| WarehouseError::statement("links", source);
        let mut rows: RowCursor<JoinedRow> = query.fetch().map_err(failed)?;
        let mut joined = Joined::default();
        while let Some(row) = within("links", READ_TIMEOUT * 20, rows.next()).await? {
            let person = Person { visitor: row.person, partition: row.person_partition };
            joined.add(row.visitor, row.user_hash, row.is_second, person);
        }
        Ok(joined)
    }

    /// A site's newest set, whatever log it is of.
    pub async fn newest_link_set(&self, site: &str) -> Result<Option<NewestSet>, WarehouseError> {
        let sql = "SELECT number, log_epoch, links, announced, \
                   toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(written_at) AS age_ms \
                   FROM link_sets FINAL WHERE site = ? ORDER BY number DESC LIMIT 1";
        let found: Vec<NewestSet> = fetch_all("link_sets", self.query_all(sql).bind(site)).await?;
        Ok(found.into_iter().next())
    }

    /// Whether a set joined an id that was erased since; what it says of the id may be deleted already.
    pub async fn joins_erased(&self, site: &str, newest: &NewestSet) -> Result<bool, WarehouseError> {
        let sql = "SELECT toUInt8(ifNull(
                (SELECT count() FROM erasures WHERE site = ? AND visitor_hash IN
                    (SELECT arrayJoin([visitor, user_hash]) FROM links WHERE site = ? AND number = ?)) > 0
                OR (SELECT count() FROM links FINAL WHERE site = ? AND number = ?) < ?, 0))";
        let query = self.query_all(sql).bind(site).bind(site).bind(newest.number);
        let query = query.bind(site).bind(newest.number).bind(newest.links);
        Ok(within("erasures", READ_TIMEOUT * 20, query.fetch_one::<u8>()).await? > 0)
    }

    /// What each partition of the log in use keeps of rebuilds.
    pub async fn rebuilt(&self) -> Result<Vec<Rebuilt>, WarehouseError> {
        fetch_all("progress", self.query_all(REBUILT_SQL)).await
    }

    /// The largest generation that anything of a site was counted under.
    pub async fn largest_generation(&self, site: &str) -> Result<u64, WarehouseError> {
        let query = self.query_all("SELECT max(generation) FROM progress WHERE site = ?").bind(site);
        within("progress", READ_TIMEOUT, query.fetch_one()).await
    }
}

//! Visitors who asked to be forgotten. Lanes write a row for each ([`ErasureRow`]), for good; restores and builds read them,
//! every read of raw events leaves them out (`raw::NOT_ERASED`), and [`Warehouse::remove_erased`] deletes what is stored of
//! them, whenever something is.
//!
//! What is stored of a visitor stays until no restore and no build can begin before the record that erased them: until
//! then each must see what the one before saw, or numbers of others could differ. Reads leave it out all the while.

use std::collections::{BTreeMap, HashSet};

use clickhouse::Row;
use clickhouse::query::{Query, RowCursor};
use funnel::intake::visitor_hash;
use serde::{Deserialize, Serialize};

use crate::client::{INSERT_TIMEOUT, READ_TIMEOUT, Warehouse, fetch_all, within};
use crate::error::WarehouseError;
use crate::logs::current_log;

/// Visitors whose rows of a table are deleted at once, at most.
pub const MAX_REMOVED_AT_ONCE: usize = 5_000;
/// Bytes of their ids, at most: a statement has 256 KiB, and an id may be twice as long in it.
const MAX_NAMED_BYTES: usize = 96 << 10;
/// Bytes of an id in a statement beside its own: quotes and a comma.
const BESIDE_AN_ID: usize = 4;

/// A visitor who was erased, and the place of the record that says so.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct ErasureRow {
    pub site: String,
    pub visitor_id: String,
    /// As journeys name the visitor.
    pub visitor_hash: u128,
    pub log_epoch: u32,
    pub log_offset: u64,
}

impl ErasureRow {
    /// The row of a visitor who is erased by the record at this place.
    pub fn new(site: &str, visitor_id: &str, (log_epoch, log_offset): (u32, u64)) -> Self {
        let visitor_hash = visitor_hash(visitor_id);
        Self { site: site.into(), visitor_id: visitor_id.into(), visitor_hash, log_epoch, log_offset }
    }
}

/// What [`Warehouse::remove_erased`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    /// Visitors of whom rows are being deleted, summed over the tables.
    pub visitors: usize,
    /// Whether there may be more to do soon: a table is still being changed, or has more of them.
    pub is_partial: bool,
    /// Why an earlier change of a table fails again and again.
    pub failing: Option<String>,
}

/// A table that holds something of visitors, and how its rows and those of `erasures` name them.
struct Holder {
    table: &'static str,
    column: &'static str,
    named_by: &'static str,
    /// The condition for rows of some visitors of a site; its values: both.
    of_a_site: &'static str,
}

const BY_ID: &str = "(site = ? AND visitor_id IN ?)";
const BY_HASH: &str = "(site = ? AND has(arrayMap(hash -> toUInt128(hash), ?), visitor))";

const HOLDERS: [Holder; 4] = [
    Holder { table: "events", column: "visitor_id", named_by: "visitor_id", of_a_site: BY_ID },
    Holder { table: "rejected_events", column: "visitor_id", named_by: "visitor_id", of_a_site: BY_ID },
    Holder { table: "journeys", column: "visitor", named_by: "visitor_hash", of_a_site: BY_HASH },
    Holder { table: "links", column: "visitor_id", named_by: "visitor_id", of_a_site: BY_ID },
];

/// How far a partition of the log in use is folded, and where its first build under way begins. Of a funnel the newest
/// generation counts: a build that a later one replaced was given up, and its row says `building` for ever.
#[derive(Debug, Row, Deserialize)]
struct Passed {
    log_partition: u32,
    log_partitions: u32,
    epoch: u32,
    folded: u64,
    first_cutoff: u64,
}

/// How far the log in use is folded and stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// The log's number.
    pub epoch: u32,
    /// By partition: everything before this offset is stored. Never empty.
    pub passed: Vec<u64>,
}

const PASSED_SQL: &str = concat!(
    "WITH (",
    current_log!(),
    ") AS log
    SELECT log_partition, ifNull(log.2, 1) AS log_partitions,
           toUInt32(ifNull((SELECT min(epoch) FROM logs WHERE log_id = log.1), 0)) AS epoch,
           minIf(last.1, funnel = '') AS folded,
           if(countIf(last.3 = 'building') = 0, toUInt64(-1), minIf(last.2, last.3 = 'building')) AS first_cutoff
    FROM (
        SELECT log_partition, funnel,
               argMax((next_offset, cutoff, state), (generation, version, written_at)) AS last
        FROM progress
        WHERE log_id = log.1 AND log_partition < log.2 AND kind = 'progress'
        GROUP BY log_partition, site, funnel
    )
    GROUP BY log_partition
    ORDER BY log_partition"
);

/// Erasures that nothing begins before any more. Its values: the log's number, twice, and for each partition what is
/// folded and the first cut-off. A build that is not done after a day is not waited for.
const DUE: &str = "log_epoch < ? OR (
    log_epoch = ? AND log_offset < arrayElement(?, kafkaMurmurHash(concat(site, '\\0', visitor_id)) % length(?) + 1)
    AND (log_offset < arrayElement(?, kafkaMurmurHash(concat(site, '\\0', visitor_id)) % length(?) + 1)
         OR erased_at < now64(3) - INTERVAL 1 DAY))";

/// What is due, as values of [`DUE`].
struct Due {
    epoch: u32,
    folded: Vec<u64>,
    cutoffs: Vec<u64>,
}

impl Due {
    fn of(passed: &[Passed]) -> Self {
        let partitions = passed.first().map_or(1, |passed| passed.log_partitions);
        let epoch = passed.first().map_or(0, |passed| passed.epoch);
        let of = |partition| passed.iter().find(|passed| passed.log_partition == partition);
        let folded = (0..partitions).map(|at| of(at).map_or(0, |passed| passed.folded)).collect();
        let cutoffs = (0..partitions).map(|at| of(at).map_or(0, |passed| passed.first_cutoff)).collect();
        Self { epoch, folded, cutoffs }
    }

    fn bind(&self, query: Query) -> Query {
        let query = query.bind(self.epoch).bind(self.epoch).bind(&self.folded).bind(&self.folded);
        query.bind(&self.cutoffs).bind(&self.cutoffs)
    }
}

impl Warehouse {
    /// Hands the visitors of a partition (of so many) that were erased to `take`, the latest first, at most `limit`.
    pub async fn erasures(
        &self,
        (partition, partitions): (u32, u32),
        limit: usize,
        take: &mut (dyn FnMut(ErasureRow) + Send),
    ) -> Result<(), WarehouseError> {
        let sql = "SELECT ?fields FROM erasures
            WHERE kafkaMurmurHash(concat(site, '\\0', visitor_id)) % ? = ?
            ORDER BY log_epoch DESC, log_offset DESC, visitor_id DESC LIMIT ?";
        let query = self.query_all(sql).bind(partitions.max(1)).bind(partition).bind(limit);
        let failed = |source| WarehouseError::statement("erasures", source);
        let mut rows: RowCursor<ErasureRow> = query.fetch().map_err(failed)?;
        while let Some(row) = within("erasures", READ_TIMEOUT * 20, rows.next()).await? {
            take(row);
        }
        Ok(())
    }

    /// When the visitor was erased, UTC milliseconds; `None` if that never happened.
    pub async fn erased_at(&self, site: &str, visitor: &str) -> Result<Option<i64>, WarehouseError> {
        let sql = "SELECT toUnixTimestamp64Milli(max(erased_at)) FROM erasures \
                   WHERE site = ? AND visitor_id = ? HAVING count() > 0";
        let found: Vec<i64> = fetch_all("erasures", self.query(sql).bind(site).bind(visitor)).await?;
        Ok(found.first().copied())
    }

    /// Those of a site's visitors of whom a raw event is stored, also one that is to be deleted.
    pub async fn stored_visitors(
        &self,
        site: &str,
        visitors: &[String],
    ) -> Result<HashSet<String>, WarehouseError> {
        let sql = "SELECT DISTINCT visitor_id FROM events WHERE site = ? AND visitor_id IN ?";
        let mut found = HashSet::new();
        let mut rest = visitors;
        while !rest.is_empty() {
            let named = rest.get(..within_a_statement(rest.iter().map(String::len))).unwrap_or(rest);
            let stored: Vec<String> = fetch_all("events", self.query(sql).bind(site).bind(named)).await?;
            found.extend(stored);
            rest = rest.get(named.len()..).unwrap_or_default();
        }
        Ok(found)
    }

    /// How far the log in use is stored; of a partition of which nothing is known, from its beginning.
    pub async fn stored(&self) -> Result<Stored, WarehouseError> {
        let passed: Vec<Passed> = fetch_all("progress", self.query_all(PASSED_SQL)).await?;
        let due = Due::of(&passed);
        Ok(Stored { epoch: due.epoch, passed: due.folded })
    }

    /// Begins to delete what is stored of erased visitors, whenever it came: raw events, samples of rejected ones, journeys.
    /// ClickHouse rewrites the parts that hold something of them, in the background, one change of a table at a time.
    ///
    /// # Errors
    /// ClickHouse's; trying again is safe.
    pub async fn remove_erased(&self) -> Result<Removal, WarehouseError> {
        let passed: Vec<Passed> = fetch_all("progress", self.query_all(PASSED_SQL)).await?;
        let due = Due::of(&passed);
        let mut removal = Removal::default();
        for holder in &HOLDERS {
            let found = self.still_stored(holder, &due).await?;
            if found.is_empty() {
                continue;
            }
            if let Some(failure) = self.unfinished_change(holder.table).await? {
                removal.is_partial = true;
                removal.failing = removal.failing.or(Some(failure).filter(|failure| !failure.is_empty()));
                continue;
            }
            let fitting = within_a_statement(found.iter().map(|(_, visitor)| visitor.len()));
            let first = found.get(..fitting).unwrap_or(&found);
            self.remove(holder, first).await?;
            removal.visitors += first.len();
            removal.is_partial |= first.len() < found.len() || found.len() >= MAX_REMOVED_AT_ONCE;
        }
        Ok(removal)
    }

    /// (site, visitor) of whom a table has something although they were erased. A hash is a number in words.
    async fn still_stored(
        &self,
        Holder { table, column, named_by, .. }: &Holder,
        due: &Due,
    ) -> Result<Vec<(String, String)>, WarehouseError> {
        let sql = format!(
            "SELECT DISTINCT toString(site), toString({column}) FROM {table}
             WHERE (site, {column}) IN (SELECT site, {named_by} FROM erasures FINAL WHERE {DUE})
             LIMIT {MAX_REMOVED_AT_ONCE}"
        );
        within(table, READ_TIMEOUT * 20, due.bind(self.query(&sql)).fetch_all()).await
    }

    async fn remove(
        &self,
        Holder { table, of_a_site, .. }: &Holder,
        found: &[(String, String)],
    ) -> Result<(), WarehouseError> {
        let mut sites: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (site, visitor) in found {
            sites.entry(site).or_default().push(visitor);
        }
        let conditions = vec![*of_a_site; sites.len()].join(" OR ");
        // The embedded engine would wait for it otherwise.
        let sql = format!("ALTER TABLE {table} DELETE WHERE {conditions} SETTINGS mutations_sync = 0");
        let query = sites
            .into_iter()
            .fold(self.query(&sql), |query, (site, visitors)| query.bind(site).bind(visitors));
        within(table, INSERT_TIMEOUT, query.execute()).await
    }
}

/// How many visitors, of ids of these lengths, one statement can name; one at least.
fn within_a_statement(lengths: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fitting = lengths.take_while(|length| {
        bytes += length + BESIDE_AN_ID;
        bytes <= MAX_NAMED_BYTES
    });
    fitting.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_names_as_many_visitors_as_it_has_room_for() {
        let fit = |count, length| within_a_statement(std::iter::repeat_n(length, count));
        assert_eq!([fit(0, 36), fit(1, 256), fit(2_000, 36), fit(5_000, 256)], [1, 1, 2_000, 378]);
        assert_eq!(fit(5, MAX_NAMED_BYTES), 1);
    }
}

//! What the aggregator keeps in ClickHouse about itself: journeys and progress. A restore reads progress first, journeys
//! second, markers last.

use clickhouse::Row;
use clickhouse::query::RowCursor;
use serde::Deserialize;

use crate::client::{INSERT_TIMEOUT, READ_TIMEOUT, Warehouse, fetch_all, within};
use crate::erasures::MAX_REMOVED_AT_ONCE;
use crate::error::WarehouseError;
use crate::generations::FunnelKey;
use crate::logs::current_log;
use crate::rows::ProgressRow;

/// A visitor's latest stored journey.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct StoredJourney<'a> {
    pub visitor: u128,
    #[serde(borrow, with = "serde_bytes")]
    pub state: &'a [u8],
    pub version: u64,
}

/// Rows that are awaited together: a time limit of each would cost as much as the row.
const ROWS_AWAITED: usize = 256;

/// A generation that is not in force any more.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
struct Superseded {
    site: String,
    funnel: String,
    generation: u64,
}

/// Generations below the largest one of their funnel that is complete in all partitions of the current log; those of earlier
/// logs are, because a log begins none below its floor.
const SUPERSEDED_SQL: &str = concat!(
    "WITH (",
    current_log!(),
    ") AS log,
    in_force AS (
        SELECT site, funnel, max(generation) AS newest
        FROM (
            SELECT site, funnel, generation
            FROM (
                SELECT site, funnel, generation, log_partition, argMax(state, (version, written_at)) AS last
                FROM progress
                WHERE log_id = log.1 AND funnel != '' AND kind = 'progress'
                GROUP BY site, funnel, generation, log_partition
            )
            GROUP BY site, funnel, generation
            HAVING countIf(last = 'complete') >= log.2
        )
        GROUP BY site, funnel
    )
    SELECT DISTINCT progress.site AS site, progress.funnel AS funnel, progress.generation AS generation
    FROM progress INNER JOIN in_force ON progress.site = in_force.site AND progress.funnel = in_force.funnel
    WHERE progress.generation < in_force.newest"
);

const PROGRESS_SQL: &str = "
    SELECT ?fields FROM progress
    WHERE log_id = ? AND log_partition = ? AND kind = ?
    ORDER BY site, funnel, definition, generation, version DESC, written_at DESC
    LIMIT 1 BY site, funnel, definition, generation";

/// Not `FINAL`: the order has no generation, so it would let a row of another generation, with a larger version of an earlier
/// log, stand for this one's.
const JOURNEYS_SQL: &str = "
    SELECT ?fields FROM journeys
    WHERE generation = ? AND site = ? AND funnel = ? AND definition = ? AND log_partition = ?
    ORDER BY visitor, version DESC
    LIMIT 1 BY visitor";

const REMOVE_JOURNEYS_OF_SQL: &str = "
    DELETE FROM journeys
    WHERE generation = ? AND site = ? AND funnel = ? AND definition = ? AND log_partition = ? AND version <= ?
      AND has(arrayMap(visitor -> toUInt128(visitor), ?), visitor)";

impl Warehouse {
    /// The latest progress (or marker) rows of a partition.
    pub async fn progress(
        &self,
        log_id: &str,
        partition: u32,
        kind: &str,
    ) -> Result<Vec<ProgressRow>, WarehouseError> {
        fetch_all("progress", self.query_all(PROGRESS_SQL).bind(log_id).bind(partition).bind(kind)).await
    }

    /// Streams the latest journey of every visitor of a generation in a partition.
    pub async fn journeys(
        &self,
        key: &FunnelKey,
        generation: u64,
        partition: u32,
        take: &mut (dyn FnMut(StoredJourney<'_>) + Send),
    ) -> Result<(), WarehouseError> {
        // Three columns of fixed types: comparing each row with the header takes as long as decoding it. Rows that are
        // put together by several threads are copied once more, a sixth of ClickHouse's work, for what waits for us anyway.
        let query = self
            .reading_all()
            .with_validation(false)
            .with_setting("output_format_parallel_formatting", "0")
            .query(JOURNEYS_SQL)
            .bind(generation)
            .bind(&key.site)
            .bind(&key.funnel)
            .bind(key.definition)
            .bind(partition);
        let failed = |source| WarehouseError::statement("journeys", source);
        let mut rows: RowCursor<StoredJourney<'_>> = query.fetch().map_err(failed)?;
        let mut more = true;
        while more {
            let taken = async {
                for _ in 0..ROWS_AWAITED {
                    let Some(row) = rows.next().await? else { return Ok(false) };
                    take(row);
                }
                Ok(true)
            };
            more = within("journeys", READ_TIMEOUT * 20, taken).await?;
        }
        Ok(())
    }

    /// How many journeys of a generation in a partition there are, about: those that were written again are counted again
    /// until ClickHouse has merged them.
    pub async fn count_journeys(
        &self,
        key: &FunnelKey,
        generation: u64,
        partition: u32,
    ) -> Result<u64, WarehouseError> {
        // Without the names: a definition is one funnel's, and columns that order nothing take twice as long.
        let sql =
            "SELECT count() FROM journeys WHERE generation = ? AND definition = ? AND log_partition = ?";
        let query = self.query(sql).bind(generation).bind(key.definition).bind(partition);
        within("journeys", READ_TIMEOUT * 20, query.fetch_one()).await
    }

    /// Removes the journeys of a generation in a partition.
    pub async fn remove_journeys(
        &self,
        key: &FunnelKey,
        generation: u64,
        partition: u32,
    ) -> Result<(), WarehouseError> {
        let sql = "DELETE FROM journeys WHERE generation = ? AND site = ? AND funnel = ? AND definition = ? \
                   AND log_partition = ?";
        let query = self.query(sql).bind(generation).bind(&key.site).bind(&key.funnel);
        within("journeys", INSERT_TIMEOUT, query.bind(key.definition).bind(partition).execute()).await
    }

    /// Removes the journeys of some visitors of a generation in a partition, as they were stored up to a version.
    pub async fn remove_journeys_of(
        &self,
        key: &FunnelKey,
        generation: u64,
        partition: u32,
        visitors: &[u128],
        until: u64,
    ) -> Result<(), WarehouseError> {
        for some in visitors.chunks(MAX_REMOVED_AT_ONCE) {
            let some: Vec<String> = some.iter().map(u128::to_string).collect();
            let query = self.query(REMOVE_JOURNEYS_OF_SQL).bind(generation).bind(&key.site).bind(&key.funnel);
            let query = query.bind(key.definition).bind(partition).bind(until).bind(some);
            within("journeys", INSERT_TIMEOUT, query.execute()).await?;
        }
        Ok(())
    }

    /// Removes journeys, history and progress of generations that a larger one has replaced in every partition; returns
    /// how many. No reader uses them any more: readers switch when the last partition is complete.
    pub async fn remove_superseded(&self) -> Result<usize, WarehouseError> {
        let superseded: Vec<Superseded> = fetch_all("progress", self.query(SUPERSEDED_SQL)).await?;
        for old in &superseded {
            for table in ["journeys", "funnel_rolling", "funnel_open", "progress"] {
                let sql = format!("DELETE FROM {table} WHERE generation = ? AND site = ? AND funnel = ?");
                let query = self.query(&sql).bind(old.generation).bind(&old.site).bind(&old.funnel);
                within("remove", INSERT_TIMEOUT, query.execute()).await?;
            }
        }
        Ok(superseded.len())
    }
}

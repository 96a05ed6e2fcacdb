//! What the embedded ClickHouse takes and does, from its own system tables: for the metrics of `rungs up`.

use clickhouse::Row;
use serde::Deserialize;

use crate::client::{Warehouse, fetch_all};
use crate::error::WarehouseError;

/// A ClickHouse as it is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClickHouseState {
    /// Memory that its queries, merges and caches take, as it counts it.
    pub memory_bytes: u64,
    pub running_queries: u64,
    pub running_merges: u64,
    /// Our tables.
    pub tables: Vec<TableState>,
}

/// A table's parts on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Row, Deserialize)]
pub struct TableState {
    pub table: String,
    pub parts: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// (memory, queries, merges)
#[derive(Row, Deserialize)]
struct Numbers {
    memory_bytes: i64,
    running_queries: u64,
    running_merges: u64,
}

impl Warehouse {
    /// What ClickHouse takes and does now.
    ///
    /// # Errors
    /// ClickHouse's.
    pub async fn engine_state(&self) -> Result<ClickHouseState, WarehouseError> {
        // The query that asks is one of those that run.
        let sql = "SELECT (SELECT sum(value) FROM system.metrics WHERE metric = 'MemoryTracking') AS memory_bytes, \
             (SELECT greatest(count(), 1) - 1 FROM system.processes) AS running_queries, \
             (SELECT count() FROM system.merges) AS running_merges";
        let sql = format!(
            "SELECT toInt64(ifNull(memory_bytes, 0)) AS memory_bytes, \
             toUInt64(ifNull(running_queries, 0)) AS running_queries, \
             toUInt64(ifNull(running_merges, 0)) AS running_merges FROM ({sql})"
        );
        let numbers: Vec<Numbers> = fetch_all("system.metrics", self.query(&sql)).await?;
        let sql = "SELECT t.name AS table, toUInt64(countIf(p.active)) AS parts, \
             toUInt64(sumIf(p.rows, p.active)) AS rows, toUInt64(sumIf(p.bytes_on_disk, p.active)) AS bytes \
             FROM system.tables AS t LEFT JOIN system.parts AS p ON p.database = t.database AND p.table = t.name \
             WHERE t.database = ? AND endsWith(t.engine, 'MergeTree') GROUP BY t.name ORDER BY t.name";
        let tables = fetch_all("system.parts", self.query(sql).bind(self.database())).await?;
        let numbers = numbers.into_iter().next();
        let of = |number: fn(&Numbers) -> u64| numbers.as_ref().map_or(0, number);
        Ok(ClickHouseState {
            memory_bytes: of(|numbers| u64::try_from(numbers.memory_bytes).unwrap_or(0)),
            running_queries: of(|numbers| numbers.running_queries),
            running_merges: of(|numbers| numbers.running_merges),
            tables,
        })
    }
}

//! The logs that ever fed the database. Offsets mean nothing without their log, so each has a number (`log_epoch`), and a floor
//! below which it begins no generation: the rows of journeys and of history name a generation and a partition, not the log, and
//! the larger offset wins. An aggregator asks for both before it serves anything ([`Warehouse::register_log`]).
//!
//! Guarantee: both are decided once, by the first insert that names the number, and are the same for whoever asks, for ever.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::client::{Warehouse, fetch_all};
use crate::error::WarehouseError;

/// Numbers that are tried in a row: others take one before us only where several new logs begin at the same moment.
const MAX_ATTEMPTS: u32 = 10;

/// A log as the database knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KnownLog {
    /// Its number in the order in which logs fed the database, from 1.
    pub epoch: u32,
    /// Every generation that is begun on it has this number or a larger one: no log before it ever used one as large. 0 for
    /// the first log, and for those that a release before schema 6 registered.
    pub generation_floor: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
struct LogRow {
    log_id: String,
    epoch: u32,
    partitions: u32,
    generation_floor: u64,
}

/// SQL for the log in use, (id, partitions): of those whose partition rows were written in the last ten minutes before the
/// newest such row, the one with the largest number. While aggregators of two logs run side by side, readers so stay with the
/// newer one; a log that was fed by mistake is left ten minutes after it was fed last.
macro_rules! current_log {
    () => {
        "SELECT argMax((fed.log_id, partitions), (epoch, written))
         FROM (
             SELECT log_id, argMax(log_partitions, (written_at, version)) AS partitions, max(written_at) AS written,
                    max(written) OVER () AS newest
             FROM progress WHERE funnel = '' GROUP BY log_id
         ) AS fed
         LEFT JOIN (SELECT log_id, min(epoch) AS epoch FROM logs GROUP BY log_id) AS known ON fed.log_id = known.log_id
         WHERE written >= newest - INTERVAL 10 MINUTE"
    };
}
pub(crate) use current_log;

/// Larger than every generation that anything was counted under, every set of links and every other floor; now at least, by
/// the clock of ClickHouse, because what an aggregator has begun may not be stored yet.
const FLOOR_SQL: &str = "
    SELECT max(number) FROM (
        SELECT toUInt64(toUnixTimestamp64Milli(now64(3))) AS number
        UNION ALL SELECT max(generation) + 1 AS number FROM progress
        UNION ALL SELECT max(number) + 1 AS number FROM link_sets
        UNION ALL SELECT max(generation_floor) + 1 AS number FROM logs
    )";

impl Warehouse {
    /// The number and the floor of a log; a new one gets the next number.
    ///
    /// Processes that meet a new log at the same moment agree: of all inserts for one number ClickHouse takes the first
    /// (`insert_deduplication_token`), and what counts is read afterwards.
    ///
    /// # Errors
    /// ClickHouse's; trying again is safe.
    pub async fn register_log(&self, log_id: &str, partitions: u32) -> Result<KnownLog, WarehouseError> {
        let mut taken = 0;
        for _ in 0..MAX_ATTEMPTS {
            let logs = self.logs().await?;
            if let Some(known) = find(&logs, log_id) {
                return Ok(known);
            }
            // A number whose row somebody deleted is not given out again: ClickHouse remembers that it was taken.
            let epoch = logs.last().map_or(0, |row| row.epoch).max(taken) + 1;
            let generation_floor = if epoch == 1 { 0 } else { self.next_floor().await? };
            self.take_number(LogRow { log_id: log_id.to_owned(), epoch, partitions, generation_floor })
                .await?;
            taken = epoch;
        }
        Err(WarehouseError::NoLogNumber { log_id: log_id.to_owned() })
    }

    async fn logs(&self) -> Result<Vec<LogRow>, WarehouseError> {
        fetch_all("logs", self.query_all("SELECT ?fields FROM logs ORDER BY epoch")).await
    }

    async fn next_floor(&self) -> Result<u64, WarehouseError> {
        Ok(fetch_all("logs", self.query_all(FLOOR_SQL)).await?.into_iter().max().unwrap_or(0))
    }

    /// Stores the row, unless there was one of its number: then this does nothing.
    async fn take_number(&self, row: LogRow) -> Result<(), WarehouseError> {
        let client = self
            .inserting()
            .with_setting("insert_deduplicate", "1")
            .with_setting("insert_deduplication_token", format!("log {}", row.epoch));
        self.insert_with::<LogRow>(&client, "logs", &[row]).await
    }
}

/// What counts of a log. A release before schema 6 may have registered it at the same moment, without a floor.
fn find(logs: &[LogRow], log_id: &str) -> Option<KnownLog> {
    let rows = logs.iter().filter(|row| row.log_id == log_id);
    let known = rows.map(|row| KnownLog { epoch: row.epoch, generation_floor: row.generation_floor });
    let known = known.reduce(|one, other| KnownLog {
        epoch: one.epoch.min(other.epoch),
        generation_floor: one.generation_floor.max(other.generation_floor),
    })?;
    if logs.iter().any(|row| row.epoch > known.epoch) {
        tracing::warn!(
            log_id,
            number = known.epoch,
            "another log began after this one: its events are not counted from here"
        );
    }
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(log_id: &str, epoch: u32, generation_floor: u64) -> LogRow {
        LogRow { log_id: log_id.to_owned(), epoch, partitions: 1, generation_floor }
    }

    #[test]
    fn whoever_reads_the_rows_of_a_log_finds_the_same_in_whatever_order_they_come() {
        let rows = [row("a", 1, 0), row("b", 2, 0), row("b", 2, 70), row("b", 3, 0)];
        let known = |epoch, generation_floor| Some(KnownLog { epoch, generation_floor });
        assert_eq!((find(&rows, "a"), find(&rows, "b"), find(&rows, "c")), (known(1, 0), known(2, 70), None));
        let turned: Vec<LogRow> = rows.into_iter().rev().collect();
        assert_eq!(find(&turned, "b"), known(2, 70));
    }
}

//! How far an import is: which of its rows are stored, and whether the numbers that answers are read from count them.
//! Both are told by places in the log, which mean the same on every machine: a generation counts all raw events before its
//! cut-off in each partition. Clocks, of collectors or of anybody else, decide nothing.

use std::collections::HashMap;

use clickhouse::Row;
use serde::Deserialize;

use crate::client::{READ_TIMEOUT, Warehouse, fetch_all, within};
use crate::error::WarehouseError;
use crate::generations::{FunnelKey, current_log};
use crate::raw::NOT_ERASED;
use crate::rows::COMPLETE;

/// The stored rows of an import in one partition of the current log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Deserialize)]
pub struct ImportedRows {
    /// The partition of their visitors.
    pub log_partition: u32,
    /// Distinct rows. One that an earlier event already brought is not among them, whichever import repeats it.
    pub rows: u64,
    /// The number of the log that has the last one, and its offset there.
    pub last: (u32, u64),
}

/// Where a generation of a funnel begins to count by the live rules: all before comes from the raw events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cutoffs {
    /// The number of the current log.
    pub log_epoch: u32,
    /// The first offset that is not taken from the raw events, by partition.
    pub offsets: HashMap<u32, u64>,
}

impl Cutoffs {
    /// Whether the generation took these rows from the raw events, and so whatever their times are.
    pub fn are_after(&self, rows: &[ImportedRows]) -> bool {
        rows.iter().all(|rows| {
            let cutoff = self.offsets.get(&rows.log_partition).copied().unwrap_or(0);
            rows.last < (self.log_epoch, cutoff)
        })
    }
}

impl Warehouse {
    /// The site's distinct stored rows that came with an import, by partition of the current log.
    pub async fn imported_rows(
        &self,
        site: &str,
        import_id: &str,
    ) -> Result<Vec<ImportedRows>, WarehouseError> {
        let sql = format!(
            "WITH ({}) AS log
             SELECT toUInt32(kafkaMurmurHash(concat(site, '\\0', visitor_id)) % greatest(ifNull(log.2, 1), 1))
                        AS log_partition,
                    count() AS rows, max((log_epoch, offset)) AS last
             FROM events FINAL
             WHERE site = ? AND import_id = ? AND {NOT_ERASED}
             GROUP BY log_partition
             ORDER BY log_partition",
            current_log!()
        );
        let query = self.query(&sql).bind(site).bind(import_id).bind(site);
        within("events", READ_TIMEOUT * 20, query.fetch_all()).await
    }

    /// The cut-offs of a generation in the current log; none for partitions that have not completed it.
    pub async fn cutoffs(&self, key: &FunnelKey, generation: u64) -> Result<Cutoffs, WarehouseError> {
        let sql = format!(
            "WITH ({}) AS log
             SELECT log_partition, argMax(cutoff, (version, written_at)),
                    ifNull((SELECT max(epoch) FROM logs WHERE log_id = log.1), 0) AS log_epoch
             FROM progress
             WHERE log_id = log.1 AND site = ? AND funnel = ? AND definition = ? AND generation = ?
                   AND kind = 'progress'
             GROUP BY log_partition
             HAVING argMax(state, (version, written_at)) = ?",
            current_log!()
        );
        let query = self.query(&sql).bind(&key.site).bind(&key.funnel).bind(key.definition).bind(generation);
        let query = query.bind(COMPLETE);
        let rows: Vec<(u32, u64, u32)> = fetch_all("progress", query).await?;
        let log_epoch = rows.first().map_or(0, |(_, _, epoch)| *epoch);
        Ok(Cutoffs { log_epoch, offsets: rows.into_iter().map(|(at, cutoff, _)| (at, cutoff)).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(log_partition: u32, last: (u32, u64)) -> ImportedRows {
        ImportedRows { log_partition, rows: 1, last }
    }

    #[test]
    fn a_generation_counts_an_import_when_each_partitions_last_row_is_before_its_cut_off() {
        let built = Cutoffs { log_epoch: 2, offsets: HashMap::from([(0, 10), (1, 20)]) };
        assert!(built.are_after(&[rows(0, (2, 9)), rows(1, (2, 19))]));
        assert!(!built.are_after(&[rows(0, (2, 9)), rows(1, (2, 20))]));
        assert!(!built.are_after(&[rows(0, (2, 10))]));
        assert!(built.are_after(&[]));
    }

    #[test]
    fn rows_of_an_earlier_log_are_counted_by_every_generation_and_those_of_a_later_one_by_none() {
        let built = Cutoffs { log_epoch: 2, offsets: HashMap::from([(0, 10)]) };
        assert!(built.are_after(&[rows(0, (1, 500))]));
        assert!(!built.are_after(&[rows(0, (3, 5))]));
        assert!(!built.are_after(&[rows(1, (2, 0))]), "a partition that has not completed it");
        assert!(!Cutoffs::default().are_after(&[rows(0, (1, 5))]), "no log is known");
    }
}

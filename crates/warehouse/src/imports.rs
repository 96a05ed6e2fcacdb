//! How far an import is: which of its rows are stored, whether all were read, and whether the numbers that answers are read
//! from count them.
//! Both are told by places in the log, which mean the same on every machine: a generation counts all raw events before its
//! cut-off in each partition. Clocks, of collectors or of anybody else, decide nothing.

use std::collections::HashMap;

use clickhouse::Row;
use serde::Deserialize;

use crate::client::{READ_TIMEOUT, Warehouse, fetch_all, within};
use crate::error::WarehouseError;
use crate::generations::FunnelKey;
use crate::logs::current_log;
use crate::raw::NOT_ERASED;
use crate::rows::{COMPLETE, import_key};

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

/// An import whose end every partition of a log has taken: all of its rows before that are stored, are copies of events that
/// were there before, or are of visitors who were erased.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadImport {
    /// Rows that were acknowledged.
    pub accepted_rows: u64,
    /// Where each partition of the current log goes on behind it; none where an earlier log had it.
    pub places: HashMap<u32, u64>,
}

/// A partition that has taken an import's end.
#[derive(Debug, Row, Deserialize)]
struct TakenEnd {
    of_log: String,
    is_current: u8,
    partition: u32,
    partitions: u32,
    place: u64,
    accepted_rows: u64,
}

impl ReadImport {
    /// Of the logs that had the import, one that all partitions have taken it from; the current one rather than another.
    fn of(ends: &[TakenEnd]) -> Option<Self> {
        let by_log = ends.chunk_by(|one, other| one.of_log == other.of_log);
        let is_whole =
            |ends: &&[TakenEnd]| ends.first().is_some_and(|end| ends.len() >= end.partitions as usize);
        let whole = by_log.filter(is_whole);
        let ends = whole.max_by_key(|ends| ends.first().map(|end| end.is_current))?;
        let accepted_rows = ends.iter().map(|end| end.accepted_rows).max()?;
        let current = ends.iter().filter(|end| end.is_current == 1);
        Some(Self { accepted_rows, places: current.map(|end| (end.partition, end.place)).collect() })
    }
}

impl Cutoffs {
    /// Whether the generation took everything before an import's end from the raw events.
    pub fn reach(&self, import: &ReadImport) -> bool {
        let is_reached =
            |(partition, place)| self.offsets.get(partition).is_some_and(|cutoff| cutoff >= place);
        import.places.iter().all(is_reached)
    }

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
        let query = self.query_all(&sql).bind(site).bind(import_id).bind(site);
        within("events", READ_TIMEOUT * 20, query.fetch_all()).await
    }

    /// The import as every partition has read it to its end; `None` while one has not, and of imports that an aggregator
    /// took which did not note it.
    pub async fn read_import(
        &self,
        site: &str,
        import_id: &str,
    ) -> Result<Option<ReadImport>, WarehouseError> {
        let sql = concat!(
            "WITH (",
            current_log!(),
            ") AS log
             SELECT log_id AS of_log, ifNull(toUInt8(log_id = log.1), 0) AS is_current, log_partition AS partition,
                    max(log_partitions) AS partitions, max(next_offset) AS place,
                    toUInt64OrZero(argMax(`values`, (version, written_at))[1]) AS accepted_rows
             FROM progress
             WHERE site = ? AND funnel = ? AND kind = 'import'
             GROUP BY log_id, log_partition
             ORDER BY log_id, log_partition"
        );
        let query = self.query_all(sql).bind(site).bind(import_key(import_id));
        Ok(ReadImport::of(&fetch_all("progress", query).await?))
    }

    /// The cut-offs of a generation in the current log; none for partitions that have not completed it.
    pub async fn cutoffs(&self, key: &FunnelKey, generation: u64) -> Result<Cutoffs, WarehouseError> {
        let sql = format!(
            "WITH ({}) AS log
             SELECT log_partition, argMax(cutoff, (version, written_at)),
                    ifNull((SELECT min(epoch) FROM logs WHERE log_id = log.1), 0) AS log_epoch
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
    fn an_import_is_read_when_every_partition_of_one_log_has_its_end() {
        let end = |log: &str, is_current, partition| TakenEnd {
            of_log: log.into(),
            is_current,
            partition,
            partitions: 2,
            place: 10 + u64::from(partition),
            accepted_rows: 7,
        };
        assert_eq!(ReadImport::of(&[]), None);
        assert_eq!(ReadImport::of(&[end("a", 0, 0), end("b", 1, 1)]), None);
        let both = [end("a", 0, 0), end("a", 0, 1), end("b", 1, 0), end("b", 1, 1)];
        let earlier = ReadImport::of(&both[..3]).unwrap();
        assert_eq!(earlier, ReadImport { accepted_rows: 7, places: HashMap::new() });
        let current = ReadImport::of(&both).unwrap();
        let built = |offsets| Cutoffs { log_epoch: 2, offsets: HashMap::from(offsets) };
        assert!(built([(0, 10), (1, 11)]).reach(&current) && built([(0, 0), (1, 0)]).reach(&earlier));
        assert!(!built([(0, 10), (1, 10)]).reach(&current));
        assert!(!Cutoffs::default().reach(&current), "no partition has completed it");
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

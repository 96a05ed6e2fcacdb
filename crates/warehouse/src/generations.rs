//! Which generation of a funnel's numbers answers are read from. A build from raw makes a new generation beside the one
//! in force; readers switch when all partitions of the current log have completed it, never earlier.
//!
//! Answers are cached for [`MAX_AGE`], so that many readers cost one small query.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clickhouse::Row;
use serde::Deserialize;

use crate::client::{Warehouse, fetch_all};
use crate::error::WarehouseError;
use crate::logs::current_log;
use crate::rows::{BUILDING, COMPLETE};

/// A cached answer is at most this old.
pub const MAX_AGE: Duration = Duration::from_millis(250);
/// Answers in the cache, at most; then those that are too old make room.
const MAX_CACHED: usize = 2_048;

/// A funnel as it is counted: the definition's hash covers whatever changes its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FunnelKey {
    pub site: String,
    pub funnel: String,
    pub definition: u64,
}

/// Which generations of a funnel there are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Generations {
    /// Partitions of the current log; 0 before any was seen.
    pub partitions: u32,
    /// Complete in every partition, largest first: the first one is in force.
    pub complete: Vec<u64>,
    /// Share of a newer one that is done, 0..1; `None` when none is being built.
    pub building: Option<f64>,
}

/// What the partitions of one generation say, summed.
#[derive(Debug, Clone, Row, Deserialize)]
struct GenerationRow {
    generation: u64,
    log_partitions: u32,
    complete: u64,
    building: u64,
    done: f64,
}

/// A partition whose latest row is `complete` counts as done whatever share it wrote last.
const GENERATIONS_SQL: &str = concat!(
    "WITH (",
    current_log!(),
    ") AS log
    SELECT generation, ifNull(log.2, 0) AS log_partitions,
           countIf(last.1 = ?) AS complete, countIf(last.1 = ?) AS building,
           sum(if(last.1 = ?, 1, least(last.2, 1))) AS done
    FROM (
        SELECT generation, log_partition, argMax((state, done), (version, written_at)) AS last
        FROM progress
        WHERE log_id = log.1 AND site = ? AND funnel = ? AND definition = ? AND kind = 'progress'
        GROUP BY generation, log_partition
    )
    GROUP BY generation
    ORDER BY generation DESC"
);

impl Generations {
    /// The generation that answers are read from.
    pub fn in_force(&self) -> Option<u64> {
        self.complete.first().copied()
    }

    fn from_rows(rows: &[GenerationRow]) -> Self {
        let partitions = rows.first().map_or(0, |row| row.log_partitions);
        let is_complete = |row: &&GenerationRow| partitions > 0 && row.complete >= u64::from(partitions);
        let complete: Vec<u64> = rows.iter().filter(is_complete).map(|row| row.generation).collect();
        let in_force = complete.first().copied();
        let newer = |row: &&GenerationRow| {
            in_force.is_none_or(|generation| row.generation > generation) && row.building + row.complete > 0
        };
        let building = rows.iter().find(newer).map(|row| row.done / f64::from(partitions.max(1)));
        Self { partitions, complete, building }
    }
}

/// Recent answers, shared by clones of a [`Warehouse`].
#[derive(Debug, Clone, Default)]
pub(crate) struct GenerationCache(Arc<Mutex<HashMap<FunnelKey, (Instant, Generations)>>>);

impl GenerationCache {
    fn get(&self, key: &FunnelKey) -> Option<Generations> {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cache.get(key).filter(|(at, _)| at.elapsed() < MAX_AGE).map(|(_, generations)| generations.clone())
    }

    fn put(&self, key: &FunnelKey, generations: &Generations) {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= MAX_CACHED {
            cache.retain(|_, (at, _)| at.elapsed() < MAX_AGE);
        }
        if cache.len() < MAX_CACHED {
            cache.insert(key.clone(), (Instant::now(), generations.clone()));
        }
    }
}

impl Warehouse {
    /// The generations of a funnel, at most [`MAX_AGE`] old.
    pub async fn generations(&self, key: &FunnelKey) -> Result<Generations, WarehouseError> {
        if let Some(known) = self.generations.get(key) {
            return Ok(known);
        }
        let query = self
            .query(GENERATIONS_SQL)
            .bind(COMPLETE)
            .bind(BUILDING)
            .bind(COMPLETE)
            .bind(&key.site)
            .bind(&key.funnel)
            .bind(key.definition);
        let rows: Vec<GenerationRow> = fetch_all("progress", query).await?;
        let generations = Generations::from_rows(&rows);
        self.generations.put(key, &generations);
        Ok(generations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(generation: u64, complete: u64, building: u64, done: f64) -> GenerationRow {
        GenerationRow { generation, log_partitions: 4, complete, building, done }
    }

    #[test]
    fn the_largest_generation_that_every_partition_completed_is_in_force() {
        let found = Generations::from_rows(&[row(9, 4, 0, 4.0), row(5, 4, 0, 4.0)]);
        assert_eq!((found.in_force(), found.building), (Some(9), None));
        assert_eq!(found.complete, [9, 5]);
    }

    #[test]
    fn one_missing_partition_keeps_the_older_generation_in_force() {
        let found = Generations::from_rows(&[row(9, 3, 0, 3.0), row(5, 4, 0, 4.0)]);
        assert_eq!((found.in_force(), found.building), (Some(5), Some(0.75)));
    }

    #[test]
    fn progress_is_the_mean_over_all_partitions_even_those_that_have_not_begun() {
        let found = Generations::from_rows(&[row(9, 1, 2, 2.0)]);
        assert_eq!((found.in_force(), found.building), (None, Some(0.5)));
    }

    #[test]
    fn a_dropped_generation_is_neither_in_force_nor_being_built() {
        let found = Generations::from_rows(&[row(9, 0, 0, 0.2), row(5, 4, 0, 4.0)]);
        assert_eq!((found.in_force(), found.building), (Some(5), None));
        assert_eq!(Generations::from_rows(&[]), Generations::default());
    }
}

//! The numbers of a funnel now ([`Warehouse::live`], from the open minute) and at an earlier minute's end
//! ([`Warehouse::live_at`], from the minute history). The console calls both.
//!
//! Cost: one cached lookup of the generation and one read by primary key of a few rows a partition, whatever the number
//! of raw events.

use std::collections::HashMap;
use std::time::Duration;

use crate::client::{Warehouse, fetch_all};
use crate::error::WarehouseError;
use crate::generations::FunnelKey;
pub use crate::numbers::Numbers;
use crate::numbers::add_up;
use crate::rows::RollingRow;

/// A minute's length.
pub const MINUTE_MS: i64 = 60_000;

/// A funnel's numbers now.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// Share of a newer generation that is done, 0..1; `None`: these are the newest numbers.
    pub building: Option<f64>,
    /// `None` before the first generation is complete.
    pub numbers: Option<Numbers>,
}

/// A funnel's numbers at a minute's end.
#[derive(Debug, Clone, PartialEq)]
pub enum LiveAt {
    /// All partitions have closed that minute.
    Complete(Box<Numbers>),
    /// Some partitions have, or the funnel's first generation is still being built.
    Incomplete,
    /// No partition has: too old, not yet over, or before the funnel.
    Outside,
}

const COLUMNS: &str = "site, funnel, definition, generation, minute, log_partition, breakdown, value, steps, windows, \
    visitors, offered, committed, skipped, open, seconds_cells, seconds_counts, effort_cells, effort_counts, \
    truncated, closed, as_of, version";

/// The key narrows both reads to a few rows a partition, so `FINAL` is cheap here; it keeps the largest version.
const OPEN_SQL: &str = "FROM funnel_open FINAL
    WHERE site = ? AND funnel = ? AND definition = ? AND generation = ? AND breakdown IN ('', ?)";

const CLOSED_SQL: &str = "FROM funnel_rolling FINAL
    WHERE site = ? AND funnel = ? AND definition = ? AND generation = ? AND minute = toDateTime(?, 'UTC')
      AND breakdown IN ('', ?)";

/// How often and how long apart open rows are read while partitions are in different minutes.
const MINUTE_READS: u32 = 15;
const MINUTE_PAUSE: Duration = Duration::from_millis(100);

impl Warehouse {
    /// The numbers of a window (its label) now, with those of `breakdown` where one is named.
    ///
    /// Until every partition has written its open minute under a new generation, the numbers of the one before stay.
    pub async fn live(
        &self,
        key: &FunnelKey,
        window: &str,
        breakdown: Option<&str>,
    ) -> Result<Live, WarehouseError> {
        let generations = self.generations(key).await?;
        let mut building = generations.building;
        for generation in generations.complete.iter().take(2) {
            let rows = self.open_rows_of_one_minute(key, *generation, breakdown).await?;
            match add_up(&rows, window, generations.partitions) {
                Ok(numbers) => return Ok(Live { building, numbers: Some(numbers) }),
                Err(share) => building = building.or(Some(share)),
            }
        }
        Ok(Live { building: building.or(Some(0.0)), numbers: None })
    }

    /// The numbers of a window at the minute that ended at `minute_end_ms` (UTC milliseconds, a whole minute).
    pub async fn live_at(
        &self,
        key: &FunnelKey,
        window: &str,
        breakdown: Option<&str>,
        minute_end_ms: i64,
    ) -> Result<LiveAt, WarehouseError> {
        let generations = self.generations(key).await?;
        let Some(generation) = generations.in_force() else { return Ok(LiveAt::Incomplete) };
        let Ok(minute) = u32::try_from(minute_end_ms / 1_000) else { return Ok(LiveAt::Outside) };
        let rows = self.closed_rows(key, generation, breakdown, minute).await?;
        Ok(match add_up(&rows, window, generations.partitions) {
            Ok(numbers) => LiveAt::Complete(Box::new(numbers)),
            Err(0.0) => LiveAt::Outside,
            Err(_) => LiveAt::Incomplete,
        })
    }

    /// Windows of different minutes must not be added up. Partitions write a new minute within about a second, so it is
    /// waited for; a partition that stays behind is shown as it is, with its time.
    async fn open_rows_of_one_minute(
        &self,
        key: &FunnelKey,
        generation: u64,
        breakdown: Option<&str>,
    ) -> Result<Vec<RollingRow>, WarehouseError> {
        for _ in 0..MINUTE_READS {
            let rows = self.open_rows(key, generation, breakdown).await?;
            let newest = rows.iter().map(|row| row.minute).max();
            let oldest = rows.iter().map(|row| row.minute).min();
            if newest == oldest {
                return Ok(rows);
            }
            tokio::time::sleep(MINUTE_PAUSE).await;
        }
        self.open_rows(key, generation, breakdown).await
    }

    async fn open_rows(
        &self,
        key: &FunnelKey,
        generation: u64,
        breakdown: Option<&str>,
    ) -> Result<Vec<RollingRow>, WarehouseError> {
        let query = self
            .query(&format!("SELECT {COLUMNS} {OPEN_SQL}"))
            .bind(&key.site)
            .bind(&key.funnel)
            .bind(key.definition)
            .bind(generation)
            .bind(breakdown.unwrap_or(""));
        Ok(without_stale(fetch_all("funnel_open", query).await?))
    }

    async fn closed_rows(
        &self,
        key: &FunnelKey,
        generation: u64,
        breakdown: Option<&str>,
        minute: u32,
    ) -> Result<Vec<RollingRow>, WarehouseError> {
        let query = self
            .query(&format!("SELECT {COLUMNS} {CLOSED_SQL}"))
            .bind(&key.site)
            .bind(&key.funnel)
            .bind(key.definition)
            .bind(generation)
            .bind(minute)
            .bind(breakdown.unwrap_or(""));
        Ok(without_stale(fetch_all("funnel_rolling", query).await?))
    }
}

/// A partition's rows of one write share a version and a time, and everybody's is among them: another row is of a value that
/// was not written again, because it counts nothing any more.
fn without_stale(mut rows: Vec<RollingRow>) -> Vec<RollingRow> {
    let written = |row: &RollingRow| (row.version, row.as_of);
    let of_everybody = rows.iter().filter(|row| row.breakdown.is_empty());
    let latest: HashMap<u32, (u64, i64)> =
        of_everybody.map(|row| (row.log_partition, written(row))).collect();
    rows.retain(|row| latest.get(&row.log_partition) == Some(&written(row)));
    rows
}

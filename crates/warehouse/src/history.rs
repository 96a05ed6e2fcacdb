//! How a funnel's steps went over time: [`Warehouse::history`] reads the minute history at regular points, in one
//! query, for everybody (no breakdown).

use std::collections::HashMap;

use clickhouse::Row;
use serde::Deserialize;

use crate::client::{Warehouse, fetch_all};
use crate::error::WarehouseError;
use crate::generations::FunnelKey;

/// Points of one answer, at most.
pub const MAX_POINTS: usize = 1_500;

/// Regular points in time: `start`, `start + step`, … up to and including `end`; UTC seconds, whole minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    start_s: u32,
    step_s: u32,
    count: u32,
}

/// A funnel's steps at one point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPoint {
    /// The end of the minute, UTC milliseconds.
    pub at_ms: i64,
    /// Visitors of each step; `None` where a partition has no row: a gap, not zeros.
    pub visitors: Option<Vec<u64>>,
}

#[derive(Debug, Clone, Row, Deserialize)]
struct PointRow {
    minute_s: u32,
    partitions: u64,
    visitors: Vec<u64>,
}

/// Spacings in seconds: divisors of an hour, then of a day, then whole days. From an hour on every point is an hour's
/// end, which is what the long history keeps.
const STEPS_S: [u32; 13] =
    [60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 7 * 86_400];

const HISTORY_SQL: &str = "
    SELECT toUnixTimestamp(minute) AS minute_s, count() AS partitions, sumForEach(last) AS visitors
    FROM (
        SELECT minute, log_partition,
               argMax(arrayMap(step -> visitors[(step - 1) * length(windows) + indexOf(windows, ?)],
                               range(1, length(steps) + 1)), version) AS last
        FROM funnel_rolling
        WHERE site = ? AND funnel = ? AND definition = ? AND generation = ?
          AND minute IN (SELECT toDateTime(? + number * ?, 'UTC') FROM numbers(?))
          AND breakdown = '' AND value = '' AND log_partition < ? AND has(windows, ?)
        GROUP BY minute, log_partition
    )
    GROUP BY minute
    ORDER BY minute";

impl Grid {
    /// About `points` points between two times (UTC milliseconds), the last one at or before `to`; at most
    /// [`MAX_POINTS`]. Points lie on whole multiples of their distance.
    pub fn between(from_ms: i64, to_ms: i64, points: usize) -> Self {
        let seconds = |ms: i64| u32::try_from(ms.max(0) / 1_000).unwrap_or(u32::MAX);
        let (from, to) = (seconds(from_ms), seconds(to_ms));
        let wanted = points.clamp(1, MAX_POINTS) as u32;
        let span = to.saturating_sub(from);
        let step_s = STEPS_S
            .into_iter()
            .find(|step| span / step <= wanted)
            .unwrap_or_else(|| span.div_ceil(wanted).next_multiple_of(86_400));
        let start_s = from.div_ceil(step_s).saturating_mul(step_s);
        let count = if start_s > to { 0 } else { ((to - start_s) / step_s + 1).min(MAX_POINTS as u32) };
        Self { start_s, step_s, count }
    }

    /// The distance between two points in milliseconds.
    pub fn step_ms(&self) -> i64 {
        i64::from(self.step_s) * 1_000
    }

    /// The points, UTC seconds, ascending.
    pub fn points_s(&self) -> impl Iterator<Item = u32> + use<> {
        let (start, step) = (self.start_s, self.step_s);
        (0..self.count).map(move |index| start.saturating_add(index.saturating_mul(step)))
    }
}

impl Warehouse {
    /// The steps' visitors in a window (its label) at each point of the grid.
    pub async fn history(
        &self,
        key: &FunnelKey,
        window: &str,
        grid: Grid,
    ) -> Result<Vec<HistoryPoint>, WarehouseError> {
        let generations = self.generations(key).await?;
        let rows = match generations.in_force() {
            Some(generation) => self.points(key, window, grid, generation, generations.partitions).await?,
            None => Vec::new(),
        };
        Ok(on_grid(rows, grid, generations.partitions))
    }

    async fn points(
        &self,
        key: &FunnelKey,
        window: &str,
        grid: Grid,
        generation: u64,
        partitions: u32,
    ) -> Result<Vec<PointRow>, WarehouseError> {
        let query = self
            .query(HISTORY_SQL)
            .bind(window)
            .bind(&key.site)
            .bind(&key.funnel)
            .bind(key.definition)
            .bind(generation)
            .bind(grid.start_s)
            .bind(grid.step_s)
            .bind(grid.count)
            .bind(partitions)
            .bind(window);
        fetch_all("funnel_rolling", query).await
    }
}

fn on_grid(rows: Vec<PointRow>, grid: Grid, partitions: u32) -> Vec<HistoryPoint> {
    let complete = rows.into_iter().filter(|row| row.partitions == u64::from(partitions));
    let mut known: HashMap<u32, Vec<u64>> = complete.map(|row| (row.minute_s, row.visitors)).collect();
    grid.points_s()
        .map(|second| HistoryPoint { at_ms: i64::from(second) * 1_000, visitors: known.remove(&second) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    #[test]
    fn a_day_in_about_150_points_is_one_every_ten_minutes() {
        let now = 1_715_731_234_567;
        let grid = Grid::between(now - DAY_MS, now, 150);
        assert_eq!(grid.step_ms(), 600_000);
        let points: Vec<_> = grid.points_s().collect();
        assert_eq!(points.len(), 144);
        assert!(points.iter().all(|point| point % 600 == 0));
        assert!(i64::from(*points.last().unwrap()) * 1_000 <= now);
    }

    #[test]
    fn whatever_is_asked_the_points_are_bounded_and_within() {
        for (from, to, points) in
            [(0, i64::MAX, 1_000_000), (DAY_MS, 0, 10), (-5, -1, 0), (0, 800 * DAY_MS, 7)]
        {
            let grid = Grid::between(from, to, points);
            let all: Vec<_> = grid.points_s().collect();
            assert!(all.len() <= MAX_POINTS, "{from} {to} {points}: {}", all.len());
            assert!(all.iter().all(|second| i64::from(*second) * 1_000 >= from), "{from} {to}");
        }
    }

    #[test]
    fn a_point_that_lacks_a_partition_is_a_gap() {
        let grid = Grid::between(0, 180_000, 4);
        let rows = vec![
            PointRow { minute_s: 60, partitions: 2, visitors: vec![5, 1] },
            PointRow { minute_s: 120, partitions: 1, visitors: vec![3, 0] },
        ];
        let points = on_grid(rows, grid, 2);
        let visitors: Vec<_> = points.iter().map(|point| point.visitors.clone()).collect();
        assert_eq!(visitors, [None, Some(vec![5, 1]), None, None]);
    }
}

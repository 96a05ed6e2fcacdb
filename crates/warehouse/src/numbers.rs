//! Adds the rows of all partitions up to the numbers of one rolling window. Called by [`crate::live`]; pure.
//!
//! Rows carry the labels of their steps and windows, so that a partition whose owner has another plan for a moment is
//! seen as missing rather than added up wrongly.

use std::collections::{BTreeMap, BTreeSet};

use funnel::buckets;
use funnel::counts::{Counts, from_sparse};

use crate::rows::RollingRow;

/// What all partitions together say about one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers {
    /// Step ids, in order.
    pub steps: Vec<String>,
    /// The end of the earliest partition's minute, UTC milliseconds: the window starts at this minus its length.
    pub minute_end_ms: i64,
    /// The oldest partition's time, UTC milliseconds.
    pub as_of_ms: i64,
    /// Everybody; one window.
    pub total: Counts,
    /// By value of the breakdown that was asked for, in the values' order; one window each.
    pub values: Vec<(String, Counts)>,
    /// Some values of the breakdown that was asked for are counted as `other`.
    pub truncated: bool,
}

/// The numbers of `window`, or which share of the partitions has them, 0..1 (less than 1).
///
/// Of several rows of one partition and value the first counts.
pub(crate) fn add_up(rows: &[RollingRow], window: &str, partitions: u32) -> Result<Numbers, f64> {
    let mut totals: BTreeMap<u32, &RollingRow> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.breakdown.is_empty() && row.log_partition < partitions) {
        totals.entry(row.log_partition).or_insert(row);
    }
    let steps = totals.values().next().map(|row| row.steps.clone()).unwrap_or_default();
    totals.retain(|_, row| row.steps == steps && row.windows.iter().any(|label| label == window));
    if partitions == 0 || totals.len() < partitions as usize {
        return Err(totals.len() as f64 / f64::from(partitions.max(1)));
    }
    let mut total = Counts::new(steps.len(), 1);
    totals.values().filter_map(|row| one_window(row, window)).for_each(|counts| total.add(&counts));
    Ok(Numbers {
        minute_end_ms: totals.values().map(|row| i64::from(row.minute) * 1_000).min().unwrap_or(0),
        as_of_ms: totals.values().map(|row| row.as_of).min().unwrap_or(0),
        values: by_value(rows, window, partitions, steps.len()),
        // Rows of everybody that an earlier version wrote tell it of any breakdown.
        truncated: rows.iter().any(|row| row.truncated && !row.breakdown.is_empty()),
        total,
        steps,
    })
}

fn by_value(rows: &[RollingRow], window: &str, partitions: u32, steps: usize) -> Vec<(String, Counts)> {
    let mut seen = BTreeSet::new();
    let mut values: BTreeMap<&str, Counts> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.breakdown.is_empty() && row.log_partition < partitions) {
        if !seen.insert((row.log_partition, row.value.as_str())) || row.steps.len() != steps {
            continue;
        }
        if let Some(counts) = one_window(row, window) {
            values.entry(&row.value).or_insert_with(|| Counts::new(steps, 1)).add(&counts);
        }
    }
    values.into_iter().map(|(value, counts)| (value.to_owned(), counts)).collect()
}

/// The row's numbers of one of its windows; `None` where it has no such window.
fn one_window(row: &RollingRow, window: &str) -> Option<Counts> {
    let (steps, windows) = (row.steps.len(), row.windows.len());
    let index = row.windows.iter().position(|label| label == window)?;
    let pick = |flat: &[u32]| -> Vec<u32> {
        (0..steps).map(|step| flat.get(step * windows + index).copied().unwrap_or(0)).collect()
    };
    let mut counts = Counts::new(steps, 1);
    counts.visitors = pick(&row.visitors);
    counts.offered = pick(&row.offered);
    counts.committed = pick(&row.committed);
    counts.skipped = pick(&row.skipped);
    counts.open.iter_mut().zip(&row.open).for_each(|(mine, theirs)| *mine = *theirs);
    cells_of_window(&mut counts.seconds, &row.seconds_cells, &row.seconds_counts, windows, index);
    cells_of_window(&mut counts.effort, &row.effort_cells, &row.effort_counts, windows, index);
    Some(counts)
}

/// Renumbers the cells of one window (of steps x windows x buckets) as if it were the only one, and fills them in.
fn cells_of_window(into: &mut [u32], cells: &[u32], counts: &[u32], windows: usize, index: usize) {
    let renumbered = cells.iter().zip(counts).filter_map(|(cell, count)| {
        let (flat, bucket) = (*cell as usize / buckets::COUNT, *cell as usize % buckets::COUNT);
        (flat % windows == index).then(|| ((flat / windows * buckets::COUNT + bucket) as u32, *count))
    });
    let (cells, counts): (Vec<u32>, Vec<u32>) = renumbered.unzip();
    from_sparse(into, &cells, &counts);
}

#[cfg(test)]
mod tests {
    use super::*;
    use funnel::counts::to_sparse;

    fn row(partition: u32, value: Option<&str>, visitors: [u32; 4]) -> RollingRow {
        let mut seconds = vec![0; 4 * buckets::COUNT];
        seconds[3 * buckets::COUNT + 5] = visitors[3]; // second step, second window
        let (seconds_cells, seconds_counts) = to_sparse(&seconds);
        RollingRow {
            site: "shop".into(),
            funnel: "purchase".into(),
            definition: 1,
            generation: 1,
            minute: 120 + partition * 60,
            log_partition: partition,
            breakdown: value.map_or("", |_| "channel").into(),
            value: value.unwrap_or("").into(),
            steps: vec!["view".into(), "buy".into()],
            windows: vec!["1h".into(), "7d".into()],
            visitors: visitors.into(),
            offered: vec![0; 4],
            committed: vec![0; 4],
            skipped: vec![0; 4],
            open: vec![7, 1],
            seconds_cells,
            seconds_counts,
            effort_cells: vec![],
            effort_counts: vec![],
            truncated: false,
            closed: false,
            as_of: 100_000 + i64::from(partition),
            version: 1,
        }
    }

    #[test]
    fn partitions_add_up_and_the_oldest_one_gives_the_time() {
        let rows = [row(1, None, [5, 50, 1, 10]), row(0, None, [3, 30, 1, 4])];
        let numbers = add_up(&rows, "7d", 2).unwrap();
        assert_eq!(numbers.total.visitors, [80, 14]);
        assert_eq!(numbers.total.open, [14, 2]);
        assert_eq!(numbers.total.cells(&numbers.total.seconds, 1, 0)[5], 14);
        assert_eq!((numbers.minute_end_ms, numbers.as_of_ms), (120_000, 100_000));
        let hour = add_up(&rows, "1h", 2).unwrap();
        assert_eq!(hour.total.visitors, [8, 2]);
        assert_eq!(hour.total.seconds.iter().sum::<u32>(), 0, "the durations belong to the other window");
    }

    #[test]
    fn a_missing_partition_or_window_gives_no_numbers_but_a_share() {
        let rows = [row(0, None, [3, 30, 1, 4])];
        assert_eq!(add_up(&rows, "7d", 2).unwrap_err(), 0.5);
        assert_eq!(add_up(&rows, "28d", 1).unwrap_err(), 0.0);
        assert_eq!(add_up(&[], "7d", 0).unwrap_err(), 0.0);
    }

    #[test]
    fn a_partition_with_other_steps_counts_as_missing() {
        let mut other = row(1, None, [5, 50, 1, 10]);
        other.steps = vec!["view".into()];
        assert_eq!(add_up(&[row(0, None, [3, 30, 1, 4]), other], "7d", 2).unwrap_err(), 0.5);
    }

    #[test]
    fn what_is_truncated_is_the_breakdown_that_was_asked_for() {
        let truncated = |row| RollingRow { truncated: true, ..row };
        let everybody = truncated(row(0, None, [3, 30, 1, 4]));
        assert!(!add_up(std::slice::from_ref(&everybody), "7d", 1).unwrap().truncated);
        let email = row(0, Some("email"), [1, 9, 0, 2]);
        assert!(!add_up(&[everybody.clone(), email.clone()], "7d", 1).unwrap().truncated);
        assert!(add_up(&[everybody, truncated(email)], "7d", 1).unwrap().truncated);
    }

    #[test]
    fn a_value_that_a_partition_does_not_know_counts_nothing_there() {
        let mut rows = vec![row(0, None, [3, 30, 1, 4]), row(1, None, [5, 50, 1, 10])];
        rows.extend([row(0, Some("email"), [1, 9, 0, 2]), row(1, Some("email"), [1, 1, 0, 1])]);
        rows.push(row(1, Some("ads"), [2, 8, 0, 0]));
        rows.push(row(1, Some("ads"), [9, 9, 9, 9])); // an older version: the first one counts
        let numbers = add_up(&rows, "7d", 2).unwrap();
        let visitors: Vec<_> =
            numbers.values.iter().map(|(value, counts)| (value.as_str(), counts.visitors.clone())).collect();
        assert_eq!(visitors, [("ads", vec![8, 0]), ("email", vec![10, 3])]);
    }
}

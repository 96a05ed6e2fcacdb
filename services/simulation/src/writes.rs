//! Writes as the store of a run handles them: copied, to be held back, and told in a few words.

use aggregator::store::Write;
use warehouse::erasures::ErasureRow;
use warehouse::rows::ProgressRow;

use crate::plans::T0;

/// A write once more; nothing of a note to the log or to a build.
pub fn copy(write: &Write) -> Option<Write> {
    match write {
        Write::Events(batch, on_its_way) => Some(Write::Events(batch.clone(), on_its_way.clone())),
        Write::Rolling(rows) => Some(Write::Rolling(rows.clone())),
        Write::Open(rows) => Some(Write::Open(rows.clone())),
        Write::Journeys(rows) => Some(Write::Journeys(rows.clone())),
        Write::Erasures(rows) => Some(Write::Erasures(rows.clone())),
        Write::Progress(rows) => Some(Write::Progress(rows.clone())),
        Write::Reached { .. } | Write::Barrier(_) => None,
    }
}

/// A write in a few words.
pub fn brief(write: &Write) -> String {
    match write {
        Write::Events(batch, _) => format!("{} events", batch.rows()),
        Write::Rolling(rows) => {
            let of = rows.iter().map(|row| (i64::from(row.minute) - T0 / 1_000) / 60);
            let (from, to) = (of.clone().min().unwrap_or(0), of.max().unwrap_or(0));
            format!("{} rows of minutes {from} to {to}", rows.len())
        }
        Write::Open(rows) => format!("{} open rows", rows.len()),
        Write::Journeys(rows) => {
            let stamps: Vec<u64> = rows.iter().map(|row| row.version).collect();
            format!("journeys stamped {stamps:?}")
        }
        Write::Erasures(rows) => {
            let row = |row: &ErasureRow| format!("{} {} at {}", row.site, row.visitor_id, row.log_offset);
            rows.iter().map(row).collect::<Vec<_>>().join(", ") + " erased"
        }
        Write::Progress(rows) => {
            let row = |row: &ProgressRow| {
                let of = if row.funnel.is_empty() { "partition" } else { &row.funnel };
                format!("{of}/{} {} {} {}", row.generation as i64 - T0, row.kind, row.state, row.next_offset)
            };
            rows.iter().map(row).collect::<Vec<_>>().join(", ")
        }
        Write::Reached { .. } | Write::Barrier(_) => String::new(),
    }
}

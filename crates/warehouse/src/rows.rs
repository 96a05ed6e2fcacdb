//! The rows that services exchange with ClickHouse, one struct per table of `migrations/`. Field names and order are the
//! columns' (the `clickhouse` crate checks them against the server at the first insert). Times are UTC milliseconds
//! (`DateTime64(3)`) unless a field says seconds.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

/// A raw event, borrowed from its decoded record.
#[derive(Debug, Clone, Row, Serialize)]
pub struct EventRow<'a> {
    pub site: &'a str,
    pub visitor_id: &'a str,
    pub message_id: &'a str,
    pub event: &'a str,
    pub kind: &'a str,
    pub user_id: &'a str,
    pub ts: i64,
    pub own_ts: i64,
    pub received_at: i64,
    pub properties: &'a str,
    pub context: &'a str,
    /// In units of 1/10,000.
    pub revenue: i64,
    pub currency: &'a str,
    pub channel: &'a str,
    pub source: &'a str,
    pub medium: &'a str,
    pub campaign: &'a str,
    pub content: &'a str,
    pub device: &'a str,
    pub browser: &'a str,
    pub os: &'a str,
    pub country: &'a str,
    pub import_id: &'a str,
    pub log_epoch: u32,
    pub offset: u64,
    pub version: u64,
    /// How long the site keeps its events; 0: as long as the settings say.
    pub retention_days: u16,
}

/// The version of a raw event: larger for an earlier log and an earlier offset, so that the first copy wins. There is room
/// for a thousand logs, and offsets of 54 bits: on Kafka, where one of the topic has ten thousand of ours, that is five
/// years of 10,000 records a second in one partition. Offsets below 2^44 have the versions that they had when there was room
/// for no more, so that states of this program may run side by side; those beyond are smaller than all of them.
pub fn event_version(log_epoch: u32, offset: u64) -> u64 {
    const FEW_BITS: u32 = 44;
    const OFFSET_BITS: u32 = 54;
    let epoch = u64::from(log_epoch).min((1 << (u64::BITS - OFFSET_BITS)) - 1);
    let bits = if offset >> FEW_BITS == 0 { FEW_BITS } else { OFFSET_BITS };
    u64::MAX - (epoch << bits | offset.min((1 << OFFSET_BITS) - 1))
}

/// The version of rows of the open minute: larger at a later position of the partition; of rows as of the same position the
/// last one written counts. Positions below 2^43 have the largest of the versions that they had when the minute was in the
/// lower bits, so that states of this program may run side by side. `visitors.rs` reads positions back in SQL.
pub fn open_version(next_offset: u64) -> u64 {
    const MINUTE_BITS: u32 = 20;
    let has_room = next_offset >> (u64::BITS - 1 - MINUTE_BITS) == 0;
    if has_room { next_offset << MINUTE_BITS | ((1 << MINUTE_BITS) - 1) } else { 1 << 63 | next_offset }
}

/// A visitor's state in a funnel.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct JourneyRow {
    pub site: String,
    pub funnel: String,
    pub definition: u64,
    pub generation: u64,
    pub log_partition: u32,
    pub visitor: u128,
    #[serde(with = "serde_bytes")]
    pub state: Vec<u8>,
    /// The first offset that is not folded into the state; the build's cut-off where nothing came after it.
    pub version: u64,
}

/// How far a partition is folded for a funnel (`funnel` empty: the partition itself).
#[derive(Debug, Clone, Default, PartialEq, Row, Serialize, Deserialize)]
pub struct ProgressRow {
    pub log_id: String,
    pub log_partition: u32,
    pub log_partitions: u32,
    pub site: String,
    pub funnel: String,
    pub definition: u64,
    pub generation: u64,
    /// [`PROGRESS`], [`MARKER`] or [`IMPORT`].
    pub kind: String,
    /// [`BUILDING`], [`COMPLETE`] or [`DROPPED`].
    pub state: String,
    /// The control record that started the generation.
    pub cutoff: u64,
    pub cutoff_clock_ms: i64,
    /// The first offset that is not folded.
    pub next_offset: u64,
    /// The partition's clock there.
    pub clock_ms: i64,
    /// The plan in force there (partition rows only).
    pub plan_number: u64,
    /// Its text, so that a restart needs nothing else (partition rows only).
    pub plan_text: String,
    /// Breakdown values in the order of their ids, as `funnel::Values` writes them.
    pub values: Vec<String>,
    /// Share of a build that is done, 0..1.
    pub done: f64,
    /// Some values of some breakdown count as `other`.
    pub truncated: bool,
    pub version: u64,
}

pub const PROGRESS: &str = "progress";
pub const MARKER: &str = "marker";
/// The partition has taken the record that ended an import: `funnel` names it ([`import_key`]), `values` has the rows that it
/// accepted. Only answers about imports read it.
pub const IMPORT: &str = "import";
pub const BUILDING: &str = "building";
pub const COMPLETE: &str = "complete";
pub const DROPPED: &str = "dropped";

/// What stands in `funnel` for an import; no funnel's id has a colon.
pub fn import_key(import_id: &str) -> String {
    format!("import:{import_id}")
}

/// Rolling counts of one partition, funnel and breakdown value, at a minute's end (`funnel_rolling`) or in the open
/// minute (`funnel_open`).
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
pub struct RollingRow {
    pub site: String,
    pub funnel: String,
    pub definition: u64,
    pub generation: u64,
    /// The minute's end, in seconds since 1970.
    pub minute: u32,
    pub log_partition: u32,
    /// Empty: everybody.
    pub breakdown: String,
    pub value: String,
    pub steps: Vec<String>,
    pub windows: Vec<String>,
    /// Flat, steps x windows, as the next three.
    pub visitors: Vec<u32>,
    pub offered: Vec<u32>,
    pub committed: Vec<u32>,
    pub skipped: Vec<u32>,
    /// Per step.
    pub open: Vec<u32>,
    /// Non-zero cells of steps x windows x buckets (`funnel::buckets`), flat, and their counts.
    pub seconds_cells: Vec<u32>,
    pub seconds_counts: Vec<u32>,
    pub effort_cells: Vec<u32>,
    pub effort_counts: Vec<u32>,
    /// Some values of its breakdown count as `other`.
    pub truncated: bool,
    pub closed: bool,
    pub as_of: i64,
    pub version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_copy_has_the_larger_version() {
        let offsets = [0, 1, (1 << 44) - 1, 1 << 44, 1 << 53, (1 << 54) - 1];
        for epoch in [1, 2, 1_000] {
            let versions = offsets.map(|offset| event_version(epoch, offset));
            assert!(versions.is_sorted_by(|earlier, later| earlier > later), "{versions:?}");
        }
        for offset in [0, 1 << 44] {
            let versions = [1, 2, 1_000].map(|epoch| event_version(epoch, offset));
            assert!(versions.is_sorted_by(|earlier, later| earlier > later), "{versions:?}");
        }
        assert_eq!(
            event_version(1_023, u64::MAX),
            event_version(u32::MAX, (1 << 54) - 1),
            "no room is no panic"
        );
    }

    #[test]
    fn the_open_minute_has_the_larger_version_at_the_later_position() {
        let positions = [0, 1, (1 << 43) - 1, 1 << 43, 1 << 44, 1 << 60];
        assert!(positions.map(open_version).is_sorted_by(|earlier, later| earlier < later));
        let as_before = |position: u64, minute: u64| position << 20 | minute & 0xf_ffff;
        assert!(open_version(7) >= as_before(7, 28_333_333) && open_version(7) < as_before(8, 0));
    }
}

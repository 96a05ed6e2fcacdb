//! A migrated database of its own for each test, and hand-made rows.

use std::sync::atomic::{AtomicU32, Ordering};

use runtime::settings::{AggregatorSettings, ClickHouseSettings};
use warehouse::rows::{COMPLETE, EventRow, PROGRESS, ProgressRow, RollingRow, event_version};
use warehouse::{FunnelKey, Retention, Warehouse, migrate};

use crate::engine::Engine;

pub(crate) fn retention() -> Retention {
    Retention::from(&AggregatorSettings::default())
}

pub(crate) fn key() -> FunnelKey {
    FunnelKey { site: "shop".into(), funnel: "purchase".into(), definition: 7 }
}

/// A handle that keeps its engine running.
pub(crate) struct Database {
    warehouse: Warehouse,
    _engine: Engine,
}

impl std::ops::Deref for Database {
    type Target = Warehouse;

    fn deref(&self) -> &Warehouse {
        &self.warehouse
    }
}

/// A handle on a database that nobody else uses and that does not exist yet.
pub(crate) async fn no_database() -> Database {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let engine = Engine::lease();
    let settings = ClickHouseSettings {
        url: Some(engine.url.clone()),
        database: format!("reads_{}_{number}", std::process::id()),
        ..ClickHouseSettings::default()
    };
    Database { warehouse: Warehouse::connect(&settings).unwrap(), _engine: engine }
}

/// A database with its tables.
pub(crate) async fn database() -> Database {
    let warehouse = no_database().await;
    migrate(&warehouse, &retention()).await.unwrap();
    warehouse
}

/// The partition's own row: says which log is current.
pub(crate) async fn log(warehouse: &Warehouse, log_id: &str, partitions: u32) {
    let row = ProgressRow {
        site: String::new(),
        funnel: String::new(),
        definition: 0,
        ..progress(log_id, 0, partitions, 0, COMPLETE, 1)
    };
    warehouse.insert::<ProgressRow>("progress", &[row]).await.unwrap();
}

pub(crate) fn progress(
    log_id: &str,
    partition: u32,
    partitions: u32,
    generation: u64,
    state: &str,
    version: u64,
) -> ProgressRow {
    ProgressRow {
        log_id: log_id.into(),
        log_partition: partition,
        log_partitions: partitions,
        site: "shop".into(),
        funnel: "purchase".into(),
        definition: 7,
        generation,
        kind: PROGRESS.into(),
        state: state.into(),
        cutoff: 0,
        cutoff_clock_ms: 0,
        next_offset: version,
        clock_ms: 0,
        plan_number: 1,
        plan_text: String::new(),
        values: vec![],
        done: 0.5,
        truncated: false,
        version,
    }
}

/// Marks a generation's state in the first `count` of two partitions.
pub(crate) async fn generation(
    warehouse: &Warehouse,
    generation: u64,
    state: &str,
    count: u32,
    version: u64,
) {
    let rows: Vec<_> =
        (0..count).map(|partition| progress("log", partition, 2, generation, state, version)).collect();
    warehouse.insert::<ProgressRow>("progress", &rows).await.unwrap();
}

/// A row of two steps and the windows 1h and 7d; `visitors` are those of 7d.
pub(crate) fn rolling(
    partition: u32,
    generation: u64,
    value: &str,
    visitors: [u32; 2],
    version: u64,
) -> RollingRow {
    RollingRow {
        site: "shop".into(),
        funnel: "purchase".into(),
        definition: 7,
        generation,
        minute: 1_700_000_040 + 60 * partition,
        log_partition: partition,
        breakdown: if value.is_empty() { "" } else { "channel" }.into(),
        value: value.into(),
        steps: vec!["view".into(), "buy".into()],
        windows: vec!["1h".into(), "7d".into()],
        visitors: vec![1, visitors[0], 1, visitors[1]],
        offered: vec![0, 0, 0, 9],
        committed: vec![0, 0, 0, 4],
        skipped: vec![0, 2, 0, 0],
        open: vec![3, 1],
        seconds_cells: vec![2 * 25 + 4, 3 * 25 + 6], // second step: window 1h, bucket 4; window 7d, bucket 6
        seconds_counts: vec![50, visitors[1]],
        effort_cells: vec![3 * 25 + 2],
        effort_counts: vec![4],
        truncated: false,
        closed: false,
        as_of: 1_700_000_012_345 + i64::from(partition),
        version,
    }
}

pub(crate) async fn insert(warehouse: &Warehouse, table: &'static str, rows: &[RollingRow]) {
    warehouse.insert::<RollingRow>(table, rows).await.unwrap();
}

/// An event of `shop` as the log had it at (1, offset).
pub(crate) fn event<'a>(
    visitor: &'a str,
    message: &'a str,
    name: &'a str,
    ts: i64,
    offset: u64,
) -> EventRow<'a> {
    EventRow {
        site: "shop",
        visitor_id: visitor,
        message_id: message,
        event: name,
        kind: "track",
        user_id: "",
        ts,
        own_ts: ts,
        received_at: ts,
        properties: "{\"plan\":\"pro\"}",
        context: "{}",
        revenue: 12_345,
        currency: "EUR",
        channel: "email",
        source: "",
        medium: "",
        campaign: "",
        content: "",
        device: "",
        browser: "",
        os: "",
        country: "",
        import_id: "",
        log_epoch: 1,
        offset,
        version: event_version(1, offset),
        retention_days: 0,
    }
}

/// Inserts each event in a block of its own, so that no merge has made them distinct yet.
pub(crate) async fn insert_events(warehouse: &Warehouse, events: &[EventRow<'_>]) {
    for event in events {
        warehouse.insert::<EventRow<'static>>("events", std::slice::from_ref(event)).await.unwrap();
    }
}

//! What stored rows cost: CPU time of the whole process (batch, HTTP, engine) a row, until the merges that follow are over.
//!
//! ```sh
//! cargo run --release -p warehouse --example insert_cost -- events 200000 20 100000   # rows/s, seconds, rows an insert
//! cargo run --release -p warehouse --example insert_cost -- journeys 100000 20 50000  # each visitor's again and again
//! ```
//! The engine is embedded; rows have the shape that the load generator's events and their journeys have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;
use std::time::{Duration, Instant};

use runtime::settings::ClickHouseSettings;
use warehouse::embedded::{EmbeddedServer, EmbeddedSettings};
use warehouse::event_batch::{EventBatch, SealedBatch};
use warehouse::rows::{EventRow, JourneyRow, event_version};
use warehouse::{Retention, Warehouse, migrate};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const VISITORS: u64 = 1_000_000;
const NAMES: [&str; 6] = ["page_view", "page_view", "product_view", "search", "video_play", "cart_add"];
/// Merges are over when the process was idle for so many seconds in a row.
const QUIET_SECONDS: u32 = 4;
const IDLE: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(120);

/// What is inserted, and how fast.
struct Plan {
    table: String,
    rows_a_second: u64,
    seconds: u64,
    rows_an_insert: u64,
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let folder = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    let (server, warehouse) = start(folder.path()).await;
    let mut arguments = std::env::args().skip(1);
    let table = arguments.next().unwrap_or_else(|| "events".into());
    let mut number = |default| arguments.next().map_or(default, |text| text.parse().unwrap());
    let plan =
        Plan { table, rows_a_second: number(200_000), seconds: number(20), rows_an_insert: number(100_000) };
    measure(&warehouse, &plan).await;
    server.stop().await;
}

async fn start(folder: &Path) -> (EmbeddedServer, Warehouse) {
    let server = EmbeddedServer::start(EmbeddedSettings {
        data_dir: folder.to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        library: None,
        workers: 4,
        max_server_memory_bytes: 2_000_000_000,
    });
    let server = server.await.unwrap();
    let url = Some(format!("http://{}", server.address()));
    let warehouse = Warehouse::connect(&ClickHouseSettings { url, ..ClickHouseSettings::default() }).unwrap();
    migrate(&warehouse, &Retention { raw_days: 90, minute_history_days: 7, hour_history_days: 730 })
        .await
        .unwrap();
    (server, warehouse)
}

async fn measure(warehouse: &Warehouse, plan: &Plan) {
    let rows = plan.rows_a_second * plan.seconds;
    let (begun, cpu, mut slowest, mut most) = (Instant::now(), cpu(), Duration::ZERO, resident_mib());
    for insert in 0..rows / plan.rows_an_insert {
        let from = insert * plan.rows_an_insert;
        let due = Duration::from_secs_f64((from + plan.rows_an_insert) as f64 / plan.rows_a_second as f64);
        tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
        let took = insert_rows(warehouse, &plan.table, from..from + plan.rows_an_insert).await;
        (slowest, most) = (slowest.max(took), most.max(resident_mib()));
    }
    let (sent, elapsed) = (self::cpu() - cpu, begun.elapsed());
    wait_for_merges(warehouse).await;
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / rows as f64;
    println!(
        "{}: {rows} rows in {elapsed:.1?} of {} s, {:.2} us CPU a row, {:.2} with all merges; slowest insert {slowest:.0?}; \
         {most} MiB at most, {} at the end",
        plan.table,
        plan.seconds,
        micros(sent),
        micros(self::cpu() - cpu),
        resident_mib(),
    );
    println!("  {}", parts(warehouse, &plan.table).await);
}

/// How long the insert took, without making its rows.
async fn insert_rows(warehouse: &Warehouse, table: &str, rows: std::ops::Range<u64>) -> Duration {
    if table == "journeys" {
        let rows: Vec<JourneyRow> = rows.map(journey).collect();
        let begun = Instant::now();
        warehouse.insert_journeys(&rows).await.unwrap();
        return begun.elapsed();
    }
    let batch = events(rows);
    let begun = Instant::now();
    warehouse.insert_events(&batch).await.unwrap();
    begun.elapsed()
}

fn events(rows: std::ops::Range<u64>) -> SealedBatch {
    let mut batch = EventBatch::default();
    for row in rows {
        let visitor_id = format!("v-{:016x}", mixed(row) % VISITORS);
        let message_id = format!("bench-001e-{row:016x}");
        let ts = 1_780_000_000_000 + (row / 200) as i64;
        batch.push(&EventRow {
            site: "bench",
            visitor_id: &visitor_id,
            message_id: &message_id,
            event: NAMES[(mixed(row) >> 40) as usize % NAMES.len()],
            kind: "track",
            user_id: "",
            ts,
            own_ts: ts,
            received_at: ts + 3,
            properties: r#"{"plan":"pro","sku":"A-1001","position":3}"#,
            context: r#"{"page":{"url":"https://shop.example/?utm_source=newsletter&utm_medium=email"}}"#,
            revenue: 0,
            currency: "",
            channel: "email",
            source: "newsletter",
            medium: "email",
            campaign: "",
            content: "",
            device: "",
            browser: "",
            os: "",
            country: "",
            import_id: "",
            log_epoch: 1,
            offset: row,
            version: event_version(1, row),
            retention_days: 0,
        });
    }
    batch.seal()
}

fn journey(row: u64) -> JourneyRow {
    let visitor = mixed(row % VISITORS);
    let state = (0..15).flat_map(|word| (mixed(row + word) >> (4 * word)).to_le_bytes()).collect();
    JourneyRow {
        site: "bench".into(),
        funnel: "purchase".into(),
        definition: 77,
        generation: 1,
        log_partition: 0,
        visitor: u128::from(visitor) << 64 | u128::from(mixed(visitor)),
        state,
        version: row,
    }
}

/// SplitMix64's last step: spreads neighbours over all numbers.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

async fn wait_for_merges(warehouse: &Warehouse) {
    let (begun, mut quiet) = (Instant::now(), 0);
    while quiet < QUIET_SECONDS && begun.elapsed() < PATIENCE {
        let before = cpu();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let merges = warehouse.client().query("SELECT count() FROM system.merges").fetch_one::<u64>().await;
        quiet = if merges.unwrap() == 0 && cpu() - before < IDLE { quiet + 1 } else { 0 };
    }
}

async fn parts(warehouse: &Warehouse, table: &str) -> String {
    let sql = "SELECT concat(toString(count()), ' parts, ', formatReadableSize(sum(bytes_on_disk)), ', ', \
               toString(sum(rows)), ' rows') FROM system.parts WHERE active AND table = ?";
    warehouse.client().query(sql).bind(table).fetch_one().await.unwrap()
}

/// CPU time of this process, to 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

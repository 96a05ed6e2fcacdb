//! What the embedded ClickHouse costs: `cargo test -p warehouse --test embedded_measure -- --ignored --nocapture`.
//!
//! Prints figures and asserts only the limits that would make it useless on a small machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod embedded_support;

use std::time::{Duration, Instant};

use clickhouse::{Client, Compression, Row};
use embedded_support::url;
use serde::Serialize;

const ROWS: u32 = 500_000;

/// About as wide as the table of events.
#[derive(Row, Serialize)]
struct Event<'a> {
    site: &'a str,
    event: &'a str,
    visitor_id: &'a str,
    user_id: &'a str,
    message_id: &'a str,
    ts: i64,
    received_at: i64,
    properties: &'a str,
    currency: &'a str,
    channel: &'a str,
    source: &'a str,
    medium: &'a str,
    campaign: &'a str,
    content: &'a str,
    device: &'a str,
    browser: &'a str,
    os: &'a str,
    country: &'a str,
    partition: u32,
    version: u64,
}

const TABLE: &str =
    "CREATE TABLE wide (site LowCardinality(String), event LowCardinality(String), visitor_id String,
    user_id String, message_id String, ts DateTime64(3), received_at DateTime64(3), properties String,
    currency LowCardinality(String), channel LowCardinality(String), source LowCardinality(String),
    medium LowCardinality(String), campaign LowCardinality(String), content LowCardinality(String),
    device LowCardinality(String), browser LowCardinality(String), os LowCardinality(String),
    country LowCardinality(String), partition UInt32, version UInt64)
    ENGINE = ReplacingMergeTree(version) ORDER BY (site, visitor_id, message_id)
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

async fn insert(client: &Client, from: u32, rows: u32) {
    let mut insert = client.insert::<Event<'_>>("wide").await.unwrap();
    for row in from..from + rows {
        let (visitor, message) = (format!("visitor-{}", row % 50_000), format!("0190-message-{row:012}"));
        let ts = 1_715_731_200_000 + i64::from(row);
        let event = Event {
            site: "shop",
            event: ["product_view", "add_to_cart", "newsletter_opt_in"][row as usize % 3],
            visitor_id: &visitor,
            user_id: "",
            message_id: &message,
            ts,
            received_at: ts + 40,
            properties: r#"{"plan":"free","product":"tripwire-1","price":1.0}"#,
            currency: "EUR",
            channel: ["email", "direct", "paid"][row as usize % 3],
            source: "newsletter",
            medium: "email",
            campaign: "spring",
            content: "",
            device: "mobile",
            browser: "Firefox",
            os: "Android",
            country: "DE",
            partition: row % 32,
            version: u64::from(row),
        };
        insert.write(&event).await.unwrap();
    }
    insert.end().await.unwrap();
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

async fn latency(name: &str, client: &Client, sql: &str) -> Duration {
    let mut times = Vec::new();
    for visitor in 0..400 {
        let begun = Instant::now();
        let query = client.query(sql).param("visitor", format!("visitor-{}", visitor * 97));
        query.fetch_all::<u64>().await.unwrap();
        times.push(begun.elapsed());
    }
    times.sort();
    println!("{name}: p50 {:?}, p99 {:?}", times[200], times[396]);
    times[200]
}

#[tokio::test]
#[ignore = "measures; run by hand"]
async fn figures() {
    let begun = Instant::now();
    let client = Client::default().with_url(url()).with_database("rungs").with_compression(Compression::None);
    println!("start {:?}, resident {} MB", begun.elapsed(), resident_mb());
    client.query(TABLE).execute().await.unwrap();

    for (name, client) in
        [("plain", client.clone()), ("lz4", client.clone().with_compression(Compression::Lz4))]
    {
        let begun = Instant::now();
        insert(&client, 0, ROWS).await;
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "insert {name}, {ROWS} rows of 20 columns: {:.0} rows/s, resident {} MB",
            f64::from(ROWS) / seconds,
            resident_mb()
        );
    }
    let begun = Instant::now();
    for batch in 0..20 {
        insert(&client, batch * 5000, 5000).await;
    }
    println!("20 inserts of 5000 rows: {:?} each", begun.elapsed() / 20);

    latency("select constant", &client, "SELECT toUInt64(length({visitor:String}))").await;
    let by_key = "SELECT version FROM wide WHERE site = 'shop' AND visitor_id = {visitor:String}";
    let median = latency("select by key", &client, by_key).await;
    client.query("OPTIMIZE TABLE wide FINAL").execute().await.unwrap();
    latency("select by key, merged", &client, by_key).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    println!("idle after 15 s: resident {} MB", resident_mb());
    assert!(median < Duration::from_millis(50), "a tiny SELECT takes {median:?}");
}

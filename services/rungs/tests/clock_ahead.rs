//! A machine whose clock was years ahead while the log took records: afterwards every event is late, which is told and
//! measured; events go on being stored, and count once a new log is begun, as the runbook says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod program;

use std::path::Path;
use std::sync::Arc;

use event_log::local::{LocalLog, LocalLogSettings};
use event_log::{ManualClock, Message, Publisher};
use program::Program;
use program::answers::visitors;
use program::sending::{Event, Form, acknowledged};
use runtime::now_ms;

const YEAR_MS: i64 = 366 * 86_400_000;
const PARTITIONS: u32 = 2;
const SETTINGS: &str = "[log]\npartitions = 2\n[logging]\nlevel = \"warn\"\n";
const PLAN: &str = "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\n\
    [[funnels]]\nsite = \"shop\"\nid = \"purchase\"\nconversion_window = \"2h\"\nrolling_windows = [\"7d\"]\n\
    [[funnels.steps]]\nid = \"view\"\nevent = \"view\"\n[[funnels.steps]]\nid = \"buy\"\nevent = \"buy\"\n";

fn send(program: &Program, visitor: &str, event: &str) {
    let event = Event {
        visitor: visitor.into(),
        event: event.into(),
        id: format!("{visitor}-{event}"),
        at_ms: None,
        channel: "direct".into(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let request = Form::Batch.request(&reqwest::Client::new(), &program.collector, "wk", &[event]);
        assert_eq!(acknowledged(request).await, Some(1));
    });
}

fn metric(program: &Program, name: &str) -> f64 {
    let text = program.metrics();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn until_live(program: &Program, wanted: &[u64]) {
    let live = |program: &Program| program.ask("shop/purchase", "live", &[("window", "7d")]).1;
    program.until_or(
        || format!("{wanted:?} in {}", live(program)),
        |program| live(program)["steps"].is_array() && visitors(&live(program)) == wanted,
    );
}

/// Each partition takes a record while the machine's clock is ten years ahead.
fn append_ten_years_ahead(log: &Path) {
    let clock = Arc::new(ManualClock::at(now_ms() + 10 * YEAR_MS));
    let log = LocalLog::open(LocalLogSettings::new(log, PARTITIONS), clock).unwrap();
    let value = bytes::Bytes::from_static(b"no record of ours");
    let receipt = log.publish(Message::to_all(PARTITIONS, &value)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(receipt).unwrap();
}

#[test]
fn a_log_whose_clock_is_ahead_is_told_and_its_events_count_once_a_new_log_is_begun() {
    let program = Program::start_with(PLAN, SETTINGS);
    program.until_ready();
    send(&program, "ann", "view");
    until_live(&program, &[1, 0]);
    assert_eq!(metric(&program, "rungs_aggregator_clock_ahead_seconds "), 0.0);

    let data = program.path().join("data");
    let killed = program.kill();
    append_ten_years_ahead(&data.join("log"));
    let program = killed.start();
    program
        .until("it is told", |program| program.said().contains("the log's clock is ahead of this machine's"));
    assert!(metric(&program, "rungs_aggregator_clock_ahead_seconds ") > (9 * YEAR_MS / 1_000) as f64);
    send(&program, "ann", "buy");
    send(&program, "bob", "view");
    let late = "rungs_aggregator_folded_events_total{outcome=\"late\"";
    program.until("they are late", |program| metric(program, late) >= 2.0);
    program.until("they are stored", |program| program.clickhouse("SELECT count() FROM events FINAL") == "3");

    let killed = program.end_in_order();
    std::fs::rename(data.join("log"), data.join("log-with-a-wrong-clock")).unwrap();
    let program = killed.start();
    until_live(&program, &[2, 1]);
    assert_eq!(metric(&program, "rungs_aggregator_clock_ahead_seconds "), 0.0);
    send(&program, "bob", "buy");
    until_live(&program, &[2, 2]);
    assert_eq!(program.stop(), Some(0));
}

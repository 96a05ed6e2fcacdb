//! A new log under an unchanged plan: `[log] partitions` is changed between two starts. Live numbers, history, the view for
//! Grafana and what is restored after `kill -9` are those of all events, whatever the logs before have left in the tables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod program;

use program::Program;
use program::answers::visitors;
use program::expected::Expected;
use program::sending::{Event, Form, acknowledged};
use runtime::now_ms;

const MINUTE_MS: i64 = 60_000;
const VISITORS: usize = 60;
const STEPS: [&str; 3] = ["view", "cart", "buy"];

const PLAN: &str = r#"
[[sites]]
id = "shop"
write_keys = ["wk"]
secret_keys_sha256 = ["b5a797b61eb1e833f42c5f119c6ce8e2a1cc50d0b5523e700a0951f014cb746c"]
[[funnels]]
site = "shop"
id = "purchase"
conversion_window = "2h"
rolling_windows = ["15m", "4h"]
breakdowns = ["channel"]
[[funnels.steps]]
id = "view"
event = "view"
[[funnels.steps]]
id = "cart"
event = "cart"
[[funnels.steps]]
id = "buy"
event = "buy"
"#;

/// Journeys are stored often, so that a killed program has some to restore.
fn settings(partitions: u32) -> String {
    format!(
        "[aggregator]\nevents_interval = \"50ms\"\njourneys_interval = \"150ms\"\n[log]\npartitions = {partitions}\n\
         [logging]\nlevel = \"warn\"\n"
    )
}

/// Sends a step's event of some visitors, so old; `round` makes them others than those before.
fn send(program: &Program, round: &str, step: &str, names: std::ops::Range<usize>, age_ms: i64) {
    let event = |name: usize| Event {
        visitor: format!("visitor {name}"),
        event: step.to_owned(),
        id: format!("{round} {step} {name}"),
        at_ms: Some(now_ms() - age_ms),
        channel: ["email", "ads"][name % 2].to_owned(),
    };
    let events: Vec<Event> = names.map(event).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let request = Form::Batch.request(&reqwest::Client::new(), &program.collector, "wk", &events);
        assert_eq!(acknowledged(request).await, Some(events.len() as u64));
    });
}

/// Waits until so many events are stored and the live numbers are those that the definition gives for them.
fn until_all_count(program: &Program, stored: usize) {
    program.until_or(
        || format!("{stored} events are to be stored, {} are", program.stored().len()),
        |program| program.stored().len() == stored,
    );
    program.until_live_equals(&Expected::new(PLAN, "shop", "purchase", &program.stored()));
}

/// The visitors of each step at an earlier minute's end, as the console answers; none while there is no answer.
fn visitors_at(program: &Program, minute_end_ms: i64) -> Vec<u64> {
    let at = minute_end_ms.to_string();
    let (_, answer) = program.ask("shop/purchase", "live", &[("window", "4h"), ("as_of", &at)]);
    if answer["steps"].is_array() { visitors(&answer) } else { Vec::new() }
}

/// The same as the view has them.
fn visitors_in_view(program: &Program, minute_end_ms: i64) -> Vec<u64> {
    let sql = format!(
        "SELECT toUInt32(visitors) AS visitors FROM funnel_conversion WHERE site = 'shop' AND funnel = 'purchase' \
         AND window = '4h' AND breakdown = '' AND minute = toDateTime({}, 'UTC') ORDER BY position",
        minute_end_ms / 1_000
    );
    program.rows(&sql).iter().map(|row| row["visitors"].as_u64().unwrap()).collect()
}

fn until_visitors_at(program: &Program, minute_end_ms: i64, wanted: &[u64]) {
    let found =
        |program: &Program| [visitors_at(program, minute_end_ms), visitors_in_view(program, minute_end_ms)];
    program.until_or(
        || format!("console and view are to tell {wanted:?}, they do {:?}", found(program)),
        |program| found(program).iter().all(|visitors| visitors == wanted),
    );
}

/// Stops the program in order and starts it with another number of partitions: on a new log.
fn with_partitions(program: Program, partitions: u32) -> Program {
    program.until_ready();
    program.write("rungs.toml", &settings(partitions));
    let program = program.restart();
    program.until_ready();
    program
}

#[test]
fn with_another_number_of_partitions_every_number_is_as_if_there_had_been_one_log() {
    let program = Program::start_with(PLAN, &settings(1));
    program.until_ready();
    let past = (now_ms() - 30 * MINUTE_MS) / MINUTE_MS * MINUTE_MS;
    for (step, names, age) in
        [("view", 0..VISITORS, 80), ("cart", 0..40, 60), ("view", 0..30, 50), ("buy", 0..20, 40)]
    {
        send(&program, &format!("first {age}"), step, names, age * MINUTE_MS);
    }
    send(&program, "first", "view", 50..VISITORS + 10, 10 * MINUTE_MS);
    let mut stored = VISITORS + 40 + 30 + 20 + 20;
    until_all_count(&program, stored);
    // The history of the past, under a generation that is newer than the plan's.
    let target = ["rebuild", "--url", &program.collector, "--key", "sk_shop_demo", "--site", "shop"];
    assert!(program.run(&target).ok);
    until_visitors_at(&program, past, &[60, 40, 20]);

    let mut program = with_partitions(program, 4);
    until_all_count(&program, stored);
    until_visitors_at(&program, past, &[60, 40, 20]);

    // Of visitors that the first log knew, so that what it left of them is seen if anybody reads it.
    for (round, step) in STEPS.iter().enumerate() {
        send(&program, "second", step, 0..VISITORS, (3 - round as i64) * 1_000);
        stored += VISITORS;
    }
    until_all_count(&program, stored);
    program = program.kill().start();
    until_all_count(&program, stored);
    send(&program, "third", "view", 0..VISITORS, 0);
    stored += VISITORS;
    until_all_count(&program, stored);
    until_visitors_at(&program, past, &[60, 40, 20]);

    let program = with_partitions(program, 2);
    send(&program, "fourth", "view", 0..VISITORS, 0);
    stored += VISITORS;
    until_all_count(&program, stored);
    until_visitors_at(&program, past, &[60, 40, 20]);
    assert_eq!(program.stop(), Some(0));
}

//! Random histories of a few hundred visitors against ClickHouse's own `windowFunnel` over the raw table: ties, re-entry,
//! reordering, duplicates, one event that matches two steps. `live` in every rolling window, `report` over the same
//! spans, and every breakdown value agree with it, step by step.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod program;

use std::collections::BTreeMap;

use program::Program;
use program::answers::{visitors, visitors_of};
use program::sending::{Event, Form, acknowledged};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use runtime::now_ms;
use serde_json::Value;

const VISITORS: usize = 1_000;
const MINUTE_MS: i64 = 60_000;
const EVENTS: [&str; 4] = ["a", "b", "c", "d"];
const CHANNELS: [&str; 3] = ["email", "social", ""];
/// Label and length of the rolling windows.
const WINDOWS: [(&str, i64); 4] =
    [("5m", 5 * MINUTE_MS), ("30m", 30 * MINUTE_MS), ("2h", 120 * MINUTE_MS), ("12h", 720 * MINUTE_MS)];
const SETTINGS: &str = "[log]\npartitions = 2\n[logging]\nlevel = \"warn\"\n";

/// A funnel: id, conversion window in minutes, the events of each step.
const FUNNELS: [(&str, i64, &[&[&str]]); 3] = [
    ("short", 2, &[&["a"], &["b"], &["c"], &["d"]]),
    // Each event "b" matches two steps, each "a" too.
    ("twice", 20, &[&["a"], &["b"], &["b", "c"], &["a"]]),
    ("long", 180, &[&["a", "b"], &["b"], &["a"], &["d"], &["c"]]),
];

fn plan() -> String {
    let mut plan = "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\n".to_owned();
    let windows = WINDOWS.map(|(label, _)| label);
    for (id, minutes, steps) in FUNNELS {
        plan += &format!(
            "[[funnels]]\nsite = \"shop\"\nid = \"{id}\"\nconversion_window = \"{minutes}m\"\n\
             rolling_windows = {windows:?}\nbreakdowns = [\"channel\"]\n"
        );
        for (index, events) in steps.iter().enumerate() {
            plan += &format!(
                "[[funnels.steps]]\nid = \"s{index}\"\nevent = {events:?}\ncommitment = \"other\"\n"
            );
        }
    }
    plan
}

/// A visitor's history: bursts of events within minutes, on coarse times, so that ties and exact ends of windows happen.
fn history(visitor: usize, random: &mut StdRng, end_ms: i64) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..random.random_range(1..5) {
        let start = end_ms - random.random_range(1..800) * MINUTE_MS;
        let unit = [1_000, 20_000, MINUTE_MS][random.random_range(0..3)];
        for _ in 0..random.random_range(1..9) {
            let at = start + random.random_range(0..15) * unit;
            events.push(Event {
                visitor: format!("visitor {visitor}"),
                event: EVENTS[random.random_range(0..EVENTS.len())].to_owned(),
                id: format!("{visitor}-{}", events.len()),
                at_ms: Some(at.min(end_ms)),
                channel: CHANNELS[random.random_range(0..CHANNELS.len())].to_owned(),
            });
        }
    }
    events
}

fn send(program: &Program, mut events: Vec<Event>, random: &mut StdRng) {
    let again: Vec<Event> = events.iter().filter(|_| random.random_bool(0.1)).cloned().collect();
    events.extend(again);
    events.shuffle(random);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let http = reqwest::Client::new();
    runtime.block_on(async {
        for events in events.chunks(100) {
            let request = Form::Ndjson.request(&http, &program.collector, "wk", events);
            assert_eq!(acknowledged(request).await, Some(events.len() as u64));
        }
    });
}

/// Visitors of each step by windowFunnel over `[from_ms, to_ms)`, by value of the entry ("": any).
fn window_funnel(program: &Program, funnel: usize, from_ms: i64, to_ms: i64) -> BTreeMap<String, Vec<u64>> {
    let (_, minutes, steps) = FUNNELS[funnel];
    let condition = |events: &[&str]| {
        format!("event IN ({})", events.iter().map(|e| format!("'{e}'")).collect::<Vec<_>>().join(","))
    };
    let mut answers = BTreeMap::new();
    // Where the property is empty, the channel is the derived one.
    for value in ["", "email", "social", "direct"] {
        let raw = if value == "direct" { "" } else { value };
        let entry = match value {
            "" => condition(steps[0]),
            _ => format!("{} AND JSONExtractString(properties, 'channel') = '{raw}'", condition(steps[0])),
        };
        let later: Vec<String> = steps[1..].iter().map(|events| condition(events)).collect();
        let sql = format!(
            "SELECT level, count() AS visitors FROM (SELECT visitor_id, windowFunnel({})\
             (toUInt64(toUnixTimestamp64Milli(ts)), {entry}, {}) AS level FROM events FINAL \
             WHERE toUnixTimestamp64Milli(ts) >= {from_ms} AND toUnixTimestamp64Milli(ts) < {to_ms} \
             GROUP BY visitor_id) GROUP BY level",
            minutes * MINUTE_MS,
            later.join(", "),
        );
        let mut counts = vec![0; steps.len()];
        for row in program.rows(&sql) {
            let level = row["level"].as_u64().unwrap() as usize;
            counts[..level].iter_mut().for_each(|count| *count += row["visitors"].as_u64().unwrap());
        }
        answers.insert(value.to_owned(), counts);
    }
    answers
}

/// The same from an answer of the console; values without any visitor may be left out there.
fn of_answer(answer: &Value, steps: usize) -> BTreeMap<String, Vec<u64>> {
    let of = |value: &str| match visitors_of(answer, value) {
        counts if counts.is_empty() => vec![0; steps],
        counts => counts,
    };
    let values = ["email", "social", "direct"].map(|value| (value.to_owned(), of(value)));
    std::iter::once((String::new(), visitors(answer))).chain(values).collect()
}

fn check(program: &Program, funnel: usize, window: (&str, i64)) {
    let (label, length_ms) = window;
    let (id, _, steps) = FUNNELS[funnel];
    let name = format!("shop/{id}");
    // The open minute is written once a second: the first answer may be that of a second ago.
    let difference = std::cell::RefCell::new(String::new());
    let what = || format!("live {id} {label} differs: {}", difference.borrow());
    let (from_ms, expected) = program.until_some_or(what, |program| {
        let live = program.live(&name, label, "channel");
        let from_ms = live["from"].as_i64().filter(|_| live["state"] == "ready")?;
        let expected = window_funnel(program, funnel, from_ms, from_ms + length_ms);
        let live = of_answer(&live, steps.len());
        difference.replace(format!("from {from_ms}\nlive         {live:?}\nwindowFunnel {expected:?}"));
        (live == expected).then_some((from_ms, expected))
    });
    let to_ms = from_ms + length_ms;
    let (from, to) = (from_ms.to_string(), to_ms.to_string());
    let (status, report) =
        program.ask(&name, "report", &[("from", &from), ("to", &to), ("breakdown", "channel")]);
    assert_eq!(status, 200, "{report}");
    assert_eq!(of_answer(&report, steps.len()), expected, "report {id} {label}, from {from_ms} to {to_ms}");
}

#[test]
fn live_and_report_agree_with_clickhouse_over_the_raw_events() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let program = Program::start_with(&plan(), SETTINGS);
    let end_ms = now_ms() - 1_000;
    let events: Vec<Event> =
        (0..VISITORS).flat_map(|visitor| history(visitor, &mut random, end_ms)).collect();
    let distinct = events.len().to_string();
    send(&program, events, &mut random);
    program.until("all are stored", |p| p.clickhouse("SELECT count() FROM events FINAL") == distinct);
    // Stopped in order and started again, everything is counted.
    let program = program.restart();
    for funnel in 0..FUNNELS.len() {
        for window in WINDOWS {
            check(&program, funnel, window);
        }
    }
    assert_eq!(program.stop(), Some(0));
}

//! A funnel that is added to the plan while events arrive counts the past too: it equals the funnel of the same
//! definition that was there from the start, now and at every minute and hour end of the history. So does one whose
//! conversion window is changed.
//!
//! Clients rest around the end of a minute: an event that happened in one minute and reached the log in the next counts
//! by its own time in a build, and from the next minute on in a history that was written as it happened.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod program;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use program::Program;
use program::sending::{Event, Form, acknowledged};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use runtime::now_ms;

const SHOP: &str = include_str!("../../../examples/shop/tracking-plan.toml");
/// A day of minutes instead of a week: enough to compare, and quicker to build six times.
const SETTINGS: &str =
    "[aggregator]\nminute_history = \"1d\"\n[log]\npartitions = 2\n[logging]\nlevel = \"warn\"\n";
const EVENTS: [&str; 7] =
    ["catalog", "product_view", "add_to_cart", "cart", "shipping_details", "payment_details", "purchase"];
const CHANNELS: [&str; 4] = ["email", "organic", "social", "podcast"];
const MINUTE_MS: i64 = 60_000;

/// A plan with copies of the shop's funnel: id and conversion window.
fn plan(funnels: &[(&str, &str)]) -> String {
    let (site, funnel) = SHOP.split_at(SHOP.find("[[funnels]]").unwrap());
    let copy = |(id, window): &(&str, &str)| {
        funnel.replacen("id = \"purchase\"", &format!("id = \"{id}\""), 1).replacen(
            "conversion_window = \"7d\"",
            &format!("conversion_window = \"{window}\""),
            1,
        )
    };
    funnels.iter().map(copy).fold(site.to_owned(), |plan, funnel| plan + &funnel)
}

/// Visitors, some of them those of the import, who do things now.
async fn visitors(collector: String, stop: Arc<AtomicBool>, sent: Arc<AtomicU64>, mut random: StdRng) {
    let http = reqwest::Client::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        if !(1_000..58_000).contains(&(now_ms() % MINUTE_MS)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let events: Vec<Event> = (0..random.random_range(1..5))
            .map(|_| {
                number += 1;
                Event {
                    visitor: format!("user_{:04}", random.random_range(0..800)),
                    event: EVENTS[random.random_range(0..EVENTS.len())].to_owned(),
                    id: format!("now-{number}"),
                    at_ms: None,
                    channel: CHANNELS[random.random_range(0..CHANNELS.len())].to_owned(),
                }
            })
            .collect();
        let request = Form::Batch.request(&http, &collector, "wk_shop_demo", &events);
        assert_eq!(acknowledged(request).await, Some(events.len() as u64));
        sent.fetch_add(events.len() as u64, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A funnel's history in the generation that is read. Where minutes begin depends on the hour of the build, so the first
/// of the minutes are left out; hours are all there.
fn history(funnel: &str) -> String {
    format!(
        "SELECT minute, log_partition, breakdown, value, steps, windows, visitors, offered, committed, skipped, open, \
         seconds_cells, seconds_counts, effort_cells, effort_counts, truncated FROM funnel_rolling FINAL \
         WHERE funnel = '{funnel}' AND (toMinute(minute) = 0 OR minute > now() - INTERVAL 20 HOUR) AND generation = \
         (SELECT max(generation) FROM progress FINAL \
          WHERE funnel = '{funnel}' AND kind = 'progress' AND state = 'complete')"
    )
}

fn until_ready(program: &Program, funnel: &str) {
    let name = format!("shop/{funnel}");
    program.until(&format!("{funnel} is ready"), |program| {
        let (status, answer) = program.ask(&name, "live", &[("window", "7d")]);
        status == 200 && answer["state"] == "ready" && !answer["steps"].as_array().unwrap().is_empty()
    });
}

/// Waits until two funnels agree; how many rows of history each has.
fn until_equal(program: &Program, one: &str, other: &str) -> u64 {
    for window in ["1h", "24h", "7d", "28d"] {
        let live = |funnel: &str| {
            let answer = program.live(&format!("shop/{funnel}"), window, "channel");
            (answer["steps"].clone(), answer["breakdown"].clone(), answer["rates"].clone())
        };
        program.until_or(
            || format!("{window} now: {one} {:#?}\n{other} {:#?}", live(one).0, live(other).0),
            |_| live(one) == live(other),
        );
    }
    let (mine, theirs) = (history(one), history(other));
    let both = format!("(({mine}) EXCEPT ({theirs})) UNION ALL (({theirs}) EXCEPT ({mine}))");
    let count = |sql: &str| program.clickhouse(&format!("SELECT count() FROM ({sql})"));
    let sample = || program.clickhouse(&format!("SELECT * FROM ({both}) ORDER BY minute, value LIMIT 6"));
    program
        .until_or(|| format!("{one} and {other} differ in history:\n{}", sample()), |_| count(&both) == "0");
    let rows = (count(&mine), count(&theirs));
    assert_eq!(rows.0, rows.1, "rows of {one} and {other}");
    rows.0.parse().unwrap()
}

#[test]
fn a_funnel_that_comes_or_changes_while_events_arrive_equals_one_that_was_there_from_the_start() {
    let seed = rand::random();
    println!("seed {seed}");
    let from_the_start = [("purchase", "7d"), ("short", "3d")];
    let program = Program::start_with(&plan(&from_the_start), SETTINGS);
    let import = program.import("examples/shop/clickstream.csv.gz", &["--time-shift-to-now"]);
    assert!(import.ok, "{}", import.err);

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let random = StdRng::seed_from_u64(seed);
    let visitors = runtime.spawn(visitors(program.collector.clone(), stop.clone(), sent.clone(), random));
    let more_arrive = |program: &Program| {
        let before = sent.load(Ordering::Relaxed);
        program.until("events arrive", |_| sent.load(Ordering::Relaxed) > before + 200);
    };

    more_arrive(&program);
    program.change_plan(&plan(&[&from_the_start[..], &[("again", "7d")]].concat()));
    until_ready(&program, "again");
    more_arrive(&program);
    let changed_at_ms = now_ms();
    program.change_plan(&plan(&[&from_the_start[..], &[("again", "3d"), ("third", "7d")]].concat()));
    until_ready(&program, "third");
    more_arrive(&program);
    program.until("a minute ended since", |_| now_ms() / MINUTE_MS > changed_at_ms / MINUTE_MS);
    more_arrive(&program);
    stop.store(true, Ordering::Relaxed);
    runtime.block_on(visitors).unwrap();

    let rows = until_equal(&program, "third", "purchase");
    let (days_in_the_file, partitions) = (181, 2);
    assert!(rows > partitions * (days_in_the_file * 24 + 19 * 60), "{rows} rows of history");
    until_equal(&program, "again", "short");
    let windows_differ = format!("({}) EXCEPT ({})", history("again"), history("third"));
    assert_ne!(program.clickhouse(&format!("SELECT count() FROM ({windows_differ})")), "0");
    assert_eq!(program.stop(), Some(0));
}

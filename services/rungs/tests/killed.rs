//! `kill -9` of `rungs up` at random moments, while clients send, while it starts, right after a changed plan and in the
//! middle of an import: every acknowledged event is there once, nothing else is, and the numbers are the definition's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod program;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use program::answers::visitors;
use program::expected::Expected;
use program::sending::{Event, Form, acknowledged};
use program::{CLICKSTREAM_COLUMNS, Ended, Killed, Program};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use runtime::now_ms;
use tokio::task::JoinHandle;

const KILLS: u32 = 20;
/// Kills that come right after an import began.
const IMPORTS_BEFORE: [u32; 3] = [3, 8, 12];
const CLIENTS: u64 = 4;
const VISITORS: u32 = 300;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const EVENTS: [&str; 5] = ["card", "view", "cart", "buy", "noise"];
const CHANNELS: [&str; 4] = ["email", "social", "search", "direct"];

/// Everything is written often, so that kills fall between the writes of a flush; the log forgets at once what it may.
const SETTINGS: &str = "[aggregator]\nevents_interval = \"50ms\"\njourneys_interval = \"150ms\"\nmax_tail_events = 100000\n\
    [log]\npartitions = 2\nretention = \"0s\"\n[logging]\nlevel = \"warn\"\n";

const SITE: &str = r#"
[[sites]]
id = "shop"
write_keys = ["wk"]
secret_keys_sha256 = ["b5a797b61eb1e833f42c5f119c6ce8e2a1cc50d0b5523e700a0951f014cb746c"]
"#;
const SECRET_KEY: &str = "sk_shop_demo";

fn funnel(id: &str, conversion_window: &str) -> String {
    format!(
        r#"
[[funnels]]
site = "shop"
id = "{id}"
conversion_window = "{conversion_window}"
rolling_windows = ["15m", "2h", "28d"]
breakdowns = ["channel"]
[[funnels.steps]]
id = "view"
event = "view"
offer = "card"
commitment = "click"
[[funnels.steps]]
id = "cart"
event = ["cart", "view"]
commitment = "click"
[[funnels.steps]]
id = "buy"
event = "buy"
commitment = "purchase"
"#
    )
}

/// The plan after so many changes: one funnel stays, another comes, changes and goes.
fn plan(changes: usize) -> String {
    let stays = funnel("purchase", "2h");
    let other = ["10m", "1h", "26h"].map(|window| funnel("other", window));
    match changes % 4 {
        0 => format!("{SITE}{stays}"),
        n => format!("{SITE}{stays}{}", other[n - 1]),
    }
}

/// What clients sent and what was acknowledged.
#[derive(Default)]
struct Ledger {
    sent: Mutex<HashSet<String>>,
    acknowledged: Mutex<HashSet<String>>,
    ids: AtomicU64,
    stop: AtomicBool,
}

impl Ledger {
    /// New events of random visitors, up to `oldest_ms` and at least `youngest_ms` old, on whole seconds: ties happen.
    fn events(&self, random: &mut StdRng, count: usize, youngest_ms: i64, oldest_ms: i64) -> Vec<Event> {
        let now = now_ms();
        let events: Vec<Event> = (0..count)
            .map(|_| Event {
                visitor: format!("visitor {}", random.random_range(0..VISITORS)),
                event: EVENTS[random.random_range(0..EVENTS.len())].to_owned(),
                id: format!("m{}", self.ids.fetch_add(1, Ordering::Relaxed)),
                at_ms: Some((now - random.random_range(youngest_ms..oldest_ms)) / 1_000 * 1_000),
                channel: CHANNELS[random.random_range(0..CHANNELS.len())].to_owned(),
            })
            .collect();
        self.sent.lock().unwrap().extend(events.iter().map(|event| event.id.clone()));
        events
    }

    fn acknowledge(&self, events: &[Event]) {
        self.acknowledged.lock().unwrap().extend(events.iter().map(|event| event.id.clone()));
    }
}

/// A client that goes on whatever happens: what was not acknowledged is mostly sent again, what was sometimes too.
async fn client(collector: String, ledger: Arc<Ledger>, mut random: StdRng) {
    let http = reqwest::Client::new();
    let mut again = None;
    while !ledger.stop.load(Ordering::Relaxed) {
        let events = again.take().unwrap_or_else(|| {
            let count = random.random_range(1..8);
            ledger.events(&mut random, count, 0, 3 * HOUR_MS)
        });
        let forms = [Form::Batch, Form::Array, Form::Ndjson, Form::GzippedNdjson, Form::Beacon];
        let form = forms[random.random_range(0..forms.len())];
        let request = form.request(&http, &collector, "wk", &events).timeout(Duration::from_secs(5));
        let stored = acknowledged(request).await == Some(events.len() as u64);
        if stored {
            ledger.acknowledge(&events);
        }
        let share = if stored { 0.1 } else { 0.7 };
        again = random.random_bool(share).then_some(events);
        tokio::time::sleep(Duration::from_millis(random.random_range(5..25))).await;
    }
}

/// An import of old events that does not give up: every row, then the end of it.
async fn import(collector: String, ledger: Arc<Ledger>, mut random: StdRng, id: String) {
    let http = reqwest::Client::new();
    for _ in 0..5 {
        let events = ledger.events(&mut random, 100, 2 * DAY_MS, 20 * DAY_MS);
        let body = Form::Ndjson.request(&http, &collector, SECRET_KEY, &events).build().unwrap();
        let body = body.body().unwrap().as_bytes().unwrap().to_vec();
        let post = || http.post(format!("{collector}/v1/events?import={id}")).body(body.clone());
        until_ok(|| post().header("x-write-key", SECRET_KEY)).await;
        ledger.acknowledge(&events);
    }
    let complete = format!("{collector}/v1/imports/{id}/complete");
    let post = || http.post(&complete).header("x-write-key", SECRET_KEY).body(r#"{"accepted_rows":500}"#);
    until_ok(post).await;
}

async fn until_ok(request: impl Fn() -> reqwest::RequestBuilder) {
    loop {
        let answer = request().timeout(Duration::from_secs(5)).send().await;
        if answer.is_ok_and(|answer| answer.status() == 200) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a run is about to do to the program.
struct Killer {
    random: StdRng,
    ledger: Arc<Ledger>,
    runtime: tokio::runtime::Runtime,
    plan_changes: usize,
    imports: Vec<JoinHandle<()>>,
}

impl Killer {
    fn kill(&mut self, program: Program, number: u32) -> Program {
        if number % 3 == 1 {
            self.plan_changes += 1;
            program.change_plan(&plan(self.plan_changes));
        }
        if IMPORTS_BEFORE.contains(&number) {
            let (collector, ledger) = (program.collector.clone(), self.ledger.clone());
            let random = StdRng::seed_from_u64(self.random.random());
            let import = import(collector, ledger, random, format!("import-{number}"));
            self.imports.push(self.runtime.spawn(import));
        }
        std::thread::sleep(Duration::from_millis(self.random.random_range(0..800)));
        let mut killed = program.kill();
        if number % 4 == 2 {
            killed = killed.start_and_kill(Duration::from_millis(self.random.random_range(0..1_500)));
        }
        killed.start()
    }

    fn clients(&mut self, collector: &str) -> Vec<JoinHandle<()>> {
        (0..CLIENTS)
            .map(|_| {
                let random = StdRng::seed_from_u64(self.random.random());
                self.runtime.spawn(client(collector.to_owned(), self.ledger.clone(), random))
            })
            .collect()
    }
}

/// Every minute end from `since_ms` on has a row of each partition in the generation that is read.
fn check_history(program: &Program, funnel: &str, since_ms: i64) {
    let first = (since_ms + MINUTE_MS - 1).div_euclid(MINUTE_MS) * MINUTE_MS;
    let last = (now_ms() - 5_000).div_euclid(MINUTE_MS) * MINUTE_MS;
    let sql = format!(
        "SELECT log_partition, toUnixTimestamp(minute) AS minute FROM funnel_rolling FINAL WHERE funnel = '{funnel}' \
         AND breakdown = '' AND generation = (SELECT max(generation) FROM progress FINAL WHERE funnel = '{funnel}' \
         AND kind = 'progress' AND state = 'complete')"
    );
    let missing = |program: &Program| {
        let mut minutes: HashMap<i64, BTreeSet<i64>> = HashMap::new();
        for row in program.rows(&sql) {
            let minute = row["minute"].as_i64().unwrap() * 1_000;
            minutes.entry(row["log_partition"].as_i64().unwrap()).or_default().insert(minute);
        }
        let wanted = (0..2).flat_map(|p| (first..=last).step_by(MINUTE_MS as usize).map(move |m| (p, m)));
        wanted
            .filter(|(p, m)| !minutes.get(p).is_some_and(|known| known.contains(m)))
            .collect::<Vec<(i64, i64)>>()
    };
    program.until_or(
        || format!("{funnel}: (partition, minute) missing: {:?}", missing(program)),
        |program| missing(program).is_empty(),
    );
}

#[test]
fn kills_at_any_moment_lose_nothing_acknowledged_and_change_no_number() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut killer = Killer {
        random: StdRng::seed_from_u64(seed),
        ledger: Arc::default(),
        runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
        plan_changes: 0,
        imports: Vec::new(),
    };
    let mut program = Program::start_with(&plan(0), SETTINGS);
    let began_ms = now_ms();
    let clients = killer.clients(&program.collector);
    for number in 0..KILLS {
        program = killer.kill(program, number);
        if number % 7 == 5 {
            // A stop in order in between, while clients send.
            program = program.restart();
        }
    }
    killer.ledger.stop.store(true, Ordering::Relaxed);
    killer.runtime.block_on(async {
        for task in clients.into_iter().chain(std::mem::take(&mut killer.imports)) {
            task.await.unwrap();
        }
    });

    // A stop in order stores whatever the log has, acknowledged or not.
    program.until_ready();
    let program = program.restart();
    let stored = program.stored();
    let ids: HashSet<String> = stored.iter().map(|event| event.message_id.clone()).collect();
    let sent = killer.ledger.sent.lock().unwrap();
    let acknowledged = killer.ledger.acknowledged.lock().unwrap();
    println!("{} sent, {} acknowledged, {} stored", sent.len(), acknowledged.len(), stored.len());
    assert_eq!(ids.len(), stored.len(), "an event is stored twice");
    let lost: Vec<_> = acknowledged.difference(&ids).take(10).collect();
    assert!(lost.is_empty(), "acknowledged and not stored: {lost:?}");
    assert!(ids.is_subset(&sent), "stored and never sent: {:?}", ids.difference(&sent).take(10));
    assert!(acknowledged.len() > 1_000, "hardly anything was acknowledged: {}", acknowledged.len());

    let plan = plan(killer.plan_changes);
    program.until_live_equals(&Expected::new(&plan, "shop", "purchase", &stored));
    program.until_live_equals(&Expected::new(&plan, "shop", "other", &stored));
    check_history(&program, "purchase", began_ms);
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn a_first_start_that_is_killed_at_any_moment_is_no_obstacle_to_the_next() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for _ in 0..4 {
        let mut killed = Killed::before_its_first_start(&plan(1), SETTINGS);
        for _ in 0..random.random_range(1..4) {
            killed = killed.start_and_kill(Duration::from_millis(random.random_range(0..1_500)));
        }
        let program = killed.start();
        let ledger = Ledger::default();
        let events = ledger.events(&mut random, 50, 0, HOUR_MS);
        let request = Form::Batch.request(&reqwest::Client::new(), &program.collector, "wk", &events);
        assert_eq!(runtime.block_on(acknowledged(request)), Some(50));
        program.until("all are stored", |program| program.stored().len() == 50);
        program.until_live_equals(&Expected::new(&plan(1), "shop", "other", &program.stored()));
        assert_eq!(program.stop(), Some(0));
    }
}

#[test]
fn an_import_whose_program_is_killed_is_whole_after_it_was_run_again() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let shop = include_str!("../../../examples/shop/tracking-plan.toml");
    let mut program = Program::start_with(shop, "[log]\npartitions = 2\n");
    let arguments = CLICKSTREAM_COLUMNS;
    for _ in 0..3 {
        let import = program.import_command("examples/shop/clickstream.csv.gz", &arguments);
        let running = std::thread::spawn(move || Ended::of(import));
        std::thread::sleep(Duration::from_millis(random.random_range(0..2_500)));
        program = program.kill().start();
        // It waits for the program to come back, or says that it can be run again.
        let ended = running.join().unwrap();
        assert!(ended.ok || ended.err.contains("again"), "{}", ended.err);
    }
    let import = program.import("examples/shop/clickstream.csv.gz", &[]);
    assert!(import.ok, "{}", import.err);
    assert_eq!(program.clickhouse("SELECT count() FROM events FINAL"), "31106");
    let as_of = ["--window", "28d", "--as-of", "2024-05-15T00:00Z"];
    assert_eq!(visitors(&program.report(&as_of)), [417, 214, 120, 46, 16]);
    assert_eq!(
        visitors(&program.report(&["--from", "2024-01-01", "--to", "2024-07-02"])),
        [598, 487, 333, 190, 70]
    );
    assert_eq!(program.stop(), Some(0));
}

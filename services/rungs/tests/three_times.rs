//! The example's clickstream sent three times over, shuffled, in every form that the collector takes, by many clients at
//! once: every event counts once.
//!
//! The file spans half a year, and no horizon is that long; so its times are pressed together seven times, and the
//! conversion window with them. Order and equal times stay as they are, so the known answers do too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod program;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use program::Program;
use program::answers::visitors;
use program::expected::Expected;
use program::sending::{Event, Form, acknowledged, clickstream};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use runtime::now_ms;

const CLIENTS: usize = 8;
const TIMES: usize = 3;
const PRESSED: i64 = 7;
/// Seven days, pressed.
const CONVERSION_WINDOW: &str = "24h";
const SETTINGS: &str = "[aggregator]\nhorizon = \"31d\"\nmax_tail_events = 100000\n[log]\npartitions = 3\n[logging]\nlevel = \"warn\"\n";

/// A request's form and events.
type Request = (Form, Vec<Event>);

fn plan() -> String {
    let text = include_str!("../../../examples/shop/tracking-plan.toml");
    let text =
        text.replace("conversion_window = \"7d\"", &format!("conversion_window = \"{CONVERSION_WINDOW}\""));
    text.replace("[\"1h\", \"24h\", \"7d\", \"28d\"]", "[\"1h\", \"24h\", \"4d\", \"30d\"]")
}

/// The clickstream, pressed together, its last event a minute ago.
fn events() -> Vec<Event> {
    let mut events = clickstream();
    let last = events.iter().filter_map(|event| event.at_ms).max().unwrap();
    let end = now_ms() - 60_000;
    for event in &mut events {
        event.at_ms = event.at_ms.map(|at| end - (last - at) / PRESSED);
    }
    events
}

/// All events three times, shuffled, cut into requests of mixed forms and sizes.
fn requests(events: &[Event], random: &mut StdRng) -> VecDeque<Request> {
    let mut all: Vec<Event> = std::iter::repeat_n(events, TIMES).flatten().cloned().collect();
    all.shuffle(random);
    let mut rest = all.as_slice();
    let mut requests = VecDeque::new();
    while !rest.is_empty() {
        // Single events are the slowest: a third of the requests, few of the events.
        let form = Form::ALL[random.random_range(0..Form::ALL.len())];
        let size = if form.is_single() { 1 } else { random.random_range(1..300) };
        let (taken, left) = rest.split_at(size.min(rest.len()));
        rest = left;
        requests.push_back((form, taken.to_vec()));
    }
    requests
}

/// Sends everything and gives the sum of `accepted`; a pixel's answer says nothing.
fn send_all(collector: &str, requests: VecDeque<Request>) -> u64 {
    let queue = Arc::new(Mutex::new(requests));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let client = reqwest::Client::new();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (queue, client, collector) = (queue.clone(), client.clone(), collector.to_owned());
            runtime.spawn(async move {
                let mut accepted = 0;
                loop {
                    let next = queue.lock().unwrap().pop_front();
                    let Some((form, events)) = next else { return accepted };
                    let request = form.request(&client, &collector, "wk_shop_demo", &events);
                    let count = acknowledged(request).await.unwrap_or_else(|| panic!("{form:?} was refused"));
                    assert!(form == Form::Pixel || count == events.len() as u64, "{form:?}: {count}");
                    accepted += count;
                }
            })
        })
        .collect();
    runtime.block_on(async {
        let mut accepted = 0;
        for client in clients {
            accepted += client.await.unwrap();
        }
        accepted
    })
}

#[test]
fn sent_three_times_shuffled_in_mixed_forms_the_clickstream_counts_once() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (plan, events) = (plan(), events());
    let program = Program::start_with(&plan, SETTINGS);
    let requests = requests(&events, &mut random);
    let pixels = requests.iter().filter(|(form, _)| *form == Form::Pixel).count() as u64;
    let sent = (events.len() * TIMES) as u64;
    assert_eq!(send_all(&program.collector, requests) + pixels, sent);

    let distinct = events.len().to_string();
    program.until_or(
        || format!("{} of {distinct} are stored", program.clickhouse("SELECT count() FROM events FINAL")),
        |program| program.clickhouse("SELECT count() FROM events FINAL") == distinct,
    );
    assert_eq!(program.clickhouse("SELECT uniqExact(visitor_id, message_id) FROM events"), distinct);
    assert_eq!(program.clickhouse("SELECT count() FROM rejected_events"), "0");
    let rejected = program.metrics();
    let rejected = rejected.lines().filter(|line| line.starts_with("rungs_collector_rejected_events_total"));
    assert!(rejected.clone().all(|line| line.ends_with(" 0")), "{:?}", rejected.collect::<Vec<_>>());

    let expected = Expected::new(&plan, "shop", "purchase", &program.stored());
    program.until_live_equals(&expected);
    assert_eq!(visitors(&program.live("shop/purchase", "30d", "")), [598, 487, 333, 190, 70]);
    assert_eq!(program.stop(), Some(0));
}

//! The live page in headless Chromium: it loads, shows the known numbers, follows its pickers, and moves when events
//! arrive, without being loaded again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod program;

use std::time::{Duration, Instant};

use program::Program;
use program::browser::{self, Page};
use program::sending::{Event, Form, acknowledged, clickstream};
use runtime::now_ms;
use serde_json::json;

const AS_OF_MS: i64 = 1_715_731_200_000;
const MINUTE_MS: i64 = 60_000;

/// The visitors on the ladder, top to bottom.
const LADDER: &str = "[...document.querySelectorAll('.ladder .visitors')].map(each => each.textContent)";
/// The first column of the breakdown's table and its counts.
const TABLE: &str = "Object.fromEntries([...document.querySelectorAll('[aria-labelledby=breakdown-title] tbody tr')].map(row => \
    [row.querySelector('th').textContent, [...row.querySelectorAll('td b')].map(each => each.textContent)]))";
const FRESHNESS: &str = "document.getElementById('freshness').dataset.state";
/// The runs of each step's line over the last 24 hours; more than one run is a gap.
const LINES: &str = "[...document.querySelectorAll('.trend .line')].map(line => line.getAttribute('d').split('M').length - 1)";
const PICK_A_WEEK: &str = "document.querySelector('#windows input[value=\"7d\"]').click()";
const PICK_A_MONTH: &str = "document.querySelector('#windows input[value=\"28d\"]').click()";

/// Imports the clickstream up to the time of the known answers, shifted so that this time is now: they hold for the next
/// minutes.
fn import_up_to_the_known_time(program: &Program) {
    let shift = now_ms() / MINUTE_MS * MINUTE_MS - AS_OF_MS;
    let mut events = clickstream();
    events.retain(|event| event.at_ms < Some(AS_OF_MS));
    for event in &mut events {
        event.at_ms = event.at_ms.map(|at| at + shift);
    }
    let lines = |events: &[Event], http: &reqwest::Client| {
        let request = Form::Ndjson.request(http, &program.collector, "sk_shop_demo", events).build().unwrap();
        request.body().unwrap().as_bytes().unwrap().to_vec()
    };
    let rows = events.len();
    on_a_runtime(async {
        let http = reqwest::Client::new();
        let post = |path: &str, body: Vec<u8>| {
            let request = http.post(format!("{}{path}", program.collector)).body(body);
            request.header("x-write-key", "sk_shop_demo")
        };
        for events in events.chunks(2_000) {
            let accepted = acknowledged(post("/v1/events?import=known", lines(events, &http))).await;
            assert_eq!(accepted, Some(events.len() as u64));
        }
        let body = json!({"accepted_rows": rows}).to_string().into_bytes();
        assert_eq!(post("/v1/imports/known/complete", body).send().await.unwrap().status(), 200);
    });
}

fn send(program: &Program, visitor: &str, event: &str) {
    let event = Event {
        visitor: visitor.to_owned(),
        event: event.to_owned(),
        id: format!("{visitor} {event}"),
        at_ms: None,
        channel: "email".to_owned(),
    };
    on_a_runtime(async {
        let http = reqwest::Client::new();
        let request = Form::Track.request(&http, &program.collector, "wk_shop_demo", &[event]);
        assert_eq!(acknowledged(request).await, Some(1));
    });
}

fn on_a_runtime(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

#[test]
fn the_page_shows_the_known_numbers_and_moves_when_events_arrive() {
    let Some(chromium) = browser::chromium() else { return };
    let program = Program::start("examples/shop/tracking-plan.toml");
    let address = format!("{}/?funnel=shop/purchase&window=28d&breakdown=channel", program.console);
    // Before any event it tells how to send one.
    let mut page = Page::open(chromium, &address);
    page.until(
        "document.querySelector('.guide h2')?.textContent",
        &json!("Nobody stands on this ladder yet"),
    );
    page.evaluate("window.loadedOnce = true");
    send(&program, "somebody who slips", "prodct_view");
    let slip = "document.querySelector('.strangers:not([hidden]) li')?.textContent";
    page.until(slip, &json!("prodct_view (1): did you mean product_view?"));

    import_up_to_the_known_time(&program);
    page.until(LADDER, &json!(["417", "214", "120", "46", "16"]));
    page.until(
        TABLE,
        &json!({
            "Everybody": ["417", "214", "120", "46", "16"],
            "email": ["75", "40", "24", "9", "4"],
            "organic": ["154", "77", "43", "16", "4"],
            "paid_search": ["108", "67", "39", "17", "6"],
            "social": ["63", "24", "11", "2", "2"],
            "direct": ["17", "6", "3", "2", "0"],
        }),
    );
    page.until("document.title", &json!("From looking to buying · Rungs"));
    page.until("document.querySelector('.guide')", &json!(null));
    page.evaluate(PICK_A_WEEK);
    page.until(LADDER, &json!(["158", "61", "25", "11", "1"]));
    page.evaluate(PICK_A_MONTH);
    page.until(LADDER, &json!(["417", "214", "120", "46", "16"]));

    page.until(LINES, &json!([1, 1, 1, 1, 1]));

    send(&program, "somebody new", "product_view");
    page.until(LADDER, &json!(["418", "214", "120", "46", "16"]));
    let sent = Instant::now();
    send(&program, "somebody new", "add_to_cart");
    page.until(LADDER, &json!(["418", "215", "120", "46", "16"]));
    assert!(sent.elapsed() < Duration::from_secs(3), "seen after {:?}", sent.elapsed());
    page.until(&format!("({TABLE}).email"), &json!(["76", "41", "24", "9", "4"]));
    page.until(FRESHNESS, &json!("live"));
    assert_eq!(page.evaluate("window.loadedOnce"), true, "the page was loaded again");
    assert_eq!(page.complaints(), Vec::<String>::new());

    assert_eq!(program.stop(), Some(0));
}

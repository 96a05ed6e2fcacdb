//! The vendors' own clients, as npm and PyPI have them, send to a running collector: every event arrives once and unchanged
//! when all is well, and still counts once when answers are lost, the collector is busy and starts anew.
//! `scripts/fetch-sdks.sh` fetches them; `RUNGS_SKIP_SDKS` leaves these tests out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod browsers;
mod clients;
mod collecting;
mod proxy;
mod snippets;

use std::collections::HashMap;

use rungs_proto::v1::Event;
use serde_json::{Value, json};

use clients::{CLIENTS, Client, Fetched};
use collecting::Collecting;
use proxy::{Fault, Proxy};

const VISITORS: usize = 10;
const EVENTS: [&str; 3] = ["offer_viewed", "email_given", "bought"];

/// What `send.mjs` and `send.py` send with the event of a step.
fn properties(run: &str, step: usize) -> Value {
    json!({"step": step, "run": run, "text": "Grüße 🎉 \"x\" \\ \u{2028} <b>", "price": 19.99,
        "nested": {"list": [1, 2, {"deep": null}]}, "flag": true, "empty": ""})
}

/// Whether a client's events are all there and as they were sent; `once` on the log, not only by their ids.
fn judge(client: &Client, events: &[Event], once: bool) {
    let (name, run) = (client.name, client.run());
    let of_client: Vec<&Event> =
        events.iter().filter(|event| event.visitor_id.starts_with(&format!("{run}-"))).collect();
    let mut ids: HashMap<&str, (&str, &str)> = HashMap::new();
    for event in &of_client {
        let what = (event.visitor_id.as_str(), event.event.as_str());
        assert_eq!(*ids.entry(&event.message_id).or_insert(what), what, "{name}: two events with one id");
        let step = EVENTS.iter().position(|known| *known == event.event).unwrap();
        let found: Value = serde_json::from_str(&event.properties).unwrap();
        for (field, value) in properties(&run, step).as_object().unwrap() {
            assert_eq!(&found[field], value, "{name}: {field} of {}", event.properties);
        }
    }
    let mut found: Vec<_> = ids.into_values().collect();
    found.sort_unstable();
    let visitors: Vec<String> = (0..VISITORS).map(|visitor| format!("{run}-{visitor}")).collect();
    let mut wanted: Vec<_> =
        visitors.iter().flat_map(|visitor| EVENTS.map(|event| (visitor.as_str(), event))).collect();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "{name}: each event counts once");
    if once {
        assert_eq!(of_client.len(), VISITORS * EVENTS.len(), "{name}: no second delivery");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_delivers_every_event_once_and_unchanged() {
    let Some(fetched) = Fetched::all() else { return };
    let collecting = Collecting::start().await;
    let running: Vec<_> =
        CLIENTS.iter().map(|client| fetched.send(client, &collecting.url(), VISITORS, 0)).collect();
    for (client, running) in CLIENTS.iter().zip(running) {
        running.ended_well(client.name).await;
    }
    let events = collecting.events();
    for client in &CLIENTS {
        judge(client, &events, true);
    }
    assert_eq!(collecting.answers_other_than_200(), Vec::<String>::new());
    for endpoint in ["batch", "jitsu", "umami", "posthog", "posthog_v1", "snowplow", "openpanel"] {
        assert!(collecting.requests(endpoint) > 0, "{endpoint}: nobody came this way");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_answers_lost_answers_and_a_restart_leave_every_event_counted_once() {
    let Some(fetched) = Fetched::all() else { return };
    let mut collecting = Collecting::start().await;
    let clients: Vec<&Client> = CLIENTS.iter().filter(|client| client.retries).collect();
    let (mut running, mut proxies) = (Vec::new(), Vec::new());
    for client in &clients {
        let lost = if client.has_ids { Fault::LostAnswer } else { Fault::Busy };
        let proxy = Proxy::start(collecting.address, vec![Fault::Busy, lost]).await;
        running.push(fetched.send(client, &proxy.url(), VISITORS, 1_500));
        proxies.push(proxy);
    }
    // Every client has met its faults before the collector goes away in the middle of what they send.
    for proxy in &proxies {
        proxy.until_passing().await;
    }
    collecting.restart().await;
    for (client, running) in clients.iter().zip(running) {
        running.ended_well(client.name).await;
    }
    let events = collecting.events();
    for client in &clients {
        judge(client, &events, false);
    }
    assert!(proxies.iter().all(|proxy| proxy.faults() == 2));
    assert!(
        events.len() > clients.len() * VISITORS * EVENTS.len(),
        "an answer was lost: something came twice"
    );
}

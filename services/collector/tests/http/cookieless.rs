//! Sites that ask for no ids: visitors are told apart by address, browser and day, and nothing of these is kept.

use funnel::plan::{Rate, SiteLimits};
use reqwest::header::{LOCATION, USER_AGENT};
use serde_json::{Value, json};

use crate::support::{Running, read, start_with};

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0";

/// A collector behind a proxy, whose shop asks for no ids.
async fn cookieless() -> Running {
    let running = start_with(|settings| settings.address_header = Some("x-real-ip".into()), None).await;
    running.apply(|plan| plan.sites[0].policy.cookieless = true).await;
    running
}

async fn post(running: &Running, address: &str, agent: &str, body: Value) -> (u16, Value) {
    let request = running.post("/v1/batch", json!({ "batch": body }).to_string());
    read(request.header("x-real-ip", address).header(USER_AGENT, agent).send().await.unwrap()).await
}

#[tokio::test]
async fn who_sends_without_an_id_is_one_visitor_by_address_browser_and_day() {
    let running = cookieless().await;
    let nameless = || json!([{ "event": "view" }, { "event": "buy" }]);
    let (status, answer) = post(&running, "192.0.2.1", CHROME, nameless()).await;
    assert_eq!((status, &answer["code"]), (503, &json!("no_salt")), "not before there is a salt");

    running.salt();
    for (address, agent) in [("192.0.2.1", CHROME), ("192.0.2.1", FIREFOX), ("192.0.2.2", CHROME)] {
        assert_eq!(post(&running, address, agent, nameless()).await.1["accepted"], 2);
    }
    assert_eq!(post(&running, "192.0.2.1", CHROME, nameless()).await.1["accepted"], 2);
    running.salt();
    assert_eq!(post(&running, "192.0.2.1", CHROME, nameless()).await.1["accepted"], 2);

    let mut by_visitor = std::collections::HashMap::<String, usize>::new();
    for event in running.events() {
        assert!(event.visitor_id.starts_with("day."), "{}", event.visitor_id);
        *by_visitor.entry(event.visitor_id.clone()).or_default() += 1;
        assert!(!format!("{event:?}").contains("192.0.2."), "{event:?}");
    }
    let mut counts: Vec<usize> = by_visitor.into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [2, 2, 2, 4], "another browser, another address, another day");
}

#[tokio::test]
async fn what_waits_for_a_salt_uses_up_no_quota_and_who_is_left_out_needs_none() {
    let running = cookieless().await;
    let rate = Some(Rate { per_second: 1, burst: 2 });
    running
        .apply(|plan| {
            plan.sites[0].policy.cookieless = true;
            plan.sites[0].limits = SiteLimits { events: rate, ..SiteLimits::default() };
        })
        .await;
    let nameless = || json!([{ "event": "view" }, { "event": "buy" }]);
    for _ in 0..3 {
        assert_eq!(post(&running, "192.0.2.1", CHROME, nameless()).await.0, 503);
    }
    let bot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    assert_eq!(post(&running, "192.0.2.1", bot, nameless()).await.1["rejected"][0]["code"], "bot");
    running.salt();
    assert_eq!(post(&running, "192.0.2.1", CHROME, nameless()).await.1["accepted"], 2);
}

#[tokio::test]
async fn ids_that_are_sent_count_and_servers_and_other_sites_must_send_one() {
    let running = cookieless().await;
    // Without a nameless event no salt is needed.
    let named = json!([{ "event": "a", "anonymousId": "ann" }, { "event": "b", "userId": 7 }]);
    assert_eq!(post(&running, "192.0.2.1", CHROME, named).await.1["accepted"], 2);
    running.salt();
    let mixed = json!([{ "event": "a", "anonymousId": "ann" }, { "event": "b" }, { "event": "c", "anonymousId": "" }]);
    assert_eq!(post(&running, "192.0.2.1", CHROME, mixed).await.1["accepted"], 3);
    let visitors: Vec<String> = running.events().into_iter().map(|event| event.visitor_id).collect();
    assert_eq!(visitors.iter().filter(|visitor| *visitor == "ann").count(), 2);
    assert_eq!(visitors.iter().filter(|visitor| visitor.starts_with("day.")).count(), 2);

    for (key, header) in [("secret_wk", "192.0.2.1"), ("wk_blog", "192.0.2.1"), ("wk", "unknown")] {
        let request = running.client.post(format!("{}/v1/track", running.url)).header("x-write-key", key);
        let request = request.header("x-real-ip", header).body(json!({ "event": "a" }).to_string());
        let (status, answer) = read(request.send().await.unwrap()).await;
        assert_eq!((status, &answer["rejected"][0]["code"]), (200, &json!("missing_visitor")), "{key}");
    }
}

#[tokio::test]
async fn pictures_and_links_count_their_visitor_and_name_none() {
    let running = cookieless().await;
    running.salt();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let get = |path: &str| {
        let request = client.get(format!("{}{path}", running.url)).header(USER_AGENT, FIREFOX);
        request.header("x-real-ip", "2001:db8::7").send()
    };
    assert_eq!(get("/v1/pixel.gif?key=wk&event=mail_opened").await.unwrap().status(), 200);
    let led = get("/v1/click?key=wk&event=mail_clicked&to=https://shop.example/may").await.unwrap();
    assert_eq!(led.headers()[LOCATION], "https://shop.example/may");
    let events = running.events();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].visitor_id, events[1].visitor_id);
    let named =
        get("/v1/click?key=wk&event=mail_clicked&anonymousId=ann&to=https://shop.example/may").await.unwrap();
    assert_eq!(named.headers()[LOCATION], "https://shop.example/may?rungs_id=ann");
}

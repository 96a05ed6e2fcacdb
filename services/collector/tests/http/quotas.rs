//! Limits of the plan: who is over one is told so in the way its client understands, and nobody else notices.

use std::time::{Duration, Instant};

use event_log::PublishError;
use funnel::plan::{Rate, SiteLimits};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::support::{Running, event, read, start, start_with};

fn rate(per_second: u64, burst: u64) -> Option<Rate> {
    Some(Rate { per_second, burst })
}

/// A collector whose shop has these limits; the blog has none.
async fn limited(limits: SiteLimits) -> Running {
    let running = start().await;
    running.apply(|plan| plan.sites[0].limits = limits).await;
    running
}

/// Status, code and limit of an answer.
async fn post(
    running: &Running,
    key: &str,
    path: &str,
    body: impl Into<reqwest::Body>,
) -> (u16, Value, Value) {
    let request = running.client.post(format!("{}{path}", running.url)).header("x-write-key", key).body(body);
    let (status, answer) = read(request.send().await.unwrap()).await;
    (status, answer["code"].clone(), answer["limit"].clone())
}

#[tokio::test]
async fn what_is_left_out_uses_nothing_up() {
    let running = limited(SiteLimits { events: rate(1, 20), ..SiteLimits::default() }).await;
    let bot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    for _ in 0..50 {
        let crawled = running.post("/v1/track", event("a")).header("user-agent", bot).send().await.unwrap();
        assert_eq!(crawled.status(), 200);
    }
    for _ in 0..20 {
        assert_eq!(post(&running, "wk", "/v1/track", event("a")).await.0, 200);
    }
    running.assert_outcomes(20, 0, 0);
}

#[tokio::test]
async fn a_noisy_site_is_told_to_wait_and_another_is_not() {
    let running = limited(SiteLimits { events: rate(1, 20), ..SiteLimits::default() }).await;
    let over = (429, json!("over_quota"), json!("events_per_second"));
    let batch = (event("a") + "\n").repeat(30);
    // A batch may be larger than the burst; the rest is owed.
    assert_eq!(post(&running, "wk", "/v1/events", batch.clone()).await.0, 200);
    for _ in 0..3 {
        assert_eq!(post(&running, "wk", "/v1/track", event("a")).await, over);
        assert_eq!(post(&running, "wk_blog", "/v1/track", event("b")).await.0, 200);
        assert_eq!(post(&running, "secret_wk", "/v1/track", event("a")).await, over);
    }
    let response = running.post("/v1/track", event("a")).send().await.unwrap();
    let after: u32 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((8..=16).contains(&after), "{after}");
    let (_, answer) = read(response).await;
    assert!(answer["message"].as_str().unwrap().contains("events_per_second allows 1"), "{answer}");
    running.assert_outcomes(33, 0, 7);
    assert_eq!(running.metric("rungs_collector_refused_requests_total{reason=\"over_quota\"}"), 7.0);
    let of_shop = |name: &str| format!("rungs_collector_quota_{name}{{limit=\"events\",site=\"shop\"}}");
    assert_eq!(running.metric(&of_shop("refused_events_total")), 7.0);
    assert_eq!(running.metric(&of_shop("limit")), 1.0);
    running.until("shown", || running.metric(&of_shop("used_ratio")) == 1.0).await;

    // An import waits by itself.
    let import = running.client.post(format!("{}/v1/events?import=a", running.url)).bearer_auth("secret_wk");
    assert_eq!(read(import.body(batch).send().await.unwrap()).await.0, 200);

    // Another plan gives no new burst; one without the limit takes it away.
    running
        .apply(|plan| {
            plan.sites[0].limits.events = rate(1, 20);
            plan.sites[1].limits.bytes = rate(1, 1);
        })
        .await;
    assert_eq!(post(&running, "wk", "/v1/track", event("a")).await, over);
    assert_eq!(post(&running, "wk_blog", "/v1/track", event("b")).await.0, 200);
    let bytes = (429, json!("over_quota"), json!("bytes_per_second"));
    assert_eq!(post(&running, "wk_blog", "/v1/track", event("b")).await, bytes);
    running.apply(|_| {}).await;
    assert_eq!(post(&running, "wk", "/v1/track", event("a")).await.0, 200);
    let shown = String::from_utf8(running.metrics.render().unwrap()).unwrap();
    assert!(!shown.contains("rungs_collector_quota_limit{"), "{shown}");
}

#[tokio::test]
async fn each_client_is_answered_so_that_it_keeps_its_events() {
    let running = limited(SiteLimits { events: rate(1, 30), ..SiteLimits::default() }).await;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    assert_eq!(post(&running, "wk", "/v1/events", (event("a") + "\n").repeat(500)).await.0, 200);
    for path in ["/v1/batch", "/v1/beacon", "/rungs.js?events", "/api/s/track"] {
        let body = json!({ "event": "a", "userId": "u", "batch": [{ "event": "a", "userId": "u" }] });
        assert_eq!(post(&running, "wk", path, body.to_string()).await.0, 429, "{path}");
    }
    // posthog-js throws away what is answered 429.
    for path in ["/e/", "/batch/", "/i/v0/e/", "/i/v1/analytics/events"] {
        let body = json!({ "api_key": "wk", "batch": [{ "event": "a", "distinct_id": "u", "uuid": "1" }] });
        let (status, code, _) = post(&running, "wk", path, body.to_string()).await;
        assert_eq!((status, code), (503, json!("over_quota")), "{path}");
    }
    let pixel = format!("{}/v1/pixel.gif?key=wk&event=a&userId=u", running.url);
    let response = client.get(pixel).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"image/gif".parse().unwrap())
    );
    let link = format!("{}/v1/click?key=wk&event=a&to=https://shop.example/", running.url);
    assert_eq!(client.get(link).send().await.unwrap().status().as_u16(), 302);
    running.assert_outcomes(500, 0, 10);
}

#[tokio::test]
async fn an_address_that_floods_a_site_does_not_keep_others_out() {
    let running = start_with(|settings| settings.address_header = Some("x-forwarded-for".into()), None).await;
    running.apply(|plan| plan.sites[0].limits.address_events = rate(1, 5)).await;
    let from = |key: &str, address: &str| {
        let request = running.client.post(format!("{}/v1/track", running.url)).body(event("a"));
        request.header("x-write-key", key).header("x-forwarded-for", address).send()
    };
    for _ in 0..5 {
        assert_eq!(from("wk", "198.51.100.9, 192.0.2.1").await.unwrap().status(), 200);
    }
    let (status, answer) = read(from("wk", "203.0.113.7, 192.0.2.1").await.unwrap()).await;
    assert_eq!((status, &answer["limit"]), (429, &json!("address_events_per_second")), "{answer}");
    assert!(!answer.to_string().contains("192.0.2"));
    for (key, address) in
        [("wk", "192.0.2.2"), ("wk_blog", "192.0.2.1"), ("secret_wk", "192.0.2.1"), ("wk", "unknown")]
    {
        assert_eq!(from(key, address).await.unwrap().status(), 200, "{key} {address}");
    }
    assert_eq!(running.metric("rungs_collector_quota_limit{limit=\"address_events\",site=\"shop\"}"), 1.0);
    running.until("shown", || running.metric("rungs_collector_limited_addresses") == 2.0).await;
    for event in running.events() {
        assert!(!format!("{event:?}").contains("192.0.2"));
    }
}

#[tokio::test]
async fn a_long_body_is_slowed_down_and_not_refused_in_its_middle() {
    let running = start_with(|settings| settings.max_batch_events = 100, None).await;
    running.apply(|plan| plan.sites[0].limits.events = rate(400, 100)).await;
    let lines = (event("a") + "\n").repeat(500);
    let stream = futures_util::stream::iter([Ok::<_, std::io::Error>(lines)]);
    let started = Instant::now();
    let request = running
        .post("/v1/events", reqwest::Body::wrap_stream(stream))
        .header("content-type", "application/x-ndjson");
    let (status, answer) = read(request.send().await.unwrap()).await;
    assert_eq!((status, &answer["accepted"]), (200, &json!(500)), "{answer}");
    // 400 events beyond the burst, the last 100 of them owed.
    assert!(started.elapsed() >= Duration::from_millis(740), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_long_body_that_would_wait_too_long_is_refused() {
    let running = start_with(|settings| settings.max_batch_events = 500, None).await;
    running.apply(|plan| plan.sites[0].limits.events = rate(1, 1_100)).await;
    let stream = futures_util::stream::iter([Ok::<_, std::io::Error>((event("a") + "\n").repeat(1_600))]);
    let request = running
        .post("/v1/events", reqwest::Body::wrap_stream(stream))
        .header("content-type", "application/x-ndjson");
    let (status, answer) = read(request.send().await.unwrap()).await;
    assert_eq!((status, &answer["limit"]), (429, &json!("events_per_second")), "{answer}");
    // Of 1,100 two parts were taken; the next one would wait for 400 s.
    running.assert_outcomes(1_000, 0, 500);
}

#[tokio::test]
async fn one_large_batch_does_not_shut_a_site_for_longer_than_a_burst_takes() {
    let running = limited(SiteLimits { events: rate(10, 20), ..SiteLimits::default() }).await;
    assert_eq!(post(&running, "wk", "/v1/events", (event("a") + "\n").repeat(9_000)).await.0, 200);
    let response = running.post("/v1/track", event("a")).send().await.unwrap();
    let after: u32 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    // A burst of 2 s, one event, and up to 5 s so that not all come at once.
    assert!(after <= 8, "{after}");
    let deadline = Instant::now() + Duration::from_secs(10);
    while post(&running, "wk", "/v1/track", event("a")).await.0 != 200 {
        assert!(Instant::now() < deadline, "still shut");
    }
}

#[tokio::test]
async fn what_was_answered_503_used_nothing_up() {
    let limits = SiteLimits {
        events: rate(1, 20),
        bytes: rate(1, 2_000),
        address_events: rate(1, 20),
        visitor_events: rate(1, 20),
    };
    let running = limited(limits).await;
    let batch = (event("a") + "\n").repeat(15);
    for _ in 0..5 {
        running.log.refuse_next(PublishError::Full { limit: "[log] max_size" });
        let (status, code, _) = post(&running, "wk", "/v1/events", batch.clone()).await;
        assert_eq!((status, code), (503, json!("log_full")));
    }
    running.log.lose_next_acknowledgement();
    assert_eq!(post(&running, "wk", "/v1/events", batch.clone()).await.0, 503);
    let answer = running.ok("/v1/events", batch).await;
    assert_eq!(answer["accepted"], 15, "{answer}");
    running.assert_outcomes(15, 0, 90);
}

#[tokio::test]
async fn a_visitor_who_floods_is_told_event_by_event_and_others_of_the_batch_are_stored() {
    let running = limited(SiteLimits { visitor_events: rate(1, 5), ..SiteLimits::default() }).await;
    let of = |visitor: &str| json!({ "event": "a", "anonymousId": visitor }).to_string();
    let batch = format!("{}\n{}\n{}", vec![of("loop"); 8].join("\n"), of("ann"), of("loop"));
    let answer = running.ok("/v1/events", batch.clone()).await;
    let places: Vec<_> = answer["rejected"].as_array().unwrap().iter().map(|event| &event["index"]).collect();
    assert_eq!((&answer["accepted"], places), (&json!(6), vec![&json!(5), &json!(6), &json!(7), &json!(9)]));
    assert_eq!(answer["rejected"][0]["code"], "visitor_quota", "{answer}");
    let message = answer["rejected"][0]["message"].as_str().unwrap();
    assert!(message.contains("visitor_events_per_second"), "{message}");
    // The same id at another site is somebody else; a server may send for one as much as it likes.
    for (key, accepted) in [("wk_blog", 10), ("secret_wk", 10)] {
        let request = running.client.post(format!("{}/v1/events", running.url)).header("x-write-key", key);
        let (_, answer) = read(request.body(batch.clone()).send().await.unwrap()).await;
        assert_eq!(answer["accepted"], accepted, "{key}");
    }
    let refused = "rungs_collector_quota_refused_events_total{limit=\"visitor_events\",site=\"shop\"}";
    assert_eq!(running.metric(refused), 4.0);
    assert_eq!(running.metric("rungs_collector_rejected_events_total{reason=\"visitor_quota\"}"), 4.0);
    assert_eq!(running.metric("rungs_collector_quota_limit{limit=\"visitor_events\",site=\"shop\"}"), 1.0);
    running.assert_outcomes(26, 4, 0);
}

#[tokio::test]
async fn a_visitor_is_limited_also_where_the_plan_names_nothing() {
    let running = start().await;
    let burst = collector::limits::VISITOR_EVENTS_BURST;
    let batch = (event("a") + "\n").repeat(6_000);
    let first = running.ok("/v1/events", batch.clone()).await;
    let second = running.ok("/v1/events", batch).await;
    let accepted = first["accepted"].as_u64().unwrap() + second["accepted"].as_u64().unwrap();
    // The rate goes on meanwhile.
    assert!((burst..burst + 1_900).contains(&accepted), "{accepted}");
    assert_eq!(second["rejected"][0]["code"], "visitor_quota");
}

#[tokio::test]
async fn bodies_on_their_way_count_for_their_site() {
    let running = start_with(|settings| settings.max_in_flight_bytes = 20_000, None).await;
    let slow = |key: &'static str| {
        let never = futures_util::stream::iter([Ok::<_, std::io::Error>(vec![b' '; 6_000])])
            .chain(futures_util::stream::pending());
        let request = running.client.post(format!("{}/v1/events", running.url)).header("x-write-key", key);
        request.body(reqwest::Body::wrap_stream(never)).send()
    };
    let held = async {
        let in_flight = |bytes: f64| running.metric("rungs_collector_in_flight_bytes") >= bytes;
        running.until("on its way", || in_flight(6_000.0)).await;
        // Half of the memory is the shop's: another body of so many bytes is beyond it, and nobody else's is.
        let refused = post(&running, "wk", "/v1/track", event(&"a".repeat(5_000))).await;
        assert_eq!((refused.0, refused.1), (503, json!("site_share_full")));
        assert_eq!(post(&running, "wk_blog", "/v1/track", event(&"a".repeat(200))).await.0, 200);
    };
    tokio::select! {
        _ = slow("wk") => panic!("it never ends"),
        () = held => {}
    }
    running.until("given back", || running.metric("rungs_collector_in_flight_bytes") == 0.0).await;
}

#[tokio::test]
async fn a_site_fills_its_share_of_the_memory_and_no_others() {
    let running = start_with(|settings| settings.max_in_flight_bytes = 2_000, None).await;
    running.log.hold_receipts();
    let of = |key: &'static str| post(&running, key, "/v1/track", event(&"a".repeat(200)));
    let in_flight = |bytes: f64| running.metric("rungs_collector_in_flight_bytes") >= bytes;
    let noisy = async { tokio::join!(of("wk"), of("wk"), of("wk")) };
    let others = async {
        running.until("in flight", || in_flight(690.0)).await;
        let refused = post(&running, "wk", "/v1/track", event(&"a".repeat(320))).await;
        assert_eq!((refused.0, refused.1), (503, json!("site_share_full")));
        let answers = async {
            running.until("in flight", || in_flight(920.0)).await;
            running.until("answered", || running.log.answer_held(Ok(())) >= 4).await;
        };
        assert_eq!(tokio::join!(of("wk_blog"), answers).0.0, 200);
    };
    let ((one, two, three), ()) = tokio::join!(noisy, others);
    assert_eq!([one.0, two.0, three.0], [200; 3]);
    running.assert_outcomes(4, 0, 0);
}

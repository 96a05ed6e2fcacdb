//! What is never stored, whoever sends it: addresses and User-Agents, and values that look like what nobody should send.

use event_log::Source;
use reqwest::header::USER_AGENT;
use serde_json::{Value, json};

use crate::support::{PARTITIONS, Running, start, start_with};

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.7.8 Safari/537.36";

/// Everything on the log, as its bytes.
fn bytes(running: &Running) -> Vec<u8> {
    let partition = |partition| running.log.read(partition, 0, usize::MAX).unwrap();
    (0..PARTITIONS).flat_map(partition).flat_map(|record| record.value.to_vec()).collect()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn no_record_has_an_address_or_a_user_agent_in_it() {
    let running = start_with(|settings| settings.address_header = Some("x-real-ip".into()), None).await;
    running
        .apply(|plan| {
            plan.sites[0].limits.address_events = Some(funnel::plan::Rate { per_second: 100, burst: 100 });
        })
        .await;
    let context = json!({ "ip": "203.0.113.9", "userAgent": CHROME, "device": { "ip": "203.0.113.9", "userAgent": CHROME } });
    let segment = json!({ "event": "a", "userId": "u", "batch": [{ "event": "a", "userId": "u", "context": context }], "context": context });
    let posthog = json!({ "batch": [{ "event": "a", "distinct_id": "u", "properties": { "$ip": "203.0.113.9", "$raw_user_agent": CHROME } }] });
    let openpanel = json!({ "type": "track", "payload": { "name": "a", "profileId": "u", "properties": { "__ip": "203.0.113.9" } } });
    let umami = json!({ "type": "event", "payload": { "name": "a", "id": "u", "ip": "203.0.113.9", "userAgent": CHROME } });
    for (path, body) in [
        ("/v1/track", &segment),
        ("/v1/batch", &segment),
        ("/v1/beacon", &segment),
        ("/e/", &posthog),
        ("/track", &openpanel),
        ("/api/send", &umami),
    ] {
        let request = running
            .post(path, body.to_string())
            .header(USER_AGENT, CHROME)
            .header("x-real-ip", "203.0.113.9");
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["accepted"], 1, "{path}: {answer}");
    }
    let stored = bytes(&running);
    for event in running.events().iter().filter(|event| !event.browser.is_empty()) {
        assert_eq!(
            (event.device.as_str(), event.browser.as_str(), event.os.as_str()),
            ("desktop", "Chrome", "Windows 10")
        );
    }
    for text in ["203.0.113.9", "203.0", "Mozilla", "126.0.7.8", "AppleWebKit"] {
        assert!(!contains(&stored, text), "{text}");
    }
    assert!(contains(&stored, "Chrome"));
}

#[tokio::test]
async fn values_that_nobody_should_send_are_masked_unless_the_plan_allows_them() {
    let running = start().await;
    let event = json!({
        "event": "signup", "userId": "u",
        "properties": {
            "email": "ann@shop.example", "order": { "note": "call ann@shop.example", "card": 4_111_111_111_111_111_u64 },
            "url": "https://shop.example/?email=ann%40shop.example&page=2", "token": "Bearer abcdefghijklmnop1234", "plan": "pro",
        },
        "context": {
            "page": { "url": "https://shop.example/u/ann@shop.example/?a=1", "path": "/u/ann@shop.example/", "search": "?utm_content=ann@shop.example" },
            "campaign": { "source": "news", "term": "ann@shop.example" },
        },
    });
    let stored = running.stored(event.clone()).await;
    let properties: Value = serde_json::from_str(&stored.properties).unwrap();
    let expected = json!({
        "email": "[masked:email]", "order": { "note": "call [masked:email]", "card": "[masked:card]" },
        "url": "https://shop.example/?email=[masked:email]&page=2", "token": "Bearer [masked:token]", "plan": "pro",
    });
    assert_eq!(properties, expected);
    let context: Value = serde_json::from_str(&stored.context).unwrap();
    assert_eq!(
        context["page"],
        json!({ "url": "https://shop.example/u/[masked:email]/", "path": "/u/[masked:email]/" })
    );
    assert_eq!(context["campaign"]["term"], "[masked:email]");
    assert_eq!((stored.source.as_str(), stored.content.as_str()), ("news", "[masked:email]"));
    assert!(!contains(&bytes(&running), "shop.example/u/ann") && !contains(&bytes(&running), "ann@"));

    running.apply(|plan| plan.sites[0].policy.allow_values = vec!["email".into(), "order".into()]).await;
    let stored = running.stored(event.clone()).await;
    let properties: Value = serde_json::from_str(&stored.properties).unwrap();
    assert_eq!(
        (&properties["email"], &properties["order"]),
        (&event["properties"]["email"], &event["properties"]["order"])
    );
    assert_eq!(properties["token"], "Bearer [masked:token]");
}

#[tokio::test]
async fn what_has_nothing_to_mask_is_stored_byte_for_byte() {
    let running = start().await;
    let properties = r#"{ "plan":"pro", "price":19.990, "at":1700000000000, "text":"Gr\u00fc\u00dfe \/ @home", "n":[1, 2e3] }"#;
    running.ok("/v1/track", format!(r#"{{"event":"a","userId":"u","properties":{properties}}}"#)).await;
    assert_eq!(running.events()[0].properties, properties);
}

#[tokio::test]
async fn the_id_of_an_event_without_one_is_that_of_what_was_sent() {
    let running = start().await;
    let event = |email: &str| {
        let properties = json!({ "email": email });
        json!({ "event": "signup", "userId": "u", "timestamp": "2026-05-08T10:00:00Z", "properties": properties })
    };
    let ann = running.stored(event("ann@shop.example")).await;
    let bob = running.stored(event("bob@shop.example")).await;
    assert_eq!(ann.properties, bob.properties);
    assert_ne!(ann.message_id, bob.message_id, "two people, no copy");
    running.apply(|plan| plan.sites[0].policy.allow_values = vec!["email".into()]).await;
    let again = running.stored(event("ann@shop.example")).await;
    assert_ne!(again.properties, ann.properties);
    assert_eq!(again.message_id, ann.message_id, "the plan changes no id");
}

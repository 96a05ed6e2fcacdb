//! Schemas of the plan over HTTP: what breaks a rule is rejected or counted, and told.

use std::sync::Arc;
use std::time::Duration;

use event_log::rejected::{self, RejectedSource};
use funnel::Plan;
use serde_json::{Value, json};

use crate::support::{Running, event, start, start_keeping};

const PLAN: &str = r#"
[[sites]]
id = "shop"
write_keys = ["wk"]
schema = "strict"
additional_events = false

[[sites.events]]
name = "purchase"
required = ["order_id"]
properties = { order_id = "string", amount = "number", items = "array" }
additional_properties = false

[[sites.events]]
name = "product_view"

[[sites.events]]
name = "$page"
required = ["path"]
"#;

async fn held_to(running: &Running, plan: &str) {
    let mut sites = Plan::parse("plan.toml", plan).unwrap().sites;
    running.apply(|plan| plan.sites[0].schema = sites.remove(0).schema).await;
}

fn purchase(properties: Value) -> Value {
    json!({ "event": "purchase", "anonymousId": "v", "properties": properties })
}

/// A batch, and the code that each of its events must be rejected with.
fn events() -> Vec<(Value, Option<&'static str>)> {
    vec![
        (purchase(json!({ "order_id": "o-1", "amount": 7.5, "items": [] })), None),
        (purchase(json!({ "amount": 7.5 })), Some("required_missing")),
        (purchase(json!({ "order_id": null })), Some("required_missing")),
        (purchase(json!({ "order_id": 7 })), Some("datatype_mismatch")),
        (purchase(json!({ "order_id": "o-1", "amount": "7.5" })), Some("datatype_mismatch")),
        (purchase(json!({ "order_id": "o-1", "colour": "red" })), Some("unplanned_property")),
        (json!({ "event": "product_view", "anonymousId": "v", "properties": { "anything": {} } }), None),
        (json!({ "event": "product_veiw", "anonymousId": "v" }), Some("unplanned_event")),
        (json!({ "type": "page", "anonymousId": "v", "properties": { "path": "/" } }), None),
        (json!({ "type": "page", "anonymousId": "v" }), Some("required_missing")),
        (json!({ "type": "identify", "userId": "v" }), None),
        (json!({ "event": "$pageview", "anonymousId": "v" }), None),
    ]
}

fn violations(running: &Running, reason: &str) -> f64 {
    running.metric(&format!("rungs_collector_schema_violations_total{{reason=\"{reason}\",site=\"shop\"}}"))
}

#[tokio::test]
async fn a_strict_schema_rejects_what_breaks_a_rule_and_keeps_the_rest_of_the_batch() {
    let running = start().await;
    held_to(&running, PLAN).await;
    let (batch, codes): (Vec<Value>, Vec<Option<&str>>) = events().into_iter().unzip();
    let answer = running.ok("/v1/batch", json!({ "batch": batch }).to_string()).await;
    let rejected = answer["rejected"].as_array().unwrap();
    let told: Vec<_> = rejected.iter().map(|event| (event["index"].clone(), event["code"].clone())).collect();
    let expected: Vec<_> = codes
        .iter()
        .enumerate()
        .filter_map(|(index, code)| code.map(|code| (json!(index), json!(code))))
        .collect();
    assert_eq!(told, expected, "{answer}");
    let message = "the property \"order_id\" of \"purchase\" is required and missing or null: send it";
    assert_eq!(rejected[0]["message"], message);
    let counts = ["unplanned_event", "required_missing", "datatype_mismatch", "unplanned_property"]
        .map(|reason| violations(&running, reason));
    assert_eq!(counts, [1.0, 3.0, 2.0, 1.0]);
    assert_eq!(running.metric("rungs_collector_rejected_events_total{reason=\"required_missing\"}"), 3.0);
    running.assert_outcomes(5, 7, 0);

    // An event without a schema is held to none, unless the plan says that no others may come.
    held_to(&running, &PLAN.replace("additional_events = false", "")).await;
    assert_eq!(running.ok("/v1/track", event("product_veiw")).await["accepted"], 1);

    // Another site is held to nothing, nor is this one any more once its plan says so.
    let request = running.client.post(format!("{}/v1/track", running.url)).header("x-write-key", "wk_blog");
    assert_eq!(request.body(event("anything")).send().await.unwrap().status(), 200);
    held_to(&running, "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\n").await;
    assert_eq!(running.ok("/v1/track", event("anything")).await["accepted"], 1);
}

#[tokio::test]
async fn a_lenient_schema_stores_all_and_counts_and_shows_what_breaks_it() {
    let (rejections, mut source) = rejected::queue(Box::new(|| {}));
    let running = start_keeping(Arc::new(rejections)).await;
    held_to(&running, &PLAN.replace("strict", "lenient")).await;
    let (batch, _): (Vec<Value>, Vec<_>) = events().into_iter().unzip();
    let answer = running.ok("/v1/batch", json!({ "batch": batch }).to_string()).await;
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(12), &json!([])));
    let counts = ["unplanned_event", "required_missing", "datatype_mismatch", "unplanned_property"]
        .map(|reason| violations(&running, reason));
    assert_eq!(counts, [1.0, 3.0, 2.0, 1.0]);
    running.assert_outcomes(12, 0, 0);

    // Of each request one sample is kept; an event that breaks several rules counts for each.
    let broken = purchase(json!({ "amount": "x", "email": "ann@shop.example" })).to_string();
    running.ok("/v1/track", broken).await;
    assert_eq!(violations(&running, "unplanned_property"), 2.0);
    let kept = source.take(10, Duration::ZERO);
    let told: Vec<_> =
        kept.iter().map(|row| (row.reason.as_str(), row.event.as_str(), row.site.as_str())).collect();
    assert_eq!(told, [("stored_required_missing", "purchase", "shop"); 2]);
    assert!(kept[1].sample.contains("[masked:email]"), "{}", kept[1].sample);
}

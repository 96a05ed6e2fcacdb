//! Visitors are erased over HTTP.

use std::collections::BTreeSet;
use std::sync::Arc;

use event_log::partition_of;
use rungs_proto::v1::control::Action;
use serde_json::{Value, json};

use crate::imports::Warehouse;
use crate::support::{PARTITIONS, Running, read, start, start_with};

async fn forget(running: &Running, query: &str, key: &str, body: &Value) -> (u16, Value) {
    let request = running.client.post(format!("{}/v1/forget{query}", running.url)).bearer_auth(key);
    read(request.body(body.to_string()).send().await.unwrap()).await
}

#[tokio::test]
async fn a_secret_key_erases_visitors_of_its_site_when_the_log_has_it() {
    let running = start().await;
    let body = json!({ "visitors": ["ann", "bob", 42, "ann", ""] });
    let (status, answer) = forget(&running, "?site=shop", "secret_wk", &body).await;
    assert_eq!((status, &answer["erased"]), (200, &json!(4)), "{answer}");
    let results = answer["results"].as_array().unwrap();
    let outcomes: Vec<_> = results.iter().map(|result| result["result"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["erased", "erased", "erased", "erased", "rejected"]);
    assert_eq!((&results[2]["visitor"], &results[4]["code"]), (&json!("42"), &json!("invalid_visitor")));
    let mut found = BTreeSet::new();
    for (partition, control) in running.controls() {
        let Some(Action::Erase(erase)) = control.action else { panic!("{control:?}") };
        assert_eq!((erase.site.as_str(), control.generation), ("shop", 0));
        for visitor in erase.visitors {
            assert_eq!(partition_of("shop", &visitor, PARTITIONS), partition);
            assert!(found.insert(visitor), "each is in one record");
        }
    }
    assert_eq!(found, ["42", "ann", "bob"].map(str::to_owned).into());
}

#[tokio::test]
async fn nobody_is_erased_by_a_public_key_another_sites_key_or_a_body_that_cannot_be_read() {
    let running = start().await;
    let ann = json!({ "visitors": ["ann"] });
    for (query, key, body, status, code) in [
        ("", "wk", &ann, 403, "secret_key_required"),
        ("", "none", &ann, 401, "unknown_key"),
        ("?site=blog", "secret_wk", &ann, 403, "wrong_site"),
        ("", "secret_wk", &json!({ "visitor": "ann" }), 400, "invalid_body"),
        ("", "secret_wk", &json!({ "visitors": vec!["v"; 1_001] }), 413, "too_many_visitors"),
    ] {
        let (found, answer) = forget(&running, query, key, body).await;
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{query} {key}");
    }
    let (_, answer) = forget(&running, "", "none", &ann).await;
    assert!(answer["message"].as_str().unwrap().contains("nor a secret key"), "{answer}");
    let nobody = forget(&running, "", "secret_wk", &json!({ "visitors": [] })).await;
    assert_eq!(nobody, (200, json!({ "erased": 0, "results": [] })));
    assert!(running.controls().is_empty());
}

#[tokio::test]
async fn it_is_told_of_whom_nothing_was_stored_and_who_cannot_be_asked_about_is_erased_too() {
    let running = start_with(|_| {}, Some(Arc::new(Warehouse))).await;
    let was_stored = async |visitors: &[&str]| {
        let (status, answer) = forget(&running, "", "secret_wk", &json!({ "visitors": visitors })).await;
        assert_eq!((status, &answer["erased"]), (200, &json!(visitors.len())), "{answer}");
        let results = answer["results"].as_array().unwrap().clone();
        results.into_iter().map(|result| result["was_stored"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(was_stored(&["ann", "bob"]).await, [json!(true), json!(false)]);
    assert_eq!(was_stored(&["broken"]).await, [Value::Null]);
}

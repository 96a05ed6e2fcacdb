//! Imports over HTTP.

use std::collections::HashSet;
use std::sync::Arc;

use collector::{ImportProgress, WarehouseAnswer, WarehouseStatus, WarehouseStatusError};
use rungs_proto::v1::control::Action;
use serde_json::{Value, json};

use crate::support::{PARTITIONS, Running, read, start, start_with};

/// Knows the import `half` and the visitor `ann`; does not answer about `broken`.
pub(crate) struct Warehouse;

impl WarehouseStatus for Warehouse {
    fn progress<'a>(
        &'a self,
        site: &'a str,
        import_id: &'a str,
    ) -> WarehouseAnswer<'a, Option<ImportProgress>> {
        Box::pin(async move {
            match (site, import_id) {
                ("shop", "half") => Ok(Some(ImportProgress {
                    stored_rows: 7,
                    not_stored_rows: 2,
                    is_ready: false,
                    progress: 0.5,
                })),
                (_, "broken") => Err(WarehouseStatusError("no route to host".into())),
                _ => Ok(None),
            }
        })
    }

    fn stored_visitors<'a>(
        &'a self,
        _site: &'a str,
        visitors: Vec<String>,
    ) -> WarehouseAnswer<'a, HashSet<String>> {
        Box::pin(async move {
            match visitors.iter().any(|visitor| visitor == "broken") {
                true => Err(WarehouseStatusError("no route to host".into())),
                false => Ok(visitors.into_iter().filter(|visitor| visitor == "ann").collect()),
            }
        })
    }
}

async fn send(running: &Running, method: &str, path: &str, key: &str, body: &str) -> (u16, Value) {
    let method = method.parse().unwrap();
    let request = running.client.request(method, format!("{}{path}", running.url)).bearer_auth(key);
    read(request.body(body.to_owned()).send().await.unwrap()).await
}

#[tokio::test]
async fn an_import_takes_a_secret_key_and_marks_its_events() {
    let running = start().await;
    let rows =
        r#"{"event":"buy","userId":"u","timestamp":"2001-02-03T04:05:06","sentAt":"2001-02-03T04:05:06"}"#;
    let (status, answer) = send(&running, "POST", "/v1/events?import=may-1", "wk", rows).await;
    assert_eq!((status, &answer["code"]), (403, &json!("secret_key_required")));
    for no_id in ["a%20b", ""] {
        let path = format!("/v1/events?import={no_id}");
        let (status, answer) = send(&running, "POST", &path, "secret_wk", rows).await;
        assert_eq!((status, &answer["code"]), (400, &json!("invalid_request")), "{no_id:?}");
    }
    let (status, _) = send(&running, "POST", "/v1/events?import=may-1", "secret_wk", rows).await;
    assert_eq!(status, 200);
    let events = running.events();
    assert_eq!((events.len(), events[0].import_id.as_str(), events[0].ts_ms), (1, "may-1", 981_173_106_000));
}

#[tokio::test]
async fn an_import_for_another_site_than_the_keys_is_refused_before_anything_is_stored() {
    let running = start_with(|_| {}, Some(Arc::new(Warehouse))).await;
    let rows = r#"{"event":"buy","userId":"u","timestamp":"2001-02-03T04:05:06"}"#;
    for (method, path) in [
        ("POST", "/v1/events?import=may-1&site=blog"),
        ("POST", "/v1/imports/may-1/complete?site=blog"),
        ("GET", "/v1/imports/half?site=blog"),
    ] {
        let (status, answer) = send(&running, method, path, "secret_wk", rows).await;
        assert_eq!((status, &answer["code"]), (403, &json!("wrong_site")), "{path}");
        let message = "the key belongs to the site \"shop\", not to \"blog\"";
        assert_eq!(answer["message"], message, "{path}");
    }
    assert!(running.events().is_empty() && running.controls().is_empty());
    assert_eq!(send(&running, "GET", "/v1/imports/half?site=shop", "secret_wk", "").await.0, 200);
}

#[tokio::test]
async fn completing_an_import_tells_every_partition_the_same() {
    let running = start().await;
    let path = "/v1/imports/may-1/complete";
    assert_eq!(send(&running, "POST", path, "wk", r#"{"accepted_rows":5}"#).await.0, 403);
    assert_eq!(send(&running, "POST", path, "secret_wk", r#"{"rows":5}"#).await.0, 400);
    let (status, answer) = send(&running, "POST", path, "secret_wk", r#"{"accepted_rows":5}"#).await;
    assert_eq!(status, 200);
    let controls = running.controls();
    assert_eq!(
        controls.iter().map(|(partition, _)| *partition).collect::<Vec<_>>(),
        (0..PARTITIONS).collect::<Vec<_>>()
    );
    for (_, control) in controls {
        assert_eq!(answer["generation"], control.generation);
        let Some(Action::ImportCompleted(completed)) = control.action else { panic!("{control:?}") };
        assert_eq!(
            (completed.site.as_str(), completed.import_id.as_str(), completed.accepted_rows),
            ("shop", "may-1", 5)
        );
    }
    let (_, next) = send(&running, "POST", path, "secret_wk", r#"{"accepted_rows":5}"#).await;
    assert!(next["generation"].as_u64() > answer["generation"].as_u64());
}

#[tokio::test]
async fn an_import_of_which_no_row_was_seen_cannot_be_completed() {
    let running = start_with(|_| {}, Some(Arc::new(Warehouse))).await;
    let complete = |id: &str, key: &'static str| {
        let path = format!("/v1/imports/{id}/complete");
        let running = &running;
        async move { send(running, "POST", &path, key, r#"{"accepted_rows":1}"#).await }
    };
    let (status, answer) = complete("may-1", "secret_wk").await;
    assert_eq!((status, &answer["code"]), (404, &json!("unknown_import")), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("is the id right?"), "{answer}");
    let (status, answer) = complete("broken", "secret_wk").await;
    assert_eq!((status, &answer["code"]), (503, &json!("warehouse_failed")), "{answer}");
    assert!(running.controls().is_empty());

    // Rows that were all rejected are none; one that is stored makes the id known, to its site.
    let no_visitor = r#"{"event":"buy","timestamp":"2001-02-03T04:05:06"}"#;
    send(&running, "POST", "/v1/events?import=may-1", "secret_wk", no_visitor).await;
    assert_eq!(complete("may-1", "secret_wk").await.0, 404);
    let row = r#"{"event":"buy","userId":"u","timestamp":"2001-02-03T04:05:06"}"#;
    send(&running, "POST", "/v1/events?import=may-1", "secret_wk", row).await;
    assert_eq!(complete("may-1", "secret_wk").await.0, 200);
    assert_eq!(complete("may-1", "secret_wk_blog").await.0, 404);
    // Of rows that another collector took, or this one before it was started anew, the warehouse knows.
    assert_eq!(complete("half", "secret_wk").await.0, 200);
    assert_eq!(running.controls().len(), 2 * PARTITIONS as usize);
}

#[tokio::test]
async fn the_warehouse_tells_how_far_an_import_is() {
    let running = start_with(|_| {}, Some(Arc::new(Warehouse))).await;
    let (status, answer) = send(&running, "GET", "/v1/imports/half", "secret_wk", "").await;
    let expected = json!({"stored_rows": 7, "not_stored_rows": 2, "state": "building", "progress": 0.5});
    assert_eq!((status, answer), (200, expected));
    let (status, answer) = send(&running, "GET", "/v1/imports/other", "secret_wk", "").await;
    assert_eq!((status, &answer["code"]), (404, &json!("unknown_import")));
    let (status, answer) = send(&running, "GET", "/v1/imports/broken", "secret_wk", "").await;
    assert_eq!((status, &answer["code"]), (503, &json!("warehouse_failed")));
    let (status, answer) = send(&start().await, "GET", "/v1/imports/half", "secret_wk", "").await;
    assert_eq!((status, &answer["code"]), (501, &json!("no_warehouse")));
}

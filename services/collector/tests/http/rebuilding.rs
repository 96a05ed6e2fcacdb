//! Funnels are ordered to be counted anew over HTTP.

use rungs_proto::v1::control::Action;
use serde_json::{Value, json};

use crate::support::{PARTITIONS, Running, read, start};

async fn rebuild(running: &Running, key: &str, body: &str) -> (u16, Value) {
    let request = running.client.post(format!("{}/v1/rebuild", running.url)).bearer_auth(key);
    read(request.body(body.to_owned()).send().await.unwrap()).await
}

/// A plan whose shop has a funnel.
async fn with_a_funnel() -> Running {
    const PLAN: &str = "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\norigins = [\"*\"]\n\
        [[funnels]]\nsite = \"shop\"\nid = \"purchase\"\nconversion_window = \"15m\"\nrolling_windows = [\"1h\"]\n\
        [[funnels.steps]]\nid = \"a\"\nevent = \"a\"\n[[funnels.steps]]\nid = \"b\"\nevent = \"b\"\n";
    let funnels = funnel::Plan::parse("plan.toml", PLAN).unwrap().funnels;
    let running = start().await;
    running.apply(|plan| plan.funnels = funnels).await;
    running
}

#[tokio::test]
async fn every_partition_is_told_which_funnels_are_counted_anew_under_one_growing_number() {
    let running = with_a_funnel().await;
    let mut last = 0;
    for (body, funnel) in [("", ""), ("{}", ""), (r#"{"funnel":"purchase"}"#, "purchase")] {
        let told = running.controls().len();
        let (status, answer) = rebuild(&running, "secret_wk", body).await;
        assert_eq!(status, 200, "{answer}");
        let generation = answer["generation"].as_u64().unwrap();
        assert!(generation > last);
        last = generation;
        let controls = running.controls();
        assert_eq!(controls.len(), told + PARTITIONS as usize);
        let new: Vec<_> = controls.iter().filter(|(_, control)| control.generation == generation).collect();
        assert_eq!(new.iter().map(|(at, _)| *at).collect::<Vec<_>>(), (0..PARTITIONS).collect::<Vec<_>>());
        for (_, control) in new {
            let Some(Action::Rebuild(rebuild)) = &control.action else { panic!("{control:?}") };
            assert_eq!((rebuild.site.as_str(), rebuild.funnel.as_str()), ("shop", funnel));
        }
    }
}

#[tokio::test]
async fn a_public_key_an_unknown_funnel_and_a_body_that_cannot_be_read_order_nothing() {
    let running = with_a_funnel().await;
    for (key, body, status, code) in [
        ("wk", "", 403, "secret_key_required"),
        ("secret_wk", r#"{"funnel":"purchse"}"#, 404, "unknown_funnel"),
        ("secret_wk_blog", r#"{"funnel":"purchase"}"#, 404, "unknown_funnel"),
        ("secret_wk", r#"{"funnels":["purchase"]}"#, 400, "invalid_body"),
        ("secret_wk", "purchase", 400, "invalid_body"),
    ] {
        let (found, answer) = rebuild(&running, key, body).await;
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{key} {body}");
    }
    let (_, answer) = rebuild(&running, "secret_wk", r#"{"funnel":"purchse"}"#).await;
    assert!(answer["message"].as_str().unwrap().ends_with("its funnels: purchase"), "{answer}");
    assert!(running.controls().is_empty());
}

//! Every row of the table of refusals, over HTTP.

use std::sync::Arc;
use std::time::Duration;

use collector::refusal::Refusal;
use event_log::PublishError;
use flate2::Compression;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Running, event, read, start, start_with};

/// Checks status, code and shape of a refused POST.
async fn refused(
    running: &Running,
    path: &str,
    body: impl Into<reqwest::Body>,
    status: u16,
    code: &str,
) -> Value {
    let response = running.post(path, body).send().await.unwrap();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let request_id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let (found, answer) = read(response).await;
    assert_eq!((found, &answer["code"]), (status, &Value::from(code)), "{answer}");
    assert_eq!(answer["request_id"], request_id);
    assert!(!answer["message"].as_str().unwrap().is_empty());
    assert_eq!(answer["message"], answer["detail"]);
    match retry_after {
        Some(seconds) => assert!(status == 503 && (1..=5).contains(&seconds.parse::<u32>().unwrap())),
        None => assert_ne!(status, 503),
    }
    answer
}

#[tokio::test]
async fn a_body_that_is_no_json_is_400() {
    let running = start().await;
    let bodies: [&[u8]; 9] = [
        b"",
        b"hello",
        b"{\"event\":",
        b"[{\"event\":\"a\"",
        b"[1,]",
        b"{}}",
        b"[{\"event\":\"\xff\"}]",
        b"nope\n{",
        b"[1] 2",
    ];
    for body in bodies {
        refused(&running, "/v1/events", body, 400, "invalid_body").await;
    }
    for body in ["", "[]", "{\"batch\":{}}", "{\"events\":[]}", "{\"batch\":[{}}"] {
        refused(&running, "/v1/batch", body, 400, "invalid_body").await;
    }
    refused(&running, "/v1/track", "{\"event\":\"a\"} {}", 400, "invalid_body").await;
    running.assert_outcomes(0, 0, 0);
}

#[tokio::test]
async fn an_encoding_that_is_unknown_or_broken_is_400() {
    let running = start().await;
    for (encoding, body) in
        [("gzip", event("a")), ("br", "x".repeat(50)), ("zstd", event("a")), ("lzw", event("a"))]
    {
        let request = running.post("/v1/events", body).header("content-encoding", encoding);
        let (status, answer) = read(request.send().await.unwrap()).await;
        assert_eq!((status, &answer["code"]), (400, &Value::from("invalid_encoding")), "{encoding}");
    }
}

#[tokio::test]
async fn keys_are_asked_for_and_checked() {
    let running = start().await;
    let post = |body: &'static str| running.client.post(format!("{}/v1/events", running.url)).body(body);
    let cases = [
        (post(r#"{"event":"a","userId":"u"}"#), 401, "missing_key"),
        (post(r#"{"event":"a","userId":"u","writeKey":"nobody"}"#), 401, "unknown_key"),
        (post(r#"{"event":"a","userId":"u"}"#).bearer_auth("nobody"), 401, "unknown_key"),
        (post(r#"{"event":"a","userId":"u"}"#).basic_auth("wk", Some("")), 200, ""),
        (post(r#"{"event":"a","userId":"u"}"#).bearer_auth("secret_wk"), 200, ""),
        (post(r#"{"event":"a","userId":"u","writeKey":"wk"}"#), 200, ""),
        (
            running.client.post(format!("{}/v1/t?key=wk", running.url)).body(r#"{"event":"a","userId":"u"}"#),
            200,
            "",
        ),
    ];
    for (request, status, code) in cases {
        let (found, answer) = read(request.send().await.unwrap()).await;
        assert_eq!((found, answer["code"].as_str().unwrap_or_default()), (status, code), "{answer}");
    }
    running.assert_outcomes(4, 0, 3);
}

#[tokio::test]
async fn what_is_too_large_is_413() {
    let running = start_with(|settings| settings.max_batch_events = 10, None).await;
    refused(&running, "/v1/events", vec![b'x'; 10 << 20], 413, "body_too_large").await;
    let stream = futures_util::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 100 << 10])));
    let chunked = running.post("/v1/events", reqwest::Body::wrap_stream(stream)).send().await;
    if let Ok(response) = chunked {
        assert_eq!(response.status(), 413);
    }
    let answer =
        refused(&running, "/v1/events", (event("a") + "\n").repeat(11), 413, "too_many_events").await;
    assert!(answer["message"].as_str().unwrap().contains("10"));
    running.until("given back", || running.metric("rungs_collector_in_flight_bytes") == 0.0).await;
}

#[tokio::test]
async fn a_bomb_is_413_and_costs_no_more_than_the_limit() {
    let running = start().await;
    let zeros = vec![b' '; 64 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), Compression::best());
    std::io::Write::write_all(&mut gzip, &zeros).unwrap();
    let zstd = zstd::encode_all(&zeros[..], 3).unwrap();
    for (encoding, body) in [("gzip", gzip.finish().unwrap()), ("zstd", zstd)] {
        let request = running.post("/v1/events", body).header("content-encoding", encoding);
        let (status, answer) = read(request.send().await.unwrap()).await;
        assert_eq!((status, &answer["code"]), (413, &Value::from("body_too_large")));
        assert!(answer["message"].as_str().unwrap().contains("[collector] max_expanded"));
    }
    running.assert_outcomes(0, 0, 0);
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_told_as_json() {
    let running = start().await;
    refused(&running, "/v2/track", event("a"), 404, "not_found").await;
    refused(&running, "/v1/imports/a/b", event("a"), 404, "not_found").await;
    refused(&running, "/v1/pixel.gif", event("a"), 405, "method_not_allowed").await;
    let response = running.client.get(format!("{}/v1/track", running.url)).send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["allow"]), (405, &"POST".parse().unwrap()));
}

#[tokio::test]
async fn a_look_at_a_picture_shows_no_picture_and_counts_nothing() {
    let running = start().await;
    let head = |path: &str| running.client.head(format!("{}{path}", running.url)).send();
    for path in ["/v1/pixel.gif?key=wk&event=opened&anonymousId=v", "/v1/pixel.gif", "/i?e=pv&aid=wk&duid=v"]
    {
        let response = head(path).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "image/gif", "{path}");
        crate::support::assert_uncached(response.headers());
        assert!(response.bytes().await.unwrap().is_empty());
    }
    assert_eq!(head("/").await.unwrap().status(), 200);
    let posted = head("/v1/track").await.unwrap();
    assert_eq!((posted.status().as_u16(), &posted.headers()["allow"]), (405, &"POST".parse().unwrap()));
    assert!(running.events().is_empty());
    running.assert_outcomes(0, 0, 0);
}

#[tokio::test]
async fn a_log_that_does_not_take_events_is_503_and_nothing_is_acknowledged() {
    let running = start().await;
    running.log.refuse_next(PublishError::Full { limit: "[log] max_size" });
    let answer = refused(&running, "/v1/track", event("a"), 503, "log_full").await;
    assert!(answer["message"].as_str().unwrap().contains("[log] max_size"));
    running.log.refuse_next(PublishError::Closed);
    refused(&running, "/v1/track", event("a"), 503, "shutting_down").await;
    running.log.lose_next_acknowledgement();
    refused(&running, "/v1/track", event("a"), 503, "log_failed").await;
    running.until("not ready", || !running.health.is_ready()).await;
    assert_eq!(running.health.missing(), ["log writable"]);
    running.assert_outcomes(0, 0, 3);
}

#[tokio::test]
async fn without_a_plan_events_are_503() {
    let running = start().await;
    running.plan.send_replace(None);
    running.until("not ready", || !running.health.is_ready()).await;
    refused(&running, "/v1/track", event("a"), 503, "no_plan").await;
    running.plan.send_replace(Some(Arc::new(crate::support::plan())));
    running.until("ready", || running.health.is_ready()).await;
    running.ok("/v1/track", event("a")).await;
}

#[tokio::test]
async fn more_bytes_in_flight_than_allowed_are_503() {
    let running = start_with(|settings| settings.max_in_flight_bytes = 1_000, None).await;
    running.log.hold_receipts();
    let first = running.post("/v1/track", event(&"a".repeat(200))).send();
    let second = async {
        let in_flight = || running.metric("rungs_collector_in_flight_bytes") > 0.0;
        running.until("in flight", in_flight).await;
        refused(&running, "/v1/track", event(&"b".repeat(900)), 503, "in_flight_full").await;
        running.until("published", || running.log.answer_held(Ok(())) > 0).await;
    };
    let (first, ()) = tokio::join!(first, second);
    assert_eq!(first.unwrap().status(), 200);
}

#[tokio::test]
async fn requests_may_be_pipelined_and_a_name_from_outside_is_kept() {
    let running = start().await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let body = event("a");
    let length = body.len();
    let one = format!(
        "POST /v1/track?key=wk HTTP/1.1\r\nhost: x\r\nx-request-id: my-1\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(one.repeat(3).as_bytes()).await.unwrap();
    let mut text = String::new();
    while text.matches("\"accepted\":1").count() < 3 {
        let mut buffer = [0; 4096];
        let read =
            tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0, "{text}");
        text += std::str::from_utf8(&buffer[..read]).unwrap();
    }
    assert_eq!(text.matches("x-request-id: my-1").count(), 3);
}

#[test]
fn every_refusal_has_its_own_code() {
    let mut codes: Vec<_> = Refusal::all().iter().map(|refusal| refusal.wire().code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Refusal::all().len());
}

#[tokio::test]
async fn a_tracker_that_would_come_back_at_once_is_told_to_wait_by_a_late_answer() {
    let running = start().await;
    running.plan.send(None).unwrap();
    let path = "/com.snowplowanalytics.snowplow/tp2";
    let body = r#"{"data":[{"e":"pp","duid":"v","aid":"wk"}]}"#;
    running.until("without a plan", || !running.health.is_ready()).await;
    let started = std::time::Instant::now();
    let (status, answer) = read(running.post(path, body).send().await.unwrap()).await;
    assert_eq!((status, &answer["code"]), (503, &serde_json::json!("no_plan")), "{answer}");
    assert!(started.elapsed().as_millis() >= u128::from(collector::limits::BUSY_ANSWER_DELAY_MS));
    running.assert_outcomes(0, 0, 1);
}

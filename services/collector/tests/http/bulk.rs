//! NDJSON that is longer than what the collector holds of a body.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt as _;
use reqwest::{Body, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{Running, read, start, start_with};

const NDJSON: &str = "application/x-ndjson";

fn line(index: usize) -> String {
    format!("{{\"event\":\"e\",\"anonymousId\":\"v{}\",\"messageId\":\"m{index}\"}}\n", index % 50)
}

fn bulk(running: &Running, body: impl Into<Body>) -> RequestBuilder {
    running.post("/v1/events", body).header("content-type", NDJSON)
}

/// A body of unknown length, in chunks that end anywhere.
fn chunked(text: Vec<u8>) -> Body {
    let chunks: Vec<Vec<u8>> = text.chunks(7_001).map(<[u8]>::to_vec).collect();
    Body::wrap_stream(futures_util::stream::iter(chunks).map(Ok::<_, std::io::Error>))
}

#[tokio::test]
async fn a_body_larger_than_the_limits_of_a_request_is_stored_in_its_order() {
    let running = start_with(
        |settings| {
            settings.max_body_bytes = 100_000;
            settings.max_batch_events = 1_000;
            settings.max_in_flight_bytes = 16 << 20;
        },
        None,
    )
    .await;
    let text: String = (0..60_000).map(line).collect();
    assert!(text.len() > 3 << 20);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let requests = [
        bulk(&running, text.clone()),
        bulk(&running, chunked(text.clone().into_bytes())),
        bulk(&running, gzip.clone()).header("content-encoding", "gzip"),
        bulk(&running, chunked(gzip)),
    ];
    for (done, request) in (1..).zip(requests) {
        let (status, answer) = read(request.send().await.unwrap()).await;
        assert_eq!((status, &answer["accepted"]), (200, &json!(60_000)), "{answer}");
        running.assert_outcomes(60_000 * done, 0, 0);
    }
    let of_one: Vec<String> = running
        .events()
        .into_iter()
        .filter(|e| e.visitor_id == "v7")
        .map(|e| e.message_id)
        .take(1_200)
        .collect();
    assert_eq!(of_one, (0..1_200).map(|n| format!("m{}", n * 50 + 7)).collect::<Vec<_>>());
}

#[tokio::test]
async fn bad_lines_are_named_by_their_place_in_the_whole_body() {
    let running = start_with(|settings| settings.max_batch_events = 100, None).await;
    let mut lines: Vec<String> = (0..1_000).map(line).collect();
    lines[0] = "\u{feff}".to_owned() + &lines[0];
    lines[457] = "{\"event\":\n".into();
    lines[998] = "{\"event\":\"e\"}\n".into();
    lines[999] = line(999).trim().to_owned();
    let (status, answer) =
        read(bulk(&running, chunked(lines.concat().into_bytes())).send().await.unwrap()).await;
    assert_eq!((status, &answer["accepted"]), (200, &json!(998)), "{answer}");
    let rejected = &answer["rejected"];
    assert_eq!((&rejected[0]["index"], &rejected[1]["index"]), (&json!(457), &json!(998)));
    assert!(rejected[0]["message"].as_str().unwrap().starts_with("line 458 "), "{answer}");
    assert_eq!(rejected[1]["code"], "missing_visitor");
    running.assert_outcomes(998, 2, 0);
}

#[tokio::test]
async fn what_is_no_ndjson_is_refused_and_memory_is_bounded() {
    let running = start_with(|settings| settings.max_expanded_bytes = 4 << 20, None).await;
    let mut bomb = zstd::encode_all(&vec![b'a'; 64 << 20][..], 3).unwrap();
    let (status, answer) =
        read(bulk(&running, bomb.clone()).header("content-encoding", "zstd").send().await.unwrap()).await;
    assert_eq!((status, &answer["code"]), (413, &json!("body_too_large")));
    bomb.truncate(10);
    let cases: [(Vec<u8>, &str, u16, &str); 5] = [
        (bomb, "zstd", 400, "invalid_encoding"),
        (b"hello\nworld\n".to_vec(), "identity", 400, "invalid_body"),
        (Vec::new(), "identity", 400, "invalid_body"),
        (b"x".to_vec(), "rot13", 400, "invalid_encoding"),
        (b"not gzip".to_vec(), "gzip", 400, "invalid_encoding"),
    ];
    for (body, encoding, status, code) in cases {
        let request = bulk(&running, body).header("content-encoding", encoding);
        let (found, answer) = read(request.send().await.unwrap()).await;
        assert_eq!((found, &answer["code"]), (status, &Value::from(code)), "{encoding}: {answer}");
    }
    running.assert_outcomes(0, 0, 0);
}

#[tokio::test]
async fn a_line_of_any_length_is_rejected_alone() {
    let running = start_with(|settings| settings.max_expanded_bytes = 4 << 20, None).await;
    let long = |bytes: usize| format!("{{\"event\":\"long\",\"userId\":\"{}\"}}\n", "a".repeat(bytes));
    let text = [line(0), long(40 << 10), line(1), long(9 << 20), line(2), long(3 << 20)].concat();
    for body in [Body::from(text.clone()), chunked(text.clone().into_bytes())] {
        let (status, answer) = read(bulk(&running, body).send().await.unwrap()).await;
        assert_eq!((status, &answer["accepted"]), (200, &json!(3)), "{answer}");
        let rejected: Vec<_> =
            answer["rejected"].as_array().unwrap().iter().map(|r| json!([r["index"], r["code"]])).collect();
        let codes = [1, 3, 5].map(|index| json!([index, "event_too_large"]));
        assert_eq!(rejected, codes);
    }
    running.assert_outcomes(6, 6, 0);
}

#[tokio::test]
async fn a_long_body_needs_a_key_as_any_other() {
    let running = start().await;
    let request = running.client.post(format!("{}/v1/events", running.url)).header("content-type", NDJSON);
    let (status, answer) = read(request.body(chunked(line(0).into_bytes())).send().await.unwrap()).await;
    assert_eq!((status, &answer["code"]), (401, &json!("missing_key")));
    running.assert_outcomes(0, 0, 1);
}

#[tokio::test]
async fn the_first_key_in_a_body_counts_for_all_of_it_however_long_it_is() {
    let running = start_with(|settings| settings.max_batch_events = 100, None).await;
    let mut lines: Vec<String> = (0..1_000).map(line).collect();
    lines[0] = lines[0].replacen('{', "{\"writeKey\":\"wk\",", 1);
    lines[700] = lines[700].replacen('{', "{\"writeKey\":\"wk_blog\",", 1);
    let request = running.client.post(format!("{}/v1/events", running.url)).header("content-type", NDJSON);
    let request = request.body(chunked(lines.concat().into_bytes()));
    let (status, answer) = read(request.send().await.unwrap()).await;
    assert_eq!((status, &answer["accepted"]), (200, &json!(1_000)), "{answer}");
    assert!(running.events().iter().all(|event| event.site == "shop"));
    running.assert_outcomes(1_000, 0, 0);
}

#[tokio::test]
async fn a_key_of_nobody_is_refused_before_the_body_has_come() {
    let running = start().await;
    let never =
        futures_util::stream::iter([Ok::<_, std::io::Error>(line(0))]).chain(futures_util::stream::pending());
    let request = running.client.post(format!("{}/v1/events", running.url)).header("content-type", NDJSON);
    let request = request.header("x-write-key", "nobody").body(Body::wrap_stream(never));
    let answer = tokio::time::timeout(Duration::from_secs(10), request.send()).await;
    let (status, answer) = read(answer.expect("an answer while the body is on its way").unwrap()).await;
    assert_eq!((status, &answer["code"]), (401, &json!("unknown_key")));
    running.assert_outcomes(0, 0, 0);
}

#[tokio::test]
async fn the_window_that_a_body_asks_for_is_part_of_what_is_in_flight() {
    let running = start_with(|settings| settings.max_in_flight_bytes = 4 << 20, None).await;
    for (window_log, status) in [(20, 200), (23, 503)] {
        let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        zstd.window_log(window_log).unwrap();
        zstd.write_all(line(0).as_bytes()).unwrap();
        zstd.flush().unwrap();
        let request = bulk(&running, zstd.finish().unwrap()).header("content-encoding", "zstd");
        let (found, answer) = read(request.send().await.unwrap()).await;
        assert_eq!(found, status, "{window_log}: {answer}");
    }
    running.assert_outcomes(1, 0, 0);
}

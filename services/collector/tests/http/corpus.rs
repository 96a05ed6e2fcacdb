//! Requests as clients write them, and what must come of them: every file of `tests/corpus`, a folder a client.
//!
//! A file has a head (`METHOD /path`, headers), an empty line, the body, `=== expected` and JSON: `status`, `rejected` as
//! [index, code], `events` in the request's order with the fields that matter, for PostHog v1 `results`, for settings (part
//! of) the `answer`. The header `pack` is not sent: it says how the body is packed (gzip, zstd, br, or a form's `data`).

use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use rungs_proto::v1::Event;
use serde_json::{Map, Value, json};

use crate::support::{Running, start};

struct Case {
    name: String,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    expected: Value,
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    found.sort();
    found
}

fn pack(how: &str, body: &[u8]) -> Vec<u8> {
    match how {
        "gzip" => {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            gzip.write_all(body).unwrap();
            gzip.finish().unwrap()
        }
        "zstd" => zstd::encode_all(body, 3).unwrap(),
        "br" => {
            let mut packed = Vec::new();
            let parameters = brotli::enc::BrotliEncoderParams::default();
            brotli::BrotliCompress(&mut &body[..], &mut packed, &parameters).unwrap();
            packed
        }
        "data" => {
            let encoded: String =
                url::form_urlencoded::byte_serialize(STANDARD.encode(body).as_bytes()).collect();
            format!("data={encoded}").into_bytes()
        }
        other => panic!("pack: {other}"),
    }
}

fn read(path: &Path) -> Case {
    let text = std::fs::read_to_string(path).unwrap();
    let (request, expected) = text.split_once("\n=== expected\n").unwrap();
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let mut lines = head.lines();
    let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
    let mut headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap())
        .collect();
    let mut body = body.as_bytes().to_vec();
    if let Some(at) = headers.iter().position(|(name, _)| name == "pack") {
        let (_, how) = headers.remove(at);
        body = how.split(' ').fold(body, |body, how| pack(how, &body));
    }
    Case {
        name: path.display().to_string(),
        method: method.parse().unwrap(),
        path: target.to_owned(),
        headers,
        body,
        expected: serde_json::from_str(expected).unwrap(),
    }
}

/// A stored event as the corpus writes it.
fn shown(event: &Event) -> Value {
    let object = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    json!({
        "event": event.event, "visitor_id": event.visitor_id, "user_id": event.user_id,
        "message_id": event.message_id, "kind": event.kind().as_str_name().trim_start_matches("KIND_").to_lowercase(),
        "own_ts_ms": event.own_ts_ms, "properties": object(&event.properties), "context": object(&event.context),
        "channel": event.channel, "source": event.source, "browser": event.browser, "device": event.device,
        "revenue_e4": event.revenue_e4, "currency": event.currency,
    })
}

/// What `found` has of the fields that are expected.
fn part(found: &Value, expected: &Value) -> Value {
    let field = |(name, _): (&String, &Value)| (name.clone(), found[name].clone());
    Value::Object(expected.as_object().unwrap().iter().map(field).collect::<Map<_, _>>())
}

async fn run(running: &Running, case: &Case) {
    let mut request = running.client.request(case.method.clone(), format!("{}{}", running.url, case.path));
    for (name, value) in &case.headers {
        request = request.header(name, value);
    }
    let response = request.body(case.body.clone()).send().await.unwrap();
    let (name, expected) = (&case.name, &case.expected);
    assert_eq!(response.status().as_u16(), expected["status"], "{name}");
    for header in ["access-control-allow-origin", "access-control-expose-headers", "x-request-id"] {
        assert!(response.headers().contains_key(header), "{name}: {header}");
    }
    if expected["answer"] == "picture" {
        assert!(response.bytes().await.unwrap().starts_with(b"GIF89a"), "{name}");
    } else {
        let answer: Value = response.json().await.unwrap();
        judge_answer(name, &answer, expected);
    }
    let events: Vec<Value> = running.events().iter().map(shown).collect();
    let wanted = expected["events"].as_array().unwrap();
    assert_eq!(events.len(), wanted.len(), "{name}: {events:?}");
    let found: Vec<Value> = wanted
        .iter()
        .map(|wanted| {
            let same = |event: &&Value| part(event, wanted) == *wanted;
            let near = |event: &&Value| {
                event["event"] == wanted["event"] && event["message_id"] == wanted["message_id"]
            };
            let event = events.iter().find(same).or_else(|| events.iter().find(near)).or(events.first());
            part(event.unwrap(), wanted)
        })
        .collect();
    assert_eq!(&found, wanted, "{name}");
}

fn judge_answer(name: &str, answer: &Value, expected: &Value) {
    if expected["status"] != 200 {
        assert!(answer["code"].is_string() && answer["message"].is_string(), "{name}: {answer}");
        return;
    }
    if let Some(settings) = expected.get("answer") {
        assert_eq!(part(answer, settings), *settings, "{name}");
        return;
    }
    let rejected: Vec<Value> = answer["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rejected| json!([rejected["index"], rejected["code"]]))
        .collect();
    assert_eq!(Value::Array(rejected), expected["rejected"], "{name}: {answer}");
    let results: Map<String, Value> = answer["results"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(id, result)| (id.clone(), result["result"].clone()))
        .collect();
    assert_eq!(Value::Object(results), expected.get("results").cloned().unwrap_or(json!({})), "{name}");
}

#[tokio::test]
async fn every_request_of_the_corpus_gives_the_events_that_its_client_meant() {
    let files = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus"));
    assert!(files.len() > 35, "{files:?}");
    for path in files {
        let running = start().await;
        run(&running, &read(&path)).await;
    }
}

//! Bodies: the forms of Segment, PostHog, Umami, Snowplow and OpenPanel, and our own. Where a form has several paths or
//! packings, the first byte of the data chooses.

use collector::decoding::{Decoded, WireRequest};
use collector::refusal::Refusal;
use prost::Message;
use rungs_proto::v1::Event;
use serde_json::Value;

use crate::corpus::{Corpus, chosen};
use crate::expanding::Packing;
use crate::judge::judge;
use crate::wire::{circumstances, decode, posted, without_chance};

/// How many events a body of JSON has; nothing, where it must be refused.
type Count = fn(&Value, &[u8]) -> Option<usize>;

/// Decodes twice and judges. A body that is JSON has as many results as events, one that is not has the decoder's.
fn check(request: &WireRequest<'_>, count: Count) -> Result<Decoded, Refusal> {
    let decoded = decode(request);
    assert_eq!(without_chance(&decoded), without_chance(&decode(request)), "another reading, other events");
    judge(&decoded);
    if let Ok(json) = serde_json::from_slice(request.body) {
        judge_count(&decoded, count(&json, request.body));
    }
    decoded
}

fn judge_count(decoded: &Result<Decoded, Refusal>, count: Option<usize>) {
    match (decoded, count) {
        (Ok(decoded), Some(count)) => assert_eq!(decoded.events.len(), count, "results"),
        (Err(Refusal::TooManyEvents { limit }), Some(count)) => assert!(count > *limit, "{count} events"),
        (Err(Refusal::InvalidBody(_)), None) => {}
        (decoded, count) => panic!("{count:?} events, and {decoded:?}"),
    }
}

fn list(value: &Value) -> Option<usize> {
    value.as_array().map(Vec::len)
}

/// As `/v1/events` takes it: also a line with something that is no event, which is rejected.
fn object_or_list(value: &Value, body: &[u8]) -> Option<usize> {
    match value {
        Value::Array(list) => Some(list.len()),
        Value::Object(_) => Some(1),
        _ => body.contains(&b'\n').then_some(1),
    }
}

/// The first byte and the rest.
fn split(data: &[u8]) -> Option<(usize, &[u8])> {
    data.split_first().map(|(choice, rest)| (usize::from(*choice), rest))
}

const SEGMENT: [&str; 10] = [
    "/v1/batch",
    "/v1/b",
    "/v1/track",
    "/v1/page",
    "/v1/screen",
    "/v1/identify",
    "/v1/alias",
    "/v1/group",
    "/api/s/track",
    "/api/s/s2s/page",
];

/// Segment, RudderStack and Jitsu: batches and single events of a kind that the path tells.
pub(crate) fn segment(data: &[u8]) {
    let Some((choice, body)) = split(data) else { return };
    let path = SEGMENT[choice % SEGMENT.len()];
    let count: Count = match path {
        "/v1/batch" | "/v1/b" => |body, _| list(&body["batch"]),
        _ => |_, _| Some(1),
    };
    let _ = check(&posted(path, body), count);
}

pub(crate) fn segment_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let requests = corpus.requests(&["segment", "rudderstack", "jitsu", "own"]);
    requests
        .iter()
        .filter_map(|request| chosen(SEGMENT.iter().position(|path| *path == request.path)?, &request.body))
        .collect()
}

const POSTHOG: [&str; 4] = ["/batch/", "/e/", "/i/v0/e/", "/i/v1/analytics/events"];

/// PostHog, in each of the packings that its clients use: what was packed comes to what is plain.
pub(crate) fn posthog(data: &[u8]) {
    let Some((choice, body)) = split(data) else { return };
    let path = POSTHOG[choice % POSTHOG.len()];
    let plain = check(&posted(path, body), |body, _| match body {
        Value::Object(fields) => match fields.get("batch") {
            None | Some(Value::Null) => Some(1),
            Some(batch) => list(batch),
        },
        other => list(other),
    });
    if let (Ok(decoded), "/i/v1/analytics/events") = (&plain, path) {
        assert!(decoded.answer_ids.len() <= decoded.events.len(), "an id for nothing");
    }
    let packing = Packing::ALL[choice / POSTHOG.len() % Packing::ALL.len()];
    if Packing::is_plain(body) && !body.is_empty() {
        let packed = packing.pack(body);
        let request = WireRequest { content_encoding: packing.encoding(), ..posted(path, &packed) };
        assert_eq!(without_chance(&decode(&request)), without_chance(&plain), "{packing:?}");
    }
}

pub(crate) fn posthog_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let requests = corpus.requests(&["posthog"]);
    let seed = |(number, request): (usize, &crate::corpus::Request)| {
        let path = POSTHOG.iter().position(|path| *path == request.path).unwrap_or_default();
        chosen(path + number % Packing::ALL.len() * POSTHOG.len(), &request.body)
    };
    requests.iter().enumerate().filter_map(seed).collect()
}

pub(crate) fn umami(body: &[u8]) {
    // What is no event is one that is rejected.
    let _ = check(&posted("/api/send", body), |body, _| list(body).or(Some(1)));
}

pub(crate) fn snowplow(body: &[u8]) {
    let _ = check(&posted("/com.snowplowanalytics.snowplow/tp2", body), |body, _| list(&body["data"]));
}

pub(crate) fn openpanel(body: &[u8]) {
    let _ = check(&posted("/track", body), |_, _| Some(1));
}

/// `/v1/events`: an object or a list.
pub(crate) fn json(body: &[u8]) {
    let _ = check(&posted("/v1/events", body), object_or_list);
}

pub(crate) fn json_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let mut seeds = corpus.bodies(&["own"]);
    seeds.extend(corpus.events().iter().map(|event| event.to_string().into_bytes()));
    seeds.push(Value::Array(corpus.events()).to_string().into_bytes());
    seeds
}

/// NDJSON, at once and in two parts; the first two bytes say where the second part begins.
pub(crate) fn lines(data: &[u8]) {
    let [high, low, body @ ..] = data else { return };
    let request = WireRequest { content_type: "application/x-ndjson", ..posted("/v1/events", body) };
    let whole = check(&request, object_or_list);
    let first_bytes = usize::from(*high) << 8 | usize::from(*low);
    let parts = circumstances().decode_lines_in_parts(body, first_bytes);
    judge(&parts.clone().map(within_a_request));
    // A text of one object over several lines is not what is taken in parts, nor is a list.
    let is_lines = serde_json::from_slice::<Value>(body).is_err();
    if let (Ok(whole), Ok(parts)) = (&whole, &parts)
        && is_lines
        && Packing::is_plain(body)
    {
        assert_eq!(parts.events.len(), whole.events.len(), "lines");
        let records = |decoded: &Decoded| decoded.events.iter().map(Result::is_ok).collect::<Vec<_>>();
        assert_eq!(records(parts), records(whole), "a line is judged alone");
    }
}

/// A long body has no number of events that is too large.
fn within_a_request(mut decoded: Decoded) -> Decoded {
    decoded.events.truncate(crate::wire::settings().max_batch_events);
    decoded
}

pub(crate) fn lines_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let lines: Vec<String> = corpus.events().iter().map(Value::to_string).collect();
    let with_place = |body: &[u8]| [&[0, 40], body].concat();
    let mut seeds: Vec<Vec<u8>> = corpus.bodies(&["own"]).iter().map(|body| with_place(body)).collect();
    seeds.extend(lines.chunks(5).map(|lines| with_place(lines.join("\n").as_bytes())));
    seeds
}

const PROTOBUF: [&str; 3] = [
    "application/x-protobuf",
    "application/x-protobuf; delimited=true",
    "application/x-protobuf; delimited=false",
];

/// Our events as protobuf, alone or delimited.
pub(crate) fn protobuf(data: &[u8]) {
    let Some((choice, body)) = split(data) else { return };
    let content_type = PROTOBUF[choice % PROTOBUF.len()];
    let request = WireRequest { content_type, ..posted("/v1/events", body) };
    let decoded = decode(&request);
    assert_eq!(without_chance(&decoded), without_chance(&decode(&request)), "another reading, other events");
    judge(&decoded);
    if let (Ok(decoded), true) = (&decoded, content_type.ends_with("=false")) {
        assert_eq!(decoded.events.len(), 1, "one event");
    }
}

pub(crate) fn protobuf_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let events: Vec<Event> = corpus.protobuf_events();
    let mut stream = Vec::new();
    events.iter().take(4).for_each(|event| event.encode_length_delimited(&mut stream).unwrap());
    let mut seeds: Vec<Vec<u8>> =
        events.iter().filter_map(|event| chosen(2, &event.encode_to_vec())).collect();
    seeds.extend(chosen(1, &stream));
    seeds
}

/// `navigator.sendBeacon`: text/plain, or a form's `data`.
pub(crate) fn beacon(data: &[u8]) {
    let Some((choice, body)) = split(data) else { return };
    let plain = WireRequest { content_type: "text/plain;charset=UTF-8", ..posted("/v1/beacon", body) };
    let decoded = check(&plain, object_or_list);
    if choice % 2 == 1 && Packing::is_plain(body) && !body.is_empty() {
        let form = Packing::Form.pack(body);
        let request =
            WireRequest { content_type: "application/x-www-form-urlencoded", ..posted("/v1/beacon", &form) };
        assert_eq!(without_chance(&decode(&request)), without_chance(&decoded), "as a form");
    }
}

pub(crate) fn beacon_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    json_seeds(corpus).iter().enumerate().filter_map(|(number, body)| chosen(number % 2, body)).collect()
}

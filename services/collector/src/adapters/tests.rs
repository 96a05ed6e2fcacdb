//! Nothing that comes over the wire brings an adapter down, and what an adapter writes can always be read: on arbitrary
//! bytes and on the corpus of real requests, cut, mixed and changed.

use std::path::Path;

use actix_web::web::Bytes;
use proptest::prelude::*;

use super::{Endpoint, Form, Limits, PATTERNS, ROUTES, find};
use crate::body::{Expander, expand};
use crate::draft::Parsed;
use crate::refusal::Refusal;
use crate::validate::{Request, Validator};

const LIMITS: Limits = Limits { max_event_bytes: 32 << 10, max_batch_events: 10_000 };
const MAX_EXPANDED: usize = 1 << 20;

/// The bodies of `tests/corpus`, unpacked.
fn corpus() -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    let mut waiting = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")];
    while let Some(folder) = waiting.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let (request, _) = text.split_once("\n=== expected").unwrap();
            let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
            // The event of a GET is its query.
            let query =
                head.lines().next().and_then(|line| line.split_once('?')).map_or("", |(_, query)| query);
            bodies.push(if body.is_empty() { query } else { body }.as_bytes().to_vec());
        }
    }
    bodies.sort();
    assert!(bodies.len() > 35);
    bodies
}

/// The whole way of a body, as the paths take it.
fn take(endpoint: Endpoint, body: &[u8], form: Form) {
    let recast = match endpoint {
        Endpoint::Vendor(vendor) => {
            vendor.answer_ids(body);
            vendor.recast(body)
        }
        Endpoint::SnowplowQuery => {
            Ok(super::recast_snowplow_query(std::str::from_utf8(body).unwrap_or_default()))
        }
        Endpoint::Pixel => {
            let query = std::str::from_utf8(body).unwrap_or_default();
            return judge(&Endpoint::Events.parse(&super::parse_pixel(query), Form::Text, LIMITS));
        }
        _ => return judge(&endpoint.parse(body, form, LIMITS)),
    };
    if let Ok(recast) = recast {
        let parsed = endpoint.parse(recast.as_bytes(), Form::Text, LIMITS);
        assert!(parsed.is_ok(), "{:?}: {recast}", parsed.err());
        judge(&parsed);
    }
}

fn judge(parsed: &Result<Parsed<'_>, Refusal>) {
    let Ok(parsed) = parsed else { return };
    let mut validator = Validator::new(Request {
        site: "shop",
        received_at_ms: 1_800_000_000_000,
        sent_at: parsed.sent_at,
        skew_threshold_ms: 60_000,
        agent: None,
        country: "",
        stand_in: None,
        import_id: "",
        masked_but: Some(&[]),
        visitors: None,
        schema: None,
    });
    for draft in parsed.events.iter().flatten() {
        let _ = validator.record(draft, 4, &mut Vec::new());
    }
}

fn take_everywhere(body: &[u8]) {
    for (_, endpoint) in ROUTES {
        for form in [Form::Text, Form::Protobuf { delimited: None }] {
            take(*endpoint, body, form);
        }
    }
    for encoding in ["", "gzip", "deflate", "br", "zstd"] {
        if let Ok(body) = expand(Bytes::copy_from_slice(body), encoding, MAX_EXPANDED) {
            assert!(body.len() <= MAX_EXPANDED);
        }
        let mut out = Vec::new();
        let mut expander = Expander::new(encoding, MAX_EXPANDED);
        if expander.feed(body, &mut out).is_ok() {
            let _ = expander.finish(&mut out);
        }
    }
}

/// What happens to a body on its way.
#[derive(Debug, Clone)]
enum Change {
    Cut(prop::sample::Index),
    Set(prop::sample::Index, u8),
    Drop(prop::sample::Index, prop::sample::Index),
    Insert(prop::sample::Index, &'static str),
    Append(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    let pieces = [
        "\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "\\u0000",
        "\\ud800",
        "1e999",
        "\u{0}",
        "-",
        "[[[[",
        "{\"batch\":",
        "data=",
        "%",
        "ü",
        "\"properties\":7,",
        "\"event\":{},",
        "\"data\":[],",
        "\n",
    ];
    prop_oneof![
        at().prop_map(Change::Cut),
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), at()).prop_map(|(from, to)| Change::Drop(from, to)),
        (at(), prop::sample::select(pieces.to_vec())).prop_map(|(at, piece)| Change::Insert(at, piece)),
        at().prop_map(Change::Append),
    ]
}

fn changed(mut body: Vec<u8>, changes: &[Change], corpus: &[Vec<u8>]) -> Vec<u8> {
    for change in changes {
        let length = body.len();
        match change {
            Change::Cut(at) => body.truncate(at.index(length + 1)),
            Change::Set(at, byte) if length > 0 => body[at.index(length)] = *byte,
            Change::Drop(from, to) => {
                let (from, to) = (from.index(length + 1), to.index(length + 1));
                drop(body.drain(from.min(to)..from.max(to).min(from.min(to) + 40)));
            }
            Change::Insert(at, piece) => {
                let at = at.index(length + 1);
                drop(body.splice(at..at, piece.bytes()));
            }
            Change::Append(which) => body.extend_from_slice(&corpus[which.index(corpus.len())]),
            Change::Set(..) => {}
        }
    }
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_bring_an_adapter_down(body in prop::collection::vec(any::<u8>(), 0..300)) {
        take_everywhere(&body);
    }

    #[test]
    fn no_changed_request_brings_an_adapter_down(
        which in any::<prop::sample::Index>(), changes in prop::collection::vec(change(), 1..5)
    ) {
        thread_local!(static CORPUS: Vec<Vec<u8>> = corpus());
        CORPUS.with(|corpus| take_everywhere(&changed(corpus[which.index(corpus.len())].clone(), &changes, corpus)));
    }

    #[test]
    fn no_path_is_taken_for_another(path in "/[a-z0-9./{}%]{0,40}") {
        let known = |table: &[(&str, Endpoint)]| table.iter().any(|(route, _)| *route == path);
        let (endpoint, name) = find(&path);
        prop_assert_eq!(endpoint != Endpoint::Unknown, known(ROUTES) || name.is_some());
    }
}

#[test]
fn names_in_paths_are_found() {
    assert_eq!(find("/v1/imports/a-1"), (Endpoint::ImportStatus, Some("a-1")));
    assert_eq!(find("/v1/imports/a/complete"), (Endpoint::ImportComplete, Some("a")));
    assert_eq!(find("/array/wk.1/config.js"), (Endpoint::PostHogScript, Some("wk.1")));
    for path in ["/v1/imports/", "/v1/imports/a/b", "/array//config", "/array/a/b/config", "/batch//"] {
        assert_eq!(find(path), (Endpoint::Unknown, None), "{path}");
    }
    assert_eq!(PATTERNS.len(), 5);
}

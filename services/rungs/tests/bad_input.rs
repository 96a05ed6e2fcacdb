//! Bad input to the running program: a clear answer to each, nothing else lost, nothing panics, everything goes on. The
//! parts' own tests know more kinds; these are the ones that pass through several parts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod program;

use program::Program;
use program::answers::visitors;
use reqwest::Client;
use serde_json::Value;

const SHOP: &str = "examples/shop/tracking-plan.toml";

const TEN_MISTAKES: &str = r#"[[sites]]
id = "Shop"
timezone = "Mars/Base"
write_keys = ["wk_shop_demo"]

[[funnels]]
site = "nowhere"
id = "purchase"
conversion_window = "soon"
rolling_windows = ["7d", "7d"]

[[funnels.steps]]
id = "view"
event = "product_view"
commitment = "stare"
where = { property = "plan", matches = "(" }

[[funnels.steps]]
id = "view"
evnt = "add_to_cart"
"#;

/// Line and a part of the message.
const MISTAKES: [(usize, &str); 10] = [
    (2, "other characters"),
    (3, "no time zone \"Mars/Base\""),
    (7, "unknown site \"nowhere\""),
    (9, "\"soon\""),
    (10, "rolling window \"7d\" is used twice"),
    (15, "unknown commitment \"stare\""),
    (16, "not a regular expression"),
    (18, "has no event"),
    (19, "step id \"view\" is used twice"),
    (20, "unknown key `evnt`"),
];

fn lists_all(text: &str) -> bool {
    text.matches("10 mistakes").count() == 1
        && MISTAKES.iter().all(|(line, part)| {
            let start = format!(".toml:{line}: error: ");
            text.lines().any(|found| found.contains(&start) && found.contains(part))
        })
}

#[test]
fn a_plan_with_ten_mistakes_lists_all_ten_and_changes_nothing() {
    let program = Program::start(SHOP);
    let history = program.plan(&["history"]).out;
    let shown = program.plan(&["show"]).out;

    let broken = program.write("broken.toml", TEN_MISTAKES);
    let checked = program.run(&["check", &broken]);
    assert!(
        !checked.ok && lists_all(&(checked.out.clone() + &checked.err)),
        "{}{}",
        checked.out,
        checked.err
    );
    let applied = program.plan(&["apply", &broken]);
    assert!(
        !applied.ok && lists_all(&(applied.out.clone() + &applied.err)),
        "{}{}",
        applied.out,
        applied.err
    );
    program.change_plan(TEN_MISTAKES);
    program.until("the watcher lists all", |program| lists_all(&program.said()));

    assert_eq!(program.plan(&["history"]).out, history);
    assert_eq!(program.plan(&["show"]).out, shown);
    // Also not at the next start, with the broken file still there.
    let program = program.restart();
    assert!(program.said().contains("plan 1 stays in force"), "{}", program.said());
    assert_eq!(program.plan(&["history"]).out, history);
    assert_eq!(post(&program, "/v1/track", track("ann", "").into()).0, 200);
    program.until("ann is counted", |program| {
        let live = program.live("shop/purchase", "1h", "");
        live["steps"] != serde_json::json!([]) && visitors(&live)[0] == 1
    });
    assert_eq!(program.stop(), Some(0));
}

fn post(program: &Program, path: &str, body: Vec<u8>) -> (u16, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let request = Client::new().post(format!("{}{path}", program.collector)).body(body);
    runtime.block_on(async {
        let answer = request.header("x-write-key", "wk_shop_demo").send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    })
}

/// A product view, with more fields if they are given.
fn track(visitor: &str, more: &str) -> String {
    format!(r#"{{"event":"product_view","anonymousId":"{visitor}","messageId":"{visitor}"{more}}}"#)
}

/// The reason of the rejection and the event's line.
fn bad_lines() -> Vec<(&'static str, Vec<u8>)> {
    let nested = format!(r#","properties":{{"a":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    let mut not_utf8 = track("utf8", "").into_bytes();
    not_utf8[12] = 0xff;
    vec![
        ("invalid_json", br#"{"event":"product_view","#.to_vec()),
        ("invalid_json", not_utf8),
        ("invalid_json", b"{\"event\":\"a\0b\",\"anonymousId\":\"nul\"}".to_vec()),
        ("invalid_text", track("escaped", r#","properties":{"a":"\u0000"}"#).into()),
        ("too_deep", track("deep", &nested).into()),
        ("invalid_number", track("huge", r#","properties":{"a":1e999}"#).into()),
        ("timestamp_out_of_range", track("old", r#","timestamp":"0001-01-01T00:00:00Z""#).into()),
        ("timestamp_out_of_range", track("far", r#","timestamp":"9999-12-31T23:59:59Z""#).into()),
        (
            "event_too_large",
            track("large", &format!(r#","properties":{{"a":"{}"}}"#, "x".repeat(50_000))).into(),
        ),
        ("missing_visitor", br#"{"event":"product_view"}"#.to_vec()),
        ("not_an_object", b"[17]".to_vec()),
    ]
}

#[test]
fn bad_events_and_bodies_cost_no_good_one_and_the_program_goes_on() {
    let program = Program::start(SHOP);
    // Good ones around each bad one.
    let bad = bad_lines();
    let mut body = Vec::new();
    for (index, (_, line)) in bad.iter().enumerate() {
        body.extend_from_slice(track(&format!("good {index}"), "").as_bytes());
        body.push(b'\n');
        body.extend_from_slice(line);
        body.push(b'\n');
    }
    let (status, answer) = post(&program, "/v1/events", body);
    assert_eq!((status, answer["accepted"].as_u64()), (200, Some(bad.len() as u64)), "{answer}");
    let rejected: Vec<(u64, &str)> = answer["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| (each["index"].as_u64().unwrap(), each["code"].as_str().unwrap()))
        .collect();
    let expected: Vec<(u64, &str)> =
        bad.iter().enumerate().map(|(index, (code, _))| (index as u64 * 2 + 1, *code)).collect();
    assert_eq!(rejected, expected, "{answer}");

    let whole = |body: &[u8]| {
        let (status, answer) = post(&program, "/v1/batch", body.to_vec());
        (status, answer["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(whole(&vec![b'['; 10 << 20]), (413, "body_too_large".to_owned()));
    for body in [&b"{\"batch\":[{]}"[..], b"\0", b"\xff\xfe", b"", b"17", "[".repeat(100_000).as_bytes()] {
        assert_eq!(whole(body), (400, "invalid_body".to_owned()));
    }

    // What was good is stored and counted, after everything else, and a restart reads it again.
    assert_eq!(post(&program, "/v1/track", track("last", "").into()).0, 200);
    program.until_ready();
    let program = program.restart();
    let good = bad.len() as u64 + 1;
    assert_eq!(program.clickhouse("SELECT count() FROM events FINAL"), good.to_string());
    program.until("all good ones are counted", |program| {
        let live = program.live("shop/purchase", "1h", "");
        live["steps"] != serde_json::json!([]) && visitors(&live)[0] == good
    });
    assert!(!program.said().contains("panicked"), "{}", program.said());
    assert_eq!(program.stop(), Some(0));
}

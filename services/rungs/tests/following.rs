//! What people do with the live page beside looking, on the engines of `rungs up`: see events arrive, follow up on visitors,
//! write notes, compare days.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod program;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use program::Program;
use runtime::now_ms;
use serde_json::{Value, json};

const SETTINGS: &str = "[aggregator]\njourneys_interval = \"500ms\"\n";
const SHOP: &str = "/api/v1/funnels/shop/purchase";

fn program() -> Program {
    let plan = std::fs::read_to_string(program::root().join("examples/shop/tracking-plan.toml")).unwrap();
    Program::start_with(&plan, SETTINGS)
}

/// Status, headers and body of a request with headers.
fn ask(address: &str, headers: &[(&str, &str)], body: Option<&Value>) -> (u16, String, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let http = reqwest::Client::new();
        let request = match body {
            Some(body) => http.post(address).json(body),
            None => http.get(address),
        };
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap();
        let next = response.headers().get("x-next-cursor").map(|next| next.to_str().unwrap().to_owned());
        (response.status().as_u16(), next.unwrap_or_default(), response.text().await.unwrap())
    })
}

fn get(program: &Program, path: &str, headers: &[(&str, &str)]) -> Value {
    let (status, _, body) = ask(&format!("{}{path}", program.console), headers, None);
    assert_eq!(status, 200, "{path}: {body}\n{}", program.said());
    serde_json::from_str(&body).unwrap()
}

fn send(program: &Program, events: &[Value]) -> Value {
    let body = json!({"batch": events});
    let (status, _, answer) =
        ask(&format!("{}/v1/batch", program.collector), &[("x-write-key", "wk_shop_demo")], Some(&body));
    assert_eq!(status, 200, "{answer}");
    serde_json::from_str(&answer).unwrap()
}

fn event(visitor: &str, name: &str) -> Value {
    json!({"type": "track", "event": name, "anonymousId": visitor, "messageId": format!("{visitor} {name}")})
}

#[test]
fn what_arrives_is_listed_within_seconds_accepted_or_rejected() {
    let program = program();
    let recent = |program: &Program| get(program, "/api/v1/sites/shop/recent", &[]);
    assert_eq!(recent(&program)["events"], json!([]));
    // The first events also wait for what is done once.
    send(&program, &[event("warm", "purchase")]);
    program.until("the first event is listed", |program| {
        recent(program)["events"].as_array().unwrap().len() == 1
    });
    let mut late = event("ann", "add_to_cart");
    late["timestamp"] = "2024-05-01T00:00:00Z".into();
    let mut with = event("ann", "product_view");
    with["properties"] = json!({"channel": "email", "price": 12.5});
    let sent = Instant::now();
    send(
        &program,
        &[
            with,
            late,
            event("ann", "prodct_view"),
            json!({"type": "track", "event": "purchase", "messageId": "nobodys", "context": {"ip": "203.0.113.9"}}),
        ],
    );
    program.until("all are listed", |program| recent(program)["events"].as_array().unwrap().len() == 5);
    let took = sent.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    let answer = recent(&program);
    let of = |message: &str| {
        answer["events"]
            .as_array()
            .unwrap()
            .iter()
            .find(|each| each["message_id"] == message)
            .unwrap()
            .clone()
    };
    let view = of("ann product_view");
    assert_eq!(
        (&view["matches"][0]["step"], &view["properties"], &view["why"]),
        (&"view".into(), &json!(["channel", "price"]), &Value::Null)
    );
    let late = of("ann add_to_cart");
    assert_eq!(late["matches"][0]["step"], "cart");
    assert!(late["why"].as_str().unwrap().contains("too late"), "{late}");
    assert!(of("ann prodct_view")["why"].as_str().unwrap().contains("product_view"));
    let refused = of("nobodys");
    assert_eq!(refused["accepted"], false);
    assert!(!refused["reason"].as_str().unwrap().is_empty() && !refused["why"].as_str().unwrap().is_empty());
    assert!((now_ms() - answer["as_of"].as_i64().unwrap()) < 10_000, "{answer}");
    let names = get(&program, "/api/v1/sites/shop/events", &[]);
    let named =
        names["events"].as_array().unwrap().iter().find(|each| each["event"] == "product_view").unwrap();
    assert_eq!(named["properties"], json!([{"name": "channel", "count": 1}, {"name": "price", "count": 1}]));
    assert_eq!(program.stop(), Some(0));
}

/// Every visitor of a step, page after page.
fn visitors(program: &Program, step: &str, state: &str, window: &str, limit: usize) -> Vec<Value> {
    let key = [("x-secret-key", "sk_shop_demo")];
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("{SHOP}/visitors?step={step}&state={state}&window={window}&limit={limit}{cursor}");
        let page = get(program, &path, &key);
        assert_eq!(page["nameless"], 0);
        all.extend(page["visitors"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[test]
fn visitors_on_a_step_are_as_many_as_the_ladder_says() {
    let program = program();
    let import = program.import("examples/shop/clickstream.csv.gz", &["--time-shift-to-now"]);
    assert!(import.ok, "{}", import.err);
    send(
        &program,
        &[
            event("new one", "product_view"),
            event("new two", "product_view"),
            event("new two", "add_to_cart"),
        ],
    );
    let identified =
        json!({"type": "track", "event": "note", "anonymousId": "new one", "userId": "ann@example.org"});
    send(&program, &[identified]);
    let steps = ["view", "cart", "shipping", "payment", "purchase"];
    let listed = |program: &Program| {
        let mut wrong = Vec::new();
        for window in ["7d", "28d"] {
            let ladder = get(program, &format!("{SHOP}/live?window={window}"), &[])["steps"].clone();
            for (position, step) in steps[..4].iter().enumerate() {
                for (state, expected) in
                    [("open", &ladder[position]["open"]), ("dropped", &ladder[position + 1]["drop_off"])]
                {
                    let found = visitors(program, step, state, window, 100);
                    let distinct: BTreeSet<&str> =
                        found.iter().map(|each| each["visitor"].as_str().unwrap()).collect();
                    assert_eq!(distinct.len(), found.len(), "nobody twice");
                    if Some(found.len() as u64) != expected.as_u64() {
                        wrong.push(format!(
                            "{window} {step} {state}: {} listed, {expected} counted",
                            found.len()
                        ));
                    }
                }
            }
        }
        wrong
    };
    program.until_or(
        || format!("{:?}", listed(&program)),
        |program| {
            get(program, &format!("{SHOP}/live?window=28d"), &[])["steps"][0]["visitors"].as_u64() > Some(400)
                && listed(program).is_empty()
        },
    );
    let open = visitors(&program, "1", "open", "7d", 3);
    let new = open.iter().find(|each| each["visitor"] == "new one").expect("who looked a moment ago");
    assert_eq!((&new["user_id"], &new["can_go_on"]), (&"ann@example.org".into(), &true.into()));
    assert!((now_ms() - new["entered_at"].as_i64().unwrap()).abs() < 120_000, "{new}");
    assert!(!open.iter().any(|each| each["visitor"] == "new two"), "who went on");
    let (status, next, csv) = ask(
        &format!("{}{SHOP}/visitors?step=view&state=open&limit=2&format=csv", program.console),
        &[("x-secret-key", "sk_shop_demo")],
        None,
    );
    assert_eq!((status, csv.lines().count()), (200, 3));
    assert!(!next.is_empty());
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn a_note_is_written_by_a_command_and_read_by_the_page() {
    let program = program();
    let annotate = |arguments: &[&str]| {
        program.run(&[&["annotate", "--url", &program.console, "--site", "shop"], arguments].concat())
    };
    let written = annotate(&["--at", "2024-05-15T10:02+02:00", "--id", "sale", "email sent"]);
    assert!(written.ok, "{}", written.err);
    assert_eq!(written.out, "2024-05-15T08:02:00Z email sent (id sale)\n");
    let corrected = annotate(&["--at", "2024-05-15T10:05+02:00", "--id", "sale", "email sent, second try"]);
    assert!(corrected.ok, "{}", corrected.err);
    assert!(annotate(&["now"]).ok);
    let notes = get(&program, "/api/v1/annotations?site=shop", &[])["annotations"].clone();
    let texts: Vec<&str> =
        notes.as_array().unwrap().iter().map(|note| note["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["email sent, second try", "now"]);
    assert_eq!(notes[0]["at"], 1_715_760_300_000_i64);
    let removed = annotate(&["--remove", "sale"]);
    assert!(removed.ok && removed.out == "removed (id sale)\n", "{}{}", removed.out, removed.err);
    let notes = get(&program, "/api/v1/annotations?site=shop", &[])["annotations"].clone();
    assert_eq!(notes.as_array().unwrap().len(), 1, "{notes}");
    let again = annotate(&["--remove", "sale"]);
    assert!(!again.ok && again.err.contains("unknown_note"), "{}", again.err);
    assert!(annotate(&["--id", "sale", "email sent after all"]).ok, "it can be written again");
    let refused = annotate(&["--key", "sk_nobodys", "x"]);
    assert!(!refused.ok && refused.err.contains("wrong_secret_key"), "{}", refused.err);
    let unknown = program.run(&["annotate", "--url", &program.console, "--site", "none", "x"]);
    assert!(!unknown.ok && unknown.err.contains("unknown_site"), "{}", unknown.err);
    assert!(annotate(&["--key", "sk_shop_demo", "with a key"]).ok);
    let program = program.restart();
    assert_eq!(
        get(&program, "/api/v1/annotations?site=shop", &[])["annotations"].as_array().unwrap().len(),
        3
    );
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn today_counts_what_happened_since_midnight_and_its_past_is_there() {
    let program = program();
    let import = program.import("examples/shop/clickstream.csv.gz", &["--time-shift-to-now"]);
    assert!(import.ok, "{}", import.err);
    for day in ["today", "yesterday"] {
        let answer = get(&program, &format!("{SHOP}/report?day={day}&breakdown=channel"), &[]);
        let (from, to) = (answer["from"].as_i64().unwrap(), answer["to"].as_i64().unwrap());
        assert_eq!(from % 86_400_000, 0, "the shop's zone is UTC");
        let same = get(&program, &format!("{SHOP}/report?from={from}&to={to}&breakdown=channel"), &[]);
        assert_eq!(answer, same, "{day}");
    }
    let before = get(&program, &format!("{SHOP}/live?window=7d&previous=true"), &[]);
    let as_of = before["as_of"].as_i64().unwrap();
    assert_eq!(before, get(&program, &format!("{SHOP}/live?window=7d&as_of={as_of}"), &[]));
    assert!(before["steps"][0]["visitors"].as_u64() > Some(0), "{before}");
    // A minute may end between the two.
    program.until("the window before ends where the one of now begins", |program| {
        let before = get(program, &format!("{SHOP}/live?window=7d&previous=true"), &[]);
        before["to"] == get(program, &format!("{SHOP}/live?window=7d"), &[])["from"]
    });
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn a_report_of_more_visitors_than_the_settings_allow_is_refused() {
    let plan = std::fs::read_to_string(program::root().join("examples/shop/tracking-plan.toml")).unwrap();
    let program = Program::start_with(&plan, "[console]\nmax_report_visitors = 2\n");
    let until = now_ms() + 60_000;
    let report = |program: &Program| {
        let address = format!("{}{SHOP}/report?from={}&to={until}", program.console, until - 3_600_000);
        ask(&address, &[], None)
    };
    send(&program, &["one", "two"].map(|visitor| event(visitor, "product_view")));
    program.until("both are counted", |program| {
        let (status, _, body) = report(program);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["steps"][0]["visitors"] == 2
    });
    send(&program, &[event("three", "product_view")]);
    program.until("the third is too many", |program| {
        let (status, _, body) = report(program);
        status == 422 && body.contains("too_many_visitors") && body.contains("max_report_visitors")
    });
    assert_eq!(program.stop(), Some(0));
}

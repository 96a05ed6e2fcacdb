//! `rungs forget` on a running program: an erased visitor leaves numbers, lists and tables, stays away over `kill -9` and
//! whatever is sent again, and everybody else stays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod program;

use program::answers::{visitors, visitors_of};
use program::sending::{Event, Form, acknowledged};
use program::{Ended, Program};

const PLAN: &str = r#"
[[sites]]
id = "shop"
write_keys = ["wk"]
secret_keys_sha256 = ["b5a797b61eb1e833f42c5f119c6ce8e2a1cc50d0b5523e700a0951f014cb746c"]
[[funnels]]
site = "shop"
id = "purchase"
conversion_window = "2h"
rolling_windows = ["1h"]
breakdowns = ["channel"]
[[funnels.steps]]
id = "view"
event = "view"
[[funnels.steps]]
id = "buy"
event = "buy"
"#;
const SECRET_KEY: &str = "sk_shop_demo";
const SETTINGS: &str = "[aggregator]\nevents_interval = \"50ms\"\njourneys_interval = \"150ms\"\nerasure_interval = \"1s\"\n\
    [log]\npartitions = 2\n[logging]\nlevel = \"warn\"\n";

/// Sends that the visitors viewed and bought.
fn climb(program: &Program, names: &[&str]) {
    let step = |visitor: &str, event: &str| Event {
        visitor: visitor.into(),
        event: event.into(),
        id: format!("{visitor} {event}"),
        at_ms: None,
        channel: visitor.into(),
    };
    let events: Vec<Event> = names.iter().flat_map(|name| [step(name, "view"), step(name, "buy")]).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let request = Form::Batch.request(&reqwest::Client::new(), &program.collector, "wk", &events);
        assert_eq!(acknowledged(request).await, Some(events.len() as u64));
    });
}

/// An event without a visitor's name in time: it is rejected, and a sample of it kept.
fn be_rejected(program: &Program, visitor: &str) {
    let body = serde_json::json!({"event": "view", "anonymousId": visitor, "timestamp": "never"}).to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let request = reqwest::Client::new().post(format!("{}/v1/events", program.collector));
        let answer = request.header("x-write-key", "wk").body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    });
}

fn forget(program: &Program, more: &[&str]) -> Ended {
    program.run(&[&["forget", "--url", &program.collector, "--site", "shop"], more].concat())
}

fn until_live(program: &Program, wanted: &[u64]) {
    let live = |program: &Program| program.live("shop/purchase", "1h", "channel");
    program.until_or(
        || format!("{wanted:?} in {}", live(program)),
        |program| live(program)["steps"].is_array() && visitors(&live(program)) == wanted,
    );
}

/// Rows that tables hold of a visitor: raw events, rejected ones, all journeys.
fn left(program: &Program, visitor: &str) -> String {
    program.clickhouse(&format!(
        "SELECT (SELECT count() FROM events WHERE visitor_id = '{visitor}'), \
         (SELECT count() FROM rejected_events WHERE visitor_id = '{visitor}'), \
         (SELECT uniqExact(visitor) FROM journeys)"
    ))
}

fn until_left(program: &Program, visitor: &str, wanted: &str) {
    let wanted = wanted.replace(' ', "\t");
    program.until_or(
        || format!("{wanted:?} of {visitor}, not {:?}", left(program, visitor)),
        |program| left(program, visitor) == wanted,
    );
}

#[test]
fn an_erased_visitor_is_gone_from_numbers_and_tables_and_does_not_come_back() {
    let program = Program::start_with(PLAN, SETTINGS);
    program.until_ready();
    climb(&program, &["ann", "bob", "cy"]);
    be_rejected(&program, "ann");
    until_live(&program, &[3, 3]);
    until_left(&program, "ann", "2 1 3");

    let refused = forget(&program, &["--key", "wk", "--visitor", "ann"]);
    assert!(!refused.ok && refused.err.contains("secret key"), "{}", refused.err);
    let key_file = program.write("key", &format!("{SECRET_KEY}\n"));
    let ended = forget(&program, &["--key-file", &key_file, "--visitor", "ann"]);
    assert!(ended.ok && ended.out == "erased: ann\n", "{}{}", ended.out, ended.err);

    let nobody = forget(&program, &["--key", SECRET_KEY, "--visitor", "anne"]);
    assert!(nobody.ok && nobody.out.starts_with("erased: anne: no event of it is stored"), "{}", nobody.out);

    until_live(&program, &[2, 2]);
    let live = program.live("shop/purchase", "1h", "channel");
    assert!(visitors_of(&live, "ann").iter().all(|count| *count == 0), "{live}");
    assert_eq!(visitors_of(&live, "bob"), [1, 1]);
    until_left(&program, "ann", "0 0 2");
    assert_eq!(
        program.clickhouse("SELECT site, visitor_id FROM erasures ORDER BY 2"),
        "shop\tann\nshop\tanne"
    );
    let told =
        program.run(&["trace", "--clickhouse", &program.clickhouse, "--site", "shop", "--visitor", "ann"]);
    assert!(told.ok && told.out.starts_with("erased: visitor ann"), "{}{}", told.out, told.err);

    let program = program.kill().start();
    program.until_ready();
    climb(&program, &["ann", "dan"]);
    until_live(&program, &[3, 3]);
    program.until("counted as erased", |program| {
        program.metrics().lines().any(|line| line == "rungs_aggregator_erased_events_total 2")
    });
    until_left(&program, "ann", "0 0 3");
    until_left(&program, "dan", "2 0 3");

    // A build from raw, and reports of the past, leave the visitor out too.
    program.change_plan(&PLAN.replace("conversion_window = \"2h\"", "conversion_window = \"3h\""));
    program.until("built anew", |program| {
        program.clickhouse(
            "SELECT countDistinct(definition) FROM progress WHERE funnel != '' AND state = 'complete'",
        ) == "2"
    });
    until_live(&program, &[3, 3]);

    let file = program.write("leaving", "bob\ncy\n");
    let ended = forget(&program, &["--key", SECRET_KEY, "--visitors", &file]);
    assert!(ended.ok && ended.out == "erased: bob\nerased: cy\n", "{}{}", ended.out, ended.err);
    until_live(&program, &[1, 1]);
    until_left(&program, "bob", "0 0 1");
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn an_import_of_erased_visitors_ends_at_once_and_says_how_many_rows_are_not_stored() {
    let program = Program::start_with(PLAN, SETTINGS);
    program.until_ready();
    assert!(forget(&program, &["--key", SECRET_KEY, "--visitor", "ann"]).ok);
    let import = |name: &str, rows: &str| {
        let file = program.write(name, &format!("who,what,when\n{rows}"));
        program.import_with(&file, &["--visitor", "who", "--event", "what", "--time", "when"])
    };
    let told = |ended: &Ended, expected: &[&str]| {
        assert!(
            ended.ok && expected.iter().all(|text| ended.err.contains(text)),
            "{expected:?} in {}",
            ended.err
        );
    };
    let mixed = "bob,view,2024-05-01\nann,view,2024-05-01\nann,buy,2024-05-02\n";
    told(
        &import("mixed", mixed),
        &["1 row is stored and counted", "2 rows are not stored: of visitors who were erased"],
    );
    let alone = "ann,view,2024-05-01\n";
    told(&import("alone", alone), &["0 rows are stored", "1 row is not stored: of visitors who were erased"]);
    told(&import("alone", alone), &["imported already: 0 rows are stored; nothing was added"]);

    // Who is erased afterwards does not make the import anew.
    assert!(forget(&program, &["--key", SECRET_KEY, "--visitor", "bob"]).ok);
    until_left(&program, "bob", "0 0 0");
    told(&import("mixed", mixed), &["imported already: 0 rows are stored", "3 rows are not stored"]);

    let corrected = import("mixed", "cy,view,2024-05-01\n");
    told(&corrected, &["was imported before, with other content", "1 row is stored and counted"]);
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn copies_of_what_was_there_before_do_not_keep_an_import_from_being_whole_and_are_nobodys_who_was_erased() {
    let program = Program::start_with(PLAN, SETTINGS);
    program.until_ready();
    climb(&program, &["ann", "bob"]);
    until_live(&program, &[2, 2]);
    let ask = |method: reqwest::Method, path: &str, body: &str| -> serde_json::Value {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let request = reqwest::Client::new().request(method, format!("{}{path}", program.collector));
            let answer =
                request.header("x-write-key", SECRET_KEY).body(body.to_owned()).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            answer.json().await.unwrap()
        })
    };
    let row = |visitor: &str, id: &str| {
        serde_json::json!({"event": "view", "anonymousId": visitor, "messageId": id, "timestamp": "2024-05-01"}).to_string()
    };
    let rows = [row("ann", "ann view"), row("bob", "bob view"), row("cy", "cy view")].join("\n");
    assert_eq!(ask(reqwest::Method::POST, "/v1/events?import=may", &rows)["accepted"], 3);
    let status = || ask(reqwest::Method::GET, "/v1/imports/may", "");
    program.until("the new row is stored", |program| {
        program.clickhouse("SELECT count() FROM events WHERE import_id = 'may'") != "0"
    });
    assert_eq!(status()["state"], "building", "its end was not told");
    assert_eq!(status()["not_stored_rows"], 0, "they may come yet");
    ask(reqwest::Method::POST, "/v1/imports/may/complete", r#"{"accepted_rows":3}"#);
    program.until_or(|| status().to_string(), |_| status()["state"] == "ready");
    let whole =
        serde_json::json!({"stored_rows": 1, "not_stored_rows": 2, "state": "ready", "progress": 1.0});
    assert_eq!(status(), whole);
    assert!(forget(&program, &["--key", SECRET_KEY, "--visitor", "somebody"]).ok);
    program
        .until("the erasure is stored", |program| program.clickhouse("SELECT count() FROM erasures") == "1");
    assert_eq!(status(), whole);
    assert_eq!(program.stop(), Some(0));
}

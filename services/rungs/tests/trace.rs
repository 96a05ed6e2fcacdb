//! Where events went: `rungs trace` on the engines of `rungs up`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod program;

use std::process::Command;

use program::{Ended, Program};
use serde_json::{Value, json};

const SHOP: &str = "examples/shop/tracking-plan.toml";
const KEY: &str = "wk_shop_demo";

fn send(program: &Program, body: &str) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let request = reqwest::Client::new().post(format!("{}/v1/events", program.collector));
        let answer = request.header("x-write-key", KEY).body(body.to_owned()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    })
}

fn trace(program: &Program, arguments: &[&str]) -> Ended {
    let target = ["trace", "--clickhouse", &program.clickhouse, "--site", "shop"];
    program.run(&[&target[..], arguments].concat())
}

/// Asks until the answer has what is expected.
fn until_told(program: &Program, arguments: &[&str], expected: &[&str]) -> Ended {
    program.until_some_or(
        || {
            let ended = trace(program, arguments);
            format!("{arguments:?}: {expected:?} in\n{}{}", ended.out, ended.err)
        },
        |program| {
            let ended = trace(program, arguments);
            expected.iter().all(|text| ended.out.contains(text)).then_some(ended)
        },
    )
}

#[test]
fn an_event_is_found_where_it_went() {
    let program = Program::start(SHOP);
    let events = [
        json!({"event": "product_view", "anonymousId": "ann", "messageId": "counted"}),
        json!({"event": "product_view", "anonymousId": "ann", "messageId": "late", "timestamp": "2024-05-01T00:00:00Z"}),
        json!({"event": "prodct_view", "anonymousId": "ann", "messageId": "misspelt"}),
        json!({"event": "product_view", "messageId": "nobodys", "context": {"ip": "203.0.113.9"}}),
    ];
    let lines =
        events.map(|event| event.to_string()).join("\n") + "\n{\"event\": \"product_view\", \"messageId\": 1";
    let answer = send(&program, &lines);
    assert_eq!((answer["accepted"].as_u64(), answer["rejected"].as_array().unwrap().len()), (Some(3), 2));

    // By which plan it counts is stored a little later than the event.
    let expected = ["stored: product_view of visitor ann", "is step 1"];
    let counted = until_told(&program, &["--message-id", "counted"], &expected);
    assert!(counted.ok, "{}", counted.out);
    let bought = json!({"event": "purchase", "anonymousId": "cy", "messageId": "bought"}).to_string();
    send(&program, &bought);
    let bought = ["does not count: the visitor had not taken step 1 (view)"];
    until_told(&program, &["--message-id", "bought"], &bought);
    assert!(!counted.out.contains("late:"), "{}", counted.out);
    until_told(&program, &["--message-id", "late"], &["late: older than [aggregator] horizon"]);
    until_told(&program, &["--message-id", "misspelt"], &["no step of shop has the event prodct_view"]);
    let of_ann =
        until_told(&program, &["--visitor", "ann"], &["message counted", "message late", "message misspelt"]);
    assert!(of_ann.out.find("message late") < of_ann.out.find("message counted"), "{}", of_ann.out);

    let rejected = until_told(&program, &["--message-id", "nobodys"], &["missing_visitor", "(events)"]);
    assert!(rejected.ok && rejected.out.contains("\"event\":\"product_view\""), "{}", rejected.out);
    assert!(!rejected.out.contains("203.0.113.9"), "a context is not kept: {}", rejected.out);

    let hints =
        ["nothing of the message never sent", "counted up to offset", "invalid_json", "missing_visitor"];
    let ask = || trace(&program, &["--message-id", "never sent"]);
    // What was rejected is stored a little later, and not all of it at once.
    let told_all = |_: &Program| {
        let told = ask().err;
        hints.iter().all(|hint| told.contains(hint))
    };
    program.until_or(|| format!("{hints:?} in {}", ask().err), told_all);
    let unknown = ask();
    assert!(!unknown.ok && unknown.out.is_empty(), "{}", unknown.out);
    let elsewhere = program.run(&[
        "trace",
        "--clickhouse",
        &program.clickhouse,
        "--site",
        "blog",
        "--message-id",
        "counted",
    ]);
    assert!(elsewhere.err.contains("the site shop has it"), "{}", elsewhere.err);
    assert!(elsewhere.err.contains("no site blog"), "{}", elsewhere.err);
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn a_site_that_wants_its_events_gone_sooner_changes_those_that_are_stored() {
    let plan = std::fs::read_to_string(program::root().join(SHOP)).unwrap();
    let program = Program::start_with(&plan, "");
    send(&program, &json!({"event": "product_view", "anonymousId": "ann", "messageId": "old"}).to_string());
    let kept =
        |program: &Program| program.clickhouse("SELECT message_id, retention_days FROM events ORDER BY 1");
    program.until_or(|| format!("stored: {}", kept(&program)), |program| kept(program).contains("old"));
    assert!(kept(&program).ends_with('0'), "as the settings say: {}", kept(&program));
    program.change_plan(&plan.replacen("id = \"shop\"", "id = \"shop\"\nretention = \"90d\"", 1));
    program.until_or(|| format!("kept: {}", kept(&program)), |program| kept(program).ends_with("90"));
    send(&program, &json!({"event": "product_view", "anonymousId": "ann", "messageId": "new"}).to_string());
    let both = |program: &Program| kept(program).lines().filter(|line| line.ends_with("90")).count() == 2;
    program.until_or(|| format!("kept: {}", kept(&program)), both);
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn processes_that_migrate_at_once_make_one_schema() {
    let program = Program::start(SHOP);
    let migrate = || {
        let mut command: Command = program.command(&["migrate"]);
        command
            .env("RUNGS_CLICKHOUSE__URL", &program.clickhouse)
            .env("RUNGS_CLICKHOUSE__DATABASE", "at_once");
        std::thread::spawn(move || Ended::of(command))
    };
    let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/warehouse/migrations");
    let newest = std::fs::read_dir(migrations).unwrap().count();
    let migrating: Vec<_> = (0..4).map(|_| migrate()).collect();
    for ended in migrating {
        let ended = ended.join().unwrap();
        let version = format!("the database at_once has schema version {newest}\n");
        assert!(ended.ok && ended.err.contains(&version), "{}", ended.err);
    }
    let tables = |database: &str| {
        let sql = "SELECT arrayStringConcat(groupArray(replaceAll(create_table_query, database, '')), ';') FROM \
                   (SELECT * FROM system.tables WHERE database = '{}' ORDER BY name)";
        program.clickhouse(&sql.replace("{}", database))
    };
    assert_eq!(tables("at_once"), tables("rungs"));
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn an_event_for_which_its_visitor_had_sent_too_many_is_told_to_wait_for_a_build_until_there_was_one() {
    let settings = "[aggregator]\nmax_tail_events = 3\n";
    let program =
        Program::start_with(&std::fs::read_to_string(program::root().join(SHOP)).unwrap(), settings);
    let settings = program.write("trace.toml", settings);
    let told = |message: &str, expected: &[&str]| {
        until_told(&program, &["--settings", &settings, "--message-id", message], expected)
    };
    let event = |event: &str, message: &str| {
        json!({"event": event, "anonymousId": "ann", "messageId": message}).to_string()
    };
    let views = ["m1", "m2", "m3", "m4"].map(|message| event("product_view", message)).join("\n");
    assert_eq!(send(&program, &views)["accepted"], 4);
    told("m3", &["is step 1", "and counts: a climb begins"]);
    let waits = told("m4", &["matches step 1", "was not counted live", "had 3 events of the visitor"]);
    assert!(waits.out.contains("rungs rebuild --site shop --funnel"), "{}", waits.out);
    let rebuilt =
        program.run(&["rebuild", "--url", &program.collector, "--key", "sk_shop_demo", "--site", "shop"]);
    assert!(rebuilt.ok, "{}", rebuilt.err);
    told("m4", &["is step 1", "and counts: a climb begins"]);
    assert_eq!(program.stop(), Some(0));
}

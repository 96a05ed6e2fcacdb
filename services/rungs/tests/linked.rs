//! A site that joins ids, on a running program with two partitions: two devices of one user are one visitor after a build, the
//! second user of a shared device and those who are "guest" stay apart, also over `kill -9`; and who is erased leaves alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod program;

use program::Program;
use program::answers::visitors;
use runtime::now_ms;
use serde_json::{Value, json};

const SETTINGS: &str = "[aggregator]\nevents_interval = \"50ms\"\njourneys_interval = \"150ms\"\nlink_interval = \"1m\"\n\
    [log]\npartitions = 2\n[logging]\nlevel = \"warn\"\n";
const PLAN: &str = "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\nidentity = \"links\"\n\
    secret_keys_sha256 = [\"b5a797b61eb1e833f42c5f119c6ce8e2a1cc50d0b5523e700a0951f014cb746c\"]\n\
    [[funnels]]\nsite = \"shop\"\nid = \"purchase\"\nconversion_window = \"2h\"\nrolling_windows = [\"7d\"]\n\
    [[funnels.steps]]\nid = \"view\"\nevent = \"view\"\n[[funnels.steps]]\nid = \"buy\"\nevent = \"buy\"\n";

/// Sends what devices did, of which some name a user: (device, user, event).
fn send(program: &Program, events: &[(&str, &str, &str)]) {
    let event = |(device, user, event): &(&str, &str, &str)| {
        let mut json = json!({ "type": "track", "event": event, "anonymousId": device });
        if *event == "identify" {
            json["type"] = Value::from("identify");
        }
        if !user.is_empty() {
            json["userId"] = Value::from(*user);
        }
        json
    };
    let batch: Vec<Value> = events.iter().map(event).collect();
    let body = json!({ "writeKey": "wk", "batch": batch }).to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let request = reqwest::Client::new().post(format!("{}/v1/batch", program.collector)).body(body);
        request.send().await.unwrap().text().await.unwrap()
    });
    assert!(answer.contains(&format!("\"accepted\":{}", events.len())), "{answer}");
}

fn until_live(program: &Program, wanted: &[u64]) {
    let live = |program: &Program| program.ask("shop/purchase", "live", &[("window", "7d")]).1;
    program.until_or(
        || format!("{wanted:?} in {}", live(program)),
        |program| live(program)["steps"].is_array() && visitors(&live(program)) == wanted,
    );
}

/// Orders the site anew, and waits until it is counted by a set of links that was made after that.
fn rebuild(program: &Program) {
    let newest = |program: &Program| {
        program.clickhouse("SELECT max(number) FROM link_sets WHERE announced").parse::<u64>().unwrap()
    };
    let before = newest(program);
    let target = ["rebuild", "--url", &program.collector, "--key", "sk_shop_demo", "--site", "shop"];
    let ended = program.run(&target);
    assert!(ended.ok, "{}{}", ended.out, ended.err);
    program.until("a set of links that is newer", |program| newest(program) > before);
    let complete = format!(
        "SELECT countDistinct(log_partition) FROM progress WHERE state = 'complete' AND generation >= {}",
        newest(program)
    );
    program.until("a build by it", |program| program.clickhouse(&complete) == "2");
}

fn until_stored(program: &Program, events: &str) {
    program
        .until("they are stored", |program| program.clickhouse("SELECT count() FROM events FINAL") == events);
}

/// How many events of the log waited for the next build because another id counts them.
fn linked(program: &Program) -> u64 {
    let line = "rungs_aggregator_folded_events_total{outcome=\"linked\"} ";
    let found = program.metrics().lines().find_map(|at| at.strip_prefix(line).map(str::to_owned));
    found.unwrap().parse().unwrap()
}

fn report(program: &Program) -> Vec<u64> {
    let (from, to) = ((now_ms() - 3_600_000).to_string(), (now_ms() + 60_000).to_string());
    let (status, answer) = program.ask("shop/purchase", "report", &[("from", &from), ("to", &to)]);
    assert_eq!(status, 200, "{answer}");
    visitors(&answer)
}

#[test]
fn devices_of_a_user_are_one_visitor_and_others_stay_apart() {
    let program = Program::start_with(PLAN, SETTINGS);
    program.until_ready();
    send(
        &program,
        &[
            ("phone", "", "view"),
            ("phone", "ann", "identify"),
            ("tv", "dan", "view"),
            ("tablet", "cy", "view"),
            ("g1", "guest", "view"),
            ("g2", "guest", "buy"),
        ],
    );
    until_stored(&program, "6");
    send(&program, &[("laptop", "ann", "buy"), ("tablet", "dan", "buy")]);
    // Each id by itself: phone, TV, tablet and g1 viewed; of them the tablet bought.
    until_live(&program, &[4, 1]);

    rebuild(&program);
    // Ann viewed on her phone and bought on her laptop, dan viewed on his TV and bought on the tablet that is cy's.
    until_live(&program, &[4, 2]);
    let persons =
        "SELECT countDistinct(person) FROM links WHERE number = (SELECT max(number) FROM link_sets)";
    assert_eq!(program.clickhouse(persons), "3");
    assert_eq!(report(&program), [4, 2]);
    send(&program, &[("tablet", "dan", "buy"), ("phone", "", "view")]);
    until_stored(&program, "10");
    program.until("they wait", |program| linked(program) == 2);
    until_live(&program, &[4, 2]);

    let program = program.kill().start();
    program.until_ready();
    until_live(&program, &[4, 2]);
    send(&program, &[("phone", "", "view"), ("laptop", "ann", "view"), ("watch", "ann", "view")]);
    until_stored(&program, "13");
    program.until("it waits", |program| linked(program) >= 1);
    // The watch is not known yet.
    until_live(&program, &[5, 2]);
    rebuild(&program);
    until_live(&program, &[4, 2]);

    // The watch is whom ann goes by now. Without it she bought all the same, and the next set says so by itself.
    let forget =
        ["forget", "--url", &program.collector, "--key", "sk_shop_demo", "--site", "shop", "--visitor"];
    let ended = program.run(&[&forget[..], &["watch"]].concat());
    assert!(ended.ok, "{}{}", ended.out, ended.err);
    until_live(&program, &[3, 1]);
    until_live(&program, &[4, 2]);
    let ended = program.run(&[&forget[..], &["laptop"]].concat());
    assert!(ended.ok, "{}{}", ended.out, ended.err);
    until_live(&program, &[4, 1]);
    assert_eq!(program.stop(), Some(0));
}

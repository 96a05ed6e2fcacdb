//! Commands that need nothing running.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

fn rungs(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rungs"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .env_remove("RUNGS_IMPORT_KEY")
        .args(arguments)
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_example_plans_are_right_and_are_told_their_cost() {
    for plan in ["shop", "ladder", "demo"] {
        let output = rungs(&["check", &format!("examples/{plan}/tracking-plan.toml")]);
        assert_eq!(output.status.code(), Some(0), "{}", out(&output));
        assert!(out(&output).contains("Cost:"), "{}", out(&output));
    }
}

#[test]
fn every_mistake_of_a_plan_and_of_settings_is_shown_with_its_line_and_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, settings) = (folder.path().join("plan.toml"), folder.path().join("rungs.toml"));
    std::fs::write(&plan, "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\n[[funnels]]\nsite = \"shpo\"\nid = \"buy\"\nrolling_windows = [\"7 weeks\"]\n").unwrap();
    std::fs::write(&settings, "[collector]\nlisten = \"nowhere\"\nworker = 3\n").unwrap();
    let (plan, settings) = (plan.to_str().unwrap(), settings.to_str().unwrap());
    let output = rungs(&["check", plan, "--settings", settings]);
    assert_eq!(output.status.code(), Some(1));
    let text = out(&output);
    for expected in [
        "rungs.toml:2: error:",
        "rungs.toml:3: error:",
        "plan.toml:5: error:",
        "plan.toml:7: error:",
        "     5 | site = \"shpo\"\n  hint: did you mean \"shop\"?",
    ] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    assert!(err(&output).contains("mistakes found"), "{}", err(&output));
}

#[test]
fn services_that_need_kafka_say_so_and_end_with_2() {
    for service in ["collector", "aggregator", "console"] {
        let output = rungs(&[service]);
        assert_eq!(output.status.code(), Some(2));
        assert!(err(&output).contains("rungs up"), "{}", err(&output));
    }
}

#[test]
fn who_is_not_running_is_named_with_what_to_do() {
    let plan = rungs(&["plan", "show", "--admin", "http://127.0.0.1:9"]);
    assert_eq!(plan.status.code(), Some(1));
    assert!(err(&plan).contains("is `rungs up` running"), "{}", err(&plan));
    let report =
        rungs(&["report", "--url", "http://127.0.0.1:9", "--site", "s", "--funnel", "f", "--window", "7d"]);
    assert_eq!(report.status.code(), Some(1));
    assert!(err(&report).contains("is `rungs up` running"), "{}", err(&report));
    let trace = rungs(&["trace", "--clickhouse", "http://127.0.0.1:9", "--site", "s", "--visitor", "v"]);
    assert_eq!(trace.status.code(), Some(1));
    assert!(
        err(&trace).contains("http://127.0.0.1:9") && err(&trace).contains("--clickhouse"),
        "{}",
        err(&trace)
    );
}

#[test]
fn an_import_that_cannot_begin_says_why() {
    let import = |file: &str, visitor: &str| {
        let base =
            ["import", "--url", "http://127.0.0.1:9", "--key", "k", "--site", "shop", "--event", "event"];
        let rest = ["--time", "timestamp", "--time-shift-to-now", "--visitor", visitor, file];
        rungs(&[&base[..], &rest[..]].concat())
    };
    let missing = import("examples/shop/nothing.csv", "user_id");
    assert!(err(&missing).contains("examples/shop/nothing.csv cannot be read"), "{}", err(&missing));
    let column = import("examples/shop/clickstream.csv.gz", "visitor");
    assert!(
        err(&column).contains("there is no column visitor; the first line names: user_id"),
        "{}",
        err(&column)
    );
    assert_eq!((missing.status.code(), column.status.code()), (Some(1), Some(1)));
}

#[test]
fn a_strange_command_line_ends_with_2() {
    assert_eq!(rungs(&["import", "--property", "channel"]).status.code(), Some(2));
    assert_eq!(
        rungs(&["report", "--site", "s", "--funnel", "f", "--from", "2024-01-01"]).status.code(),
        Some(2)
    );
    assert_eq!(rungs(&[]).status.code(), Some(2));
}

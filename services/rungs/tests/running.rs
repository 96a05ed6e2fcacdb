//! The whole program, started as people start it, on ports that the system chooses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod program;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use program::{Ended, Program};

const SHOP: &str = "examples/shop/tracking-plan.toml";
const CLICKSTREAM: &str = "examples/shop/clickstream.csv.gz";

/// The visitors of each step.
fn visitors(report: &serde_json::Value) -> Vec<u64> {
    report["steps"].as_array().unwrap().iter().map(|step| step["visitors"].as_u64().unwrap()).collect()
}

#[test]
fn an_import_is_counted_at_its_own_times_and_a_second_one_adds_nothing() {
    let program = Program::start(SHOP);
    let first = program.import(CLICKSTREAM, &[]);
    assert!(first.ok, "{}", first.err);
    assert!(first.err.contains("31106 rows are stored and counted"), "{}", first.err);

    let report = program.report(&["--window", "7d", "--as-of", "2024-05-15T00:00Z"]);
    assert_eq!(visitors(&report), [158, 61, 25, 11, 1]);
    let report =
        program.report(&["--window", "28d", "--as-of", "2024-05-15T00:00Z", "--breakdown", "channel"]);
    assert_eq!(visitors(&report), [417, 214, 120, 46, 16]);
    let report_of_all = program.report(&["--from", "2024-01-01", "--to", "2024-07-02"]);
    assert_eq!(visitors(&report_of_all), [598, 487, 333, 190, 70]);
    let email = report["breakdown"].as_array().unwrap().iter().find(|part| part["value"] == "email").unwrap();
    assert_eq!(visitors(email), [75, 40, 24, 9, 4]);
    let table = program.run(&["report", "--url", &program.console, "--site", "shop", "--funnel", "purchase"]);
    assert!(table.ok && table.out.contains("Viewed a product"), "{}{}", table.out, table.err);

    let second = program.import(CLICKSTREAM, &[]);
    assert!(second.ok, "{}", second.err);
    assert!(
        second.err.contains("imported already: 31106 rows are stored; nothing was added"),
        "{}",
        second.err
    );

    let program = program.restart();
    let report = program.report(&["--window", "24h", "--as-of", "2024-05-15T00:00Z"]);
    assert_eq!(visitors(&report), [28, 12, 4, 2, 0]);
    let third = program.import(CLICKSTREAM, &[]);
    assert!(third.ok && third.err.contains("nothing was added"), "{}", third.err);
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn an_interrupted_import_goes_on_after_the_last_acknowledged_row_and_stores_none_twice() {
    let program = Program::start(SHOP);
    assert!(program.import(CLICKSTREAM, &[]).ok);
    // As after an interruption: 9,000 rows sent and only 8,000 acknowledgements written down.
    program.change_import_position(|position| {
        position["completed"] = false.into();
        position["acked_rows"] = 8_000.into();
        position["accepted_rows"] = 8_000.into();
    });
    let resumed = program.import(CLICKSTREAM, &[]);
    assert!(resumed.ok, "{}", resumed.err);
    assert!(resumed.err.contains("going on: 8000 rows sent before"), "{}", resumed.err);
    assert!(resumed.err.contains("31106 rows are stored and counted"), "{}", resumed.err);
    assert_eq!(program.clickhouse("SELECT count() FROM events FINAL"), "31106");
    assert_eq!(program.clickhouse("SELECT uniqExact(message_id) FROM events"), "31106");
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn an_import_into_a_new_data_folder_begins_anew_whatever_an_earlier_position_says() {
    let program = Program::start(SHOP);
    assert!(program.import(CLICKSTREAM, &["--time-shift-to-now"]).ok);
    let program = program.restart_without_data();
    let again = program.import(CLICKSTREAM, &["--time-shift-to-now"]);
    assert!(again.ok && again.err.contains("31106 rows are stored and counted"), "{}", again.err);
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn an_import_with_rows_that_cannot_be_stored_lists_them_and_fails() {
    let program = Program::start(SHOP);
    let file = program.write(
        "events.csv",
        "who,what,when\nann,product_view,2024-05-01\nbob,product_view,soon\ncy,,2024-05-01\n",
    );
    let arguments = ["--visitor", "who", "--event", "what", "--time", "when"];
    let target = ["import", "--url", &program.collector, "--key", "sk_shop_demo", "--site", "blog", &file];
    let elsewhere = program.run(&[&target[..], &arguments].concat());
    let refusal = "the key belongs to the site \"shop\", not to \"blog\"";
    assert!(!elsewhere.ok && elsewhere.err.contains(refusal), "{}", elsewhere.err);
    let import = program.import_with(&file, &arguments);
    assert!(!import.ok);
    for expected in [
        "line 3: when is no time: \"soon\"",
        "line 4: what is empty",
        "2 rows are not stored",
        "1 row is stored",
    ] {
        assert!(import.err.contains(expected), "{expected} in\n{}", import.err);
    }
    assert_eq!(program.stop(), Some(0));
}

#[test]
fn a_start_waits_for_a_process_that_is_dying_and_names_one_that_is_not() {
    let program = Program::start(SHOP);
    let (plan, data) = (program.path().join("plan.toml"), program.path().join("data"));
    let any = "127.0.0.1:0";
    let mut up =
        program.command(&["up", "--listen", any, "--console", any, "--admin", any, "--clickhouse", any]);
    up.arg("--plan").arg(plan).arg("--data-dir").arg(data);
    let held = Ended::of(clone_of(&up));
    assert!(!held.ok && held.err.contains("waiting up to 5 s for process"), "{}", held.err);
    assert!(held.err.contains("in use by process"), "{}", held.err);

    let mut second = up.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(second.stderr.take().unwrap()).lines().map_while(Result::ok);
    let waits = said.find(|line| line.contains("waiting up to 5 s"));
    let killed = program.kill();
    let started = said.find(|line| line.contains("Ctrl-C stops it"));
    second.kill().unwrap();
    second.wait().unwrap();
    assert!(waits.is_some() && started.is_some(), "{waits:?} {started:?}");
    assert_eq!(killed.start().stop(), Some(0));
}

fn clone_of(command: &Command) -> Command {
    let mut clone = Command::new(command.get_program());
    clone.args(command.get_args()).current_dir(command.get_current_dir().unwrap());
    clone
}

#[test]
fn plans_are_applied_shown_and_listed_while_it_runs() {
    let program = Program::start(SHOP);
    let shown = program.plan(&["show"]);
    assert!(shown.ok && shown.out.contains("id = \"shop\""), "{}{}", shown.out, shown.err);

    let broken = program.write("broken.toml", "[[sites]]\nidd = 1\n");
    let refused = program.plan(&["apply", &broken]);
    assert!(
        !refused.ok && refused.out.contains("broken.toml:2: error: unknown key `idd`"),
        "{}",
        refused.out
    );

    let compared = program.plan(&["diff", "examples/demo/tracking-plan.toml"]);
    assert!(compared.ok && compared.out.contains("+ site ladder is new"), "{}", compared.out);
    assert_eq!(program.plan(&["history"]).out.lines().count(), 2, "a comparison changes nothing");
    let applied = program.plan(&["apply", "examples/demo/tracking-plan.toml"]);
    assert!(applied.ok && applied.err.contains("plan 2 is in force"), "{}", applied.err);
    let again = program.plan(&["apply", "examples/demo/tracking-plan.toml"]);
    assert!(again.ok && again.err.contains("in force already"), "{}", again.err);
    let history = program.plan(&["history"]);
    assert_eq!(history.out.lines().count(), 3, "{}", history.out);

    program.change_plan(
        &std::fs::read_to_string(program::root().join("examples/ladder/tracking-plan.toml")).unwrap(),
    );
    program
        .until("the changed file is in force", |program| program.plan(&["history"]).out.lines().count() == 4);
    assert!(!program.plan(&["show"]).out.contains("id = \"shop\""));
    assert!(program.said().contains("- site shop ends: its keys are refused"), "{}", program.said());
    assert!(program.plan(&["show", "--number", "2"]).out.contains("id = \"shop\""));
    assert!(!program.plan(&["show", "--number", "77"]).ok);
    assert_eq!(program.stop(), Some(0));
}

//! Rules that every source keeps. Exceptions stand here with their reason.

use crate::{docs, none, tree};

const MAX_LINES: usize = 400;

/// Where something may sleep (a file, or all in a folder), and why.
const SLEEPS: &[(&str, &str)] = &[
    (
        "crates/event-log/src/kafka/",
        "polls a client that has no signal; waits for acknowledgements at the end",
    ),
    ("crates/event-log/src/local/database.rs", "fjall closes its files in the background and has no signal"),
    ("crates/event-log/src/local/writer.rs", "gathers what arrives at the same moment"),
    ("crates/event-log/src/spill/", "waits for acknowledgements at the end"),
    ("crates/event-log/tests/", "waits for what a broker does, with a deadline"),
    ("crates/kafka-server/", "waits for a broker, with a deadline"),
    ("crates/warehouse/examples/", "the pace of a measurement"),
    ("crates/warehouse/src/client.rs", "a pause before another attempt"),
    ("crates/runtime/src/retry.rs", "a pause before another attempt"),
    ("crates/warehouse/src/embedded/response.rs", "gathers small parts of an answer"),
    ("crates/warehouse/src/live.rs", "a pause until partitions wrote the same minute"),
    ("crates/warehouse/tests/embedded_measure.rs", "measures over a time; run by hand"),
    ("crates/warehouse/tests/reads/erasures.rs", "waits for a mutation, with a deadline"),
    ("crates/warehouse/tests/reads/retention.rs", "waits for a mutation or a merge, with a deadline"),
    ("load-tests/", "measures over a time, and sends when a request is due"),
    (
        "services/aggregator/src/lane_thread/",
        "a look at the clock at the end of the log; tests wait with a deadline",
    ),
    ("services/aggregator/src/clock_watch.rs", "a look at the log's clock"),
    ("services/aggregator/src/erased_rows.rs", "another look at the rows a while later"),
    ("services/aggregator/src/linking/mod.rs", "a look whether links are due"),
    ("services/aggregator/src/run.rs", "clean-up now and then"),
    ("services/aggregator/src/site_retention.rs", "another look at the rows a while later"),
    ("services/aggregator/src/writer.rs", "a pause before another attempt"),
    (
        "services/collector/src/receive/bulk.rs",
        "a long body waits for its site's quota; a test's client that sends slowly, in time that is simulated",
    ),
    (
        "services/collector/src/connection.rs",
        "looks at the time of a connection; a test's clients that are slow, in time that is simulated",
    ),
    ("services/collector/src/receive.rs", "a tracker that asks again at once is answered later"),
    ("services/collector/tests/sdks/", "waits for what another process does, with a deadline"),
    ("services/collector/tests/http/support.rs", "waits for a condition, with a deadline"),
    ("services/collector/tests/tag/", "waits for what a browser does, with a deadline"),
    ("services/console/examples/demo.rs", "visitors come over time"),
    ("services/console/src/shared_reads.rs", "one read a second; its tests run on paused time"),
    ("services/console/src/readiness.rs", "a pause before another attempt"),
    ("services/rungs/src/demo/mod.rs", "visitors come over time"),
    ("services/rungs/src/import/", "a pause before another attempt; asks how far an import is"),
    ("services/rungs/src/plans/file.rs", "a look at the plan file"),
    ("services/rungs/src/plans/file_tests.rs", "waits for a condition, with a deadline"),
    ("services/rungs/src/plans/in_force.rs", "a pause before another attempt"),
    ("services/rungs/src/salts.rs", "a look at the clock: salts belong to days"),
    ("services/rungs/src/production/", "a pause before another attempt; a look at the spill"),
    ("services/rungs/src/standalone/engine.rs", "waits for a dying process, whose locks have no signal"),
    ("services/rungs/src/standalone/engine_metrics.rs", "a look at the engines"),
    ("services/rungs/tests/", "waits for what another process does, with a deadline"),
];

fn is_this(path: &str) -> bool {
    path.starts_with("services/rungs/tests/tidy/")
}

#[test]
fn a_source_says_what_it_is_and_has_one_subject() {
    let mut problems = Vec::new();
    for (path, text) in tree::sources() {
        let opens = text.trim_start().starts_with("//!");
        let lines = text.lines().count();
        if !opens {
            problems.push(format!("{path} does not open with //!"));
        }
        if lines > MAX_LINES {
            problems.push(format!("{path} has {lines} lines; at most {MAX_LINES}"));
        }
    }
    none(problems);
}

#[test]
fn nothing_is_left_undone() {
    let undone = ["todo!(", "unimplemented!(", "FIXME", "TODO", "dbg!("];
    let mut problems = Vec::new();
    for (path, text) in tree::files(&[".rs", ".js", ".sql", ".sh", ".toml", "Makefile"]) {
        for (number, line) in (1..).zip(text.lines()).filter(|_| !is_this(&path)) {
            let silent = line.trim() == "#[ignore]";
            if silent || undone.iter().any(|word| line.contains(word)) {
                problems.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    none(problems);
}

#[test]
fn nothing_sleeps_without_a_reason() {
    let sleeps = |text: &str| {
        ["thread::sleep(", "time::sleep(", "sleep_until("].iter().any(|call| text.contains(call))
    };
    let allowed = |path: &str| SLEEPS.iter().any(|(known, _)| path.starts_with(known));
    let sources = tree::sources();
    let found = sources.iter().filter(|(path, text)| sleeps(text) && !allowed(path) && !is_this(path));
    none(
        found
            .map(|(path, _)| format!("{path} sleeps: wait for a condition, or give a reason here"))
            .collect(),
    );
}

#[test]
fn only_the_binding_to_the_engine_is_unsafe_and_only_the_runtime_spawns() {
    let mut problems = Vec::new();
    for (path, text) in tree::sources().into_iter().filter(|(path, _)| !is_this(path)) {
        let is_unsafe =
            text.lines().any(|line| line.contains("unsafe {") && !line.trim_start().starts_with("//"));
        if is_unsafe && !path.starts_with("crates/warehouse/src/embedded/") {
            problems.push(format!("{path} is unsafe"));
        }
        if text.contains("tokio::spawn(") && path != "crates/runtime/src/tasks.rs" {
            problems.push(format!("{path} spawns beside runtime::tasks"));
        }
    }
    none(problems);
}

/// The project's files are about the project: not about a machine that they were written on.
#[test]
fn no_file_names_a_machine() {
    let foreign = [
        "/work/",
        "/home/",
        "/Users/",
        "/root/",
        "crates.io",
        "registry.npmjs",
        "pypi.org",
        "language model",
        "this session",
    ];
    let mut problems = Vec::new();
    for (path, text) in
        tree::files(&[".rs", ".md", ".toml", ".sh", ".js", ".html", ".sql", ".proto", "Makefile"])
    {
        for (number, line) in (1..).zip(text.lines()).filter(|_| !is_this(&path)) {
            if foreign.iter().any(|word| line.contains(word)) {
                problems.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(!docs::all().is_empty());
    none(problems);
}

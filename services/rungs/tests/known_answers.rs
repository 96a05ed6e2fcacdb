//! The known answers: the example's clickstream through the running program gives the numbers that independent
//! computations over the file gave, to the visitor; from the history, from raw events, over HTTP and on the command line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod program;

use program::Program;
use program::answers::{visitors, visitors_of};
use serde_json::Value;

const FUNNEL: &str = "shop/purchase";
const AS_OF: &str = "2024-05-15T00:00Z";
const AS_OF_MS: i64 = 1_715_731_200_000;
const DAY_MS: i64 = 86_400_000;

/// Window, days, visitors of each step.
const WINDOWS: [(&str, i64, [u64; 5]); 3] =
    [("24h", 1, [28, 12, 4, 2, 0]), ("7d", 7, [158, 61, 25, 11, 1]), ("28d", 28, [417, 214, 120, 46, 16])];
const ALL_TIME: [u64; 5] = [598, 487, 333, 190, 70];
/// Over the 28 days.
const BY_CHANNEL: [(&str, [u64; 5]); 5] = [
    ("email", [75, 40, 24, 9, 4]),
    ("organic", [154, 77, 43, 16, 4]),
    ("paid_search", [108, 67, 39, 17, 6]),
    ("social", [63, 24, 11, 2, 2]),
    ("direct", [17, 6, 3, 2, 0]),
];

fn check_channels(answer: &Value) {
    for (channel, expected) in BY_CHANNEL {
        assert_eq!(visitors_of(answer, channel), expected, "{channel}");
    }
    let others = answer["breakdown"].as_array().unwrap().iter();
    let others = others.filter(|part| BY_CHANNEL.iter().all(|(channel, _)| part["value"] != *channel));
    assert!(others.clone().all(|part| visitors(part) == [0; 5]), "{:?}", others.collect::<Vec<_>>());
}

fn check_api(program: &Program) {
    let as_of = AS_OF_MS.to_string();
    for (window, days, expected) in WINDOWS {
        let (status, live) = program.ask(FUNNEL, "live", &[("window", window), ("as_of", &as_of)]);
        assert_eq!((status, visitors(&live)), (200, expected.to_vec()), "live {window}");
        let from = (AS_OF_MS - days * DAY_MS).to_string();
        let (status, report) = program.ask(FUNNEL, "report", &[("from", &from), ("to", &as_of)]);
        assert_eq!((status, visitors(&report)), (200, expected.to_vec()), "report {window}");
    }
    let month = [("window", "28d"), ("as_of", &as_of), ("breakdown", "channel")];
    check_channels(&program.ask(FUNNEL, "live", &month).1);
    let from = (AS_OF_MS - 28 * DAY_MS).to_string();
    let month = [("from", from.as_str()), ("to", &as_of), ("breakdown", "channel")];
    check_channels(&program.ask(FUNNEL, "report", &month).1);
    let all = [("from", "0"), ("to", "1800000000000")];
    assert_eq!(visitors(&program.ask(FUNNEL, "report", &all).1), ALL_TIME);
}

fn check_command_line(program: &Program) {
    for (window, days, expected) in WINDOWS {
        let live = program.report(&["--window", window, "--as-of", AS_OF]);
        assert_eq!(visitors(&live), expected, "{window}");
        let from = (AS_OF_MS - days * DAY_MS).to_string();
        let report = program.report(&["--from", &from, "--to", AS_OF]);
        assert_eq!(visitors(&report), expected, "report {window}");
    }
    check_channels(&program.report(&["--window", "28d", "--as-of", AS_OF, "--breakdown", "channel"]));
    check_channels(&program.report(&[
        "--from",
        "2024-04-17",
        "--to",
        "2024-05-15",
        "--breakdown",
        "channel",
    ]));
    assert_eq!(visitors(&program.report(&["--from", "2024-01-01", "--to", "2024-07-02"])), ALL_TIME);
}

#[test]
fn the_example_gives_the_known_answers_also_after_a_kill() {
    let program = Program::start("examples/shop/tracking-plan.toml");
    let import = program.import("examples/shop/clickstream.csv.gz", &[]);
    assert!(import.ok, "{}", import.err);
    check_api(&program);
    check_command_line(&program);
    let table = program.run(&["report", "--url", &program.console, "--site", "shop", "--funnel", "purchase"]);
    assert!(table.ok && table.out.contains("Viewed a product"), "{}{}", table.out, table.err);

    let program = program.kill().start();
    check_api(&program);
    assert_eq!(program.stop(), Some(0));
}

//! The rules by Prometheus' own tool: they are valid, and do what `observability/prometheus/tests` says, one file a
//! process. Every alert has its page in `docs/runbooks`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn promtool(arguments: &[&str], files: &[PathBuf]) -> Output {
    let output = Command::new("promtool").args(arguments).args(files).output();
    output.expect("promtool is not there; scripts/need.sh prometheus says how to get it")
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn every_rule_is_valid() {
    let output = promtool(&["check", "rules"], &files("prometheus/rules"));
    assert!(output.status.success(), "{}", told(&output));
}

#[test]
fn rules_and_alerts_do_what_their_cases_say() {
    let cases = files("prometheus/tests");
    assert!(cases.len() >= 4);
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || {
                let output = promtool(&["test", "rules"], std::slice::from_ref(&case));
                assert!(output.status.success(), "{}\n{}", case.display(), told(&output));
            });
        }
    });
}

#[test]
fn every_alert_has_its_page_and_every_page_an_alert() {
    let rules = std::fs::read_to_string(files("prometheus/rules").remove(0)).unwrap();
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 10);
    let mut linked = BTreeSet::new();
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        let base = "runbook_url: '{{ or $externalLabels.runbooks \"docs/runbooks\" }}/";
        let page = alert.split_once(base).and_then(|(_, rest)| rest.split_once("'")).map(|(page, _)| page);
        linked.insert(page.unwrap_or_else(|| panic!("{name} has no runbook")).to_owned());
    }
    let pages = files("../docs/runbooks");
    let pages = pages.iter().map(|page| page.file_name().unwrap().to_str().unwrap().to_owned());
    assert_eq!(linked, pages.collect());
}

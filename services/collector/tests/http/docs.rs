//! `docs/http-api.md` says what the code does: its tables are compared with the code's.

use collector::refusal::Refusal;
use collector::rejection::Reason;
use collector::{CHANNELS, CONTEXT_ALLOWED, CONTEXT_ALLOWED_IN, limits};

const DOCS: &str = include_str!("../../../../docs/http-api.md");

/// The rows of the table under a heading, cells trimmed and without backticks around them.
fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, section) = DOCS.split_once(heading).unwrap_or_else(|| panic!("no heading {heading}"));
    let lines =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    lines.skip(2).map(cells).collect()
}

#[test]
fn the_limits_are_those_of_the_code() {
    let expected: Vec<_> = limits::TABLE
        .iter()
        .map(|(name, value, meaning)| vec![format!("`{name}`"), (*value).to_owned(), (*meaning).to_owned()])
        .collect();
    assert_eq!(table("### Fixed limits"), expected);
}

#[test]
fn the_refusals_are_those_of_the_code() {
    let expected: Vec<_> = Refusal::all()
        .iter()
        .map(|refusal| {
            let wire = refusal.wire();
            let retry = if wire.retry { "yes" } else { "no" };
            vec![wire.status.as_u16().to_string(), format!("`{}`", wire.code), retry.to_owned()]
        })
        .collect();
    let found: Vec<_> = table("### Refused requests").into_iter().map(|row| row[..3].to_vec()).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_reasons_are_those_of_the_code() {
    let expected: Vec<_> = Reason::ALL
        .iter()
        .map(|reason| vec![format!("`{}`", reason.code()), reason.meaning().to_owned()])
        .collect();
    assert_eq!(table("### Rejected events"), expected);
}

#[test]
fn every_path_is_listed_with_its_method() {
    let endpoints = table("### Endpoints");
    for (method, path) in collector::paths() {
        let listed = endpoints
            .iter()
            .any(|row| row[0] == method && row[1].split(", ").any(|p| p == format!("`{path}`")));
        assert!(listed, "{method} {path}");
    }
}

#[test]
fn the_stored_part_of_the_context_and_the_channels_are_listed() {
    let objects = CONTEXT_ALLOWED_IN
        .iter()
        .flat_map(|(object, fields)| fields.iter().map(move |field| format!("{object}.{field}")));
    for name in objects.chain(CONTEXT_ALLOWED.iter().chain(CHANNELS).map(|name| (*name).to_owned())) {
        assert!(DOCS.contains(&format!("`{name}`")), "{name}");
    }
}

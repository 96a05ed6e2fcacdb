//! Paths and codes of the HTTP interfaces. (What `docs/http-api.md` says of the collector is compared in the collector's
//! own tests.)

use crate::{docs, none, tree};

/// Every path that is served, as documents write it.
fn served() -> Vec<String> {
    let mut paths: Vec<String> = collector::paths().map(|(_, path)| path.to_owned()).collect();
    paths.extend(rungs_console::PATHS.iter().map(|(path, _)| (*path).to_owned()));
    paths.extend(admin());
    paths
}

/// The admin server's, from its sources.
fn admin() -> Vec<String> {
    let sources = ["crates/runtime/src/admin.rs", "services/rungs/src/plans/http.rs"].map(tree::read);
    let after = |text: &str| -> Vec<String> {
        let calls = text.split(".route(\"").skip(1).chain(text.split("resource(\"").skip(1));
        calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
    };
    sources.iter().flat_map(|text| after(text)).collect()
}

#[test]
fn every_path_in_a_document_is_served() {
    let served = served();
    let is_served = |path: &str| {
        served.iter().any(|known| {
            let known: Vec<&str> = known.split('/').collect();
            let path: Vec<&str> = path.split('/').collect();
            known.len() == path.len()
                && known.iter().zip(&path).all(|(known, part)| known == part || known.starts_with('{'))
        })
    };
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "/_.-{}".contains(letter);
    let mut problems = Vec::new();
    for doc in docs::all() {
        for word in docs::words(&doc.text, is_part) {
            let Some(at) = word
                .find("/v1/")
                .filter(|at| *at == 0 || word[..*at].ends_with("/api") || !word.starts_with('/'))
            else {
                continue;
            };
            let path = if word[..at].ends_with("/api") { &word[at - 4..] } else { &word[at..] };
            let path = path.trim_end_matches(['.', '/']);
            if !is_served(path) && !word.starts_with("proto/") {
                problems.push(format!("{}: {path} is not served", doc.path));
            }
        }
    }
    none(problems);
}

#[test]
fn every_path_is_told() {
    let text = docs::doc("docs/http-api.md").text + &docs::doc("docs/console-api.md").text;
    assert_eq!(admin().len(), 6, "{:?}", admin());
    let told = |path: &&String| ["`", "[", "?"].iter().any(|end| text.contains(&format!("`{path}{end}")));
    none(served().iter().filter(|path| !told(path)).map(|path| format!("{path} is not told")).collect());
}

#[test]
fn the_consoles_codes_are_those_of_its_document() {
    let source = tree::read("services/console/src/api_error.rs");
    let compact: String = source.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut made: Vec<String> = compact
        .split("(StatusCode::")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(", \"")?.1.split_once('"')?.0.to_owned()))
        .collect();
    let errors = docs::doc("docs/console-api.md").section("## Errors");
    let rows = errors.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    let codes = rows.flat_map(|row| row.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
    let mut told: Vec<String> = codes.filter(|code| code != "Retry-After").collect();
    made.sort();
    told.sort();
    assert_eq!(told, made);
}

//! Types, functions and constants: those that ARCHITECTURE.md names are in the code, constants with their value.

use crate::{docs, none, tree};

#[test]
fn every_type_function_and_constant_exists() {
    let sources: Vec<String> = tree::sources().into_iter().map(|(_, text)| text).collect();
    let defined = |name: &str, kinds: &[&str]| {
        let starts: Vec<String> = kinds.iter().map(|kind| format!("{kind} {name}")).collect();
        let ends = |rest: &str| !rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_');
        sources.iter().any(|text| {
            starts
                .iter()
                .any(|start| text.match_indices(start).any(|(at, _)| ends(&text[at + start.len()..])))
        })
    };
    let variant = |name: &str| {
        sources
            .iter()
            .any(|text| text.contains(&format!("\n    {name}(")) || text.contains(&format!("\n    {name},")))
    };
    let mut problems = Vec::new();
    for span in docs::doc("ARCHITECTURE.md").spans() {
        let known = match span.split_once("::") {
            _ if !is_name(&span) => continue,
            Some((of, name)) => {
                defined(of, &["struct", "enum", "trait", "mod"])
                    && (defined(name, &["fn", "struct", "enum"]) || variant(name))
            }
            None => defined(&span, &["struct", "enum", "trait", "type", "message"]) || variant(&span),
        };
        if !known {
            problems.push(format!("there is no {span}"));
        }
    }
    none(problems);
}

/// `Name` or `Name::name`.
fn is_name(span: &str) -> bool {
    let camel = span.starts_with(|first: char| first.is_ascii_uppercase())
        && span.contains(|c: char| c.is_ascii_lowercase());
    camel && span.split("::").all(|part| part.chars().all(|letter| letter.is_alphanumeric() || letter == '_'))
}

#[test]
fn every_constant_has_the_value_that_is_told() {
    let sources: Vec<String> = tree::sources().into_iter().map(|(_, text)| text).collect();
    let mut problems = Vec::new();
    let spans = docs::doc("ARCHITECTURE.md").spans();
    let told = spans.iter().filter_map(|span| span.split_once(" = "));
    let told: Vec<_> =
        told.filter(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_')).collect();
    assert!(told.len() > 5);
    for (name, value) in told {
        let is_so = |text: &String| {
            let mut lines = text.lines().filter(|line| line.contains(&format!("const {name}: ")));
            lines.any(|line| line.ends_with(&format!(" = {value};")))
        };
        if !sources.iter().any(is_so) {
            problems.push(format!("no constant {name} is {value}"));
        }
    }
    none(problems);
}

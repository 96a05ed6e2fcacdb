//! The tracking plan: `docs/tracking-plan.md` has every key, limit, commitment and derived field; its examples are valid.

use funnel::Plan;
use funnel::plan::{Commitment, Derived};

use crate::{docs, none, tree};

const DOC: &str = "docs/tracking-plan.md";
/// Methods of `checked_toml::Table` that read a key.
const READS: [&str; 9] = [
    "text(",
    "texts(",
    "tables(",
    "table(",
    "value(",
    "number(",
    "boolean(",
    "required_text(",
    "bound(table, ",
];

/// The keys that the parser reads.
fn keys() -> Vec<String> {
    let parser = tree::sources().into_iter();
    let parser = parser
        .filter(|(path, _)| path.starts_with("crates/funnel/src/plan/parse/") && !path.ends_with("tests.rs"));
    let mut keys = Vec::new();
    for (_, text) in parser {
        for read in READS {
            let call = format!("{read}\"");
            let after = text.split(&call).skip(1);
            keys.extend(after.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
    keys.push("id".to_owned());
    keys.sort();
    keys.dedup();
    keys
}

#[test]
fn every_key_is_told_and_every_told_one_is_read() {
    let told = docs::doc(DOC).first_cells("## Keys");
    let told: Vec<&str> = told.iter().flat_map(|cell| cell.split(", ")).collect();
    let keys = keys();
    assert!(keys.len() > 20, "{keys:?}");
    let tables = ["sites", "funnels"];
    let missing = keys.iter().filter(|key| !told.contains(&key.as_str()) && !tables.contains(&key.as_str()));
    let missing = missing.map(|key| format!("`{key}` is not told"));
    let unknown = told.iter().filter(|key| !keys.iter().any(|known| known == *key));
    none(missing.chain(unknown.map(|key| format!("nothing reads `{key}`"))).collect());
}

#[test]
fn limits_commitments_and_derived_fields_are_told() {
    let doc = docs::doc(DOC);
    let source = tree::read("crates/funnel/src/plan/mod.rs");
    let (_, limits) = source.split_once("pub mod limits {").unwrap();
    let mut expected = Vec::new();
    for line in limits.lines().take_while(|line| *line != "}").filter(|line| line.contains("pub const ")) {
        let (name, value) = line.trim().trim_start_matches("pub const ").split_once(": ").unwrap();
        let value = value.split_once(" = ").unwrap().1.trim_end_matches(';');
        let product: u64 =
            value.split(" * ").map(|factor| factor.replace('_', "").parse::<u64>().unwrap()).product();
        expected.push(format!("| `{name}` | {product} |"));
    }
    assert!(expected.len() > 10);
    expected.extend(Commitment::ALL.iter().map(|kind| format!("| `{kind}` |")));
    expected.extend(Derived::NAMES.iter().map(|name| format!("`{name}`")));
    none(
        expected
            .into_iter()
            .filter(|text| !doc.text.contains(text))
            .map(|text| format!("missing: {text}"))
            .collect(),
    );
    assert_eq!(doc.first_cells("## Commitments").len(), Commitment::ALL.len());
}

#[test]
fn plans_in_documents_are_valid() {
    let mut plans = 0;
    for doc in docs::all() {
        let blocks = doc.blocks().into_iter().filter(|block| block.text.contains("[[sites]]"));
        for block in blocks {
            let plan = Plan::parse(&doc.path, &block.text);
            assert!(plan.is_ok(), "{plan:?}");
            plans += 1;
        }
    }
    assert!(plans > 0);
}

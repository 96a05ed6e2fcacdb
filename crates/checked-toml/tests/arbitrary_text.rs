//! Whatever a file holds, reading it ends in values or problems, never in a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use checked_toml::Document;
use proptest::prelude::*;

fn toml_like() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("[[a]]\n"),
        Just("[a.b]\n"),
        Just("a = "),
        Just("b = "),
        Just("\"x\""),
        Just("1"),
        Just("1.5"),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just(","),
        Just("\n"),
        Just("true"),
        Just("é"),
        Just("="),
        Just("\"\"\""),
    ];
    prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
}

fn read(text: &str) {
    let lines = text.matches('\n').count() + 1;
    let problems = match Document::parse("f.toml", text) {
        Err(problems) => problems,
        Ok(document) => {
            let root = document.root();
            root.tables("a").iter().for_each(|table| {
                table.texts("b");
            });
            root.integer("b");
            root.finish();
            document.into_problems()
        }
    };
    assert!(problems.iter().all(|problem| (1..=lines).contains(&problem.line)), "{problems:?}");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_with_lines_that_exist(text in ".*") {
        read(&text);
    }

    #[test]
    fn anything_like_toml_is_read_or_refused_with_lines_that_exist(text in toml_like()) {
        read(&text);
    }
}

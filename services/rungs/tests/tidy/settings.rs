//! Settings and environment variables: `docs/settings.md` has them all, and no document names another.

use runtime::settings::{reference, variables};

use crate::{docs, generated, none, tree};

const SECTIONS: [&str; 8] =
    ["collector", "aggregator", "console", "admin", "log", "clickhouse", "logging", "kafka"];

/// `(section, key)` of every setting, from the rows of the reference.
fn known() -> Vec<(String, String)> {
    let row = |line: &str| {
        let (section, key) = line.strip_prefix("| `[")?.split('`').next()?.split_once("] ")?;
        Some((section.to_owned(), key.to_owned()))
    };
    reference().lines().filter_map(row).collect()
}

#[test]
fn every_setting_is_in_the_table() {
    generated::compare("docs/settings.md", "settings", &reference());
    assert_eq!(known().len(), variables().len());
}

#[test]
fn every_setting_that_a_document_names_exists() {
    let known = known();
    let is_known = |section: &str, key: &str| known.iter().any(|(s, k)| s == section && k == key);
    let mut problems = Vec::new();
    for doc in docs::all() {
        for span in doc.spans() {
            let Some((section, key)) = span.strip_prefix('[').and_then(|rest| rest.split_once("] ")) else {
                continue;
            };
            let key = key.split([' ', '=']).next().unwrap();
            if SECTIONS.contains(&section) && !is_known(section, key) {
                problems.push(format!("{}: there is no setting [{section}] {key}", doc.path));
            }
        }
    }
    none(problems);
}

#[test]
fn settings_files_in_documents_are_valid() {
    for block in docs::doc("docs/settings.md").blocks().iter().filter(|block| block.language == "toml") {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "x").unwrap();
        let text = block.text.replace("/run/secrets/clickhouse", &secret.display().to_string());
        std::fs::write(folder.path().join("rungs.toml"), text).unwrap();
        let loaded = runtime::Settings::load(Some(&folder.path().join("rungs.toml")), std::iter::empty());
        assert!(loaded.is_ok(), "{loaded:?}");
    }
}

#[test]
fn every_variable_that_a_document_names_is_read_somewhere() {
    let mut read = variables();
    let code = tree::files(&[".rs", ".sh", "Makefile"]);
    let code = code.into_iter().filter(|(path, _)| !path.starts_with("services/rungs/tests/tidy/"));
    read.extend(code.flat_map(|(_, text)| variables_of(&text)));
    let mut problems = Vec::new();
    for doc in docs::all() {
        for name in variables_of(&doc.text).into_iter().filter(|name| !read.contains(name)) {
            problems.push(format!("{}: nothing reads {name}", doc.path));
        }
    }
    let documented = variables_of(&docs::doc("docs/settings.md").text);
    for name in ["RUNGS_LOG", "RUNGS_LIBCHDB", "RUNGS_CACHE", "RUNGS_IMPORT_KEY", "RUNGS_COMMIT"] {
        assert!(documented.iter().any(|known| known == name), "{name} is not in docs/settings.md");
    }
    none(problems);
}

fn variables_of(text: &str) -> Vec<String> {
    let is_part = |letter: char| letter.is_ascii_uppercase() || letter == '_';
    let names = docs::words(text, is_part).filter(|word| word.len() > 6 && word.starts_with("RUNGS_"));
    names.map(str::to_owned).collect()
}

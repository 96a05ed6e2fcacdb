//! Regions of docs that are made from the code: `<!-- generated: NAME -->` to `<!-- end -->`.

use crate::{docs, tree};

/// Compares a region with what it must be; with `UPDATE_DOCS` in the environment it writes the region instead.
pub(crate) fn compare(path: &str, name: &str, expected: &str) {
    let text = docs::doc(path).text;
    let start = format!("<!-- generated: {name} -->\n");
    let (before, rest) = text.split_once(&start).unwrap_or_else(|| panic!("{path} has no region {name}"));
    let (found, after) = rest.split_once("<!-- end -->").expect("a region has an end");
    if found == expected {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(tree::root().join(path), format!("{before}{start}{expected}<!-- end -->{after}"))
            .unwrap();
        return;
    }
    let only = |of: &str, without: &str| {
        of.lines().filter(|line| !without.lines().any(|other| other == *line)).collect::<Vec<_>>().join("\n")
    };
    panic!(
        "{path}, region {name}, lags behind the code (UPDATE_DOCS=1 writes it).\nmissing:\n{}\ntoo much:\n{}",
        only(expected, found),
        only(found, expected)
    );
}

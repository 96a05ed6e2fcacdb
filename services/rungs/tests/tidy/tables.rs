//! Tables and views of ClickHouse: ARCHITECTURE.md has those of the migrations, and no other.

use crate::{docs, tree};

#[test]
fn the_tables_are_those_of_the_migrations() {
    let mut made = vec!["schema_version".to_owned()];
    for (_, sql) in tree::files(&[".sql"]) {
        for line in sql.lines().filter(|line| line.starts_with("CREATE ")) {
            let name =
                line.split_whitespace().find(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            made.push(name.unwrap().to_owned());
        }
    }
    let mut told = docs::doc("ARCHITECTURE.md").first_cells("## Tables");
    made.sort();
    // A view may be made anew by a later migration.
    made.dedup();
    told.sort();
    assert_eq!(told, made);
}

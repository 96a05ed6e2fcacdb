//! Splits a migration file into statements and fills in its settings. Called by [`crate::migrate`] only.
//!
//! A statement ends with `;` at a line's end. Lines that start with `--` are comments. `{name}` stands for a setting;
//! one that is not known stays, and ClickHouse then refuses the statement.

/// The statements of a migration file, with `{name}` replaced by its value.
pub(crate) fn statements(sql: &str, values: &[(&str, String)]) -> Vec<String> {
    let mut statements = Vec::new();
    let mut open = String::new();
    for line in sql.lines().filter(|line| !line.trim_start().starts_with("--")) {
        let line = line.trim_end();
        open.push_str(line.strip_suffix(';').unwrap_or(line));
        open.push('\n');
        if line.ends_with(';') {
            statements.push(filled(&std::mem::take(&mut open), values));
        }
    }
    statements.push(filled(&open, values));
    statements.retain(|statement| !statement.is_empty());
    statements
}

fn filled(statement: &str, values: &[(&str, String)]) -> String {
    values
        .iter()
        .fold(statement.trim().to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_a_semicolon_that_ends_a_line() {
        let sql = "-- a; comment;\nCREATE TABLE a\n(\n    b String DEFAULT ';x'\n);\n\nSELECT '{days}',\n 'x' ;\n-- end\n";
        let found = statements(sql, &[("days", "7".into())]);
        assert_eq!(found, ["CREATE TABLE a\n(\n    b String DEFAULT ';x'\n)", "SELECT '7',\n 'x'"]);
    }

    #[test]
    fn the_last_statement_may_lack_its_semicolon() {
        assert_eq!(statements("SELECT 1;\nSELECT 2", &[]), ["SELECT 1", "SELECT 2"]);
        assert!(statements("\n-- nothing\n;\n", &[]).is_empty());
    }
}

//! Reads just enough SQL to serve it: is it an INSERT with data, where do the data begin, which format is asked for.
//!
//! Pure; called by [`super::execute`] with the text from the URL and the beginning of the body. Whatever it does not
//! recognise is left to the engine's parser, whose error messages are better.

mod tokens;

use tokens::{Token, tokens};

/// How a statement has to be run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// Rows in `format` follow in the body, after `data` bytes of the text.
    Insert { sql: String, format: Option<String>, data: usize },
    /// A SELECT; `format` if it names one.
    Select { format: Option<String>, totals: bool },
    /// Anything else, INSERT … VALUES (…) and INSERT … SELECT included; `format` if it names one.
    Other { format: Option<String> },
}

/// Reads `text`, which holds the whole statement unless it is an INSERT whose data follow.
pub(super) fn parse(text: &[u8]) -> Statement {
    let mut words = tokens(text).filter(|token| token.depth == 0);
    match words.next() {
        Some(first) if first.is("INSERT") => insert(text, words),
        Some(first) if first.is("SELECT") || first.is("WITH") || first.symbol == Some(b'(') => {
            let all: Vec<Token<'_>> = tokens(text).collect();
            let totals = all.windows(2).any(|pair| matches!(pair, [a, b] if a.is("WITH") && b.is("TOTALS")));
            Statement::Select { format: trailing_format(text), totals }
        }
        _ => Statement::Other { format: trailing_format(text) },
    }
}

/// Does `text` begin like an INSERT?
pub(super) fn is_insert(text: &[u8]) -> bool {
    tokens(text).next().is_some_and(|first| first.is("INSERT"))
}

fn insert<'a>(text: &'a [u8], mut words: impl Iterator<Item = Token<'a>>) -> Statement {
    while let Some(word) = words.next() {
        if word.is("FORMAT") {
            let Some(name) = words.next() else { break };
            return with_data(text, word.start, Some(name.text), name.end);
        }
        if word.is("VALUES") {
            let data = skip_blank(text, word.end);
            return if data == text.len() {
                with_data(text, word.start, Some(b"Values"), data)
            } else {
                other()
            };
        }
        // `FROM INFILE` is read by the engine itself; a SELECT or WITH makes it a query without data.
        if word.is("SELECT") || word.is("WITH") || word.is("FROM") {
            return other();
        }
    }
    with_data(text, text.len(), None, text.len())
}

fn other() -> Statement {
    Statement::Other { format: None }
}

fn with_data(text: &[u8], sql_end: usize, format: Option<&[u8]>, after: usize) -> Statement {
    let sql = text.get(..sql_end).unwrap_or_default();
    let sql = String::from_utf8_lossy(sql).trim().trim_end_matches(';').to_owned();
    let format = format.map(|name| String::from_utf8_lossy(name).into_owned());
    Statement::Insert { sql, format, data: skip_blank(text, after) }
}

/// As ClickHouse does after `FORMAT name`: blanks, one optional semicolon, then at most one line end belong to the SQL.
fn skip_blank(text: &[u8], from: usize) -> usize {
    let blanks = |at: usize| {
        let rest = text.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\x0c')).count()
    };
    let mut at = blanks(from);
    if text.get(at) == Some(&b';') {
        at = blanks(at + 1);
    }
    if text.get(at) == Some(&b'\r') {
        at += 1;
    }
    at + usize::from(text.get(at) == Some(&b'\n'))
}

/// The name in `… FORMAT name [SETTINGS …]` at the end of a query.
fn trailing_format(text: &[u8]) -> Option<String> {
    let words: Vec<Token<'_>> =
        tokens(text).filter(|token| token.depth == 0 && token.symbol != Some(b';')).collect();
    let at = words.iter().rposition(|word| word.is("FORMAT"))?;
    let name = words.get(at + 1).filter(|name| name.symbol.is_none())?;
    let ends = words.get(at + 2).is_none_or(|next| next.is("SETTINGS"));
    ends.then(|| String::from_utf8_lossy(name.text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inserted(text: &str) -> (String, Option<String>, String) {
        match parse(text.as_bytes()) {
            Statement::Insert { sql, format, data } => (sql, format, text[data..].to_owned()),
            other => panic!("{text} was read as {other:?}"),
        }
    }

    #[test]
    fn an_insert_ends_at_its_format_and_the_data_follow_the_line_end() {
        let (sql, format, data) = inserted("INSERT INTO t (a, `b FORMAT`) FORMAT CSV\n1,2\nFORMAT x");
        assert_eq!(sql, "INSERT INTO t (a, `b FORMAT`)");
        assert_eq!((format.as_deref(), data.as_str()), (Some("CSV"), "1,2\nFORMAT x"));
    }

    #[test]
    fn settings_of_an_insert_stay_in_its_sql() {
        let (sql, format, _) = inserted("/* x */ insert into t settings a = 1 format RowBinary");
        assert_eq!(sql, "/* x */ insert into t settings a = 1");
        assert_eq!(format.as_deref(), Some("RowBinary"));
    }

    #[test]
    fn values_without_rows_expect_them_in_the_body() {
        assert_eq!(inserted("INSERT INTO t VALUES \n").1.as_deref(), Some("Values"));
        assert_eq!(parse(b"INSERT INTO t VALUES (1)"), Statement::Other { format: None });
    }

    #[test]
    fn an_insert_from_a_query_is_a_query() {
        assert_eq!(parse(b"INSERT INTO t SELECT 1 FORMAT CSV"), Statement::Other { format: None });
    }

    #[test]
    fn a_select_names_its_format_only_at_its_end() {
        let format = |text: &str| match parse(text.as_bytes()) {
            Statement::Select { format, .. } => format,
            other => panic!("{other:?}"),
        };
        assert_eq!(format("SELECT 1 FORMAT JSON;").as_deref(), Some("JSON"));
        assert_eq!(format("SELECT 1 FORMAT JSON SETTINGS max_threads = 1").as_deref(), Some("JSON"));
        assert_eq!(format("-- c FORMAT X\nSELECT 'FORMAT CSV'"), None);
        assert_eq!(format("WITH x AS (SELECT 1 FORMAT) SELECT format FROM x"), None);
    }
}

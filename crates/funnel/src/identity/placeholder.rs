//! Ids that name nobody: what programs send where they have no id. They link nothing, whatever they come with.
//!
//! A short id is none of them: many shops number their customers from 1. What this table does not know is caught by
//! [`super::rule`], because it comes with too many devices.

/// Compared without regard to case, blanks and quotes around.
const WORDS: [&str; 54] = [
    "null",
    "nil",
    "none",
    "undefined",
    "nan",
    "n/a",
    "na",
    "void",
    "unknown",
    "unset",
    "not set",
    "not_set",
    "(not set)",
    "empty",
    "default",
    "anonymous",
    "anon",
    "guest",
    "visitor",
    "user",
    "users",
    "customer",
    "member",
    "someone",
    "nobody",
    "me",
    "id",
    "uid",
    "uuid",
    "userid",
    "user_id",
    "user-id",
    "user id",
    "visitorid",
    "visitor_id",
    "anonymousid",
    "anonymous_id",
    "distinctid",
    "distinct_id",
    "customerid",
    "customer_id",
    "email",
    "test",
    "tester",
    "testuser",
    "test_user",
    "example",
    "true",
    "false",
    "not_authenticated",
    "unauthenticated",
    "logged_out",
    "[object object]",
    "-1",
];

/// What stands in place of a value that is not stored.
const MASKED: &str = "[masked:";

/// Whether an id names nobody.
pub fn is_placeholder(id: &str) -> bool {
    let id = id.trim_matches(|at: char| at.is_whitespace() || at == '"' || at == '\'');
    let is_blank = |at: u8| at == b'0' || at.is_ascii_punctuation() || at == b' ';
    // Nothing, zeros in whatever grouping, and dashes: `0`, `00000000-0000-0000-0000-000000000000`, `--`.
    id.bytes().all(is_blank)
        || id.starts_with(MASKED)
        || WORDS.iter().any(|word| word.eq_ignore_ascii_case(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_send_without_an_id_names_nobody() {
        for id in [
            "",
            " ",
            "null",
            "NULL",
            "\"null\"",
            "'guest'",
            "Guest",
            "undefined",
            "None",
            "[object Object]",
            "NaN",
            "true",
            "0",
            "-1",
            "00000000-0000-0000-0000-000000000000",
            "---",
            "{}",
            "[]",
            "0.0",
            "anonymous",
            "[masked:email]",
            "User",
            "test",
        ] {
            assert!(is_placeholder(id), "{id:?}");
        }
    }

    #[test]
    fn short_and_strange_ids_are_ids() {
        for id in
            ["1", "7", "42", "u1", "guest-17", "nullius", "00000000-0000-0000-0000-000000000001", "ümit", "x"]
        {
            assert!(!is_placeholder(id), "{id:?}");
        }
    }
}

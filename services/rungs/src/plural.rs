//! Numbers of things in messages: `1 row`, `2 rows`.

/// The number and what it counts.
pub(crate) fn plural(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// As [`plural`], with the verb that follows: `1 row is`, `2 rows are`.
pub(crate) fn plural_are(count: u64, what: &str) -> String {
    format!("{} {}", plural(count, what), if count == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|count| plural(count, "row")), ["0 rows", "1 row", "2 rows"]);
        assert_eq!([1, 2].map(|count| plural_are(count, "row")), ["1 row is", "2 rows are"]);
    }
}

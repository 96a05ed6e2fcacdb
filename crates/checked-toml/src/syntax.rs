//! What the TOML parser itself refuses, in the words of this crate, and from where in the text to which line.

use std::ops::Range;

use toml::de::Error;

use crate::problem::Problem;

/// Where lines start, to turn byte offsets into line numbers.
#[derive(Debug)]
pub(crate) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub(crate) fn of(text: &str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    /// The line of a byte offset, counted from 1.
    pub(crate) fn of_offset(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    pub(crate) fn of_span(&self, span: &Range<usize>) -> usize {
        self.of_offset(span.start)
    }
}

/// Whether the parser's recovery from this error leaves everything else in the file as it was meant: a missing pair of
/// quotes or a key written twice spoil a line, an unclosed bracket spoils what follows.
pub(crate) fn is_local(error: &Error) -> bool {
    let message = error.message();
    message.starts_with("string values must be quoted") || message.starts_with("duplicate key")
}

/// The parser's error as a problem.
pub(crate) fn problem(file: &str, text: &str, lines: &Lines, error: &Error) -> Problem {
    let line = error.span().map_or(1, |span| lines.of_span(&span));
    let (message, hint) = explained(error, text);
    Problem { file: file.to_owned(), line, message, hint }
}

fn explained(error: &Error, text: &str) -> (String, String) {
    let word = error.span().and_then(|span| text.get(span)).unwrap_or("");
    let message = error.message();
    if message.starts_with("duplicate key") {
        let hint = "keep one; a further site, funnel or step starts with its own [[…]] line";
        return (format!("`{word}` is set twice"), hint.to_owned());
    }
    if message.starts_with("string values must be quoted") {
        return match word {
            "" => ("there is no value after `=`".to_owned(), "text goes in quotes: \"…\"".to_owned()),
            word => (format!("the text {word} is not in quotes"), format!("write \"{word}\"")),
        };
    }
    (format!("this is not TOML: {message}"), "https://toml.io shows the format".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_fall_on_lines_counted_from_one() {
        let lines = Lines::of("ab\n\nc");
        assert_eq!([0, 2, 3, 4, 5].map(|offset| lines.of_offset(offset)), [1, 1, 2, 3, 3]);
        assert_eq!(Lines::of("").of_offset(0), 1);
    }
}

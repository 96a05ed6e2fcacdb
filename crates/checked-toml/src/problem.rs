//! A mistake in a file, said so that its writer can correct it.

use std::fmt;

/// What is wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// The file as the caller named it, or another source such as an environment variable.
    pub file: String,
    /// Counted from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// What is wrong, as a clause: `step "pay" has no event`.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if self.line > 0 {
            write!(formatter, ":{}", self.line)?;
        }
        write!(formatter, ": {}", self.message)?;
        if !self.hint.is_empty() {
            write!(formatter, " (hint: {})", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_and_hint_are_left_out_where_there_is_none() {
        let mut problem =
            Problem { file: "a.toml".into(), line: 3, message: "no id".into(), hint: "add `id`".into() };
        assert_eq!(problem.to_string(), "a.toml:3: no id (hint: add `id`)");
        problem.line = 0;
        problem.hint.clear();
        assert_eq!(problem.to_string(), "a.toml: no id");
    }
}

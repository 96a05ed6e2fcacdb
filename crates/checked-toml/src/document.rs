//! A TOML file that is being read, and the problems found in it so far.

use std::cell::RefCell;
use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::DeTable;

use crate::problem::Problem;
use crate::syntax::{self, Lines};
use crate::table::Table;

/// A parsed file. Its problems are collected while it is read.
#[derive(Debug)]
pub struct Document<'a> {
    file: &'a str,
    root: Spanned<DeTable<'a>>,
    lines: Lines,
    /// Lines that the parser complained about: what else is said about them would be about its repairs.
    spoiled: BTreeSet<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Document<'a> {
    /// Parses `text`; `file` is how problems name it. Mistakes that spoil a line only (text without quotes, a key set
    /// twice) are recorded and reading goes on.
    ///
    /// # Errors
    /// When the text is not TOML beyond that: every syntax error, by line.
    pub fn parse(file: &'a str, text: &'a str) -> Result<Self, Vec<Problem>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let lines = Lines::of(text);
        let problems = errors.iter().map(|error| syntax::problem(file, text, &lines, error)).collect();
        let problems = one_a_line(problems);
        if !errors.iter().all(syntax::is_local) {
            return Err(problems);
        }
        let spoiled = problems.iter().map(|problem| problem.line).collect();
        Ok(Self { file, root, lines, spoiled, problems: RefCell::new(problems) })
    }

    /// The table that the file is.
    pub fn root(&self) -> Table<'_> {
        Table::new(self, self.root.get_ref(), 1)
    }

    /// Records a problem at a line (0: the whole file). An empty hint is left out.
    pub fn report(&self, line: usize, message: impl Into<String>, hint: impl Into<String>) {
        if !self.spoiled.contains(&line) {
            let (file, message, hint) = (self.file.to_owned(), message.into(), hint.into());
            self.problems.borrow_mut().push(Problem { file, line, message, hint });
        }
    }

    /// What was found, by line; none means that the file is good.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        problems
    }

    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }
}

/// The parser repeats itself on its way out of a broken line: the first complaint about a line is the useful one.
fn one_a_line(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| problem.line);
    problems.dedup_by_key(|problem| problem.line);
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syntax_errors(text: &str) -> Vec<String> {
        Document::parse("f.toml", text).unwrap_err().iter().map(Problem::to_string).collect()
    }

    #[test]
    fn broken_structure_is_reported_with_its_line() {
        let errors = syntax_errors("a = 1\n[b\nc = 2\n");
        assert_eq!(errors.len(), 1);
        assert!(errors[0].starts_with("f.toml:2: this is not TOML: unclosed table"), "{errors:?}");
    }

    #[test]
    fn missing_quotes_and_doubled_keys_do_not_hide_other_problems() {
        let document = Document::parse("f.toml", "id = shop\na = 1\na = 2\nb = \nc = 3\n").unwrap();
        let root = document.root();
        assert_eq!(root.text("id").map(|id| id.value), Some("shop"));
        assert_eq!(root.integer("a").map(|a| a.value), Some(1));
        root.integer("b");
        root.finish();
        let problems: Vec<_> = document.into_problems().iter().map(Problem::to_string).collect();
        assert_eq!(
            problems,
            [
                "f.toml:1: the text shop is not in quotes (hint: write \"shop\")",
                "f.toml:3: `a` is set twice (hint: keep one; a further site, funnel or step starts with its own [[…]] line)",
                "f.toml:4: there is no value after `=` (hint: text goes in quotes: \"…\")",
                "f.toml:5: unknown key `c` (hint: known keys: id, a, b)",
            ]
        );
    }
}

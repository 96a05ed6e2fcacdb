//! The docs as parts: spans of code, blocks of code, tables under a heading.

use crate::tree;

/// A document of the project.
pub(crate) struct Doc {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A fenced block: what it is marked as, and its text.
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) text: String,
}

/// Every document that speaks of the project as a whole.
pub(crate) fn all() -> Vec<Doc> {
    let is_doc =
        |path: &String| path.starts_with("docs/") || !path.contains('/') || path.starts_with("examples/");
    let files = tree::files(&[".md"]).into_iter().filter(|(path, _)| is_doc(path));
    files.map(|(path, text)| Doc { path, text }).collect()
}

pub(crate) fn doc(path: &str) -> Doc {
    Doc { path: path.to_owned(), text: tree::read(path) }
}

impl Doc {
    /// What stands between single backticks, outside of blocks.
    pub(crate) fn spans(&self) -> Vec<String> {
        let mut spans = Vec::new();
        for (index, part) in self.text.split("```").enumerate() {
            if index % 2 == 0 {
                let inside = part.split('`').enumerate().filter(|(index, _)| index % 2 == 1);
                spans.extend(inside.map(|(_, span)| span.split_whitespace().collect::<Vec<_>>().join(" ")));
            }
        }
        spans
    }

    /// What stands between lines of three backticks.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let block = |part: &str| {
            let (language, text) = part.split_once('\n').unwrap_or((part, ""));
            Block { language: language.trim().to_owned(), text: text.to_owned() }
        };
        self.text
            .split("```")
            .enumerate()
            .filter(|(index, _)| index % 2 == 1)
            .map(|(_, part)| block(part))
            .collect()
    }

    /// The first cells of the rows of all tables under a heading (a whole line), without backticks.
    pub(crate) fn first_cells(&self, heading: &str) -> Vec<String> {
        let section = self.section(heading);
        let cells = section.lines().filter(|line| line.starts_with("| `"));
        cells
            .map(|line| {
                line.trim_start_matches("| ").split('|').next().unwrap().replace('`', "").trim().to_owned()
            })
            .collect()
    }

    /// The text under a heading (a whole line), up to the next heading of its level or above.
    pub(crate) fn section(&self, heading: &str) -> String {
        let level = |line: &str| line.bytes().take_while(|byte| *byte == b'#').count();
        let mut lines = self.text.lines().skip_while(|line| *line != heading);
        assert!(lines.next().is_some(), "{} has no heading \"{heading}\"", self.path);
        let ends = |line: &&str| level(line) > 0 && level(line) <= level(heading);
        lines.take_while(|line| !ends(line)).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn has_span(&self, span: &str) -> bool {
        self.spans().iter().any(|found| found == span)
    }
}

/// The longest stretches of `text` that consist of such characters.
pub(crate) fn words(text: &str, is_part: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |letter| !is_part(letter)).filter(|word| !word.is_empty())
}

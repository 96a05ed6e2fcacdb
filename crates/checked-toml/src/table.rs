//! A table of a TOML file, read key by key. Getters record what is wrong and answer `None`; they also remember which
//! keys were asked for, so that [`Table::finish`] can name the unknown ones and suggest the nearest known key.

use std::cell::RefCell;

use toml::de::DeTable;

use crate::document::Document;
use crate::suggest::did_you_mean;
use crate::value::{Located, Value};

/// A table that is being read.
#[derive(Debug)]
pub struct Table<'d> {
    document: &'d Document<'d>,
    entries: &'d DeTable<'d>,
    line: usize,
    subject: RefCell<String>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'d> Table<'d> {
    pub(crate) fn new(document: &'d Document<'d>, entries: &'d DeTable<'d>, line: usize) -> Self {
        Self { document, entries, line, subject: RefCell::default(), asked: RefCell::default() }
    }

    /// The line of its header, or of its brace.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Names the table in messages, e.g. `step "pay"`.
    pub fn describe(&self, subject: impl Into<String>) {
        *self.subject.borrow_mut() = subject.into();
    }

    /// How messages name the table; empty before [`Table::describe`].
    pub fn subject(&self) -> String {
        self.subject.borrow().clone()
    }

    /// Records a problem at a line.
    pub fn report(&self, line: usize, message: impl Into<String>, hint: impl Into<String>) {
        self.document.report(line, message, hint);
    }

    /// Whether the key is there, with whatever value.
    pub fn contains(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Its keys, sorted, each with its line.
    pub fn keys(&self) -> Vec<Located<&'d str>> {
        let line = |span| self.document.lines().of_span(&span);
        self.entries
            .keys()
            .map(|key| Located { value: key.get_ref().as_ref(), line: line(key.span()) })
            .collect()
    }

    /// The value of a key, of any type.
    pub fn value(&self, key: &'static str) -> Option<Value<'d>> {
        self.expect(key);
        self.any_value(key)
    }

    /// The value of a key that is not known beforehand; [`Table::finish`] still calls it unknown.
    pub fn any_value(&self, key: &str) -> Option<Value<'d>> {
        self.entries.get(key).map(|value| Value::new(self.document, value))
    }

    /// Makes a key a known one without reading it.
    pub fn expect(&self, key: &'static str) {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
    }

    /// Text.
    pub fn text(&self, key: &'static str) -> Option<Located<&'d str>> {
        self.typed(key, "text", |value| value.as_text())
    }

    /// Text that must be there and not be empty; `hint` says what to write.
    pub fn required_text(&self, key: &'static str, hint: &str) -> Option<Located<&'d str>> {
        if !self.contains(key) {
            self.expect(key);
            let subject = self.subject();
            let subject = if subject.is_empty() { "this table" } else { &subject };
            self.report(self.line, format!("{subject} has no {key}"), hint);
            return None;
        }
        let text = self.text(key)?;
        if text.value.trim().is_empty() {
            self.report(text.line, format!("{} is empty", self.named(key)), hint);
            return None;
        }
        Some(text)
    }

    /// A whole number.
    pub fn integer(&self, key: &'static str) -> Option<Located<i64>> {
        self.typed(key, "a whole number", |value| value.as_integer())
    }

    /// A number.
    pub fn number(&self, key: &'static str) -> Option<Located<f64>> {
        self.typed(key, "a number", |value| value.as_number())
    }

    /// `true` or `false`.
    pub fn boolean(&self, key: &'static str) -> Option<Located<bool>> {
        self.typed(key, "true or false", |value| value.as_boolean())
    }

    /// A list of texts; items of another type are recorded and left out. Empty where the key is missing.
    pub fn texts(&self, key: &'static str) -> Vec<Located<&'d str>> {
        let items = self.typed(key, "a list of texts", |value| value.as_list()).map(|list| list.value);
        let text = |item: Value<'d>| match item.as_text() {
            Some(value) => Some(Located { value, line: item.line() }),
            None => {
                self.refuse_type(
                    item.line(),
                    &format!("every item of {}", self.named(key)),
                    "text",
                    item.kind(),
                );
                None
            }
        };
        items.unwrap_or_default().into_iter().filter_map(text).collect()
    }

    /// A table under its own header, or inline.
    pub fn table(&self, key: &'static str) -> Option<Table<'d>> {
        self.typed(key, "a table", |value| value.as_table()).map(|table| table.value)
    }

    /// The tables of `[[key]]`. Empty where the key is missing.
    pub fn tables(&self, key: &'static str) -> Vec<Table<'d>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let tables: Option<Vec<_>> =
            value.as_list().and_then(|items| items.iter().map(|item| item.as_table()).collect());
        tables.unwrap_or_else(|| {
            let hint = format!("start each with a line [[{key}]], two brackets");
            self.report(
                value.line(),
                format!("{} must be a list of tables, not {}", self.named(key), value.kind()),
                hint,
            );
            Vec::new()
        })
    }

    /// Records the keys that no getter asked for.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for key in self.keys().into_iter().filter(|key| !asked.contains(&key.value)) {
            let hint = match did_you_mean(key.value, asked.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known keys: {}", asked.join(", ")),
            };
            let of = match self.subject().as_str() {
                "" => String::new(),
                subject => format!(" in {subject}"),
            };
            self.report(key.line, format!("unknown key `{}`{of}", key.value), hint);
        }
    }

    /// How messages name a key: `window`, or `window of funnel "buy"`.
    pub fn named(&self, key: &str) -> String {
        match self.subject().as_str() {
            "" => key.to_owned(),
            subject => format!("{key} of {subject}"),
        }
    }

    fn typed<T>(
        &self,
        key: &'static str,
        kind: &str,
        read: impl FnOnce(&Value<'d>) -> Option<T>,
    ) -> Option<Located<T>> {
        let value = self.value(key)?;
        let line = value.line();
        if let Some(value) = read(&value) {
            return Some(Located { value, line });
        }
        self.refuse_type(line, &self.named(key), kind, value.kind());
        None
    }

    fn refuse_type(&self, line: usize, what: &str, expected: &str, found: &str) {
        let hint = match (expected, found) {
            ("text", "a whole number" | "a number" | "true or false" | "a date") => "put it in quotes",
            ("a list of texts", "text") => "put it in brackets: [\"…\"]",
            _ => "",
        };
        let found = if expected == found { "one too large" } else { found };
        self.report(line, format!("{what} must be {expected}, not {found}"), hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Problem;

    fn problems(text: &str, read: impl FnOnce(Table<'_>)) -> Vec<String> {
        let document = Document::parse("f.toml", text).unwrap();
        read(document.root());
        document.into_problems().iter().map(Problem::to_string).collect()
    }

    #[test]
    fn every_wrong_type_is_reported_and_reading_goes_on() {
        let text = "a = 1\nb = \"x\"\nc = [\"x\",\n  2]\nd = 99999999999999999999\n[e]\nf = 1.5\n";
        let found = problems(text, |root| {
            assert!(root.text("a").is_none());
            assert!(root.texts("b").is_empty());
            assert_eq!(root.texts("c").len(), 1);
            assert!(root.integer("d").is_none());
            assert!(root.tables("e").is_empty());
        });
        assert_eq!(
            found,
            [
                "f.toml:1: a must be text, not a whole number (hint: put it in quotes)",
                "f.toml:2: b must be a list of texts, not text (hint: put it in brackets: [\"…\"])",
                "f.toml:4: every item of c must be text, not a whole number (hint: put it in quotes)",
                "f.toml:5: d must be a whole number, not one too large",
                "f.toml:6: e must be a list of tables, not a table (hint: start each with a line [[e]], two brackets)",
            ]
        );
    }

    #[test]
    fn values_are_read_with_their_lines() {
        let text = "hex = 0x1_0\n[[steps]]\nid = \"one\"\n[[steps]]\nid = \"two\"\nrate = 2\nlive = true\n";
        let found = problems(text, |root| {
            assert_eq!(root.integer("hex"), Some(Located { value: 16, line: 1 }));
            let steps = root.tables("steps");
            let ids: Vec<_> = steps.iter().filter_map(|step| step.text("id")).collect();
            assert_eq!(ids, [Located { value: "one", line: 3 }, Located { value: "two", line: 5 }]);
            assert_eq!((steps[0].line(), steps[1].line()), (2, 4));
            assert_eq!(steps[1].number("rate").map(|rate| rate.value), Some(2.0));
            assert_eq!(steps[1].boolean("live").map(|live| live.value), Some(true));
            root.finish();
        });
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_missing_or_empty_text_names_its_table() {
        let found = problems("[step]\nevent = \" \"\n", |root| {
            let step = root.table("step").unwrap();
            step.describe("step \"pay\"");
            step.required_text("event", "name the event");
            step.required_text("id", "add id");
        });
        assert_eq!(
            found,
            [
                "f.toml:1: step \"pay\" has no id (hint: add id)",
                "f.toml:2: event of step \"pay\" is empty (hint: name the event)",
            ]
        );
    }
}

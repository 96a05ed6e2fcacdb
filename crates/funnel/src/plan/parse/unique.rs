//! Values that may be written once, and where they were written first.

use std::collections::HashMap;

use checked_toml::{Located, Table};

pub(super) struct Unique {
    what: &'static str,
    first_lines: HashMap<String, usize>,
}

impl Unique {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, first_lines: HashMap::new() }
    }

    /// Records a problem if the value was seen before.
    pub(super) fn check(&mut self, table: &Table<'_>, value: Located<&str>) {
        self.check_as(table, value, value.value.to_owned());
    }

    /// As [`Unique::check`], where `key` says what must be unique.
    pub(super) fn check_as(&mut self, table: &Table<'_>, value: Located<&str>, key: String) {
        if let Some(first) = self.first_lines.get(&key) {
            let message = format!("{} \"{}\" is used twice", self.what, value.value);
            table.report(value.line, message, format!("line {first} has it too; choose another"));
        } else {
            self.first_lines.insert(key, value.line);
        }
    }
}

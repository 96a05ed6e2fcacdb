//! A value of a TOML file with its line, for readers that accept several types.

use toml::Spanned;
use toml::de::DeValue;

use crate::document::Document;
use crate::number_text;
use crate::table::Table;

/// Something read from a file, and the line it stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located<T> {
    pub value: T,
    /// Counted from 1.
    pub line: usize,
}

impl<T> Located<T> {
    /// The same line, another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Located<U> {
        Located { value: change(self.value), line: self.line }
    }
}

/// A value whose type is not known yet. The `as_…` methods answer `None` for another type and record nothing.
#[derive(Debug, Clone, Copy)]
pub struct Value<'d> {
    document: &'d Document<'d>,
    value: &'d DeValue<'d>,
    line: usize,
}

impl<'d> Value<'d> {
    pub(crate) fn new(document: &'d Document<'d>, value: &'d Spanned<DeValue<'d>>) -> Self {
        Self { document, value: value.get_ref(), line: document.lines().of_span(&value.span()) }
    }

    /// The line it starts on, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// What it is, for messages: `text`, `a whole number`, …
    pub fn kind(&self) -> &'static str {
        match self.value {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }

    /// Text.
    pub fn as_text(&self) -> Option<&'d str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number that 64 bits hold.
    pub fn as_integer(&self) -> Option<i64> {
        match self.value {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
            _ => None,
        }
    }

    /// A whole or fractional number.
    pub fn as_number(&self) -> Option<f64> {
        match self.value {
            DeValue::Float(float) => float.as_str().parse().ok(),
            #[allow(clippy::cast_precision_loss)]
            _ => self.as_integer().map(|integer| integer as f64),
        }
    }

    /// `true` or `false`.
    pub fn as_boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }

    /// A list's items.
    pub fn as_list(&self) -> Option<Vec<Value<'d>>> {
        match self.value {
            DeValue::Array(items) => Some(items.iter().map(|item| Value::new(self.document, item)).collect()),
            _ => None,
        }
    }

    /// A table, inline or under its own header.
    pub fn as_table(&self) -> Option<Table<'d>> {
        match self.value {
            DeValue::Table(entries) => Some(Table::new(self.document, entries, self.line)),
            _ => None,
        }
    }

    /// Text, a number ([`number_text`]) or a boolean as text.
    pub fn as_plain_text(&self) -> Option<String> {
        match self.value {
            DeValue::String(text) => Some(text.clone().into_owned()),
            DeValue::Boolean(boolean) => Some(boolean.to_string()),
            DeValue::Float(float) => number_text::of_written(float.as_str().trim_start_matches('+')),
            DeValue::Integer(integer) if integer.radix() == 10 => {
                number_text::of_written(integer.as_str().trim_start_matches('+'))
            }
            _ => self.as_integer().map(|integer| integer.to_string()),
        }
    }
}

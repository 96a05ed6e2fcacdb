//! A value as the client wrote it: its kind and its slice of the text.

use std::borrow::Cow;

/// A checked JSON value; texts are slices of the request's body.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) enum Value<'a> {
    /// Absent or `null`.
    #[default]
    Null,
    Bool(bool),
    /// As written.
    Number(&'a str),
    Text(Text<'a>),
    /// With its braces, as written.
    Object(&'a str),
    /// With its brackets, as written.
    Array(&'a str),
}

/// The content of a JSON string, without quotes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Text<'a> {
    pub(super) raw: &'a str,
    pub(super) escaped: bool,
}

impl<'a> Text<'a> {
    /// A text that needs no decoding.
    pub(crate) fn plain(raw: &'a str) -> Self {
        Self { raw, escaped: false }
    }

    /// Bytes as it was written, without the quotes.
    pub(crate) fn written_bytes(self) -> usize {
        self.raw.len()
    }

    /// Whether it has no character.
    pub(crate) fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// The characters. Borrowed unless there are escapes; a lone surrogate, which is a flaw of the event, gives nothing.
    #[inline]
    pub(crate) fn decode(self) -> Cow<'a, str> {
        if self.escaped { self.unescape() } else { Cow::Borrowed(self.raw) }
    }

    #[inline(never)]
    fn unescape(self) -> Cow<'a, str> {
        let quoted = ["\"", self.raw, "\""].concat();
        Cow::Owned(serde_json::from_str(&quoted).unwrap_or_default())
    }
}

impl<'a> Value<'a> {
    /// What JSON calls this kind of value, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Object(_) => "an object",
            Self::Array(_) => "an array",
        }
    }

    /// The text of a string that is not empty.
    #[inline]
    pub(crate) fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text.decode()),
            _ => None,
        }
    }

    /// The text of a string or a number; nothing where it is empty.
    #[inline]
    pub(crate) fn text_or_number(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Number(number) => Some(Cow::Borrowed(number)),
            other => other.text(),
        }
    }

    /// Appends a string, number or boolean as JSON; `false` if it is nothing of these or empty.
    pub(crate) fn push_scalar(&self, out: &mut String) -> bool {
        match self {
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => out.push_str(number),
            Self::Text(text) if text.is_empty() => return false,
            Self::Text(text) if text.escaped => out.extend(["\"", text.raw, "\""]),
            Self::Text(text) => super::push_quoted(out, text.raw),
            _ => return false,
        }
        true
    }

    /// Appends a value of a scanned text as it was written.
    pub(crate) fn push(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(text) | Self::Object(text) | Self::Array(text) => out.push_str(text),
            Self::Text(text) => out.extend(["\"", text.raw, "\""]),
        }
    }

    /// This one, or the other where this is null.
    pub(crate) fn or(self, other: Self) -> Self {
        if self.is_null() { other } else { self }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

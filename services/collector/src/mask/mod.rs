//! Masks what should not have been sent: e-mail addresses, numbers of payment cards, and tokens, wherever they stand in
//! a text. Called for an event's properties and the stored part of its context, and for samples of rejected events.
//!
//! Nearly every event has none, so a scan that a processor does many bytes at a time asks first whether there may be any;
//! only where it says so is the text read value by value. Masking what is masked changes nothing. Whoever has a write key
//! may send any text, so none may cost much more than its length: what is looked for has a greatest length.

mod card;
mod email;
mod suspicion;
mod token;
mod walk;

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{Scanner, Value, push_quoted};

const EMAIL: &str = "[masked:email]";
const CARD: &str = "[masked:card]";
const TOKEN: &str = "[masked:token]";

/// A value within a JSON text, and what stands in its place.
type Replacement = (Range<usize>, String);

/// The text with what must not be stored masked; nothing where there is nothing to mask.
pub(crate) fn text(text: &str) -> Option<String> {
    text_of(text, false)
}

/// As [`text`], of a value whose name says that it is a card's number, or not.
fn text_of(text: &str, of_card: bool) -> Option<String> {
    if !suspicion::is_raised_by(text) {
        return None;
    }
    let mut masked = Cow::Borrowed(text);
    let cards = |text: &str| card::find(text, of_card);
    for (mask, find) in
        [(TOKEN, &token::find as &dyn Fn(&str) -> Vec<Range<usize>>), (EMAIL, &email::find), (CARD, &cards)]
    {
        let found = find(&masked);
        if !found.is_empty() {
            masked = Cow::Owned(replaced(&masked, found.into_iter().map(|range| (range, mask))));
        }
    }
    match masked {
        Cow::Owned(masked) => Some(masked),
        Cow::Borrowed(_) => None,
    }
}

/// Checked JSON with the texts and numbers in it masked, but for those whose names are `allowed`: `a.b` is a field of an
/// object, and `a` stands for all that is in it. Whatever is not masked stays byte for byte.
pub(crate) fn json(json: &str, allowed: &[String]) -> Option<String> {
    if !suspicion::is_raised_by(json) {
        return None;
    }
    let mut values = Values { allowed, path: String::new(), of_card: false, found: Vec::new() };
    let start = json.len() - json.trim_ascii_start().len();
    values.value(of_text(json), start);
    let found = values.found;
    (!found.is_empty()).then(|| {
        let found = found.iter().map(|(range, text)| (range.clone(), text.as_str()));
        replaced(json, found)
    })
}

/// An object or an array, else nothing to look into.
fn of_text(json: &str) -> Value<'_> {
    Scanner::new(json).value().unwrap_or_default()
}

/// The text with each range replaced. Ranges are in order and apart.
fn replaced<'m>(text: &str, found: impl Iterator<Item = (Range<usize>, &'m str)>) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut at = 0;
    for (range, mask) in found {
        out.push_str(text.get(at..range.start).unwrap_or_default());
        out.push_str(mask);
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// The values of a JSON text, walked through in its order.
struct Values<'v> {
    allowed: &'v [String],
    /// The names of the fields that are open, with dots between.
    path: String,
    /// Whether the name of the value in hand says that it is a card's number.
    of_card: bool,
    found: Vec<Replacement>,
}

impl Values<'_> {
    /// A value that begins at `start` of the whole text. (Checked JSON is nested `MAX_NESTING` levels at most.)
    fn value(&mut self, value: Value<'_>, start: usize) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Object(object) if suspicion::is_raised_by(object) => self.object(object, start),
            Value::Array(array) if suspicion::is_raised_by(array) => self.array(array, start),
            Value::Object(_) | Value::Array(_) => {}
            Value::Number(number) => {
                if self.of_card && card::is_number(number) {
                    self.found.push((start..start + number.len(), format!("\"{CARD}\"")));
                }
            }
            Value::Text(written) => {
                if let Some(masked) = text_of(&written.decode(), self.of_card) {
                    let mut quoted = String::with_capacity(masked.len() + 2);
                    push_quoted(&mut quoted, &masked);
                    self.found.push((start..start + written.written_bytes() + 2, quoted));
                }
            }
        }
    }

    fn object(&mut self, object: &str, start: usize) {
        let is_card = self.of_card;
        // What was checked has no errors.
        let _ = Scanner::new(object).object(|scanner, key| {
            let before = self.path.len();
            if before > 0 {
                self.path.push('.');
            }
            let key = key.decode();
            self.path.push_str(&key);
            self.of_card = card::is_key(&key) || is_card && card::is_number_key(&key);
            scanner.peek();
            let at = start + scanner.position();
            let value = scanner.value()?;
            if !self.is_allowed() {
                self.value(value, at);
            }
            self.path.truncate(before);
            Ok(())
        });
        self.of_card = is_card;
    }

    fn array(&mut self, array: &str, start: usize) {
        let _ = Scanner::new(array).array(|scanner| {
            scanner.peek();
            let at = start + scanner.position();
            let value = scanner.value()?;
            self.value(value, at);
            Ok(())
        });
    }

    fn is_allowed(&self) -> bool {
        let is_within = |name: &String| {
            let rest = self.path.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.allowed.iter().any(is_within)
    }
}

#[cfg(test)]
mod tests;

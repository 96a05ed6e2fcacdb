//! Writes another vendor's events as Segment's batch, `{"batch":[…],"writeKey":…,"sentAt":…}`: what the adapters of other
//! vendors produce and `batch` reads. Values are copied as the client wrote them, so that properties stay byte for byte
//! what they were, and every rule about events stands in one place only.

use crate::derive::address::Address;
use crate::json::{Scanner, Value, push_quoted};

/// A batch under way.
pub(super) struct Batch {
    text: String,
    is_empty: bool,
}

/// An object under way, at the end of a text.
pub(super) struct Object<'t> {
    text: &'t mut String,
    is_empty: bool,
}

impl Batch {
    /// `body_bytes` is the length of the form that is read: this one becomes a little longer.
    pub(super) fn new(body_bytes: usize) -> Self {
        let mut batch =
            Self { text: String::with_capacity(body_bytes + body_bytes / 4 + 64), is_empty: true };
        batch.clear();
        batch
    }

    /// Without events.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.text.push_str("{\"batch\":[");
        self.is_empty = true;
    }

    /// The next event; `fill` writes its fields.
    pub(super) fn event(&mut self, fill: impl FnOnce(&mut Object<'_>)) {
        self.separate();
        object(&mut self.text, fill);
    }

    /// What stands where an event should be, so that it is rejected at its place.
    pub(super) fn other(&mut self, value: &Value<'_>) {
        self.separate();
        value.push(&mut self.text);
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.is_empty) {
            self.text.push(',');
        }
    }

    /// The whole text. A key or time that is `Null` is left out.
    pub(super) fn finish(mut self, write_key: &Value<'_>, sent_at: &Value<'_>) -> String {
        self.text.push(']');
        let mut rest = Object { text: &mut self.text, is_empty: false };
        rest.value("writeKey", write_key);
        rest.value("sentAt", sent_at);
        self.text.push('}');
        self.text
    }
}

fn object(text: &mut String, fill: impl FnOnce(&mut Object<'_>)) {
    text.push('{');
    fill(&mut Object { text, is_empty: true });
    text.push('}');
}

impl Object<'_> {
    /// `name` is plain: no character of it is escaped.
    fn key(&mut self, name: &'static str) {
        self.text.push_str(if std::mem::take(&mut self.is_empty) { "\"" } else { ",\"" });
        self.text.push_str(name);
        self.text.push_str("\":");
    }

    /// A field as the client wrote it, unless it is null.
    pub(super) fn value(&mut self, name: &'static str, value: &Value<'_>) {
        if !value.is_null() {
            self.key(name);
            value.push(self.text);
        }
    }

    /// A field of text, unless it is empty.
    pub(super) fn text(&mut self, name: &'static str, text: &str) {
        if !text.is_empty() {
            self.key(name);
            push_quoted(self.text, text);
        }
    }

    /// A field that is an object, unless `fill` writes nothing into it.
    pub(super) fn object(&mut self, name: &'static str, fill: impl FnOnce(&mut Object<'_>)) {
        let (before, was_empty) = (self.text.len(), self.is_empty);
        self.key(name);
        let inner = self.text.len() + 1;
        object(self.text, fill);
        if self.text.len() == inner + 1 {
            self.text.truncate(before);
            self.is_empty = was_empty;
        }
    }

    /// The fields of an object (JSON that was checked) but those that are not wanted, each as it was written. Texts of
    /// addresses lose their query and fragment.
    pub(super) fn fields_of(
        &mut self,
        object: &str,
        is_wanted: impl Fn(&str) -> bool,
        is_address: impl Fn(&str) -> bool,
    ) {
        let mut scanner = Scanner::new(object);
        let _ = scanner.object(|scanner, key| {
            let value = scanner.value()?;
            let name = key.decode();
            if is_wanted(&name) {
                if !std::mem::take(&mut self.is_empty) {
                    self.text.push(',');
                }
                Value::Text(key).push(self.text);
                self.text.push(':');
                match value.text().filter(|_| is_address(&name)) {
                    Some(url) => push_quoted(self.text, Address::of(&url).stored()),
                    None => value.push(self.text),
                }
            }
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_batch_is_json_whatever_is_left_out() {
        let mut batch = Batch::new(0);
        batch.event(|event| {
            event.object("empty", |_| {});
            event.value("none", &Value::Null);
            event.text("type", "a\"b");
            event.object("properties", |to| {
                let fields =
                    r#"{ "a" : 1.0, "drop":{}, "b\u0041":"\ud83d\ude00", "url":"\/p?q=1", "urls":["?"] }"#;
                to.fields_of(fields, |key| key != "drop", |key| key.starts_with("url"));
                to.value("c", &Value::Array("[1]"));
            });
            event.text("last", "");
        });
        batch.event(|_| {});
        batch.other(&Value::Number("7"));
        let text = batch.finish(&Value::Number("1e2"), &Value::Null);
        let expected = json!({"batch": [{"type": "a\"b", "properties": {"a": 1.0, "bA": "😀", "url": "/p", "urls": ["?"], "c": [1]}}, {}, 7],
            "writeKey": 1e2});
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected);
        assert!(text.contains(r#""b\u0041":"\ud83d\ude00""#), "as it was written: {text}");
        assert_eq!(Batch::new(0).finish(&Value::Null, &Value::Null), r#"{"batch":[]}"#);
    }
}

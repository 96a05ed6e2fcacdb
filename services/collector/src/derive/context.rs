//! The part of `context` that is stored: an allow-list, because a context also carries what nobody asked for (IP address,
//! User-Agent, traits). One pass over the text writes the stored part and finds what other fields are derived from.
//!
//! URLs lose their query and fragment, the referrer all but its host: both are where names, mail addresses and tokens
//! end up by accident.

use std::borrow::Cow;

use super::address::Address;
use super::campaign::Campaign;

use crate::json::{Scanner, SyntaxError, Value, push_quoted};

/// Texts, numbers and booleans of `context` that are stored.
pub const ALLOWED: &[&str] = &["locale", "timezone"];

/// Objects of `context` and their fields that are stored.
pub const ALLOWED_IN: &[(&str, &[&str])] = &[
    ("campaign", &["name", "source", "medium", "term", "content"]),
    ("page", &["path", "url", "referrer"]),
    ("library", &["name", "version"]),
    ("app", &["name", "version"]),
    ("os", &["name", "version"]),
    ("device", &["type"]),
    ("screen", &["width", "height", "density"]),
];

/// What a context tells.
#[derive(Debug, Default)]
pub(crate) struct Found<'a> {
    pub(crate) campaign: Campaign<'a>,
    /// Hosts, in lower case.
    pub(crate) referrer: Cow<'a, str>,
    pub(crate) page: Cow<'a, str>,
    pub(crate) user_agent: Option<Cow<'a, str>>,
    pub(crate) device: Option<Cow<'a, str>>,
    pub(crate) os: Option<Cow<'a, str>>,
    url: Cow<'a, str>,
    search: Cow<'a, str>,
}

/// Writes the stored part of a context (checked JSON) to `out`, which stays empty if nothing is stored.
pub(crate) fn reduce<'a>(context: &'a str, out: &mut String) -> Found<'a> {
    out.clear();
    let mut found = Found::default();
    let mut scanner = Scanner::new(context);
    // The text was checked when the event was read: no error is left to find.
    let _ = scanner.object(|scanner, key| {
        let key = key.decode();
        match ALLOWED_IN.iter().find(|(name, _)| *name == key) {
            Some((name, fields)) if scanner.peek() == Some(b'{') => {
                object(scanner, name, fields, &mut found, out)
            }
            _ => {
                let value = scanner.value()?;
                if ALLOWED.contains(&key.as_ref()) {
                    push_field(out, 0, &key, &value);
                }
                if key == "userAgent" {
                    found.user_agent = value.text();
                }
                Ok(())
            }
        }
    });
    if !out.is_empty() {
        out.push('}');
    }
    found.conclude();
    found
}

fn object<'a>(
    scanner: &mut Scanner<'a>,
    name: &str,
    fields: &[&str],
    found: &mut Found<'a>,
    out: &mut String,
) -> Result<(), SyntaxError> {
    let before = out.len();
    push_key(out, 0, name);
    let inner = out.len();
    scanner.object(|scanner, key| {
        let key = key.decode();
        let value = scanner.value()?;
        if fields.contains(&key.as_ref()) {
            match (name, key.as_ref(), value.text()) {
                ("page", "url", Some(url)) => push_text(out, inner, "url", Address::of(&url).stored()),
                ("page", "referrer", Some(url)) => push_text(out, inner, "referrer", &host(&url)),
                _ => push_field(out, inner, &key, &value),
            }
        }
        found.note(name, &key, &value);
        Ok(())
    })?;
    if out.len() == inner {
        out.truncate(before);
    } else {
        out.push('}');
    }
    Ok(())
}

impl<'a> Found<'a> {
    fn note(&mut self, object: &str, field: &str, value: &Value<'a>) {
        let Some(text) = value.text() else { return };
        match (object, field) {
            ("campaign", field) => self.campaign.set(field, text),
            ("page", "url") => self.url = text,
            ("page", "search") => self.search = text,
            ("page", "referrer") => self.referrer = host(&text),
            ("device", "type") => self.device = Some(text),
            ("os", "name") => self.os = Some(text),
            _ => {}
        }
    }

    fn conclude(&mut self) {
        self.page = host(&self.url);
        self.campaign.fill_from_query(std::mem::take(&mut self.url));
        self.campaign.fill_from_query(std::mem::take(&mut self.search));
    }
}

/// The host of a URL, borrowed where the URL is.
fn host<'a>(url: &Cow<'a, str>) -> Cow<'a, str> {
    match url {
        Cow::Borrowed(url) => Address::of(url).host(),
        Cow::Owned(url) => Cow::Owned(Address::of(url).host().into_owned()),
    }
}

/// Appends the key of the next field of the object that begins at `start`. Listed keys need no escapes.
fn push_key(out: &mut String, start: usize, key: &str) {
    out.push_str(if out.len() == start { "{\"" } else { ",\"" });
    out.push_str(key);
    out.push_str("\":");
}

fn push_text(out: &mut String, start: usize, key: &str, text: &str) {
    if !text.is_empty() {
        push_key(out, start, key);
        push_quoted(out, text);
    }
}

fn push_field(out: &mut String, start: usize, key: &str, value: &Value<'_>) {
    let before = out.len();
    push_key(out, start, key);
    if !value.push_scalar(out) {
        out.truncate(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduced(context: &serde_json::Value) -> serde_json::Value {
        let mut out = String::new();
        reduce(&context.to_string(), &mut out);
        if out.is_empty() { serde_json::Value::Null } else { serde_json::from_str(&out).unwrap() }
    }

    #[test]
    fn only_what_is_listed_is_stored() {
        let context = serde_json::json!({
            "ip": "203.0.113.9", "userAgent": "Mozilla/5.0", "traits": {"email": "a@b.c"}, "locale": "de-DE",
            "page": {"path": "/a", "url": "https://shop.example/a?token=1#x", "referrer": "https://u:p@ref.example/?q=me",
                     "title": "T", "search": "?token=1"},
            "library": {"name": "analytics.js", "version": "1 \"x\""}, "screen": {"width": 320, "innerWidth": 5},
            "campaign": {"name": "may", "source": {"a": 1}}, "device": {"id": "d", "type": "mobile"}, "os": {},
        });
        let expected = serde_json::json!({
            "locale": "de-DE", "page": {"path": "/a", "url": "https://shop.example/a", "referrer": "ref.example"},
            "library": {"name": "analytics.js", "version": "1 \"x\""}, "screen": {"width": 320},
            "campaign": {"name": "may"}, "device": {"type": "mobile"},
        });
        assert_eq!(reduced(&context), expected);
        assert_eq!(reduced(&serde_json::json!({"ip": "203.0.113.9", "page": {}})), serde_json::Value::Null);
    }

    #[test]
    fn what_other_fields_are_derived_from_is_found() {
        let context = r#"{"page":{"url":"https://Shop.example/?utm_source=g&gclid=1","referrer":"https://www.google.com/"},
            "campaign":{"source":"may"},"userAgent":"U","os":{"name":"iOS"}}"#;
        let found = reduce(context, &mut String::new());
        assert_eq!(found.campaign.source, "may");
        assert_eq!(found.campaign.click_channel, Some("paid_search"));
        assert_eq!((found.referrer.as_ref(), found.page.as_ref()), ("www.google.com", "shop.example"));
        assert_eq!((found.user_agent.as_deref(), found.os.as_deref()), (Some("U"), Some("iOS")));
    }
}

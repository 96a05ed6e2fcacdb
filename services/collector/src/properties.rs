//! An event's properties as they were sent: Segment's `name`, `previousId` and `groupId` stand beside them, and belong
//! to them. Called by `validate`, before anything is masked.

use std::borrow::Cow;

use crate::draft::{Draft, Kind};
use crate::json::{Scanner, Value, push_quoted};

/// The properties, of which `text` is the object or empty. A page's or screen's `name`, an alias's `previousId` and a
/// group's `groupId` are among them where they stand beside them.
pub(crate) fn of<'a>(draft: &Draft<'a>, text: &'a str) -> Cow<'a, str> {
    let (key, value) = match draft.kind {
        Kind::Page | Kind::Screen => ("name", &draft.name),
        Kind::Alias => ("previousId", &draft.related_id),
        Kind::Group => ("groupId", &draft.related_id),
        Kind::Track | Kind::Identify => return Cow::Borrowed(text),
    };
    if value.is_null() || has_key(text, key) {
        return Cow::Borrowed(text);
    }
    with_field(text, key, value).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn has_key(object: &str, wanted: &str) -> bool {
    let mut found = false;
    let _ = Scanner::new(object).object(|scanner, key| {
        found |= key.decode() == wanted;
        scanner.value().map(drop)
    });
    found
}

fn with_field(object: &str, key: &str, value: &Value<'_>) -> Option<String> {
    let mut out = String::with_capacity(object.len() + key.len() + 64);
    out.push('{');
    push_quoted(&mut out, key);
    out.push(':');
    if !value.push_scalar(&mut out) {
        return None;
    }
    match object.strip_prefix('{').map(str::trim_ascii_start) {
        None | Some("}") => out.push('}'),
        Some(rest) => out.extend([",", rest]),
    }
    Some(out)
}

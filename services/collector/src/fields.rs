//! An object's fields as they were written: no number goes through a 64-bit float, so that an id that is a number keeps its own
//! digits on every way in. Used where a request is no body of events: pictures, links, erasures, and what is kept of
//! rejections; events themselves are read by [`crate::json`].

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The JSON of each field by its name.
pub(crate) type Fields = BTreeMap<String, Box<RawValue>>;

/// What names something: a text, or a number by its own digits; `None` for anything else.
pub(crate) fn text_or_number(json: &str) -> Option<String> {
    let is_number = json.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    if is_number { Some(json.to_owned()) } else { serde_json::from_str(json).ok() }
}

//! Rejected events on their way to the table `rejected_events`, so that whoever sent them finds out where they went.
//! Called for each rejected event of a request; the answer waits for none of it, and beyond a number a second they are
//! only counted.
//!
//! What is kept of an event are its names, its time and its properties, masked and cut; never its context, which may
//! hold addresses and traits. Of what is no JSON nothing is kept but its length.

use std::collections::BTreeMap;

use event_log::rejected::{Rejected, Rejections};
use funnel::plan::STORED_PREFIX;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use crate::draft::{Draft, Kind, When};
use crate::fields::{Fields, text_or_number};
use crate::json::Value;
use crate::mask;
use crate::rejection::Rejection;

/// A larger event is not looked into.
const MAX_READ_BYTES: usize = 64 << 10;
/// The fields of a sample, as Segment names them.
const SAMPLED: [&str; 8] =
    ["type", "event", "name", "anonymousId", "userId", "messageId", "timestamp", "properties"];

/// Where the rejected events of one request go.
pub(crate) struct Kept<'r> {
    pub(crate) rejections: Option<&'r Rejections>,
    pub(crate) site: &'r str,
    /// As the metrics name it.
    pub(crate) endpoint: &'static str,
    /// UTC milliseconds.
    pub(crate) received_at_ms: i64,
}

impl Kept<'_> {
    /// An event that its adapter could not make a draft of.
    pub(crate) fn text(&self, text: &[u8], rejection: &Rejection) {
        self.keep("", rejection, || {
            let fields = if text.len() <= MAX_READ_BYTES { serde_json::from_slice(text).ok() } else { None };
            let rejected = fields.map_or_else(Rejected::default, |fields| of_fields(&fields));
            Rejected { bytes: text.len() as u64, ..rejected }
        });
    }

    /// An event that breaks a rule.
    pub(crate) fn draft(&self, draft: &Draft<'_>, rejection: &Rejection) {
        self.keep("", rejection, || of_draft(draft));
    }

    /// An event that breaks a rule of its site's schema, which is lenient: it is stored.
    pub(crate) fn violation(&self, draft: &Draft<'_>, violation: &Rejection) {
        self.keep(STORED_PREFIX, violation, || of_draft(draft));
    }

    /// The reason that is told begins with `prefix`.
    fn keep(&self, prefix: &str, rejection: &Rejection, make: impl FnOnce() -> Rejected) {
        let Some(rejections) = self.rejections else { return };
        rejections.sample(self.received_at_ms, || Rejected {
            id: Uuid::new_v4().to_string(),
            received_at_ms: self.received_at_ms,
            site: self.site.to_owned(),
            endpoint: self.endpoint.to_owned(),
            reason: format!("{prefix}{}", rejection.reason.code()),
            message: rejection.message.to_string(),
            ..make()
        });
    }
}

fn of_draft(draft: &Draft<'_>) -> Rejected {
    let fields = fields_of(draft);
    Rejected { bytes: 0, ..of_fields(&fields) }
}

/// What is told of an event with these fields.
fn of_fields(fields: &Fields) -> Rejected {
    let name = |key: &str| fields.get(key).and_then(|value| text_or_number(value.get())).unwrap_or_default();
    let sampled: BTreeMap<_, _> = fields.iter().filter(|(key, _)| SAMPLED.contains(&key.as_str())).collect();
    let visitor = name("anonymousId");
    Rejected {
        event: name("event"),
        message_id: name("messageId"),
        visitor_id: if visitor.is_empty() { name("userId") } else { visitor },
        sample: masked(serde_json::to_string(&sampled).unwrap_or_default()),
        ..Rejected::default()
    }
}

/// What must not be stored is not stored here either, whatever the plan allows.
fn masked(sample: String) -> String {
    mask::json(&sample, &[]).unwrap_or(sample)
}

/// A draft's fields, under their names.
fn fields_of(draft: &Draft<'_>) -> Fields {
    let timestamp = match draft.timestamp {
        When::Absent => None,
        When::Written(value) => json_of(value),
        When::Ms(ms) => to_raw_value(&ms).ok(),
    };
    let kind = match draft.kind {
        Kind::Track => "track",
        Kind::Page => "page",
        Kind::Screen => "screen",
        Kind::Identify => "identify",
        Kind::Alias => "alias",
        Kind::Group => "group",
    };
    let fields = [
        ("type", to_raw_value(kind).ok()),
        ("event", json_of(draft.event)),
        ("name", json_of(draft.name)),
        ("anonymousId", json_of(draft.anonymous_id)),
        ("userId", json_of(draft.user_id)),
        ("messageId", json_of(draft.message_id)),
        ("timestamp", timestamp),
        ("properties", json_of(draft.properties)),
    ];
    fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// A value as it was written; nothing where it is too large to be looked into.
fn json_of(value: Value<'_>) -> Option<Box<RawValue>> {
    match value {
        Value::Null => None,
        Value::Bool(value) => to_raw_value(&value).ok(),
        Value::Text(text) => to_raw_value(&text.decode()).ok(),
        Value::Number(text) | Value::Object(text) | Value::Array(text) => {
            (text.len() <= MAX_READ_BYTES).then(|| RawValue::from_string(text.to_owned()).ok()).flatten()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_a_number_is_kept_by_its_own_digits_and_the_sample_as_it_was_written() {
        let sent = r#"{"anonymousId":1234567890.1700000001,"messageId":1e3,"properties":{"n":18446744073709551617}}"#;
        let kept = of_fields(&serde_json::from_str(sent).unwrap());
        assert_eq!((kept.visitor_id.as_str(), kept.message_id.as_str()), ("1234567890.1700000001", "1e3"));
        assert_eq!(kept.sample, sent);
        let draft = Draft {
            user_id: Value::Number("18446744073709551617"),
            event: Value::Text(crate::json::Text::plain("a\"b")),
            ..Draft::default()
        };
        let kept = of_draft(&draft);
        assert_eq!((kept.visitor_id.as_str(), kept.event.as_str()), ("18446744073709551617", "a\"b"));
    }
}

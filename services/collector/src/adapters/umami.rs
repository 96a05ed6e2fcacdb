//! Umami's `POST /api/send` to Segment's form: `{"type":"event"|"identify","payload":{…}}`, or an array of them
//! (`/api/batch`).
//!
//! `payload.website` is the key and `payload.id` the visitor; an event without a name is a page view. `data` are the
//! properties. Umami's clients send neither a message id nor, mostly, a time: such an event happened when it arrived.

use super::segment_form::{Batch, Object};
use super::vendor::{absolute, scanned};
use crate::json::{Value, elements, fields};
use crate::refusal::Refusal;

/// The body as Segment's batch.
pub(super) fn recast(body: &str) -> Result<String, Refusal> {
    let mut batch = Batch::new(body.len());
    let mut key = Value::Null;
    match scanned(body)? {
        Value::Array(list) => elements(list, |value| key = key.or(event(&mut batch, value))),
        one => key = event(&mut batch, one),
    }
    Ok(batch.finish(&key, &Value::Null))
}

/// Adds an event and tells the key that stands in it.
fn event<'a>(batch: &mut Batch, value: Value<'a>) -> Value<'a> {
    let Value::Object(object) = value else {
        batch.other(&value);
        return Value::Null;
    };
    let [kind, payload] = fields(object, ["type", "payload"]);
    let Value::Object(payload) = payload else {
        batch.other(&payload);
        return Value::Null;
    };
    let [website, id, name, title, data, timestamp] =
        fields(payload, ["website", "id", "name", "title", "data", "timestamp"]);
    batch.event(|to| {
        match kind.text().as_deref() {
            None | Some("event") if name.is_null() => {
                to.text("type", "page");
                to.value("name", &title);
            }
            None | Some("event") => {
                to.text("type", "track");
                to.value("event", &name);
            }
            _ => to.value("type", &kind),
        }
        to.value("anonymousId", &id);
        to.value("timestamp", &timestamp);
        if kind.text().as_deref() != Some("identify") {
            to.value("properties", &data);
        }
        to.object("context", |to| context(payload, to));
    });
    website
}

fn context(payload: &str, to: &mut Object<'_>) {
    let [host, url, referrer, language, agent] =
        fields(payload, ["hostname", "url", "referrer", "language", "userAgent"]);
    to.object("page", |to| {
        let (host, url) = (host.text().unwrap_or_default(), url.text().unwrap_or_default());
        to.text("url", &absolute(&host, &url));
        to.value("referrer", &referrer);
    });
    to.value("locale", &language);
    to.value("userAgent", &agent);
}

//! OpenPanel's `POST /track` to Segment's form: `{"type":"track","payload":{"name","profileId","properties"}}`.
//!
//! `profileId` (else `properties.__deviceId`) is the visitor. `identify` becomes an identify, without its traits; other
//! types change profiles and groups, which Rungs does not keep: they are rejected as `unknown_type`, beside a success.
//! The clients send no message id, and a time only for what they had queued (`__timestamp`).

use super::segment_form::{Batch, Object};
use super::vendor::scanned;
use crate::json::{Value, fields};
use crate::refusal::Refusal;

const NOT_STORED: [&str; 3] = ["__timestamp", "__deviceId", "__ip"];
/// Stored without query and fragment.
const ADDRESSES: [&str; 2] = ["__path", "__referrer"];

/// The body as Segment's batch of one event.
pub(super) fn recast(body: &str) -> Result<String, Refusal> {
    let mut batch = Batch::new(body.len());
    match scanned(body)? {
        Value::Object(object) => event(&mut batch, object),
        other => batch.other(&other),
    }
    Ok(batch.finish(&Value::Null, &Value::Null))
}

fn event(batch: &mut Batch, object: &str) {
    let [kind, payload] = fields(object, ["type", "payload"]);
    let Value::Object(payload) = payload else { return batch.other(&payload) };
    let [name, profile, properties, timestamp] =
        fields(payload, ["name", "profileId", "properties", "timestamp"]);
    let inner = if let Value::Object(inner) = properties { inner } else { "{}" };
    let [device, time] = fields(inner, ["__deviceId", "__timestamp"]);
    batch.event(|to| {
        to.value("type", &kind);
        to.value("event", &name);
        to.value("anonymousId", &profile.or(device));
        to.value("timestamp", &timestamp.or(time));
        match properties {
            _ if kind.text().as_deref() == Some("identify") => {}
            Value::Object(inner) => to.object("properties", |to| own_properties(inner, to)),
            other => to.value("properties", &other),
        }
        to.object("context", |to| context(inner, to));
    });
}

/// The properties as they were sent, but for addresses; `__revenue` once more under the name that is counted.
fn own_properties(inner: &str, to: &mut Object<'_>) {
    to.fields_of(inner, |key| !NOT_STORED.contains(&key), |key| ADDRESSES.contains(&key));
    let [revenue, own] = fields(inner, ["__revenue", "revenue"]);
    if own.is_null() {
        to.value("revenue", &revenue);
    }
}

fn context(inner: &str, to: &mut Object<'_>) {
    let [path, referrer] = fields(inner, ["__path", "__referrer"]);
    to.object("page", |to| {
        to.value("url", &path);
        to.value("referrer", &referrer);
    });
}

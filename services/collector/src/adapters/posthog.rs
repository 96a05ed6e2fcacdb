//! PostHog's events to Segment's form: `{"api_key","batch":[…],"sent_at"}`, a single event, or an array of them.
//!
//! `distinct_id` (of the event, else of its properties) is the visitor, `uuid` (else `$insert_id`) the message id.
//! `$identify`, `$create_alias` and `$groupidentify` become an identify, alias and group; every other event keeps its
//! name. Person properties (`$set`, `$set_once`), `$ip`, `$raw_user_agent`, the token and what holds addresses within
//! it are not stored, all other properties are; the client's own addresses (`$current_url`, `$referrer`, …) without
//! query and fragment.

use super::segment_form::{Batch, Object};
use super::vendor::scanned;
use crate::json::{Value, elements, fields};
use crate::refusal::Refusal;

const NOT_STORED: [&str; 9] = [
    "$set",
    "$set_once",
    "$ip",
    "$raw_user_agent",
    "token",
    "$initial_person_info",
    "$elements",
    "$elements_chain",
    "$heatmap_data",
];

/// Whether the client puts an address there: `$current_url`, `$referrer`, `$initial_current_url`, `$session_entry_url`, …
fn is_address(key: &str) -> bool {
    key.starts_with('$') && ["url", "referrer", "href"].iter().any(|end| key.ends_with(end))
}

/// The body as Segment's batch.
pub(super) fn recast(body: &str) -> Result<String, Refusal> {
    let whole = scanned(body)?;
    let mut batch = Batch::new(body.len());
    let mut key = Value::Null;
    let sent_at = match whole {
        Value::Object(object) => {
            let [api_key, token, events, sent_at, created_at] =
                fields(object, ["api_key", "token", "batch", "sent_at", "created_at"]);
            key = api_key.or(token);
            match events {
                Value::Array(list) => elements(list, |value| key = key.or(event(&mut batch, value))),
                Value::Null => key = key.or(event(&mut batch, whole)),
                _ => return Err(Refusal::InvalidBody("`batch` must be an array of events".into())),
            }
            // The second name is that of the v1 protocol.
            sent_at.or(created_at)
        }
        Value::Array(list) => {
            elements(list, |value| key = key.or(event(&mut batch, value)));
            Value::Null
        }
        other => {
            return Err(Refusal::InvalidBody(format!("expected an event or a batch, not {}", other.kind())));
        }
    };
    Ok(batch.finish(&key, &sent_at))
}

/// The events' uuids in their order; an empty one where there is none. The v1 protocol answers by them.
pub(super) fn uuids(body: &str) -> Vec<String> {
    let mut uuids = Vec::new();
    let [events] = match scanned(body) {
        Ok(Value::Object(object)) => fields(object, ["batch"]),
        _ => return uuids,
    };
    let Value::Array(list) = events else { return uuids };
    elements(list, |event| {
        let [uuid] = match event {
            Value::Object(object) => fields(object, ["uuid"]),
            _ => [Value::Null],
        };
        uuids.push(uuid.text().unwrap_or_default().into_owned());
    });
    uuids
}

/// What is written at the top of a Segment event, from the event and its properties.
struct Event<'a> {
    name: Value<'a>,
    distinct_id: Value<'a>,
    properties: Value<'a>,
}

/// Adds an event and tells the key that stands in it.
fn event<'a>(batch: &mut Batch, value: Value<'a>) -> Value<'a> {
    let Value::Object(object) = value else {
        batch.other(&value);
        return Value::Null;
    };
    let [name, distinct_id, uuid, timestamp, properties, api_key] =
        fields(object, ["event", "distinct_id", "uuid", "timestamp", "properties", "api_key"]);
    let inner = if let Value::Object(inner) = properties { inner } else { "{}" };
    let [inner_id, token, insert_id, time] = fields(inner, ["distinct_id", "token", "$insert_id", "$time"]);
    let event = Event { name, distinct_id: distinct_id.or(inner_id), properties };
    batch.event(|to| {
        event.who(inner, to);
        to.value("messageId", &uuid.or(insert_id));
        to.value("timestamp", &timestamp.or(time));
        event.properties(to);
        to.object("context", |to| context(inner, to));
    });
    api_key.or(token)
}

impl Event<'_> {
    fn who(&self, inner: &str, to: &mut Object<'_>) {
        let [anonymous, alias, user, group] =
            fields(inner, ["$anon_distinct_id", "alias", "$user_id", "$group_key"]);
        let id = self.distinct_id;
        let kind = match self.name.text().as_deref() {
            Some("$identify") => "identify",
            Some("$create_alias") => "alias",
            Some("$groupidentify") => "group",
            _ => "track",
        };
        let (anonymous, user) = match kind {
            "identify" => (anonymous.or(id), id),
            "alias" => (Value::Null, id),
            _ => (id, user),
        };
        to.text("type", kind);
        to.value("event", &self.name);
        to.value("anonymousId", &anonymous);
        to.value("userId", &user);
        to.value("previousId", &alias_of(kind, alias));
        to.value("groupId", &group_of(kind, group));
    }

    fn properties(&self, to: &mut Object<'_>) {
        match self.properties {
            Value::Object(inner) => {
                to.object("properties", |to| {
                    to.fields_of(inner, |key| !NOT_STORED.contains(&key), is_address)
                });
            }
            other => to.value("properties", &other),
        }
    }
}

fn alias_of<'a>(kind: &str, alias: Value<'a>) -> Value<'a> {
    if kind == "alias" { alias } else { Value::Null }
}

fn group_of<'a>(kind: &str, group: Value<'a>) -> Value<'a> {
    if kind == "group" { group } else { Value::Null }
}

/// What posthog-js says about page and browser among an event's properties.
fn context(inner: &str, to: &mut Object<'_>) {
    let [url, path, referrer, agent, locale, timezone, library, version] = fields(
        inner,
        [
            "$current_url",
            "$pathname",
            "$referrer",
            "$raw_user_agent",
            "$browser_language",
            "$timezone",
            "$lib",
            "$lib_version",
        ],
    );
    to.object("page", |to| {
        to.value("url", &url);
        to.value("path", &path);
        if referrer.text().is_some_and(|referrer| referrer != "$direct") {
            to.value("referrer", &referrer);
        }
    });
    to.object("library", |to| {
        to.value("name", &library);
        to.value("version", &version);
    });
    to.value("userAgent", &agent);
    to.value("locale", &locale);
    to.value("timezone", &timezone);
    let [source, medium, campaign, term, content] =
        fields(inner, ["utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"]);
    to.object("campaign", |to| {
        for (name, value) in
            [("source", source), ("medium", medium), ("name", campaign), ("term", term), ("content", content)]
        {
            to.value(name, &value);
        }
    });
}

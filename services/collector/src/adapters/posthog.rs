//! PostHog's events to Segment's form: `{"api_key","batch":[…],"sent_at"}`, a single event, or an array of them.
//!
//! `distinct_id` (of the event, else of its properties) is the visitor, `uuid` (else `$insert_id`) the message id.
//! `$identify`, `$create_alias` and `$groupidentify` become an identify, alias and group; every other event keeps its
//! name. Person properties (`$set`, `$set_once`), `$ip`, `$raw_user_agent`, the token and what holds addresses within
//! it are not stored, all other properties are; the client's own addresses (`$current_url`, `$referrer`, …) without
//! query and fragment.

use super::events::invalid;
use super::segment_form::{Batch, Object};
use super::vendor::scanned;
use crate::json::{Scanner, SyntaxError, Text, Value, elements, fields};
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

/// The body as Segment's batch. Batches are large: each event is read once, its properties with it.
pub(super) fn recast(body: &str) -> Result<String, Refusal> {
    let mut batch = Batch::new(body.len());
    let mut scanner = Scanner::new(body);
    let (key, sent_at) = match scanner.peek() {
        Some(b'{') => recast_object(&mut scanner, &mut batch)?,
        Some(b'[') => {
            let key = recast_list(&mut scanner, &mut batch).map_err(invalid)?;
            scanner.end().map_err(invalid)?;
            (key, Value::Null)
        }
        _ => return Err(refused("expected an event or a batch, not", &scanned(body)?)),
    };
    Ok(batch.finish(&key, &sent_at))
}

fn refused(what: &str, found: &Value<'_>) -> Refusal {
    Refusal::InvalidBody(format!("{what} {}", found.kind()))
}

/// The key and the time of sending.
type Ends<'a> = (Value<'a>, Value<'a>);

/// A batch, or a single event; of a name that stands there twice the last counts.
fn recast_object<'a>(scanner: &mut Scanner<'a>, batch: &mut Batch) -> Result<Ends<'a>, Refusal> {
    let start = scanner.position();
    let [mut api_key, mut token, mut within, mut sent_at, mut created_at] = [Value::Null; 5];
    // What stands in place of a list, where there is none.
    let mut events = Some(Value::Null);
    let field = |scanner: &mut Scanner<'a>, name: Text<'a>| {
        let place = match &*name.decode() {
            "api_key" => &mut api_key,
            "token" => &mut token,
            "sent_at" => &mut sent_at,
            "created_at" => &mut created_at,
            "batch" => {
                batch.clear();
                let is_list = scanner.peek() == Some(b'[');
                within = if is_list { recast_list(scanner, batch)? } else { Value::Null };
                events = if is_list { None } else { Some(scanner.value()?) };
                return Ok(());
            }
            _ => return scanner.value().map(drop),
        };
        *place = scanner.value()?;
        Ok(())
    };
    scanner.object(field).map_err(invalid)?;
    let object = scanner.since(start);
    scanner.end().map_err(invalid)?;
    match events {
        None => {}
        Some(Value::Null) => within = recast_event(&mut Scanner::new(object), batch).map_err(invalid)?,
        Some(other) => return Err(refused("`batch` must be an array of events, not", &other)),
    }
    // The second name is that of the v1 protocol.
    Ok((api_key.or(token).or(within), sent_at.or(created_at)))
}

/// Events; the first key that stands in one of them.
fn recast_list<'a>(scanner: &mut Scanner<'a>, batch: &mut Batch) -> Result<Value<'a>, SyntaxError> {
    let mut key = Value::Null;
    scanner.array(|scanner| {
        key = key.or(recast_event(scanner, batch)?);
        Ok(())
    })?;
    Ok(key)
}

/// Adds an event and tells the key that stands in it.
fn recast_event<'a>(scanner: &mut Scanner<'a>, batch: &mut Batch) -> Result<Value<'a>, SyntaxError> {
    if scanner.peek() != Some(b'{') {
        batch.other(&scanner.value()?);
        return Ok(Value::Null);
    }
    let event = Event::read(scanner)?;
    batch.event(|to| event.write(to));
    Ok(event.api_key.or(event.inner.token))
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

/// What counts of an event.
#[derive(Default)]
struct Event<'a> {
    name: Value<'a>,
    distinct_id: Value<'a>,
    uuid: Value<'a>,
    timestamp: Value<'a>,
    api_key: Value<'a>,
    properties: Value<'a>,
    inner: Inner<'a>,
}

/// What counts of its properties, beside being stored.
#[derive(Default)]
struct Inner<'a> {
    distinct_id: Value<'a>,
    token: Value<'a>,
    insert_id: Value<'a>,
    time: Value<'a>,
    anonymous_id: Value<'a>,
    alias: Value<'a>,
    user_id: Value<'a>,
    group_key: Value<'a>,
    url: Value<'a>,
    path: Value<'a>,
    referrer: Value<'a>,
    agent: Value<'a>,
    locale: Value<'a>,
    timezone: Value<'a>,
    library: Value<'a>,
    library_version: Value<'a>,
    source: Value<'a>,
    medium: Value<'a>,
    campaign: Value<'a>,
    term: Value<'a>,
    content: Value<'a>,
}

impl<'a> Event<'a> {
    /// An object; of a name that stands there twice the last counts.
    fn read(scanner: &mut Scanner<'a>) -> Result<Self, SyntaxError> {
        let mut event = Self::default();
        scanner.object(|scanner, name| {
            let place = match &*name.decode() {
                "event" => &mut event.name,
                "distinct_id" => &mut event.distinct_id,
                "uuid" => &mut event.uuid,
                "timestamp" => &mut event.timestamp,
                "api_key" => &mut event.api_key,
                "properties" => return event.read_properties(scanner),
                _ => return scanner.value().map(drop),
            };
            *place = scanner.value()?;
            Ok(())
        })?;
        Ok(event)
    }

    fn read_properties(&mut self, scanner: &mut Scanner<'a>) -> Result<(), SyntaxError> {
        self.inner = Inner::default();
        if scanner.peek() != Some(b'{') {
            self.properties = scanner.value()?;
            return Ok(());
        }
        let start = scanner.position();
        scanner.object(|scanner, name| {
            let value = scanner.value()?;
            if let Some(place) = self.inner.place(&name.decode()) {
                *place = value;
            }
            Ok(())
        })?;
        self.properties = Value::Object(scanner.since(start));
        Ok(())
    }

    /// As Segment's.
    fn write(&self, to: &mut Object<'_>) {
        self.write_who(to);
        to.value("messageId", &self.uuid.or(self.inner.insert_id));
        to.value("timestamp", &self.timestamp.or(self.inner.time));
        match self.properties {
            Value::Object(inner) => {
                to.object("properties", |to| {
                    to.fields_of(inner, |key| !NOT_STORED.contains(&key), is_address)
                });
            }
            other => to.value("properties", &other),
        }
        to.object("context", |to| self.inner.write_context(to));
    }

    fn write_who(&self, to: &mut Object<'_>) {
        let id = self.distinct_id.or(self.inner.distinct_id);
        let kind = match self.name.text().as_deref() {
            Some("$identify") => "identify",
            Some("$create_alias") => "alias",
            Some("$groupidentify") => "group",
            _ => "track",
        };
        let (anonymous, user) = match kind {
            "identify" => (self.inner.anonymous_id.or(id), id),
            "alias" => (Value::Null, id),
            _ => (id, self.inner.user_id),
        };
        to.text("type", kind);
        to.value("event", &self.name);
        to.value("anonymousId", &anonymous);
        to.value("userId", &user);
        to.value("previousId", &alias_of(kind, self.inner.alias));
        to.value("groupId", &group_of(kind, self.inner.group_key));
    }
}

fn alias_of<'a>(kind: &str, alias: Value<'a>) -> Value<'a> {
    if kind == "alias" { alias } else { Value::Null }
}

fn group_of<'a>(kind: &str, group: Value<'a>) -> Value<'a> {
    if kind == "group" { group } else { Value::Null }
}

impl<'a> Inner<'a> {
    fn place(&mut self, name: &str) -> Option<&mut Value<'a>> {
        Some(match name {
            "distinct_id" => &mut self.distinct_id,
            "token" => &mut self.token,
            "$insert_id" => &mut self.insert_id,
            "$time" => &mut self.time,
            "$anon_distinct_id" => &mut self.anonymous_id,
            "alias" => &mut self.alias,
            "$user_id" => &mut self.user_id,
            "$group_key" => &mut self.group_key,
            "$current_url" => &mut self.url,
            "$pathname" => &mut self.path,
            "$referrer" => &mut self.referrer,
            "$raw_user_agent" => &mut self.agent,
            "$browser_language" => &mut self.locale,
            "$timezone" => &mut self.timezone,
            "$lib" => &mut self.library,
            "$lib_version" => &mut self.library_version,
            "utm_source" => &mut self.source,
            "utm_medium" => &mut self.medium,
            "utm_campaign" => &mut self.campaign,
            "utm_term" => &mut self.term,
            "utm_content" => &mut self.content,
            _ => return None,
        })
    }

    /// What posthog-js says about page and browser among an event's properties.
    fn write_context(&self, to: &mut Object<'_>) {
        to.object("page", |to| {
            to.value("url", &self.url);
            to.value("path", &self.path);
            if self.referrer.text().is_some_and(|referrer| referrer != "$direct") {
                to.value("referrer", &self.referrer);
            }
        });
        to.object("library", |to| {
            to.value("name", &self.library);
            to.value("version", &self.library_version);
        });
        to.value("userAgent", &self.agent);
        to.value("locale", &self.locale);
        to.value("timezone", &self.timezone);
        to.object("campaign", |to| {
            to.value("source", &self.source);
            to.value("medium", &self.medium);
            to.value("name", &self.campaign);
            to.value("term", &self.term);
            to.value("content", &self.content);
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn recast_json(body: &str) -> Value {
        serde_json::from_str(&recast(body).unwrap()).unwrap()
    }

    fn track(event: &str) -> Value {
        json!({"type": "track", "event": event, "anonymousId": "d"})
    }

    #[test]
    fn of_a_name_that_stands_there_twice_the_last_counts() {
        let event = |name: &str| format!(r#"{{"event":"{name}","distinct_id":"d"}}"#);
        let (a, b) = (event("a"), event("b"));
        let twice = format!(r#"{{"batch":[{a}],"api_key":"k","batch":[ {b} ,7]}}"#);
        assert_eq!(recast_json(&twice), json!({"batch": [track("b"), 7], "writeKey": "k"}));
        let single = format!(r#" {{"batch":[{a}],"event":"c","distinct_id":"d","batch":null,"token":"t"}} "#);
        assert_eq!(recast_json(&single), json!({"batch": [track("c")], "writeKey": "t"}));
        let properties =
            r#"[{"event":"a","distinct_id":"d","properties":{"token":"no","$lib":"x"},"properties":{}}]"#;
        assert_eq!(recast_json(properties), json!({"batch": [track("a")]}));
    }

    #[test]
    fn the_key_is_that_of_the_body_or_of_the_first_event_that_has_one() {
        let keyed = r#"{"event":"a","distinct_id":"d","properties":{"token":"t"}},{"event":"a","distinct_id":"d","api_key":"u"}"#;
        assert_eq!(recast_json(&format!("[{keyed}]"))["writeKey"], "t");
        assert_eq!(recast_json(&format!(r#"{{"batch":[{keyed}],"token":"b"}}"#))["writeKey"], "b");
    }

    #[test]
    fn what_is_no_batch_is_refused_by_name() {
        for (body, expected) in [
            (r#"{"batch":7}"#, "`batch` must be an array of events, not a number"),
            (r#"{"batch":[],"batch":{}}"#, "not an object"),
            ("7", "expected an event or a batch, not a number"),
        ] {
            let Err(Refusal::InvalidBody(told)) = recast(body) else { panic!("{body}") };
            assert!(told.contains(expected), "{told}");
        }
        for body in
            [r#"{"batch":[}"#, r#"[{"event":"a"}"#, r#"{"batch":[{"properties":{"a":}}]}"#, "{} 1", ""]
        {
            assert!(matches!(recast(body), Err(Refusal::InvalidBody(_))), "{body}");
        }
    }
}

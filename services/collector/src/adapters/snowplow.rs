//! Snowplow's tracker protocol (v2) to Segment's form: the payload of `POST /com.snowplowanalytics.snowplow/tp2`,
//! `{"data":[{…}]}`, and the query of `GET /i`. Every value is a text.
//!
//! `aid` is the key, `eid` the message id, `duid` (else `nuid`, `tnuid`) the visitor and `uid` the user, `ttm` or `dtm`
//! the time and `stm` the time of sending. A self-describing event has the name of its schema and its data as
//! properties.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::segment_form::{Batch, Object};
use super::vendor::scanned;
use crate::json::{Scanner, Value, elements, fields, push_quoted};
use crate::refusal::Refusal;

/// The body of a POST as Segment's batch.
pub(super) fn recast(body: &str) -> Result<String, Refusal> {
    let [data] = match scanned(body)? {
        Value::Object(object) => fields(object, ["data"]),
        _ => [Value::Null],
    };
    let Value::Array(list) = data else {
        return Err(Refusal::InvalidBody("expected payload_data: an object with an array `data`".into()));
    };
    let mut batch = Batch::new(body.len());
    let mut key = Value::Null;
    elements(list, |value| match value {
        Value::Object(object) => {
            let payload = Payload::of_json(object);
            let [aid] = fields(object, ["aid"]);
            key = key.or(aid);
            payload.event(&mut batch);
        }
        other => batch.other(&other),
    });
    Ok(batch.finish(&key, &Value::Null))
}

/// The query of a GET as Segment's batch of one event.
pub(crate) fn recast_query(query: &str) -> String {
    let payload = Payload { parameters: url::form_urlencoded::parse(query.as_bytes()).collect() };
    let mut batch = Batch::new(query.len());
    payload.event(&mut batch);
    let mut key = String::new();
    push_quoted(&mut key, payload.get("aid"));
    batch.finish(&scanned(&key).unwrap_or_default(), &Value::Null)
}

/// An event as the protocol writes it.
struct Payload<'a> {
    parameters: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Payload<'a> {
    fn of_json(object: &'a str) -> Self {
        let mut parameters = Vec::new();
        let _ = Scanner::new(object).object(|scanner, key| {
            if let Some(text) = scanner.value()?.text_or_number() {
                parameters.push((key.decode(), text));
            }
            Ok(())
        });
        Self { parameters }
    }

    /// A parameter, or the empty text.
    fn get(&self, name: &str) -> &str {
        self.parameters.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn first_of(&self, names: &[&str]) -> &str {
        names.iter().map(|name| self.get(name)).find(|text| !text.is_empty()).unwrap_or_default()
    }

    fn event(&self, batch: &mut Batch) {
        batch.event(|to| {
            self.what(to);
            to.text("anonymousId", self.first_of(&["duid", "nuid", "tnuid"]));
            to.text("userId", self.get("uid"));
            to.text("messageId", self.get("eid"));
            to.text("timestamp", self.first_of(&["ttm", "dtm"]));
            to.text("sentAt", self.get("stm"));
            to.object("context", |to| self.context(to));
        });
    }

    /// Type, name and properties.
    fn what(&self, to: &mut Object<'_>) {
        match self.get("e") {
            "pv" => {
                to.text("type", "page");
                to.text("name", self.get("page"));
            }
            "pp" => to.text("event", "page_ping"),
            "se" => {
                to.text("event", self.get("se_ac"));
                to.object("properties", |to| {
                    for (name, parameter) in
                        [("category", "se_ca"), ("label", "se_la"), ("property", "se_pr"), ("value", "se_va")]
                    {
                        to.text(name, self.get(parameter));
                    }
                });
            }
            "tr" => {
                to.text("event", "transaction");
                to.object("properties", |to| {
                    for (name, parameter) in
                        [("order_id", "tr_id"), ("revenue", "tr_tt"), ("currency", "tr_cu")]
                    {
                        to.text(name, self.get(parameter));
                    }
                });
            }
            "ti" => to.text("event", "transaction_item"),
            "ue" => self.self_describing(to),
            other => to.text("type", other),
        }
    }

    /// `{"data":{"schema":"iglu:VENDOR/NAME/FORMAT/VERSION","data":{…}}}`, plain in `ue_pr` or as base64 in `ue_px`.
    fn self_describing(&self, to: &mut Object<'_>) {
        let json = match self.get("ue_px") {
            "" => self.get("ue_pr").to_owned(),
            base64 => decoded(base64),
        };
        let [outer] = object_fields(&json, ["data"]);
        let Value::Object(outer) = outer else { return };
        let [schema, data] = fields(outer, ["schema", "data"]);
        let schema = schema.text().unwrap_or_default();
        to.text("event", schema.split('/').nth(1).unwrap_or_default());
        to.value("properties", &data);
    }

    fn context(&self, to: &mut Object<'_>) {
        to.object("page", |to| {
            to.text("url", self.get("url"));
            to.text("referrer", self.get("refr"));
        });
        to.object("library", |to| to.text("name", self.get("tv")));
        to.text("userAgent", self.get("ua"));
        to.text("locale", self.get("lang"));
        to.text("timezone", self.get("tz"));
    }
}

/// The fields of a text that may be no JSON.
fn object_fields<'a, const N: usize>(text: &'a str, names: [&str; N]) -> [Value<'a>; N] {
    match scanned(text) {
        Ok(Value::Object(object)) => fields(object, names),
        _ => [Value::Null; N],
    }
}

/// Either alphabet, with or without padding; nothing if it is no base64 of a text.
fn decoded(base64: &str) -> String {
    let base64 = base64.trim_end_matches('=');
    let bytes =
        URL_SAFE_NO_PAD.decode(base64).or_else(|_| STANDARD_NO_PAD.decode(base64)).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

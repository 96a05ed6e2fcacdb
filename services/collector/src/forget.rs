//! Visitors who are to be forgotten: what `POST /v1/forget` reads from its body, puts on the log and answers. Pure but for
//! handing the records to the log.
//!
//! The record of a visitor goes to the visitor's partition, not through a spill: what it stands behind is erased, and so is
//! whatever of the visitor comes later, in whichever order.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;
use event_log::{Message, Publisher, partition_of};
use rungs_proto::v1::{Erase, control::Action};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::fields::text_or_number;
use crate::limits::{MAX_FORGOTTEN_AT_ONCE, MAX_VISITOR_ID_BYTES};
use crate::refusal::Refusal;
use crate::rejection::Reason;

/// The body.
#[derive(Debug, Deserialize)]
struct Body {
    /// As they were sent: of a number its own digits are the id.
    visitors: Vec<Box<RawValue>>,
}

/// The visitors of a request, in its order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Forgotten(Vec<Result<String, String>>);

impl Forgotten {
    /// Reads the body. An id that no event can have is told in the answer; the others are erased all the same.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let Body { visitors } = serde_json::from_slice(body)
            .map_err(|error| Refusal::InvalidBody(format!("expected {{\"visitors\":[\"…\"]}}: {error}")))?;
        if visitors.len() > MAX_FORGOTTEN_AT_ONCE {
            return Err(Refusal::TooManyVisitors { limit: MAX_FORGOTTEN_AT_ONCE });
        }
        Ok(Self(visitors.iter().map(|visitor| id(visitor.get())).collect()))
    }

    /// Hands a record for each partition to the log; done when all of them are durable.
    pub(crate) async fn publish(&self, publisher: &dyn Publisher, site: &str) -> Result<(), Refusal> {
        let messages = self.messages(site, publisher.partitions());
        if !messages.is_empty() {
            publisher.publish(messages)?.await?;
        }
        Ok(())
    }

    fn messages(&self, site: &str, partitions: u32) -> Vec<Message> {
        let mut by_partition: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
        for visitor in self.0.iter().flatten() {
            let partition = partition_of(site, visitor, partitions);
            by_partition.entry(partition).or_default().insert(visitor);
        }
        let message = |(partition, visitors): (u32, BTreeSet<&str>)| {
            let erase =
                Erase { site: site.to_owned(), visitors: visitors.into_iter().map(str::to_owned).collect() };
            let record = rungs_proto::control_record(0, Action::Erase(erase));
            Message { partition, value: Bytes::from(record) }
        };
        by_partition.into_iter().map(message).collect()
    }

    /// The ids that events can have.
    pub(crate) fn visitors(&self) -> Vec<String> {
        self.0.iter().flatten().cloned().collect()
    }

    /// The answer's JSON: how many are erased, and what became of each. `stored` are those of whom something was stored, where
    /// that is known.
    pub(crate) fn answer(&self, stored: Option<&HashSet<String>>) -> String {
        let result = |(index, visitor): (usize, &Result<String, String>)| match visitor {
            Ok(id) => {
                let was_stored = stored.map(|stored| stored.contains(id));
                json!({ "index": index, "visitor": id, "result": "erased", "was_stored": was_stored })
            }
            Err(message) => {
                let code = Reason::InvalidVisitor.code();
                json!({ "index": index, "result": "rejected", "code": code, "message": message })
            }
        };
        let results: Vec<Value> = self.0.iter().enumerate().map(result).collect();
        json!({ "erased": self.count(), "results": results }).to_string()
    }

    /// How many are to be erased.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().flatten().count()
    }
}

/// A visitor's id, as events have it: a text or a number.
fn id(json: &str) -> Result<String, String> {
    let Some(id) = text_or_number(json) else { return Err("a visitor is a text or a number".to_owned()) };
    match id.len() {
        0 => Err("a visitor's id is not empty".to_owned()),
        1..=MAX_VISITOR_ID_BYTES => Ok(id),
        bytes => Err(format!("the id has {bytes} bytes, at most {MAX_VISITOR_ID_BYTES} are allowed")),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use rungs_proto::v1::{Record, record::Body};

    use super::*;

    #[test]
    fn each_visitor_is_erased_in_the_partition_of_their_events_once() {
        let names = ["ann", "bob", "ann", "cy", "42"];
        let forgotten = Forgotten::parse(br#"{"visitors":["ann","bob","ann","cy",42]}"#).unwrap();
        let mut found = BTreeSet::new();
        for message in forgotten.messages("shop", 8) {
            let record = Record::decode(message.value).unwrap();
            let Some(Body::Control(control)) = record.body else { panic!("{record:?}") };
            let Some(Action::Erase(erase)) = control.action else { panic!("{control:?}") };
            assert_eq!(erase.site, "shop");
            for visitor in erase.visitors {
                assert_eq!(partition_of("shop", &visitor, 8), message.partition);
                assert!(found.insert(visitor));
            }
        }
        assert_eq!(found, names.into_iter().map(str::to_owned).collect());
    }

    #[test]
    fn a_number_is_erased_by_its_own_digits_as_events_keep_it() {
        let body = br#"{"visitors":[1e3,123456789012345678901,-0.50,null,true,"1\u0032"]}"#;
        let forgotten = Forgotten::parse(body).unwrap();
        let ids: Vec<_> = forgotten.0.iter().map(|id| id.as_deref().ok()).collect();
        let numbers = [Some("1e3"), Some("123456789012345678901"), Some("-0.50")];
        assert_eq!(ids, [&numbers[..], &[None, None, Some("12")]].concat());
    }

    #[test]
    fn an_id_that_no_event_can_have_is_told_and_the_others_are_erased() {
        let long = "x".repeat(MAX_VISITOR_ID_BYTES + 1);
        let body = json!({ "visitors": ["", long, ["ann"], "ann"] }).to_string();
        let forgotten = Forgotten::parse(body.as_bytes()).unwrap();
        let answer: Value = serde_json::from_str(&forgotten.answer(None)).unwrap();
        assert_eq!(answer["erased"], 1);
        let results = answer["results"].as_array().unwrap();
        assert!(results[..3].iter().all(|result| result["code"] == "invalid_visitor"), "{answer}");
        let ann = |was_stored: Option<bool>| json!({ "index": 3, "visitor": "ann", "result": "erased", "was_stored": was_stored });
        assert_eq!(results[3], ann(None));
        for stored in [HashSet::new(), HashSet::from(["ann".to_owned()])] {
            let answer: Value = serde_json::from_str(&forgotten.answer(Some(&stored))).unwrap();
            assert_eq!(answer["results"][3], ann(Some(!stored.is_empty())));
        }
    }

    #[test]
    fn what_is_no_list_of_visitors_or_too_long_is_refused_whole() {
        for body in ["", "[]", "{}", r#"{"visitors":"ann"}"#, r#"{"visitor":["ann"]}"#] {
            assert!(matches!(Forgotten::parse(body.as_bytes()), Err(Refusal::InvalidBody(_))), "{body}");
        }
        let many = json!({ "visitors": vec!["v"; MAX_FORGOTTEN_AT_ONCE + 1] }).to_string();
        let refused = Forgotten::parse(many.as_bytes());
        assert_eq!(refused, Err(Refusal::TooManyVisitors { limit: MAX_FORGOTTEN_AT_ONCE }));
    }
}

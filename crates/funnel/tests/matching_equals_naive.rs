//! The bits of an event equal those of walking through the steps one by one with everything parsed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use funnel::plan::{
    Breakdown, Commitment, CompiledFunnel, Condition, Derived, EventFields, Filter, Funnel, Identity,
    NO_VALUE, Step, Window,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::json;

const EVENTS: [&str; 4] = ["view", "click", "pay", "other"];
const PROPERTIES: [&str; 4] = ["plan", "value", "channel", "page.path"];

fn listed_values(size: std::ops::Range<usize>) -> impl Strategy<Value = Vec<String>> {
    let numbers = NUMBERS.iter().map(|(written, _)| *written);
    let all: Vec<&str> = ["pro", "true"].into_iter().chain(numbers).collect();
    subsequence(all, size).prop_shuffle().prop_map(|values| values.into_iter().map(String::from).collect())
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        listed_values(1..4).prop_map(Condition::In),
        (prop::option::of(-2.0..3.0), prop::option::of(-2.0..3.0))
            .prop_map(|(min, max)| Condition::Range { min, max }),
        select(vec!["^p", "o", "^$", "\\d"])
            .prop_map(|text| Condition::Matches(regex::Regex::new(text).unwrap())),
        any::<bool>().prop_map(Condition::Exists),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let filter = (select(PROPERTIES.to_vec()), condition())
        .prop_map(|(property, condition)| Filter { property: property.into(), condition });
    let parts = (
        subsequence(EVENTS[..3].to_vec(), 1..3),
        prop::option::of(filter),
        prop::option::of(select(EVENTS[..3].to_vec())),
    );
    parts.prop_map(|(events, filter, offer)| Step {
        id: "s".into(),
        name: "s".into(),
        events: events.into_iter().map(String::from).collect(),
        filter,
        offer: offer.map(String::from),
        commitment: Commitment::Other,
    })
}

fn funnel() -> impl Strategy<Value = Funnel> {
    let window = Window { label: "7d".into(), ms: 604_800_000 };
    let lists = prop::array::uniform4(listed_values(0..4));
    (prop::collection::vec(step(), 2..17), lists).prop_map(move |(steps, lists)| Funnel {
        site: "shop".into(),
        id: "f".into(),
        name: "f".into(),
        conversion_window: window.clone(),
        rolling_windows: vec![window.clone()],
        breakdowns: PROPERTIES
            .into_iter()
            .zip(lists)
            .map(|(by, values)| Breakdown { by: by.into(), values })
            .collect(),
        steps,
        identity: Identity::Ids,
    })
}

/// Members of an object as they are written, in order; keys come twice.
type Object = Vec<(&'static str, &'static str)>;

const PLAIN: [&str; 10] = [
    "null",
    "true",
    "\"\"",
    "\"pro\"",
    "\"free\"",
    "\"2\"",
    "\"1.0\"",
    "\"1e21\"",
    "[1]",
    "{\"path\":\"po\"}",
];

/// Numbers as they are written, and the one text of their value.
const NUMBERS: [(&str, &str); 17] = [
    ("1", "1"),
    ("1.0", "1"),
    ("10e-1", "1"),
    ("2.5", "2.5"),
    ("2.50", "2.5"),
    ("-3", "-3"),
    ("-0.0", "0"),
    ("10000000000000000", "10000000000000000"),
    ("1e16", "10000000000000000"),
    ("9007199254740993", "9007199254740993"),
    ("1e21", "1000000000000000000000"),
    ("1E+21", "1000000000000000000000"),
    ("1000000000000000000000", "1000000000000000000000"),
    ("18446744073709551617", "18446744073709551617"),
    ("18446744073709551618", "18446744073709551618"),
    ("1e-9", "1e-9"),
    ("1e300", "1e300"),
];

fn object() -> impl Strategy<Value = Object> {
    let number = select(NUMBERS.to_vec()).prop_map(|(written, _)| written);
    let value = prop_oneof![select(PLAIN.to_vec()), number];
    let key = select(vec!["plan", "value", "channel", "page.path", "page", "x\"y"]);
    prop::collection::vec((key, value), 0..5)
}

fn written(object: &Object) -> String {
    let members: Vec<_> = object.iter().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
    format!("{{{}}}", members.join(","))
}

/// A value as text, and whether it is a number.
type Plain = (String, bool);

fn text_of_number(written: &str) -> Option<&'static str> {
    NUMBERS.iter().find(|(number, _)| *number == written).map(|(_, text)| *text)
}

fn plain(value: &str) -> Option<Plain> {
    match value {
        "null" | "\"\"" | "[1]" | "{\"path\":\"po\"}" => None,
        value => match text_of_number(value) {
            Some(text) => Some((text.to_owned(), true)),
            None => Some((value.trim_matches('"').to_owned(), false)),
        },
    }
}

fn naive_property(name: &str, places: [&Object; 2]) -> Option<Plain> {
    let last =
        |place: &Object, key: &str| place.iter().rev().find(|member| member.0 == key).map(|member| member.1);
    let in_place = |place: &Object| {
        let nested = || {
            (name == "page.path" && last(place, "page") == Some("{\"path\":\"po\"}"))
                .then(|| ("po".into(), false))
        };
        last(place, name).and_then(plain).or_else(nested)
    };
    places
        .into_iter()
        .find_map(in_place)
        .or_else(|| (name == "channel").then(|| ("direct".to_owned(), false)))
}

/// What of a list a value is: a text the same one, a number whatever is written for its value, its own text first.
fn listed<'l>(values: &'l [String], (text, is_number): &Plain) -> Option<&'l String> {
    let same = values.iter().find(|value| *value == text);
    same.or_else(|| values.iter().find(|value| *is_number && text_of_number(value) == Some(text)))
}

fn naive_bits(funnel: &Funnel, event: &str, places: [&Object; 2]) -> u32 {
    let passes = |filter: &Filter| {
        let value = naive_property(&filter.property, places);
        match &filter.condition {
            Condition::In(values) => value.is_some_and(|value| listed(values, &value).is_some()),
            Condition::Range { min, max } => {
                value.and_then(|value| value.0.parse::<f64>().ok()).is_some_and(|number| {
                    number >= min.unwrap_or(f64::NEG_INFINITY) && number <= max.unwrap_or(f64::INFINITY)
                })
            }
            Condition::Matches(regex) => value.is_some_and(|value| regex.is_match(&value.0)),
            Condition::Exists(exists) => value.is_some() == *exists,
        }
    };
    let mut bits = 0;
    for (position, step) in funnel.steps.iter().enumerate() {
        if step.events.iter().any(|name| name == event) && step.filter.as_ref().is_none_or(passes) {
            bits |= 1 << position;
        }
        if step.offer.as_deref() == Some(event) {
            bits |= 1 << (16 + position);
        }
    }
    bits
}

proptest! {
    #[test]
    fn matching_equals_walking_through_the_steps(
        funnel in funnel(),
        event in select(EVENTS.to_vec()),
        properties in object(),
        context in object(),
    ) {
        let (properties_text, context_text) = (written(&properties), written(&context));
        let derived = Derived { channel: "direct", ..Derived::default() };
        let fields = EventFields { event, properties: &properties_text, context: &context_text, derived };
        let places = [&properties, &context];
        let compiled = CompiledFunnel::new(&funnel);
        prop_assert_eq!(compiled.matches(&fields), naive_bits(&funnel, event, places));
        let values: Vec<String> = compiled.breakdown_values(&fields).map(|value| value.into_owned()).collect();
        let naive: Vec<String> = funnel.breakdowns.iter().map(|breakdown| {
            let value = naive_property(&breakdown.by, places);
            value.map_or_else(|| NO_VALUE.to_owned(), |value| {
                listed(&breakdown.values, &value).unwrap_or(&value.0).clone()
            })
        }).collect();
        prop_assert_eq!(values, naive);
    }
}

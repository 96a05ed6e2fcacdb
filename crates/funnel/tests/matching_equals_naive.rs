//! The bits of an event equal those of walking through the steps one by one with everything parsed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use funnel::plan::{
    Breakdown, Commitment, CompiledFunnel, Condition, Derived, EventFields, Filter, Funnel, Identity,
    NO_VALUE, Step, Window,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value};

const EVENTS: [&str; 4] = ["view", "click", "pay", "other"];
const PROPERTIES: [&str; 4] = ["plan", "value", "channel", "page.path"];

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        subsequence(vec!["pro", "1", "true", "2.5"], 1..3)
            .prop_map(|values| Condition::In(values.into_iter().map(String::from).collect())),
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
    prop::collection::vec(step(), 2..17).prop_map(move |steps| Funnel {
        site: "shop".into(),
        id: "f".into(),
        name: "f".into(),
        conversion_window: window.clone(),
        rolling_windows: vec![window.clone()],
        breakdowns: PROPERTIES.map(|by| Breakdown { by: by.into(), values: Vec::new() }).to_vec(),
        steps,
        identity: Identity::Ids,
    })
}

fn object() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        select(vec![
            "null",
            "true",
            "\"\"",
            "\"pro\"",
            "\"free\"",
            "1",
            "2.5",
            "-3",
            "\"2\"",
            "[1]",
            "{\"path\":\"po\"}"
        ])
        .prop_map(|text| serde_json::from_str::<Value>(text).unwrap()),
    ];
    let key = select(vec!["plan", "value", "channel", "page.path", "page", "x\"y"]);
    prop::collection::vec((key, value), 0..5).prop_map(|members| {
        members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into()
    })
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

fn naive_property(name: &str, places: [&Value; 2]) -> Option<String> {
    let in_place = |place: &Value| {
        let nested = || name.split_once('.').and_then(|(head, rest)| plain(place.get(head)?.get(rest)?));
        place.get(name).and_then(plain).or_else(nested)
    };
    places.into_iter().find_map(in_place).or_else(|| (name == "channel").then(|| "direct".to_owned()))
}

fn naive_bits(funnel: &Funnel, event: &str, places: [&Value; 2]) -> u32 {
    let passes = |filter: &Filter| {
        let value = naive_property(&filter.property, places);
        match &filter.condition {
            Condition::In(values) => value.is_some_and(|value| values.contains(&value)),
            Condition::Range { min, max } => {
                value.and_then(|value| value.parse::<f64>().ok()).is_some_and(|number| {
                    number >= min.unwrap_or(f64::NEG_INFINITY) && number <= max.unwrap_or(f64::INFINITY)
                })
            }
            Condition::Matches(regex) => value.is_some_and(|value| regex.is_match(&value)),
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
        let (properties_text, context_text) = (properties.to_string(), context.to_string());
        let derived = Derived { channel: "direct", ..Derived::default() };
        let fields = EventFields { event, properties: &properties_text, context: &context_text, derived };
        let places = [&properties, &context];
        let compiled = CompiledFunnel::new(&funnel);
        prop_assert_eq!(compiled.matches(&fields), naive_bits(&funnel, event, places));
        let values: Vec<String> = compiled.breakdown_values(&fields).map(|value| value.into_owned()).collect();
        let naive = PROPERTIES.map(|name| naive_property(name, places).unwrap_or_else(|| NO_VALUE.to_owned()));
        prop_assert_eq!(values, naive);
    }
}

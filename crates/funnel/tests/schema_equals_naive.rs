//! What breaks a schema is what a naive look at the parsed event says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use funnel::plan::{CompiledSchema, Enforcement, EventSchema, PropertyType, PropertyTypes, Rule, SiteSchema};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

const NAMES: [&str; 5] = ["a", "b", "c", "d\"\\é", ""];

/// The rules as the docs say them, on a parsed object.
fn naive(schema: &SiteSchema, event: &str, properties: &Value) -> Vec<Rule> {
    let Some(planned) = schema.events.iter().find(|planned| planned.name == event) else {
        let may_come = schema.additional_events || event.starts_with('$');
        return if may_come { vec![] } else { vec![Rule::PlannedEvent] };
    };
    let sent = properties.as_object().unwrap();
    let is_there = |name: &String| sent.get(name).is_some_and(|value| !value.is_null());
    let is_right = |(name, types): &(String, PropertyTypes)| match sent.get(name) {
        None | Some(Value::Null) => true,
        Some(Value::String(_)) => types.has(PropertyType::String),
        Some(Value::Bool(_)) => types.has(PropertyType::Boolean),
        Some(Value::Array(_)) => types.has(PropertyType::Array),
        Some(Value::Object(_)) => types.has(PropertyType::Object),
        Some(Value::Number(number)) => {
            types.has(PropertyType::Number)
                || types.has(PropertyType::Integer) && number.as_f64().unwrap().fract() == 0.0
        }
    };
    let is_planned = |name: &String| {
        planned.required.contains(name) || planned.properties.iter().any(|(known, _)| known == name)
    };
    let broken = [
        (Rule::Required, !planned.required.iter().all(is_there)),
        (Rule::DataType, !planned.properties.iter().all(is_right)),
        (
            Rule::PlannedProperty,
            !planned.additional_properties
                && !sent.keys().all(|name| is_planned(name) || name.starts_with('$')),
        ),
    ];
    broken.into_iter().filter(|(_, is_broken)| *is_broken).map(|(rule, _)| rule).collect()
}

fn types() -> impl Strategy<Value = PropertyTypes> {
    subsequence(PropertyType::ALL.to_vec(), 1..4).prop_map(PropertyTypes::from_iter)
}

fn schemas() -> impl Strategy<Value = SiteSchema> {
    let names = || subsequence(NAMES.to_vec(), 0..4);
    let properties = names().prop_flat_map(|names| {
        let typed = names.into_iter().map(|name| types().prop_map(move |types| (name.to_owned(), types)));
        typed.collect::<Vec<_>>()
    });
    let event =
        (names(), properties, any::<bool>()).prop_map(|(required, properties, additional_properties)| {
            let required = required.into_iter().map(str::to_owned).collect();
            EventSchema { name: "buy".into(), required, properties, additional_properties }
        });
    let enforcement = Enforcement::Strict;
    (event, any::<bool>()).prop_map(move |(event, additional_events)| SiteSchema {
        enforcement,
        additional_events,
        events: vec![event],
    })
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        select(vec![1.0, 1.5, -0.0, 1e300, 1e-300, 12_345_678_901_234_567_890_123.0])
            .prop_map(|number| json!(number)),
        select(vec!["", "x", "1"]).prop_map(Value::from),
        select(vec![json!([]), json!([1, [2]]), json!({}), json!({ "a": { "b": [] } })]),
    ]
}

/// Written by hand, so that names come twice and escaped.
fn written(members: &[(&str, bool, Value)]) -> String {
    let name = |name: &str, escaped: bool| match escaped {
        false => json!(name).to_string(),
        true => format!(
            "\"{}\"",
            name.chars().map(|letter| format!("\\u{:04x}", letter as u32)).collect::<String>()
        ),
    };
    let members = members.iter().map(|(key, escaped, value)| format!(" {} : {value}", name(key, *escaped)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

proptest! {
    #[test]
    fn what_breaks_a_rule_is_what_a_naive_look_says(
        schema in schemas(),
        members in prop::collection::vec((select(NAMES.to_vec()), any::<bool>(), values()), 0..6),
        event in select(vec!["buy", "buy", "buy", "bye", "$page"]),
    ) {
        let properties = written(&members);
        let parsed: Value = serde_json::from_str(&properties).unwrap();
        let found = CompiledSchema::new(&schema).check(event, &properties);
        let rules: Vec<Rule> = found.iter().map(|violation| violation.rule).collect();
        prop_assert_eq!(rules, naive(&schema, event, &parsed), "{} {}", event, properties);
        prop_assert!(found.iter().all(|violation| violation.message.len() < 1_000));
    }
}

fn compiled(additional_properties: bool) -> CompiledSchema {
    let types = |types: &[PropertyType]| PropertyTypes::from_iter(types.iter().copied());
    let event = EventSchema {
        name: "purchase".into(),
        required: vec!["order_id".into(), "paid".into()],
        properties: vec![
            ("amount".into(), types(&[PropertyType::Number])),
            ("order_id".into(), types(&[PropertyType::String, PropertyType::Integer])),
        ],
        additional_properties,
    };
    let additional_events = additional_properties;
    CompiledSchema::new(&SiteSchema {
        enforcement: Enforcement::Lenient,
        additional_events,
        events: vec![event],
    })
}

#[test]
fn a_violation_names_the_property_the_rule_and_what_to_do() {
    let told = |event: &str, properties: &str| -> Vec<String> {
        compiled(false).check(event, properties).into_iter().map(|violation| violation.message).collect()
    };
    assert_eq!(
        told("purchase", r#"{"order_id":null,"amount":"7","colour":"red","paid":true}"#),
        [
            "the property \"order_id\" of \"purchase\" is required and missing or null: send it",
            "the property \"amount\" of \"purchase\" must be number, not string: send it as such",
            "the property \"colour\" of \"purchase\" is not in the event's schema, which allows no others \
             (additional_properties = false): leave it out, or add it to the event's properties",
        ]
    );
    assert_eq!(
        told("purchase", r#"{"order_id":1.5,"paid":[]}"#),
        ["the property \"order_id\" of \"purchase\" must be string or integer, not number: send it as such"]
    );
    assert_eq!(told("purchase", r#"{"order_id":2.0,"paid":{},"amount":null}"#), [""; 0]);
    assert_eq!(
        told("purchase_made", "{}"),
        [
            "the event \"purchase_made\" is not in the site's schema, which allows no others (additional_events = false): \
             correct its name, or add it as [[sites.events]]"
        ]
    );
    assert!(
        compiled(true).check("purchase_made", "{}").is_empty(),
        "an event without a schema is held to none"
    );
    // Without properties what is required is missing.
    assert_eq!(compiled(true).check("purchase", "").len(), 1);
}

#[test]
fn a_name_of_any_length_is_cut_in_the_message() {
    let properties = format!(r#"{{"order_id":1,"paid":1,"{}":1}}"#, "x".repeat(30_000));
    let violation = compiled(false).check("purchase", &properties).remove(0);
    assert!(
        violation.rule == Rule::PlannedProperty && violation.message.len() < 300,
        "{}",
        violation.message
    );
}

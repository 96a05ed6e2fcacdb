//! `[[sites.events]]`, `schema` and `additional_events`: what a site's events are held to.

use checked_toml::{Located, Table, Value, did_you_mean};

use super::unique::Unique;
use super::{fields, limit};
use crate::plan::limits;
use crate::plan::schema::{Enforcement, EventSchema, PropertyType, PropertyTypes, SiteSchema};

const EXAMPLE: &str = "e.g. properties = { order_id = \"string\", amount = \"number\" }";

pub(super) fn read(site: &Table<'_>) -> Option<SiteSchema> {
    let events = site.tables("events");
    let enforcement = site.text("schema").and_then(|text| enforcement(site, text));
    let additional_events = site.boolean("additional_events").is_none_or(|allowed| allowed.value);
    if events.is_empty() {
        for key in ["schema", "additional_events"] {
            if let Some(value) = site.any_value(key) {
                let message = format!("{} has no events that it could be about", site.named(key));
                let hint = format!("add [[sites.events]] with a name for each event, or leave {key} out");
                site.report(value.line(), message, hint);
            }
        }
        return None;
    }
    limit(site, "events", events.len(), "MAX_PLANNED_EVENTS", limits::MAX_PLANNED_EVENTS);
    let mut names = Unique::new("event");
    let events = events.into_iter().filter_map(|table| event(table, site, &mut names)).collect();
    Some(SiteSchema { enforcement: enforcement.unwrap_or_default(), additional_events, events })
}

fn enforcement(site: &Table<'_>, text: Located<&str>) -> Option<Enforcement> {
    let known = [Enforcement::Lenient, Enforcement::Strict];
    let found = known.into_iter().find(|known| known.as_str() == text.value);
    if found.is_none() {
        let hint = match did_you_mean(text.value, known.map(Enforcement::as_str)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "\"lenient\" stores and counts what breaks a rule, \"strict\" rejects it".to_owned(),
        };
        site.report(text.line, format!("{} cannot be \"{}\"", site.named("schema"), text.value), hint);
    }
    found
}

fn event(table: Table<'_>, site: &Table<'_>, names: &mut Unique) -> Option<EventSchema> {
    table.describe(format!("an event of {}", site.subject()));
    let hint = "add name = \"…\", the event's name as the site sends it";
    let name = table.required_text("name", hint).and_then(|name| fields::plain_name(&table, name, "event"));
    if let Some(name) = name {
        table.describe(format!("event \"{}\" of {}", name.value, site.subject()));
        names.check(&table, name);
    }
    let required = required(&table);
    let properties = properties(&table);
    let planned = required.iter().filter(|name| !properties.iter().any(|(known, _)| known == *name)).count();
    limit(
        &table,
        "properties",
        properties.len() + planned,
        "MAX_PLANNED_PROPERTIES",
        limits::MAX_PLANNED_PROPERTIES,
    );
    let additional_properties = table.boolean("additional_properties").is_none_or(|allowed| allowed.value);
    table.finish();
    Some(EventSchema { name: name?.value.to_owned(), required, properties, additional_properties })
}

fn required(table: &Table<'_>) -> Vec<String> {
    let names = table.texts("required");
    fields::no_repeats(table, "required property", &names);
    let names = names.into_iter().filter_map(|name| property(table, name));
    names.map(|name| name.value.to_owned()).collect()
}

fn properties(event: &Table<'_>) -> Vec<(String, PropertyTypes)> {
    let Some(table) = event.table("properties") else { return Vec::new() };
    table.describe(format!("properties of {}", event.subject()));
    let mut properties = Vec::new();
    // The keys are the properties' names, so none is unknown.
    for key in table.keys() {
        let types = table.any_value(key.value).and_then(|value| types(&table, key.value, &value));
        if let (Some(name), Some(types)) = (property(&table, key), types) {
            properties.push((name.value.to_owned(), types));
        }
    }
    properties.sort_by(|(a, _), (b, _)| a.cmp(b));
    properties
}

/// A schema is about an event's own fields, not about what is in them.
fn property<'d>(table: &Table<'d>, name: Located<&'d str>) -> Option<Located<&'d str>> {
    let name = fields::property(table, name, "property")?;
    if let Some((outer, _)) = name.value.split_once('.') {
        let message = format!("property \"{}\" lies within another one", name.value);
        table.report(name.line, message, format!("plan the outer one: {outer} = \"object\""));
        return None;
    }
    Some(name)
}

fn types(table: &Table<'_>, name: &str, value: &Value<'_>) -> Option<PropertyTypes> {
    let named: Option<Vec<&str>> = match (value.as_text(), value.as_list()) {
        (Some(text), _) => Some(vec![text]),
        (None, Some(items)) if !items.is_empty() => items.iter().map(Value::as_text).collect(),
        _ => None,
    };
    let Some(named) = named else {
        let message = format!("the type of {name} must be text or a list of texts, not {}", value.kind());
        table.report(value.line(), message, EXAMPLE);
        return None;
    };
    named.into_iter().map(|word| property_type(table, name, word, value.line())).collect()
}

fn property_type(table: &Table<'_>, name: &str, word: &str, line: usize) -> Option<PropertyType> {
    let found = PropertyType::ALL.into_iter().find(|known| known.as_str() == word);
    if found.is_none() {
        let names = PropertyType::ALL.map(PropertyType::as_str);
        let hint = match did_you_mean(word, names) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("one of {}", names.join(", ")),
        };
        table.report(line, format!("{name} of {} cannot be of the type \"{word}\"", table.subject()), hint);
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::Plan;
    use crate::plan::schema::{Enforcement, SiteSchema};

    fn schema(lines: &str) -> Result<Option<SiteSchema>, String> {
        let text = format!("[[sites]]\nid = \"shop\"\nwrite_keys = [\"k\"]\n{lines}\n");
        match Plan::parse("plan.toml", &text) {
            Ok(plan) => Ok(plan.sites[0].schema.clone()),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        }
    }

    const FUNNEL: &str = "[[funnels]]\nsite = \"shop\"\nid = \"f\"\nconversion_window = \"7d\"\nrolling_windows = [\"7d\"]\n\
        [[funnels.steps]]\nid = \"a\"\nevent = \"$page\"\n[[funnels.steps]]\nid = \"b\"\noffer = \"seen\"\nevent = \"purchase\"\n";

    #[test]
    fn an_event_has_required_properties_types_and_whether_there_may_be_others() {
        let read = schema(
            "schema = \"strict\"\nadditional_events = false\n[[sites.events]]\nname = \"purchase\"\nrequired = [\"order_id\"]\nadditional_properties = false\n\
             properties = { order_id = [\"string\", \"integer\"], amount = \"number\" }\n[[sites.events]]\nname = \"seen\"",
        );
        let read = read.unwrap().unwrap();
        assert_eq!((read.enforcement, read.events.len()), (Enforcement::Strict, 2));
        let purchase = &read.events[0];
        let types: Vec<_> =
            purchase.properties.iter().map(|(name, types)| format!("{name}: {types}")).collect();
        assert_eq!(types, ["amount: number", "order_id: string or integer"]);
        assert_eq!(
            (purchase.required.as_slice(), purchase.additional_properties),
            (&["order_id".to_owned()][..], false)
        );
        assert!(
            read.events[1].additional_properties
                && read.plans("seen")
                && read.plans("$page")
                && !read.plans("see")
        );
        assert_eq!(schema("").unwrap(), None);
        let lenient = schema("[[sites.events]]\nname = \"purchase\"").unwrap().unwrap();
        assert_eq!(lenient.enforcement, Enforcement::Lenient);
        assert!(lenient.plans("see"), "an event that has no schema is held to none");
    }

    #[test]
    fn what_is_wrong_with_a_schema_is_told_with_its_line() {
        for (wrong, line, told) in [
            ("schema = \"strikt\"\n[[sites.events]]\nname = \"a\"", 4, "did you mean \"strict\"?"),
            ("schema = \"strict\"", 4, "add [[sites.events]]"),
            ("additional_events = false", 4, "add [[sites.events]]"),
            ("additional_events = \"no\"\n[[sites.events]]\nname = \"a\"", 4, "true or false"),
            ("[[sites.events]]\nrequired = [\"a\"]", 4, "add name = "),
            ("[[sites.events]]\nname = \"a\"\n[[sites.events]]\nname = \"a\"", 7, "line 5 has it too"),
            ("[[sites.events]]\nname = \"a\"\nrequired = [\"b\", \"b\"]", 6, "used twice"),
            ("[[sites.events]]\nname = \"a\"\nrequired = [\"properties.b\"]", 6, "write \"b\""),
            ("[[sites.events]]\nname = \"a\"\nproperties = { b = \"text\" }", 6, "one of string, number"),
            ("[[sites.events]]\nname = \"a\"\nproperties = { b = \"strin\" }", 6, "did you mean \"string\"?"),
            ("[[sites.events]]\nname = \"a\"\nproperties = { b = 7 }", 6, "must be text or a list of texts"),
            ("[[sites.events]]\nname = \"a\"\nproperties = { b = [] }", 6, "must be text or a list of texts"),
            ("[[sites.events]]\nname = \"a\"\nproperties = { \"b.c\" = \"string\" }", 6, "b = \"object\""),
            ("[[sites.events]]\nname = \"a\"\nrequire = [\"b\"]", 6, "did you mean `required`?"),
            ("[[sites.events]]\nname = \"a\"\nadditional_properties = \"no\"", 6, "true or false"),
        ] {
            let problem = schema(wrong).unwrap_err();
            assert!(problem.contains(told) && problem.starts_with(&format!("plan.toml:{line}")), "{problem}");
        }
    }

    #[test]
    fn a_step_whose_events_would_all_be_rejected_is_a_mistake() {
        let planned = "schema = \"strict\"\nadditional_events = false\n[[sites.events]]\nname = \"purchase\"\n[[sites.events]]\nname = \"seen\"\n";
        assert!(schema(&format!("{planned}{FUNNEL}")).is_ok());
        for (event, told) in [("purchase", "purchase_made"), ("seen", "shown")] {
            let other = planned.replace(event, told);
            let problem = schema(&format!("{other}{FUNNEL}")).unwrap_err();
            assert!(
                problem.contains(&format!("\"{event}\" is not among the events of site \"shop\"")),
                "{problem}"
            );
            assert!(schema(&format!("{other}{FUNNEL}").replace("strict", "lenient")).is_ok());
            assert!(schema(&format!("{other}{FUNNEL}").replace("additional_events = false", "")).is_ok());
        }
    }

    #[test]
    fn a_schema_is_bounded() {
        let events: String = (0..501).map(|n| format!("[[sites.events]]\nname = \"e{n}\"\n")).collect();
        assert!(schema(&events).unwrap_err().contains("at most 500 (MAX_PLANNED_EVENTS)"));
        let names: Vec<String> = (0..201).map(|n| format!("p{n} = \"string\"")).collect();
        let event = format!("[[sites.events]]\nname = \"a\"\nproperties = {{ {} }}", names.join(", "));
        assert!(schema(&event).unwrap_err().contains("at most 200 (MAX_PLANNED_PROPERTIES)"));
    }
}

//! What a plan changes about how much of a site's events is taken, and how; `difference` lists it with the rest.

use funnel::plan::{Bots, Enforcement, Identity, Rate, SiteLimits, SitePolicy, SiteSchema};

use super::difference::{Change, Effect};

/// The limits that change.
pub(super) fn limits(site: &str, old: &SiteLimits, new: &SiteLimits) -> Vec<Change> {
    let limits = [
        ("events a second", old.events, new.events),
        ("bytes a second", old.bytes, new.bytes),
        ("events a second from an address", old.address_events, new.address_events),
        ("events a second of a visitor", old.visitor_events, new.visitor_events),
    ];
    let changed = limits.into_iter().filter(|(_, old, new)| old != new);
    changed
        .map(|(name, old, new)| {
            let effect = if narrows(old, new) { Effect::Ends } else { Effect::Harmless };
            let (old, new) = (told(old), told(new));
            Change { effect, text: format!("site {site} may send {new} {name} (was {old}); more is refused") }
        })
        .collect()
}

/// The rules that change about whose events are wanted.
pub(super) fn policy(site: &str, old: &SitePolicy, new: &SitePolicy) -> Vec<Change> {
    let SitePolicy { bots, allow_values, respect, cookieless, identity } = old;
    let mut changes = Vec::new();
    if *bots != new.bots {
        let (effect, text) = match new.bots {
            Bots::LeaveOut => (Effect::Ends, format!("bots of site {site} are left out")),
            Bots::Keep => (Effect::Begins, format!("bots of site {site} count like visitors")),
        };
        changes.push(Change { effect, text });
    }
    for name in allow_values.iter().filter(|name| !new.allow_values.contains(name)) {
        let text = format!(
            "values of the property {name} of site {site} are masked where they look like addresses or keys"
        );
        changes.push(Change { effect: Effect::Ends, text });
    }
    for name in new.allow_values.iter().filter(|name| !allow_values.contains(name)) {
        let text = format!(
            "values of the property {name} of site {site} are stored as they are, mail addresses and the like too"
        );
        changes.push(Change { effect: Effect::Begins, text });
    }
    for signal in new.respect.iter().filter(|signal| !respect.contains(signal)) {
        let text = format!("visitors of site {site} whose browsers send {} are left out", signal.as_str());
        changes.push(Change { effect: Effect::Ends, text });
    }
    for signal in respect.iter().filter(|signal| !new.respect.contains(signal)) {
        let text = format!("visitors of site {site} whose browsers send {} count too", signal.as_str());
        changes.push(Change { effect: Effect::Begins, text });
    }
    if *cookieless != new.cookieless {
        let (effect, text) = match new.cookieless {
            true => (
                Effect::Begins,
                format!("events of site {site} without an id count by address, browser and day"),
            ),
            false => (Effect::Ends, format!("events of site {site} without an id are rejected")),
        };
        changes.push(Change { effect, text });
    }
    if *identity != new.identity {
        let text = match new.identity {
            Identity::Links => format!("ids of site {site} that are linked count as one visitor"),
            Identity::Ids => format!("each id of site {site} counts as a visitor"),
        };
        changes.push(Change { effect: Effect::Begins, text });
    }
    changes
}

/// What changes about the events that the site plans.
pub(super) fn schema(site: &str, old: Option<&SiteSchema>, new: Option<&SiteSchema>) -> Vec<Change> {
    let Some(new) = new else {
        let text = format!("events of site {site} are held to no schema any more");
        return old.map(|_| Change { effect: Effect::Begins, text }).into_iter().collect();
    };
    // What was stored before and is rejected now is gone.
    let effect = match new.enforcement {
        Enforcement::Strict => Effect::Ends,
        Enforcement::Lenient => Effect::Harmless,
    };
    let mut changes = Vec::new();
    if old.is_none_or(|old| old.enforcement != new.enforcement) {
        let what = match new.enforcement {
            Enforcement::Strict => "are rejected",
            Enforcement::Lenient => "are stored, and counted as violations",
        };
        let text = format!(
            "events of site {site} that break its schema {what} (schema = \"{}\")",
            new.enforcement.as_str()
        );
        changes.push(Change { effect, text });
    }
    let Some(old) = old else { return changes };
    if old.additional_events != new.additional_events {
        let (effect, text) = match new.additional_events {
            true => (Effect::Begins, format!("events that the schema of site {site} does not name may come")),
            false => (effect, format!("events that the schema of site {site} does not name break it")),
        };
        changes.push(Change { effect, text });
    }
    let named =
        |schema: &SiteSchema, name: &str| schema.events.iter().find(|event| event.name == name).cloned();
    for gone in old.events.iter().filter(|event| named(new, &event.name).is_none()) {
        let effect = if new.additional_events { Effect::Begins } else { effect };
        let text = format!("the event {} is not in the schema of site {site} any more", gone.name);
        changes.push(Change { effect, text });
    }
    for event in &new.events {
        let (effect, what) = match named(old, &event.name) {
            None if old.additional_events => (effect, "is held to the schema"),
            None => (Effect::Begins, "is in the schema"),
            Some(before) if before != *event => (effect, "is held to other rules in the schema"),
            Some(_) => continue,
        };
        changes.push(Change { effect, text: format!("the event {} {what} of site {site}", event.name) });
    }
    changes
}

/// Whether something that was taken before may be refused now.
fn narrows(old: Option<Rate>, new: Option<Rate>) -> bool {
    match (old, new) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(old), Some(new)) => new.per_second < old.per_second || new.burst < old.burst,
    }
}

fn told(rate: Option<Rate>) -> String {
    match rate {
        None => "any number of".to_owned(),
        Some(rate) => format!("{} ({} at once)", rate.per_second, rate.burst),
    }
}

#[cfg(test)]
mod tests {
    use funnel::plan::{EventSchema, Signal};

    use super::*;

    #[test]
    fn each_rule_that_changes_is_told_with_what_it_does() {
        let rules = SitePolicy {
            bots: Bots::Keep,
            allow_values: vec!["note".to_owned()],
            respect: vec![Signal::Gpc],
            cookieless: true,
            identity: Identity::Links,
        };
        let effects = |old: &SitePolicy, new: &SitePolicy| {
            policy("shop", old, new).iter().map(|change| change.effect).collect::<Vec<_>>()
        };
        let none = SitePolicy::default();
        assert_eq!(
            effects(&none, &rules),
            [Effect::Begins, Effect::Begins, Effect::Ends, Effect::Begins, Effect::Begins]
        );
        assert_eq!(
            effects(&rules, &none),
            [Effect::Ends, Effect::Ends, Effect::Begins, Effect::Ends, Effect::Begins]
        );
        assert_eq!(effects(&rules, &rules), []);
    }

    #[test]
    fn what_a_schema_rejects_from_now_on_is_told_as_what_ends() {
        let event = |name: &str, required: &[&str]| EventSchema {
            name: name.to_owned(),
            required: required.iter().map(|name| (*name).to_owned()).collect(),
            properties: vec![],
            additional_properties: true,
        };
        let of = |enforcement, events| SiteSchema { enforcement, additional_events: false, events };
        let told = |old: Option<&SiteSchema>, new: Option<&SiteSchema>| {
            schema("shop", old, new)
                .into_iter()
                .map(|change| (change.effect, change.text))
                .collect::<Vec<_>>()
        };
        let before = of(Enforcement::Lenient, vec![event("a", &[]), event("b", &[])]);
        let after = of(Enforcement::Strict, vec![event("b", &["x"]), event("c", &[])]);
        let expected = [
            (Effect::Ends, "events of site shop that break its schema are rejected (schema = \"strict\")"),
            (Effect::Ends, "the event a is not in the schema of site shop any more"),
            (Effect::Ends, "the event b is held to other rules in the schema of site shop"),
            (Effect::Begins, "the event c is in the schema of site shop"),
        ]
        .map(|(effect, text)| (effect, text.to_owned()));
        assert_eq!(told(Some(&before), Some(&after)), expected);
        assert_eq!(told(None, Some(&before))[0].0, Effect::Harmless);
        assert_eq!(told(Some(&after), None)[0].0, Effect::Begins);
        assert_eq!((told(None, None), told(Some(&after), Some(&after))), (vec![], vec![]));
        let open = SiteSchema { additional_events: true, ..after.clone() };
        assert_eq!(told(Some(&open), Some(&after))[0].0, Effect::Ends);
        assert_eq!(told(Some(&after), Some(&open))[0].0, Effect::Begins);
        let fewer = SiteSchema { events: vec![], ..open.clone() };
        assert!(told(Some(&fewer), Some(&open)).iter().all(|(effect, _)| *effect == Effect::Ends));
        assert!(told(Some(&open), Some(&fewer)).iter().all(|(effect, _)| *effect == Effect::Begins));
    }

    #[test]
    fn a_tighter_limit_takes_away_and_a_wider_one_does_not() {
        let events = |per_second, burst| SiteLimits {
            events: Some(Rate { per_second, burst }),
            ..SiteLimits::default()
        };
        let effects = |old: &SiteLimits, new: &SiteLimits| {
            limits("shop", old, new).iter().map(|change| change.effect).collect::<Vec<_>>()
        };
        let none = SiteLimits::default();
        assert_eq!(effects(&none, &events(5, 50)), [Effect::Ends]);
        assert_eq!(effects(&events(5, 50), &events(5, 49)), [Effect::Ends]);
        assert_eq!(effects(&events(5, 50), &events(6, 50)), [Effect::Harmless]);
        assert_eq!(effects(&events(5, 50), &none), [Effect::Harmless]);
        assert_eq!(effects(&none, &none), []);
        let told = &limits("shop", &none, &events(5, 50))[0].text;
        assert_eq!(
            told,
            "site shop may send 5 (50 at once) events a second (was any number of); more is refused"
        );
    }
}

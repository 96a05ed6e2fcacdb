//! What a plan changes about how much of a site's events is taken, and how; `difference` lists it with the rest.

use funnel::plan::{Bots, Rate, SiteLimits, SitePolicy};

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
    let SitePolicy { bots, allow_values, respect } = old;
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
    use funnel::plan::Signal;

    use super::*;

    #[test]
    fn each_rule_that_changes_is_told_with_what_it_does() {
        let rules = SitePolicy {
            bots: Bots::Keep,
            allow_values: vec!["note".to_owned()],
            respect: vec![Signal::Gpc],
        };
        let effects = |old: &SitePolicy, new: &SitePolicy| {
            policy("shop", old, new).iter().map(|change| change.effect).collect::<Vec<_>>()
        };
        let none = SitePolicy::default();
        assert_eq!(effects(&none, &rules), [Effect::Begins, Effect::Begins, Effect::Ends]);
        assert_eq!(effects(&rules, &none), [Effect::Ends, Effect::Ends, Effect::Begins]);
        assert_eq!(effects(&rules, &rules), []);
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

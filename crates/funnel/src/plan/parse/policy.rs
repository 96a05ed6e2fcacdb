//! What a site says about whose events it wants.

use checked_toml::{Located, Table, did_you_mean};

use super::fields;
use crate::plan::{Bots, Identity, Signal, SitePolicy};

pub(super) fn read(site: &Table<'_>) -> SitePolicy {
    let cookieless = site.boolean("cookieless").is_some_and(|cookieless| cookieless.value);
    SitePolicy {
        bots: bots(site),
        allow_values: allow_values(site),
        respect: respect(site),
        cookieless,
        identity: identity(site),
    }
}

fn identity(site: &Table<'_>) -> Identity {
    let words = [("ids", Identity::Ids), ("links", Identity::Links)];
    site.text("identity").and_then(|text| word(site, "identity", text, &words)).unwrap_or_default()
}

fn bots(site: &Table<'_>) -> Bots {
    let words = [("leave_out", Bots::LeaveOut), ("keep", Bots::Keep)];
    site.text("bots").and_then(|text| word(site, "bots", text, &words)).unwrap_or_default()
}

fn allow_values(site: &Table<'_>) -> Vec<String> {
    let names = site.texts("allow_values");
    fields::no_repeats(site, "property", &names);
    let names = names.into_iter().filter_map(|name| fields::property(site, name, "a property"));
    names.map(|name| name.value.to_owned()).collect()
}

fn respect(site: &Table<'_>) -> Vec<Signal> {
    let words = [Signal::Gpc, Signal::Dnt].map(|signal| (signal.as_str(), signal));
    let signals = site.texts("respect");
    fields::no_repeats(site, "signal", &signals);
    let mut signals: Vec<Signal> =
        signals.into_iter().filter_map(|text| word(site, "respect", text, &words)).collect();
    signals.sort_unstable();
    signals.dedup();
    signals
}

/// One of a few words.
fn word<T: Copy>(site: &Table<'_>, key: &str, text: Located<&str>, words: &[(&str, T)]) -> Option<T> {
    let found = words.iter().find(|(word, _)| *word == text.value).map(|(_, value)| *value);
    if found.is_none() {
        let all = words.iter().map(|(word, _)| *word);
        let hint = match did_you_mean(text.value, all.clone()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("one of: {}", all.collect::<Vec<_>>().join(", ")),
        };
        site.report(text.line, format!("{} cannot be \"{}\"", site.named(key), text.value), hint);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plan;

    fn policy(lines: &str) -> Result<SitePolicy, String> {
        let text = format!("[[sites]]\nid = \"shop\"\nwrite_keys = [\"k\"]\n{lines}\n");
        match Plan::parse("plan.toml", &text) {
            Ok(plan) => Ok(plan.sites[0].policy.clone()),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        }
    }

    #[test]
    fn a_site_does_without_ids_when_it_says_so() {
        assert!(!policy("").unwrap().cookieless);
        assert!(policy("cookieless = true").unwrap().cookieless);
        assert!(policy("cookieless = \"yes\"").unwrap_err().contains("cookieless"));
    }

    #[test]
    fn a_site_joins_ids_when_it_says_so_and_its_funnels_know() {
        assert_eq!(policy("").unwrap().identity, Identity::Ids);
        assert_eq!(policy("identity = \"ids\"").unwrap().identity, Identity::Ids);
        assert_eq!(policy("identity = \"links\"").unwrap().identity, Identity::Links);
        assert!(policy("identity = \"link\"").unwrap_err().contains("did you mean \"links\"?"));
    }

    #[test]
    fn values_are_allowed_by_the_names_of_their_properties() {
        let names = policy("allow_values = [\"email\", \"order.note\"]").unwrap().allow_values;
        assert_eq!(names, ["email", "order.note"]);
        for (wrong, told) in
            [("[\"\"]", "is empty"), ("[\"properties.email\"]", "write \"email\""), ("[\"a\", \"a\"]", "a")]
        {
            let problem = policy(&format!("allow_values = {wrong}")).unwrap_err();
            assert!(problem.contains(told) && problem.starts_with("plan.toml:4"), "{problem}");
        }
    }

    #[test]
    fn signals_are_respected_by_name() {
        assert_eq!(policy("").unwrap().respect, []);
        assert_eq!(policy("respect = [\"dnt\", \"gpc\"]").unwrap().respect, [Signal::Gpc, Signal::Dnt]);
        for (wrong, told) in
            [("[\"gcp\"]", "did you mean \"gpc\"?"), ("[\"gpc\", \"gpc\"]", "gpc"), ("\"gpc\"", "list")]
        {
            let problem = policy(&format!("respect = {wrong}")).unwrap_err();
            assert!(problem.contains(told) && problem.starts_with("plan.toml:4"), "{problem}");
        }
    }

    #[test]
    fn bots_are_left_out_unless_the_plan_keeps_them() {
        assert_eq!(policy("").unwrap().bots, Bots::LeaveOut);
        assert_eq!(policy("bots = \"leave_out\"").unwrap().bots, Bots::LeaveOut);
        assert_eq!(policy("bots = \"keep\"").unwrap().bots, Bots::Keep);
        for (wrong, told) in
            [("\"keeep\"", "did you mean \"keep\"?"), ("\"x\"", "one of: leave_out, keep"), ("7", "text")]
        {
            let problem = policy(&format!("bots = {wrong}")).unwrap_err();
            assert!(problem.contains(told) && problem.starts_with("plan.toml:4"), "{problem}");
        }
    }
}

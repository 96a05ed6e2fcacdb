//! What a new plan changes, for people: what ends, what begins, what is counted anew. Pure; `rungs plan diff` and
//! `rungs plan apply` print it, and `rungs up` for the file that it applies.

use std::fmt;

use checked_toml::Problem;
use funnel::Plan;
use funnel::plan::{Funnel, Origins, Site};
use jiff::Timestamp;

use super::http::PlanAnswer;
use super::site_rules;

/// The horizon is a part of a funnel's definition, but not of a plan: it is the same on both sides.
const ANY_HORIZON_MS: i64 = 0;

/// A plan's text beside the plan in force.
#[derive(Debug)]
pub(crate) struct Comparison {
    text: String,
    takes_away: bool,
}

impl Comparison {
    /// What applying `text` changes; `name` is how its mistakes name it.
    ///
    /// # Errors
    /// The mistakes of the new plan.
    pub(crate) fn of(in_force: Option<&PlanAnswer>, name: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let new = Plan::parse(name, text)?;
        let Some(in_force) = in_force.filter(|in_force| in_force.text != text) else {
            return Ok(Self { text: String::new(), takes_away: false });
        };
        let number = in_force.number;
        let heading = format!("Compared with plan {number}, applied at {}:", utc(in_force.applied_at_ms));
        let back = format!("  (`rungs plan show --number {number}` prints plan {number})");
        let Ok(old) = Plan::parse("plan", &in_force.text) else {
            let unreadable = "  this version cannot read that plan, so it cannot tell what changes";
            return Ok(Self { text: format!("{heading}\n{unreadable}\n{back}\n"), takes_away: true });
        };
        let difference = Difference::between(&old, &new);
        let text = match (difference.changes.is_empty(), difference.takes_away()) {
            (true, _) => format!("{heading}\n  nothing but its text changes\n"),
            (false, true) => format!("{heading}\n{difference}{back}\n"),
            (false, false) => format!("{heading}\n{difference}"),
        };
        Ok(Self { text, takes_away: difference.takes_away() })
    }

    /// Lines for people; empty if that text is in force, or if there is no plan yet.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether something in force ends or is counted anew, which people may not have meant.
    pub(crate) fn takes_away(&self) -> bool {
        self.takes_away
    }
}

/// A time as plans are told with it.
pub(crate) fn utc(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.strftime("%F %T UTC").to_string())
}

/// The changes from one plan to another, in the order in which they are told: what ends comes first.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    changes: Vec<Change>,
}

/// What a change does to what was in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    /// Something that worked or was counted does not any more.
    Ends,
    /// It is counted anew from the raw events.
    Rebuilt,
    Begins,
    /// Numbers and senders stay as they are.
    Harmless,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) effect: Effect,
    pub(super) text: String,
}

impl Difference {
    fn between(old: &Plan, new: &Plan) -> Self {
        let mut difference = Self { changes: Vec::new() };
        for site in &old.sites {
            match new.site(&site.id) {
                Some(now) => difference.site(site, now),
                None => difference.add(Effect::Ends, format!("site {} ends: its keys are refused", site.id)),
            }
        }
        for site in new.sites.iter().filter(|site| old.site(&site.id).is_none()) {
            difference.add(Effect::Begins, format!("site {} is new", site.id));
        }
        for funnel in &old.funnels {
            match new.funnel(&funnel.site, &funnel.id) {
                Some(now) => difference.funnel(funnel, now),
                None => difference.add(Effect::Ends, format!("funnel {} ends: {ENDED}", named(funnel))),
            }
        }
        for funnel in new.funnels.iter().filter(|funnel| old.funnel(&funnel.site, &funnel.id).is_none()) {
            let text = format!("funnel {} is new: it is counted from the raw events", named(funnel));
            difference.add(Effect::Begins, text);
        }
        difference.changes.sort_by_key(|change| change.effect);
        difference
    }

    fn takes_away(&self) -> bool {
        self.changes.iter().any(|change| change.effect <= Effect::Rebuilt)
    }

    fn add(&mut self, effect: Effect, text: String) {
        self.changes.push(Change { effect, text });
    }

    fn site(&mut self, old: &Site, new: &Site) {
        // Every field by name: one that is added later must be told too.
        let Site {
            id,
            timezone,
            write_keys,
            secret_keys_sha256,
            origins,
            retention_days,
            redirects,
            limits,
            policy,
            schema,
        } = old;
        self.keys(old, new);
        if narrows(origins, &new.origins) {
            self.add(Effect::Ends, format!("pages of fewer origins may send to site {id}"));
        } else if *origins != new.origins {
            self.add(Effect::Harmless, format!("pages of more origins may send to site {id}"));
        }
        for gone in redirects.iter().filter(|known| !new.redirects.contains(known)) {
            let gone = gone.as_str();
            self.add(
                Effect::Ends,
                format!("links of site {id} may not lead to {gone} any more, sent ones too"),
            );
        }
        for more in new.redirects.iter().filter(|known| !redirects.contains(known)) {
            self.add(Effect::Begins, format!("links of site {id} may lead to {}", more.as_str()));
        }
        if *retention_days != new.retention_days {
            self.add(
                keeping(*retention_days, new.retention_days),
                format!(
                    "raw events of site {id} are kept for {} (was {}); older ones are deleted",
                    days(new.retention_days),
                    days(*retention_days)
                ),
            );
        }
        self.changes.extend(site_rules::limits(id, limits, &new.limits));
        self.changes.extend(site_rules::policy(id, policy, &new.policy));
        self.changes.extend(site_rules::schema(id, schema.as_ref(), new.schema.as_ref()));
        if *timezone != new.timezone {
            self.add(Effect::Harmless, format!("site {id} is in {} (was {timezone})", new.timezone));
        }
        let more = new.write_keys.iter().filter(|key| !write_keys.contains(key)).count()
            + new.secret_keys_sha256.iter().filter(|key| !secret_keys_sha256.contains(key)).count();
        if more > 0 {
            self.add(Effect::Begins, format!("{more} more key(s) of site {id}"));
        }
    }

    /// The keys that end.
    fn keys(&mut self, old: &Site, new: &Site) {
        let id = &old.id;
        let gone = |key: &&String| !new.write_keys.contains(key);
        for key in old.write_keys.iter().filter(gone) {
            self.add(
                Effect::Ends,
                format!("write key {key} of site {id} ends: what is sent with it is refused"),
            );
        }
        let secrets =
            old.secret_keys_sha256.iter().filter(|key| !new.secret_keys_sha256.contains(key)).count();
        if secrets > 0 {
            self.add(
                Effect::Ends,
                format!("{secrets} secret key(s) of site {id} end: what is sent with them is refused"),
            );
        }
    }

    fn funnel(&mut self, old: &Funnel, new: &Funnel) {
        let name = named(old);
        if old.definition_hash(ANY_HORIZON_MS) != new.definition_hash(ANY_HORIZON_MS) {
            let parts = changed_parts(old, new).join(", ");
            self.add(Effect::Rebuilt, format!("funnel {name} is counted anew from the raw events ({parts})"));
        } else if old != new {
            self.add(
                Effect::Harmless,
                format!("funnel {name}: names or commitments change, its numbers stay"),
            );
        }
    }
}

const ENDED: &str =
    "it is counted and shown no more; its events stay, and it is counted from them if it comes back";

fn named(funnel: &Funnel) -> String {
    format!("{}/{}", funnel.site, funnel.id)
}

/// Whether some page could send before and cannot any more.
fn narrows(old: &Origins, new: &Origins) -> bool {
    match (old, new) {
        (_, Origins::Any) => false,
        (Origins::Any, Origins::Only(_)) => true,
        (Origins::Only(old), Origins::Only(new)) => old.iter().any(|origin| !new.contains(origin)),
    }
}

/// Fewer days delete events; so may days in place of the setting, or the setting in place of days.
fn keeping(old: Option<u16>, new: Option<u16>) -> Effect {
    match (old, new) {
        (Some(old), Some(new)) if new > old => Effect::Harmless,
        _ => Effect::Ends,
    }
}

fn days(retention: Option<u16>) -> String {
    retention.map_or_else(|| "[aggregator] raw_retention".to_owned(), |days| format!("{days} days"))
}

fn changed_parts(old: &Funnel, new: &Funnel) -> Vec<&'static str> {
    let parts = [
        ("conversion_window", old.conversion_window != new.conversion_window),
        ("rolling_windows", old.rolling_windows != new.rolling_windows),
        ("breakdowns", old.breakdowns != new.breakdowns),
        ("steps", old.steps != new.steps),
        ("its site's identity", old.identity != new.identity),
    ];
    parts.into_iter().filter(|(_, changed)| *changed).map(|(part, _)| part).collect()
}

/// A line a change: `-` what ends, `~` what is counted anew, `+` what is new.
impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Change { effect, text } in &self.changes {
            let sign = match effect {
                Effect::Ends => '-',
                Effect::Rebuilt => '~',
                Effect::Begins => '+',
                Effect::Harmless => ' ',
            };
            writeln!(formatter, "  {sign} {text}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"
[[sites]]
id = "shop"
write_keys = ["wk_shop", "wk_old"]
[[sites]]
id = "blog"
write_keys = ["wk_blog"]
[[funnels]]
site = "shop"
id = "purchase"
conversion_window = "7d"
rolling_windows = ["7d"]
steps = [{ id = "view", event = "view" }, { id = "buy", event = "buy" }]
[[funnels]]
site = "shop"
id = "trial"
conversion_window = "7d"
rolling_windows = ["7d"]
steps = [{ id = "view", event = "view" }, { id = "try", event = "try" }]
[[funnels]]
site = "blog"
id = "letter"
conversion_window = "7d"
rolling_windows = ["7d"]
steps = [{ id = "read", event = "read" }, { id = "join", event = "join" }]
"#;

    const NEW: &str = r#"
[[sites]]
id = "shop"
write_keys = ["wk_shop"]
[[sites]]
id = "docs"
write_keys = ["wk_docs"]
[[funnels]]
site = "shop"
id = "purchase"
conversion_window = "14d"
rolling_windows = ["7d"]
steps = [{ id = "view", event = "view" }, { id = "buy", event = "buy" }]
[[funnels]]
site = "shop"
id = "trial"
name = "Trying it"
conversion_window = "7d"
rolling_windows = ["7d"]
steps = [{ id = "view", event = "view" }, { id = "try", event = "try" }]
[[funnels]]
site = "docs"
id = "help"
conversion_window = "7d"
rolling_windows = ["7d"]
steps = [{ id = "read", event = "read" }, { id = "thank", event = "thank" }]
"#;

    fn plan(text: &str) -> Plan {
        Plan::parse("plan", text).unwrap()
    }

    #[test]
    fn what_ends_is_told_first_then_what_is_counted_anew_then_what_is_new() {
        let difference = Difference::between(&plan(OLD), &plan(NEW));
        let expected = format!(
            "  - write key wk_old of site shop ends: what is sent with it is refused
  - site blog ends: its keys are refused
  - funnel blog/letter ends: {ENDED}
  ~ funnel shop/purchase is counted anew from the raw events (conversion_window)
  + site docs is new
  + funnel docs/help is new: it is counted from the raw events
    funnel shop/trial: names or commitments change, its numbers stay
"
        );
        assert_eq!(difference.to_string(), expected, "\n{difference}");
        assert!(difference.takes_away());
    }

    #[test]
    fn additions_and_comments_take_nothing_away() {
        let (old, none) = (plan(OLD), Plan::default());
        assert!(Difference::between(&old, &plan(&format!("# a comment{OLD}"))).changes.is_empty());
        assert!(!Difference::between(&none, &old).takes_away());
        let more = OLD.replacen("\"wk_old\"]", "\"wk_old\", \"wk_new\"]", 1);
        let difference = Difference::between(&old, &plan(&more));
        assert!(!difference.takes_away() && difference.to_string().contains("1 more key(s)"), "{difference}");
    }

    #[test]
    fn a_shorter_retention_and_a_redirect_that_goes_take_away() {
        let with = |lines: &str| plan(&OLD.replacen("\"shop\"", &format!("\"shop\"\n{lines}"), 1));
        let (short, long) = (with("retention = \"30d\""), with("retention = \"90d\""));
        assert!(!Difference::between(&short, &long).takes_away());
        let shorter = Difference::between(&long, &short);
        assert!(shorter.takes_away() && shorter.to_string().contains("30 days (was 90 days)"), "{shorter}");
        assert!(Difference::between(&plan(OLD), &long).takes_away(), "the setting may be longer");
        let (none, one) = (plan(OLD), with("redirects = [\"https://shop.example/\"]"));
        assert!(!Difference::between(&none, &one).takes_away());
        assert!(
            Difference::between(&one, &none)
                .to_string()
                .contains("- links of site shop may not lead to https")
        );
    }

    #[test]
    fn fewer_origins_take_away_and_more_do_not() {
        let with =
            |origins: &str| plan(&OLD.replacen("\"shop\"", &format!("\"shop\"\norigins = {origins}"), 1));
        let (any, one) = (with("[\"*\"]"), with("[\"https://shop.example\"]"));
        assert!(Difference::between(&any, &one).takes_away());
        assert!(!Difference::between(&one, &any).takes_away());
    }
}

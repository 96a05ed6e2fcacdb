//! What a site says about whose events it wants.

use checked_toml::{Located, Table, did_you_mean};

use crate::plan::{Bots, SitePolicy};

pub(super) fn read(site: &Table<'_>) -> SitePolicy {
    SitePolicy { bots: bots(site) }
}

fn bots(site: &Table<'_>) -> Bots {
    let words = [("leave_out", Bots::LeaveOut), ("keep", Bots::Keep)];
    site.text("bots").and_then(|text| word(site, "bots", text, &words)).unwrap_or_default()
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

//! From the text of `tracking-plan.toml` to a [`Plan`]. Everything that is wrong is reported at once, each with its
//! line and what to do, because plans are written by people who do not want to learn by trial and error. What passes
//! needs no more checks anywhere else.
//!
//! One file a table: [`site`], [`quotas`], [`policy`], [`schema`], [`funnel`], [`step`], [`filter`]; [`fields`] reads
//! what several of them have.

mod breakdown;
mod fields;
mod filter;
mod funnel;
mod policy;
mod quotas;
mod schema;
mod site;
mod step;
#[cfg(test)]
mod tests;
mod unique;

use checked_toml::{Document, Problem, Table};

use self::unique::Unique;
use super::{Plan, Site, limits};

const EMPTY_PLAN_HINT: &str = "a plan needs at least one site, for example:\n\n\
[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk_shop\"]\norigins = [\"https://shop.example\"]\n\n\
[[funnels]]\nsite = \"shop\"\nid = \"purchase\"\nconversion_window = \"7d\"\nrolling_windows = [\"24h\", \"7d\"]\n\n\
[[funnels.steps]]\nid = \"view\"\nevent = \"product_view\"\n\n\
[[funnels.steps]]\nid = \"buy\"\nevent = \"purchase\"\n";

impl Plan {
    /// Reads a tracking plan; `file_name` is how problems name it.
    ///
    /// # Errors
    /// Everything that is wrong, by line; never an empty list.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let document = Document::parse(file_name, text)?;
        let plan = read(document.root());
        let problems = document.into_problems();
        match problems.is_empty() {
            true => Ok(plan),
            false => Err(problems),
        }
    }
}

/// Reads all that can be read; it is a valid plan only if no problem was recorded.
fn read(root: Table<'_>) -> Plan {
    let (sites, funnels) = (root.tables("sites"), root.tables("funnels"));
    let named = root.any_value("sites");
    if named.is_none_or(|value| value.as_list().is_some_and(|list| list.is_empty())) {
        root.report(named.map_or(1, |value| value.line()), "the plan has no sites", EMPTY_PLAN_HINT);
    }
    limit(&root, "sites", sites.len(), "MAX_SITES", limits::MAX_SITES);
    limit(&root, "funnels", funnels.len(), "MAX_FUNNELS", limits::MAX_FUNNELS);
    root.finish();

    let known_sites: Vec<&str> = sites.iter().filter_map(|site| site.any_value("id")?.as_text()).collect();
    let (mut site_ids, mut write_keys) = (Unique::new("site id"), Unique::new("write key"));
    let sites = sites.into_iter().filter_map(|site| site::read(site, &mut site_ids, &mut write_keys));
    let sites: Vec<Site> = sites.collect();
    let mut funnel_ids = Unique::new("funnel id");
    let funnels =
        funnels.into_iter().filter_map(|funnel| funnel::read(funnel, &known_sites, &sites, &mut funnel_ids));
    let funnels = funnels.collect();
    Plan { sites, funnels }
}

fn limit(table: &Table<'_>, what: &str, found: usize, name: &str, limit: usize) {
    if found > limit {
        let subject = match table.subject() {
            subject if subject.is_empty() => "the plan".to_owned(),
            subject => subject,
        };
        table.report(
            table.line(),
            format!("{subject} has {found} {what}"),
            format!("at most {limit} ({name})"),
        );
    }
}

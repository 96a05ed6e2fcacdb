//! `[[funnels]]`: a ladder of steps of one site.

use checked_toml::{Located, Table, did_you_mean};

use super::unique::Unique;
use super::{breakdown, fields, limit, step};
use crate::plan::{Funnel, Site, Step, Window, limits};

pub(super) fn read(
    table: Table<'_>,
    known_sites: &[&str],
    sites: &[Site],
    ids: &mut Unique,
) -> Option<Funnel> {
    let id = fields::id(&table, "funnel");
    let site = site(&table, known_sites);
    if let (Some(id), Some(site)) = (id, site) {
        ids.check_as(&table, id, format!("{} {}", site.value, id.value));
    }
    let name = fields::name(&table, id);
    let conversion_window = conversion_window(&table);
    let rolling_windows = rolling_windows(&table);
    let breakdowns = breakdown::read_all(&table);
    let sends = site.and_then(|id| sites.iter().find(|site| site.id == id.value));
    let steps = steps(&table, sends);
    table.finish();
    Some(Funnel {
        site: site?.value.to_owned(),
        id: id?.value.to_owned(),
        name: name?,
        conversion_window: conversion_window?,
        rolling_windows,
        breakdowns,
        steps,
        identity: sends.map(|site| site.policy.identity).unwrap_or_default(),
    })
}

fn site<'d>(table: &Table<'d>, known_sites: &[&str]) -> Option<Located<&'d str>> {
    let site =
        table.required_text("site", "add the id of the site whose events count, e.g. site = \"shop\"")?;
    if known_sites.contains(&site.value) {
        return Some(site);
    }
    let hint = match did_you_mean(site.value, known_sites.iter().copied()) {
        Some(known) => format!("did you mean \"{known}\"?"),
        None if known_sites.is_empty() => format!("add it: [[sites]] with id = \"{}\"", site.value),
        None => format!("the plan's sites: {}", known_sites.join(", ")),
    };
    table.report(site.line, format!("{} names an unknown site \"{}\"", table.subject(), site.value), hint);
    None
}

fn conversion_window(table: &Table<'_>) -> Option<Window> {
    let hint = "add how long a visitor may take from the first step to the last: conversion_window = \"7d\"";
    let text = table.required_text("conversion_window", hint)?;
    fields::window(table, text, "conversion_window")
}

fn rolling_windows(table: &Table<'_>) -> Vec<Window> {
    let texts = table.texts("rolling_windows");
    let given = table.any_value("rolling_windows").map(|value| (value.line(), value.as_list()));
    let hint = "add the windows to be shown: rolling_windows = [\"24h\", \"7d\"]";
    match given {
        None => table.report(table.line(), format!("{} has no rolling_windows", table.subject()), hint),
        Some((line, Some(items))) if items.is_empty() => {
            table.report(line, format!("{} is an empty list", table.named("rolling_windows")), hint);
        }
        Some(_) => {}
    }
    fields::no_repeats(table, "rolling window", &texts);
    limit(table, "rolling windows", texts.len(), "MAX_ROLLING_WINDOWS", limits::MAX_ROLLING_WINDOWS);
    texts.into_iter().filter_map(|text| fields::window(table, text, "rolling window")).collect()
}

fn steps(table: &Table<'_>, site: Option<&Site>) -> Vec<Step> {
    let steps = table.tables("steps");
    let readable = table.any_value("steps").is_none_or(|value| value.as_list().is_some());
    if readable && steps.len() < limits::MIN_STEPS {
        let hint = format!("add a [[funnels.steps]] for each; at least {} (MIN_STEPS)", limits::MIN_STEPS);
        let message = format!("{} has {} of the steps that make a funnel", table.subject(), steps.len());
        table.report(table.line(), message, hint);
    }
    limit(table, "steps", steps.len(), "MAX_STEPS", limits::MAX_STEPS);
    let mut ids = Unique::new("step id");
    steps.into_iter().filter_map(|step| step::read(step, site, &mut ids)).collect()
}

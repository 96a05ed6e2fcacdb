//! `where`: one condition on one property of a step's event.

use checked_toml::{Located, Table};
use regex::{Regex, RegexBuilder};

use super::fields;
use crate::plan::{Condition, Filter, limits};

/// Bytes a compiled expression may take: expressions run on every event of a step.
const MAX_REGEX_BYTES: usize = 1 << 20;

const HINT: &str = "one of in = […], min and/or max, matches = \"…\", exists = true";

pub(super) fn read(step: &Table<'_>) -> Option<Filter> {
    let table = step.table("where")?;
    table.describe(format!("where of {}", step.subject()));
    let property = table
        .required_text("property", "add the property: where = { property = \"plan\", in = [\"pro\"] }")
        .and_then(|text| fields::property(&table, text, "property"));
    let condition = condition(&table);
    table.finish();
    Some(Filter { property: property?.value.to_owned(), condition: condition? })
}

/// Reads all that is there, so that each mistake is told, and takes the only one.
fn condition(table: &Table<'_>) -> Option<Condition> {
    let given: Vec<_> =
        ["in", "min", "max", "matches", "exists"].into_iter().filter(|key| table.contains(key)).collect();
    let found = [listed(table), range(table), matches(table), exists(table)];
    match given.as_slice() {
        [] => {
            table.report(table.line(), format!("{} has no condition", table.subject()), HINT);
            None
        }
        [_] | ["min", "max"] => found.into_iter().flatten().next(),
        several => {
            let message = format!("{} has several conditions: {}", table.subject(), several.join(", "));
            table.report(table.line(), message, HINT);
            None
        }
    }
}

fn listed(table: &Table<'_>) -> Option<Condition> {
    let value = table.value("in")?;
    let items = value.as_list().filter(|items| !items.is_empty());
    let texts =
        items.and_then(|items| items.iter().map(|item| item.as_plain_text()).collect::<Option<Vec<_>>>());
    if texts.is_none() {
        let message = format!("{} must be a list of texts, numbers or booleans", table.named("in"));
        table.report(value.line(), message, "e.g. in = [\"pro\", \"team\"]");
    }
    let too_long = |text: &String| text.len() > limits::MAX_NAME_BYTES;
    if texts.iter().flatten().any(too_long) {
        let hint = format!("at most {} bytes each (MAX_NAME_BYTES)", limits::MAX_NAME_BYTES);
        table.report(value.line(), format!("{} has a value that is too long", table.named("in")), hint);
    }
    texts.map(Condition::In)
}

fn range(table: &Table<'_>) -> Option<Condition> {
    let (min, max) = (bound(table, "min"), bound(table, "max"));
    if let (Some(low), Some(high)) = (min, max)
        && low.value > high.value
    {
        let message = format!("min {} of {} is above max {}", low.value, table.subject(), high.value);
        table.report(low.line, message, "swap them");
    }
    (min.is_some() || max.is_some())
        .then(|| Condition::Range { min: min.map(|min| min.value), max: max.map(|max| max.value) })
}

fn bound(table: &Table<'_>, key: &'static str) -> Option<Located<f64>> {
    let bound = table.number(key)?;
    if !bound.value.is_finite() {
        table.report(
            bound.line,
            format!("{} is not a number to compare with", table.named(key)),
            "leave it out",
        );
        return None;
    }
    Some(bound)
}

fn matches(table: &Table<'_>) -> Option<Condition> {
    let pattern = table.text("matches")?;
    match compile(pattern.value) {
        Ok(regex) => Some(Condition::Matches(regex)),
        Err(reason) => {
            let message = format!("\"{}\" is not a regular expression: {reason}", pattern.value);
            table.report(
                pattern.line,
                message,
                "e.g. matches = \"^/checkout\"; a literal . is written \\\\.",
            );
            None
        }
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    let built =
        RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).dfa_size_limit(MAX_REGEX_BYTES).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => format!("it would take more than {limit} bytes of memory"),
        error => {
            error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
    })
}

fn exists(table: &Table<'_>) -> Option<Condition> {
    table.boolean("exists").map(|exists| Condition::Exists(exists.value))
}

//! `breakdowns`: by what a funnel's numbers are split.

use checked_toml::{Located, Table, Value};

use super::unique::Unique;
use super::{fields, limit};
use crate::plan::{Breakdown, limits};

/// `["channel", { by = "plan", values = ["free", "pro"] }]`
pub(super) fn read_all(funnel: &Table<'_>) -> Vec<Breakdown> {
    let Some(value) = funnel.value("breakdowns") else { return Vec::new() };
    let Some(items) = value.as_list() else {
        let message = format!("{} must be a list, not {}", funnel.named("breakdowns"), value.kind());
        funnel.report(value.line(), message, "put it in brackets: [\"channel\"]");
        return Vec::new();
    };
    limit(funnel, "breakdowns", items.len(), "MAX_BREAKDOWNS", limits::MAX_BREAKDOWNS);
    let mut unique = Unique::new("breakdown");
    items.into_iter().filter_map(|item| read(funnel, item, &mut unique)).collect()
}

fn read<'d>(funnel: &Table<'d>, item: Value<'d>, unique: &mut Unique) -> Option<Breakdown> {
    if let Some(value) = item.as_text() {
        let by = by(funnel, Located { value, line: item.line() }, unique)?;
        return Some(Breakdown { by, values: Vec::new() });
    }
    let Some(table) = item.as_table() else {
        let message =
            format!("a breakdown of {} must be text or a table, not {}", funnel.subject(), item.kind());
        funnel.report(
            item.line(),
            message,
            "\"channel\", or { by = \"plan\", values = [\"free\", \"pro\"] }",
        );
        return None;
    };
    table.describe(format!("a breakdown of {}", funnel.subject()));
    let by = table
        .required_text("by", "add the property: { by = \"plan\", values = [\"free\", \"pro\"] }")
        .and_then(|text| by(&table, text, unique));
    let values = values(&table);
    table.finish();
    Some(Breakdown { by: by?, values })
}

fn by(table: &Table<'_>, text: Located<&str>, unique: &mut Unique) -> Option<String> {
    let text = fields::property(table, text, "breakdown")?;
    unique.check(table, text);
    Some(text.value.to_owned())
}

fn values(table: &Table<'_>) -> Vec<String> {
    let values = table.texts("values");
    limit(table, "listed values", values.len(), "MAX_LISTED_VALUES", limits::MAX_LISTED_VALUES);
    fields::no_repeats(table, "listed value", &values);
    let named = values.into_iter().filter_map(|value| fields::plain_name(table, value, "listed value"));
    named.map(|value| value.value.to_owned()).collect()
}

//! Fields that several tables of a plan have: ids, names, names of events and properties, windows.

use checked_toml::{Located, Table, Value, units};

use super::unique::Unique;
use crate::plan::{Window, limits};

/// A required id: lower-case letters, digits, `-` and `_`. It becomes a label of metrics and a part of addresses.
pub(super) fn id<'d>(table: &Table<'d>, of: &str) -> Option<Located<&'d str>> {
    table.describe(format!("a {of}"));
    let id = table.required_text("id", "add one, e.g. id = \"checkout\"")?;
    table.describe(format!("{of} \"{}\"", id.value));
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if !id.value.bytes().all(allowed) {
        let named = if of == "site" { "" } else { "; `name` may be anything" };
        let hint = format!("lower-case letters, digits, - and _, e.g. \"{}\"{named}", slug(id.value));
        table.report(id.line, format!("id \"{}\" has other characters than an id may have", id.value), hint);
        return None;
    }
    no_longer_than(table, id, "id", "MAX_ID_BYTES", limits::MAX_ID_BYTES)
}

/// The optional name for people.
pub(super) fn name(table: &Table<'_>, id: Option<Located<&str>>) -> Option<String> {
    let Some(name) = table.text("name") else { return id.map(|id| id.value.to_owned()) };
    let name = no_longer_than(table, name, "name", "MAX_NAME_BYTES", limits::MAX_NAME_BYTES)?;
    let named = if name.value.trim().is_empty() { id? } else { name };
    Some(named.value.to_owned())
}

/// The name of an event, a property or a value: any text, not empty, within the limit.
pub(super) fn plain_name<'d>(
    table: &Table<'d>,
    text: Located<&'d str>,
    what: &str,
) -> Option<Located<&'d str>> {
    if text.value.trim().is_empty() {
        table.report(
            text.line,
            format!("{what} of {} is empty", table.subject()),
            "write its name as the site sends it",
        );
        return None;
    }
    if text.value.trim() != text.value {
        let hint = format!("write \"{}\"", text.value.trim());
        table.report(text.line, format!("{what} \"{}\" begins or ends with a space", text.value), hint);
        return None;
    }
    no_longer_than(table, text, what, "MAX_NAME_BYTES", limits::MAX_NAME_BYTES)
}

/// The name of a property : where it is looked up is not part of it.
pub(super) fn property<'d>(
    table: &Table<'d>,
    text: Located<&'d str>,
    what: &str,
) -> Option<Located<&'d str>> {
    let text = plain_name(table, text, what)?;
    let implied = ["properties.", "context."].into_iter().find_map(|prefix| text.value.strip_prefix(prefix));
    if let Some(rest) = implied {
        let hint = format!("write \"{rest}\": it is looked up in properties, then in context");
        table.report(text.line, format!("{what} \"{}\" names the place too", text.value), hint);
        return None;
    }
    Some(text)
}

/// Text, or a list of texts, not empty.
pub(super) fn one_or_several<'d>(
    table: &Table<'d>,
    key: &'static str,
    value: Value<'d>,
) -> Vec<Located<&'d str>> {
    match (value.as_text(), value.as_list()) {
        (Some(text), _) => vec![Located { value: text, line: value.line() }],
        (None, Some(items)) if items.is_empty() => {
            table.report(value.line(), format!("{} is an empty list", table.named(key)), "name at least one");
            Vec::new()
        }
        (None, Some(_)) => table.texts(key),
        (None, None) => {
            let message =
                format!("{} must be text or a list of texts, not {}", table.named(key), value.kind());
            table.report(value.line(), message, "put it in quotes");
            Vec::new()
        }
    }
}

/// A window: its text is the label.
pub(super) fn window(table: &Table<'_>, text: Located<&str>, what: &str) -> Option<Window> {
    const HINT: &str = "a whole number and s, m, h or d, of whole minutes: 90m, 24h, 7d";
    let wrong = |message: &str, hint: &str| {
        table.report(text.line, format!("{what} \"{}\" of {} {message}", text.value, table.subject()), hint);
    };
    let written_plainly =
        text.value.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !text.value.ends_with("ms");
    let Some(ms) = units::duration_ms(text.value).filter(|_| written_plainly) else {
        wrong("is not a span of time", HINT);
        return None;
    };
    if ms % limits::MIN_WINDOW_MS != 0 || ms < limits::MIN_WINDOW_MS {
        wrong("is not a number of whole minutes", HINT);
        return None;
    }
    if ms > limits::MAX_WINDOW_MS {
        wrong(
            "is too long",
            &format!("at most {} (MAX_WINDOW_MS)", units::duration_text(limits::MAX_WINDOW_MS)),
        );
        return None;
    }
    Some(Window { label: text.value.to_owned(), ms })
}

/// Records what is written twice in a list.
pub(super) fn no_repeats(table: &Table<'_>, what: &'static str, values: &[Located<&str>]) {
    let mut seen = Unique::new(what);
    values.iter().for_each(|value| seen.check(table, *value));
}

pub(super) fn no_longer_than<'d>(
    table: &Table<'d>,
    text: Located<&'d str>,
    what: &str,
    limit_name: &str,
    limit: usize,
) -> Option<Located<&'d str>> {
    if text.value.len() > limit {
        let message = format!("{what} of {} has {} bytes", table.subject(), text.value.len());
        table.report(text.line, message, format!("at most {limit} ({limit_name})"));
        return None;
    }
    Some(text)
}

fn slug(text: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' };
    text.trim().chars().take(limits::MAX_ID_BYTES).map(plain).collect()
}

//! The reference of all settings for the docs, made from the list that reads them.

use std::fmt::Write;

use super::keys::{self, Key, Place, Unit};
use super::load::variable;
use super::{LogFormat, Settings};

/// A Markdown table of every setting: section and key, type, default, meaning.
pub fn reference() -> String {
    let mut table = "| Setting | Type | Default | Meaning |\n|---|---|---|---|\n".to_owned();
    for key in keys::all() {
        let (kind, default) = (kind(&key), default(&key));
        // Writing to a String cannot fail.
        let _ =
            writeln!(table, "| `[{}] {}` | {kind} | {default} | {} |", key.section, key.name, key.meaning);
        if let Place::Secret { file_key, .. } = key.place {
            let meaning = format!("A file that holds `{}`; relative to the settings' folder.", key.name);
            let _ = writeln!(table, "| `[{}] {file_key}` | path | | {meaning} |", key.section);
        }
    }
    table
}

/// Every environment variable that sets something, in the order of [`reference`].
pub fn variables() -> Vec<String> {
    let of_key = |key: &Key| match key.place {
        Place::Secret { file_key, .. } => vec![key.variable(), variable(key.section, file_key)],
        _ => vec![key.variable()],
    };
    keys::all().iter().flat_map(of_key).collect()
}

fn kind(key: &Key) -> String {
    match &key.place {
        Place::Address(_) => "address".to_owned(),
        Place::Number(number) => {
            let unit = match number.unit {
                Unit::One => "number",
                Unit::Bytes => "size",
                Unit::Milliseconds => "duration",
                Unit::Days => "whole days",
            };
            let (low, high) = (number.written(*number.bounds.start()), number.written(*number.bounds.end()));
            format!("{unit}, {low} to {high}")
        }
        Place::Text(_) | Place::Optional(_) => "text".to_owned(),
        Place::Url(_) => "URL".to_owned(),
        Place::Secret { .. } => "secret".to_owned(),
        Place::Switch(_) => "`true` or `false`".to_owned(),
        Place::Format(_) => "`text` or `json`".to_owned(),
        Place::Level(_) => "level".to_owned(),
        Place::File(_) => "path".to_owned(),
        Place::Options(_) => "table".to_owned(),
    }
}

/// As the file would write it; empty where there is none.
fn default(key: &Key) -> String {
    let mut settings = Settings::default();
    let quoted = |text: &str| format!("`\"{text}\"`");
    match &key.place {
        Place::Address(field) => quoted(&field(&mut settings).to_string()),
        Place::Number(number) if number.unit == Unit::One => format!("`{}`", (number.get)(&settings)),
        Place::Number(number) => quoted(&number.written((number.get)(&settings))),
        Place::Text(field) | Place::Level(field) => quoted(field(&mut settings)),
        Place::Optional(field) | Place::Url(field) | Place::Secret { field, .. } => {
            field(&mut settings).as_deref().map(quoted).unwrap_or_default()
        }
        Place::Switch(field) => format!("`{}`", field(&mut settings)),
        Place::Format(field) => match *field(&mut settings) {
            LogFormat::Text => quoted("text"),
            LogFormat::Json => quoted("json"),
        },
        Place::File(_) | Place::Options(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_has_a_row_for_every_setting_with_its_default() {
        let table = reference();
        let expected = [
            "| `[collector] max_body` | size, 1KiB to 1GiB | `\"4MiB\"` | A request's body as sent, at most. |",
            "| `[collector] workers` | number, 0 to 1024 | `0` | Threads that serve HTTP; 0 is one a core. |",
            "| `[admin] listen` | address | `\"127.0.0.1:9464\"` |",
            "| `[aggregator] horizon` | duration, 1m to 31d | `\"1d\"` |",
            "| `[aggregator] hour_history` | whole days, 1d to 36600d | `\"730d\"` |",
            "| `[clickhouse] password_file` | path | |",
            "| `[logging] format` | `text` or `json` | `\"text\"` |",
        ];
        assert!(expected.iter().all(|row| table.contains(row)), "{table}");
        assert_eq!(table.lines().count(), 2 + variables().len());
    }

    #[test]
    fn every_default_is_within_its_bounds() {
        let settings = Settings::default();
        for key in keys::all() {
            if let Place::Number(number) = key.place {
                assert!(number.bounds.contains(&(number.get)(&settings)), "{} {}", key.section, key.name);
            }
        }
    }
}

//! One value into its place, from the file (typed) or the environment (text): what it must look like and what is said
//! when it does not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use checked_toml::{Value, did_you_mean, units};
use tracing_subscriber::EnvFilter;

use super::keys::{Number, Place, Unit};
use super::{LogFormat, Settings};

/// A value as it was written.
#[derive(Clone, Copy)]
pub(super) enum Raw<'a> {
    File(Value<'a>),
    Environment(&'a str),
}

/// What is wrong with a value, as a clause after its name, and what to write instead.
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) hint: String,
}

impl<'a> Raw<'a> {
    fn text(self) -> Result<&'a str, Wrong> {
        match self {
            Self::File(value) => value.as_text().ok_or_else(|| self.not("text", "put it in quotes")),
            Self::Environment(text) => Ok(text.trim()),
        }
    }

    fn integer(self) -> Option<i64> {
        match self {
            Self::File(value) => value.as_integer(),
            Self::Environment(text) => text.trim().parse().ok(),
        }
    }

    fn not(self, expected: &str, hint: &str) -> Wrong {
        let found = match self {
            Self::File(value) => {
                value.as_text().map_or_else(|| value.kind().to_owned(), |text| format!("\"{text}\""))
            }
            Self::Environment(text) => format!("\"{text}\""),
        };
        wrong(format!("must be {expected}, not {found}"), hint)
    }
}

fn wrong(message: impl Into<String>, hint: impl Into<String>) -> Wrong {
    Wrong { message: message.into(), hint: hint.into() }
}

impl Place {
    /// Puts a value into its field.
    pub(super) fn put(&self, raw: Raw<'_>, settings: &mut Settings) -> Result<(), Wrong> {
        match self {
            Self::Address(field) => *field(settings) = address(raw)?,
            Self::Number(number) => (number.set)(settings, number.read(raw)?),
            Self::Text(field) => *field(settings) = filled(raw)?.to_owned(),
            Self::Optional(field) => *field(settings) = optional(raw.text()?),
            Self::Url(field) => *field(settings) = url(raw)?,
            Self::Secret { field, .. } => *field(settings) = optional(secret_text(raw)?),
            Self::Switch(field) => *field(settings) = switch(raw)?,
            Self::Format(field) => *field(settings) = format(raw)?,
            Self::Level(field) => *field(settings) = level(raw)?.to_owned(),
            Self::File(field) => *field(settings) = optional(raw.text()?).map(PathBuf::from),
            Self::Options(field) => *field(settings) = options(raw)?,
        }
        Ok(())
    }
}

impl Number {
    fn read(&self, raw: Raw<'_>) -> Result<u64, Wrong> {
        let value = match self.unit {
            Unit::One => raw.integer().ok_or_else(|| raw.not("a whole number", "without quotes or unit"))?,
            Unit::Bytes => bytes(raw)?,
            Unit::Milliseconds => duration(raw)?,
            Unit::Days => days(raw)?,
        };
        match u64::try_from(value) {
            Ok(value) if self.bounds.contains(&value) => Ok(value),
            _ => {
                let (low, high) = (self.written(*self.bounds.start()), self.written(*self.bounds.end()));
                Err(wrong("is out of range", format!("{low} to {high}")))
            }
        }
    }

    /// A value of the field as the file writes it, without quotes.
    pub(super) fn written(&self, value: u64) -> String {
        match self.unit {
            Unit::One => value.to_string(),
            Unit::Bytes => units::bytes_text(value),
            Unit::Milliseconds => units::duration_text(i64::try_from(value).unwrap_or(i64::MAX)),
            Unit::Days => format!("{value}d"),
        }
    }
}

fn bytes(raw: Raw<'_>) -> Result<i64, Wrong> {
    const EXPECTED: (&str, &str) = ("a size", "bytes, or a number and KiB, MiB, GiB: \"4MiB\"");
    if let Some(bytes) = raw.integer() {
        return Ok(bytes);
    }
    let not_one = || raw.not(EXPECTED.0, EXPECTED.1);
    let size = raw.text().ok().and_then(units::bytes).ok_or_else(not_one)?;
    Ok(i64::try_from(size).unwrap_or(i64::MAX))
}

fn duration(raw: Raw<'_>) -> Result<i64, Wrong> {
    let not_one = || raw.not("a span of time", "a number and ms, s, m, h or d: \"10s\", \"24h\"");
    raw.text().ok().and_then(units::duration_ms).ok_or_else(not_one)
}

fn days(raw: Raw<'_>) -> Result<i64, Wrong> {
    const DAY_MS: i64 = 86_400_000;
    let ms = duration(raw)?;
    if ms % DAY_MS != 0 {
        return Err(raw.not("a number of whole days", "e.g. \"7d\""));
    }
    Ok(ms / DAY_MS)
}

fn address(raw: Raw<'_>) -> Result<SocketAddr, Wrong> {
    let text = raw.text()?;
    text.parse().map_err(|_| match text.rsplit_once(':') {
        Some((_, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_err() => {
            wrong(
                format!("has no valid port in \"{text}\""),
                "ports are 0 to 65535; 0 lets the system choose",
            )
        }
        _ => raw.not(
            "an IP address and a port",
            "\"127.0.0.1:8080\" for this machine only, \"0.0.0.0:8080\" for all",
        ),
    })
}

fn filled<'a>(raw: Raw<'a>) -> Result<&'a str, Wrong> {
    match raw.text()? {
        "" => Err(wrong("is empty", "leave it out for the default")),
        text => Ok(text),
    }
}

fn optional(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The value of a secret is never repeated in a message.
fn secret_text<'a>(raw: Raw<'a>) -> Result<&'a str, Wrong> {
    raw.text().map_err(|_| wrong("must be text", "put it in quotes, or name a file that holds it"))
}

/// Refuses credentials before anything is said about the address, because that repeats it.
fn url(raw: Raw<'_>) -> Result<Option<String>, Wrong> {
    let text = raw.text()?;
    if text.contains('@') {
        return Err(wrong("holds a user or password", "write them as user and password"));
    }
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    if !text.is_empty() && host.is_none_or(|host| host.is_empty() || host.contains(char::is_whitespace)) {
        return Err(raw.not("an address", "\"http://host:8123\" or \"https://host:8443\""));
    }
    Ok(optional(text.trim_end_matches('/')))
}

fn switch(raw: Raw<'_>) -> Result<bool, Wrong> {
    let value = match raw {
        Raw::File(value) => value.as_boolean(),
        Raw::Environment(text) => text.trim().parse().ok(),
    };
    value.ok_or_else(|| raw.not("true or false", "without quotes"))
}

fn format(raw: Raw<'_>) -> Result<LogFormat, Wrong> {
    match raw.text()? {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => {
            let near = did_you_mean(other, ["text", "json"]).map(|near| format!("did you mean \"{near}\"?"));
            Err(raw.not("\"text\" or \"json\"", &near.unwrap_or_default()))
        }
    }
}

/// A lone word that is no level would be taken for the name of a part, and nothing would be logged.
fn level(raw: Raw<'_>) -> Result<&str, Wrong> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let text = raw.text()?;
    let known = |directive: &str| {
        let lower = directive.trim().to_ascii_lowercase();
        directive.contains(['=', '[']) || LEVELS.contains(&lower.as_str())
    };
    if text.split(',').all(known) && EnvFilter::builder().parse(text).is_ok() {
        return Ok(text);
    }
    let near = did_you_mean(text, LEVELS).map(|near| format!("did you mean \"{near}\"?"));
    Err(raw.not(
        "a level",
        &near.unwrap_or_else(|| "error, warn, info, debug, or \"info,aggregator=debug\"".to_owned()),
    ))
}

/// Options of somebody else's program: text, numbers and true or false, as that program reads them.
fn options(raw: Raw<'_>) -> Result<BTreeMap<String, String>, Wrong> {
    let hint = "a table of keys in quotes and their values: \"linger.ms\" = 5";
    let not_a_table = || raw.not("a table", hint);
    match raw {
        Raw::File(value) => {
            let table = value.as_table().ok_or_else(not_a_table)?;
            let keys = table.keys().into_iter().map(|key| key.value);
            let plain = |key: &str| {
                let value = table.any_value(key).and_then(|value| value.as_plain_text());
                value.ok_or_else(|| wrong(format!("has no plain value at \"{key}\""), hint))
            };
            keys.map(|key| Ok((key.to_owned(), plain(key)?))).collect()
        }
        Raw::Environment(text) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            let pair = |part: &str| {
                let (key, value) = part.split_once('=').ok_or_else(|| {
                    wrong(format!("has no = in \"{part}\""), "key=value,key=value; values without commas")
                })?;
                Ok((key.trim().to_owned(), value.trim().to_owned()))
            };
            parts.map(pair).collect()
        }
    }
}

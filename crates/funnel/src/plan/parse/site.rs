//! `[[sites]]`: who may send events, with which keys, from which pages.

use checked_toml::{Located, Table, did_you_mean, units};
use jiff::tz::TimeZoneDatabase;

use super::unique::Unique;
use super::{fields, policy, quotas, schema};
use crate::plan::limits::MAX_RETENTION_DAYS;
use crate::plan::{NotARedirect, Origins, Redirect, Site};

/// Bytes of a key, at most: it travels in headers and query strings.
const MAX_KEY_BYTES: usize = 128;

pub(super) fn read(table: Table<'_>, ids: &mut Unique, write_keys: &mut Unique) -> Option<Site> {
    let id = fields::id(&table, "site");
    if let Some(id) = id {
        ids.check(&table, id);
    }
    let timezone = timezone(&table);
    let keys = keys(&table, write_keys);
    let secret_keys_sha256 = secret_keys(&table);
    let origins = origins(&table);
    let retention_days = retention_days(&table);
    let redirects = redirects(&table);
    let limits = quotas::read(&table);
    let policy = policy::read(&table);
    let schema = schema::read(&table);
    table.finish();
    Some(Site {
        id: id?.value.to_owned(),
        timezone: timezone?,
        write_keys: keys,
        secret_keys_sha256,
        origins,
        retention_days,
        redirects,
        limits,
        policy,
        schema,
    })
}

/// Whole days: rows are removed by the day they were written on.
fn retention_days(table: &Table<'_>) -> Option<u16> {
    const DAY_MS: i64 = 86_400_000;
    let text = table.text("retention")?;
    let days = units::duration_ms(text.value).filter(|ms| *ms > 0 && ms % DAY_MS == 0).map(|ms| ms / DAY_MS);
    let days = days.and_then(|days| u16::try_from(days).ok()).filter(|days| *days <= MAX_RETENTION_DAYS);
    if days.is_none() {
        let hint =
            format!("whole days up to {MAX_RETENTION_DAYS}d (MAX_RETENTION_DAYS), e.g. retention = \"90d\"");
        table.report(text.line, format!("retention \"{}\" is not a number of whole days", text.value), hint);
    }
    days
}

/// An IANA zone from the database that is compiled in, so that a plan is valid on every machine or on none.
fn timezone(table: &Table<'_>) -> Option<String> {
    if !table.contains("timezone") {
        table.expect("timezone");
        return Some("UTC".to_owned());
    }
    let zone = table.text("timezone")?;
    let zones = TimeZoneDatabase::bundled();
    if let Ok(known) = zones.get(zone.value) {
        return Some(known.iana_name().unwrap_or(zone.value).to_owned());
    }
    let names: Vec<String> = zones.available().map(|name| name.to_string()).collect();
    let hint = match did_you_mean(zone.value, names.iter().map(String::as_str)) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => "an IANA name such as \"Europe/Berlin\", \"America/New_York\" or \"UTC\"".to_owned(),
    };
    table.report(zone.line, format!("there is no time zone \"{}\"", zone.value), hint);
    None
}

fn keys(table: &Table<'_>, write_keys: &mut Unique) -> Vec<String> {
    let keys = table.texts("write_keys");
    if keys.is_empty()
        && !["write_keys", "secret_keys_sha256"].iter().any(|key| table.any_value(key).is_some_and(has_items))
    {
        let hint = "add write_keys = [\"wk_…\"]: whoever sends events names the site by its key";
        table.report(table.line(), format!("{} has no key, so nobody can send to it", table.subject()), hint);
    }
    for key in &keys {
        write_keys.check(table, *key);
        if key.value.is_empty() || key.value.len() > MAX_KEY_BYTES || !key.value.bytes().all(is_key_byte) {
            let hint =
                format!("1 to {MAX_KEY_BYTES} letters, digits and -_.~: it travels in headers and addresses");
            table.report(key.line, format!("\"{}\" cannot be a write key", key.value), hint);
        }
    }
    keys.into_iter().map(|key| key.value.to_owned()).collect()
}

fn has_items(value: checked_toml::Value<'_>) -> bool {
    value.as_list().is_none_or(|items| !items.is_empty())
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

fn secret_keys(table: &Table<'_>) -> Vec<[u8; 32]> {
    let hashes = table.texts("secret_keys_sha256");
    fields::no_repeats(table, "secret key hash", &hashes);
    hashes.into_iter().filter_map(|hash| secret_key(table, hash)).collect()
}

/// Says nothing of the text itself: what is not a hash is most likely the key, and problems end up in logs.
fn secret_key(table: &Table<'_>, text: Located<&str>) -> Option<[u8; 32]> {
    let hash = decode_hex(text.value);
    if hash.is_none() {
        let all_hex = !text.value.is_empty() && text.value.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (message, hint) = match all_hex {
            true => (
                format!("a hash in {} has {} digits", table.named("secret_keys_sha256"), text.value.len()),
                "a SHA-256 has 64 hexadecimal digits".to_owned(),
            ),
            false => (
                format!(
                    "{} holds what looks like a key itself, not its hash",
                    table.named("secret_keys_sha256")
                ),
                "make a new key and write its hash: printf %s KEY | sha256sum".to_owned(),
            ),
        };
        table.report(text.line, message, hint);
    }
    hash
}

fn decode_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// Without the key any origin may send: write keys are public, origins keep others' pages out.
fn origins(table: &Table<'_>) -> Origins {
    let origins = table.texts("origins");
    fields::no_repeats(table, "origin", &origins);
    let any = origins.iter().find(|origin| origin.value == "*");
    match any {
        None if !table.contains("origins") => Origins::Any,
        None => Origins::Only(origins.iter().filter_map(|text| origin(table, *text)).collect()),
        Some(any) => {
            if origins.len() > 1 {
                let hint = "keep \"*\" alone, or name the origins";
                table.report(
                    any.line,
                    format!("\"*\" in {} stands beside others", table.named("origins")),
                    hint,
                );
            }
            Origins::Any
        }
    }
}

/// As browsers send it: lower case, without a default port.
fn origin(table: &Table<'_>, text: Located<&str>) -> Option<String> {
    let lower = text.value.to_ascii_lowercase();
    let parsed = lower.split_once("://").and_then(|(scheme, authority)| browser_form(scheme, authority));
    if parsed.is_none() {
        let hint = match lower
            .split_once("://")
            .and_then(|(scheme, rest)| Some((scheme, rest.split('/').next()?)))
        {
            Some((_, host)) if host.contains('*') => "name each origin, or write [\"*\"] for any".to_owned(),
            Some((scheme, host)) if browser_form(scheme, host).is_some() => {
                format!("write \"{scheme}://{host}\", without a path")
            }
            Some(_) => "scheme://host[:port], e.g. \"https://shop.example\"".to_owned(),
            None => format!("begin with the scheme: \"https://{lower}\""),
        };
        table.report(text.line, format!("\"{}\" is not an origin", text.value), hint);
    }
    parsed
}

fn browser_form(scheme: &str, authority: &str) -> Option<String> {
    let is_scheme_byte =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    let scheme_ok =
        scheme.starts_with(|first: char| first.is_ascii_lowercase()) && scheme.bytes().all(is_scheme_byte);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, Some(port.parse::<u16>().ok().filter(|port| *port > 0)?))
        }
        _ => (authority, None),
    };
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let ip6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_ok = match ip6 {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_host_byte),
    };
    if !scheme_ok || !host_ok {
        return None;
    }
    let port = port.filter(|port| !matches!((scheme, port), ("https", 443) | ("http", 80)));
    Some(format!("{scheme}://{host}{}", port.map(|port| format!(":{port}")).unwrap_or_default()))
}

/// Where counted links may lead.
fn redirects(table: &Table<'_>) -> Vec<Redirect> {
    let redirects = table.texts("redirects");
    fields::no_repeats(table, "redirect", &redirects);
    redirects.into_iter().filter_map(|text| redirect(table, text)).collect()
}

fn redirect(table: &Table<'_>, text: Located<&str>) -> Option<Redirect> {
    let hint = match Redirect::parse(text.value) {
        Ok(redirect) => return Some(redirect),
        Err(NotARedirect::Unreadable) => {
            "scheme://host[:port]/path with http or https, e.g. \"https://shop.example/\"; no pattern"
        }
        Err(NotARedirect::Credentials) => "leave out what stands before the @",
        Err(NotARedirect::Query) => "end it before ? and #: a link brings its own",
    };
    table.report(text.line, format!("links cannot lead to \"{}\"", text.value), hint);
    None
}

//! E-mail addresses, as people write them and as queries encode them (`ann%40shop.example`).

use std::ops::Range;

/// What stands before the at sign of a picture in two sizes (`logo@2x.png`) is no mailbox.
const FILES: [&str; 12] =
    ["png", "jpg", "jpeg", "gif", "webp", "svg", "avif", "ico", "css", "js", "mjs", "json"];

/// Where addresses stand, in order.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while let Some(sign) = next_sign(text, at) {
        let from = found.last().map_or(0, |last| last.end);
        match address(text, from, &sign) {
            Some(range) => {
                at = range.end;
                found.push(range);
            }
            None => at = sign.end,
        }
    }
    found
}

/// The next `@` or `%40`.
fn next_sign(text: &str, from: usize) -> Option<Range<usize>> {
    let rest = text.get(from..)?;
    let plain = rest.find('@').map(|at| from + at..from + at + 1);
    let encoded = rest.find("%40").map(|at| from + at..from + at + 3);
    match (plain, encoded) {
        (Some(plain), Some(encoded)) => Some(if plain.start < encoded.start { plain } else { encoded }),
        (plain, encoded) => plain.or(encoded),
    }
}

/// The address around a sign, no part of which lies before `from`.
fn address(text: &str, from: usize, sign: &Range<usize>) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let is_local = |byte: &&u8| byte.is_ascii_alphanumeric() || b"._%+-'".contains(byte) || !byte.is_ascii();
    let is_domain = |byte: &&u8| byte.is_ascii_alphanumeric() || b".-".contains(byte) || !byte.is_ascii();
    let local = bytes.get(from..sign.start)?.iter().rev().take_while(is_local).count();
    let domain = bytes.get(sign.end..)?.iter().take_while(is_domain).count();
    let domain = text.get(sign.end..sign.end + domain)?.trim_end_matches(['.', '-']);
    (local > 0 && is_host(domain)).then(|| sign.start - local..sign.end + domain.len())
}

/// Several labels, one of which after the first begins as a top-level domain does.
fn is_host(domain: &str) -> bool {
    let is_top = |label: &str| {
        let begins = label.chars().take(2).filter(|letter| letter.is_alphabetic()).count() == 2;
        begins && !FILES.contains(&label.to_ascii_lowercase().as_str())
    };
    domain.split('.').skip(1).any(is_top) && domain.split('.').all(|label| !label.is_empty())
}

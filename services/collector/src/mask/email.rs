//! E-mail addresses, as people write them and as queries encode them (`ann%40shop.example`). Names of packages with a
//! version, of pictures in two sizes and of repositories have a sign in them too and are none.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::walk;

/// Bytes that a mailbox and a domain have at most (RFC 5321, 4.5.3.1). Of a longer mailbox the end is taken: letters
/// that are no ASCII may stand before it without a space.
const MAX_LOCAL_BYTES: usize = 64;
const MAX_DOMAIN_BYTES: usize = 255;
/// Letters of a top-level domain.
const TOP_LETTERS: std::ops::RangeInclusive<usize> = 2..=24;

/// What stands before the sign of a picture in two sizes (`logo@2x.png`) is no mailbox.
const FILES: [&str; 21] = [
    "png", "apng", "jpg", "jpeg", "gif", "webp", "svg", "avif", "ico", "bmp", "tif", "tiff", "css", "scss",
    "js", "mjs", "cjs", "jsx", "tsx", "json", "map",
];
/// Domains of mail providers that begin with a digit; others that do are versions and sizes.
const NUMBERED: [&str; 5] = ["163.com", "126.com", "139.com", "188.com", "189.cn"];
/// Nobody's mailbox: the user of all repositories (`git@github.com:`).
const NOBODY: &str = "git";

static SIGNS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| AhoCorasick::new(["@", "%40"]).ok());

/// Where addresses stand, in order.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let Some(signs) = SIGNS.as_ref() else { return found };
    walk::read(text.len());
    for sign in signs.find_iter(text) {
        let from = found.last().map_or(0, |last| last.end);
        found.extend(address(text, from, sign.range()));
    }
    found
}

/// The address around a sign, no part of which lies before `from`.
fn address(text: &str, from: usize, sign: Range<usize>) -> Option<Range<usize>> {
    let before = text.get(from..sign.start)?;
    let local = walk::back(before, MAX_LOCAL_BYTES, is_local);
    if local == 0 || before.get(before.len() - local..)? == NOBODY {
        return None;
    }
    let after = text.get(sign.end..)?;
    // One letter more, so that a domain that is too long is seen as such.
    let domain = after.get(..walk::ahead(after, MAX_DOMAIN_BYTES + 4, is_domain))?;
    let domain = domain.trim_end_matches(|letter: char| !letter.is_alphabetic());
    is_host(domain).then(|| sign.start - local..sign.end + domain.len())
}

fn is_local(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "._%+-'".contains(letter) || !letter.is_ascii()
}

fn is_domain(letter: char) -> bool {
    letter.is_alphanumeric() || ".-".contains(letter)
}

/// Several labels, the last of which may be a top-level domain.
fn is_host(domain: &str) -> bool {
    let Some((labels, top)) = domain.rsplit_once('.') else { return false };
    let begins_with_digit = domain.starts_with(|letter: char| letter.is_ascii_digit());
    domain.len() <= MAX_DOMAIN_BYTES
        && is_top(top)
        && labels.split('.').all(|label| !label.is_empty())
        && (!begins_with_digit || NUMBERED.contains(&domain.to_ascii_lowercase().as_str()))
}

fn is_top(label: &str) -> bool {
    let letters = label.chars().count();
    label.starts_with("xn--")
        || TOP_LETTERS.contains(&letters)
            && label.chars().all(char::is_alphabetic)
            && !FILES.contains(&label.to_ascii_lowercase().as_str())
}

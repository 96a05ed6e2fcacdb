//! The quick look: whether a text may hold something that must be masked. It may be wrong in one direction only.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memchr;

use super::{token, walk};

/// What mail addresses and tokens begin with or contain, also where a URL or JSON has encoded it. Any match will do; the
/// leftmost is asked for since the library looks at many bytes at once for that alone: an eighth of the time.
static SIGNS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let signs = token::SIGNS.iter().copied().chain(["%40", "\\u00"]);
    AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(signs).ok()
});

pub(super) fn is_raised_by(text: &str) -> bool {
    let bytes = text.as_bytes();
    walk::read(bytes.len());
    memchr(b'@', bytes).is_some()
        || has_many_digits(bytes)
        // A list that cannot be searched for would be a defect; then every text is read.
        || SIGNS.as_ref().is_none_or(|signs| signs.is_match(bytes))
}

/// Whether a card's number may be there: a card's digits, in groups of 4 or more, fill two neighbouring quarters of 16
/// bytes so far that at most one byte of each is a separator.
fn has_many_digits(bytes: &[u8]) -> bool {
    let mut before = false;
    for quarter in bytes.as_chunks::<4>().0 {
        let digits: u8 = quarter.iter().map(|byte| u8::from(byte.is_ascii_digit())).sum();
        if digits >= 3 && before {
            return true;
        }
        before = digits >= 3;
    }
    false
}

//! Tokens that let whoever has them act for somebody: JSON web tokens, bearer tokens, keys of well-known services. Each
//! begins in its own way; a text of random letters alone is not recognised.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::walk;

/// How a token begins, and how many more characters it has at least.
const PREFIXES: &[(&str, usize)] = &[
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("rk_test_", 16),
    ("sk-proj-", 20),
    ("sk-ant-", 20),
    ("whsec_", 16),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxa-", 10),
    ("xoxs-", 10),
    ("xapp-", 10),
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 30),
    ("ya29.", 20),
    ("shpat_", 20),
    ("npm_", 30),
    ("hf_", 30),
    ("SG.", 30),
];

/// These are of capitals and digits alone.
const OF_CAPITALS: [&str; 2] = ["AKIA", "ASIA"];
/// Digits that no name has. Those with capitals and small letters need none.
const MIN_DIGITS: usize = 4;
/// So many characters tell whether it is a token; one that is longer is masked as a whole.
const MAX_JUDGED: usize = 512;

/// What the head of an authorization begins with; the token itself follows.
const SCHEMES: [&str; 4] = ["Bearer ", "bearer ", "Bearer%20", "Bearer+"];
/// `{"` in base64: how a JSON web token begins.
const JWT: &str = "eyJ";
/// Characters of each of a JSON web token's first two parts, at least.
const MIN_JWT_PART: usize = 8;
const MIN_BEARER: usize = 16;

/// Without one of these there is no token.
pub(super) static SIGNS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let prefixes = PREFIXES.iter().map(|(prefix, _)| *prefix);
    prefixes.chain(SCHEMES).chain([JWT]).collect()
});

static SEARCH: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(SIGNS.iter()).ok());

/// Where tokens stand, in order.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let Some(search) = SEARCH.as_ref() else { return found };
    walk::read(text.len());
    for sign in search.find_iter(text) {
        let is_apart = found.last().is_none_or(|last| sign.start() >= last.end);
        if is_apart && let Some(range) = token(text, sign.start()..sign.end()) {
            found.push(range);
        }
    }
    found
}

fn token(text: &str, sign: Range<usize>) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let before = sign.start.checked_sub(1).and_then(|at| bytes.get(at)).copied().map(char::from);
    if !walk::is_after_encoded(text, sign.start) && before.is_some_and(is_token) {
        return None;
    }
    let rest = text.get(sign.end..)?;
    match text.get(sign.clone())? {
        JWT => jwt(rest).map(|bytes| sign.start..sign.end + bytes),
        scheme if SCHEMES.contains(&scheme) => {
            let is_part = |letter| is_token(letter) || "./+~=".contains(letter);
            let judged = rest.get(..walk::ahead(rest, MAX_JUDGED, is_part))?;
            let is_bearer = judged.len() >= MIN_BEARER && judged.bytes().any(|byte| byte.is_ascii_digit());
            is_bearer.then(|| sign.end..sign.end + walk::ahead(rest, usize::MAX, is_part))
        }
        prefix => {
            let (_, min) = PREFIXES.iter().find(|(known, _)| *known == prefix)?;
            let is_part = |letter| is_token(letter) || letter == '.';
            let judged = rest.get(..walk::ahead(rest, MAX_JUDGED, is_part))?;
            let is_key = judged.len() >= *min && is_random(prefix, judged);
            is_key.then(|| sign.start..sign.end + walk::ahead(rest, usize::MAX, is_part))
        }
    }
}

/// Bytes of the rest of a JSON web token: head, payload and signature, with points between. The signature may be missing.
/// No part of one begins another, so each byte is read a few times at most.
fn jwt(rest: &str) -> Option<usize> {
    let run = |text| walk::ahead(text, usize::MAX, is_token);
    let head = run(rest);
    let payload = run(rest.get(head..)?.strip_prefix('.')?);
    let signed = rest.get(head + 1 + payload..)?.strip_prefix('.')?;
    (head + JWT.len() >= MIN_JWT_PART && payload >= MIN_JWT_PART).then(|| head + payload + 2 + run(signed))
}

fn is_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_-".contains(letter)
}

/// Names are written with the same characters, but in small letters and with few digits.
fn is_random(prefix: &str, rest: &str) -> bool {
    let digits = rest.bytes().filter(u8::is_ascii_digit).count();
    let has_capitals = rest.bytes().any(|byte| byte.is_ascii_uppercase());
    let has_small = rest.bytes().any(|byte| byte.is_ascii_lowercase());
    digits >= MIN_DIGITS
        || has_capitals && has_small
        || OF_CAPITALS.contains(&prefix) && digits > 0 && !has_small
}

//! Tokens that let whoever has them act for somebody: JSON web tokens, bearer tokens, keys of well-known services. Each
//! begins in its own way; a text of random letters alone is not recognised.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

/// How a token begins, and how many more characters it has at least, one of them a digit.
const PREFIXES: &[(&str, usize)] = &[
    ("sk_", 16),
    ("rk_", 16),
    ("sk-", 20),
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
    let before = sign.start.checked_sub(1).and_then(|at| bytes.get(at));
    // A URL's encoded byte (%3D) ends in a letter or digit that is no part of what follows.
    let is_encoded = sign.start.checked_sub(3).and_then(|at| bytes.get(at)) == Some(&b'%');
    if !is_encoded && before.is_some_and(|byte| is_token(byte) && *byte != b'=') {
        return None;
    }
    let rest = text.get(sign.end..)?;
    match text.get(sign.clone())? {
        JWT => jwt(rest).map(|bytes| sign.start..sign.end + bytes),
        scheme if SCHEMES.contains(&scheme) => {
            let bytes = run(rest, |byte| is_token(byte) || b"./+~=".contains(byte));
            is_random(rest, bytes, MIN_BEARER).then(|| sign.end..sign.end + bytes)
        }
        prefix => {
            let (_, min) = PREFIXES.iter().find(|(known, _)| *known == prefix)?;
            let bytes = run(rest, |byte| is_token(byte) || *byte == b'.');
            is_random(rest, bytes, *min).then(|| sign.start..sign.end + bytes)
        }
    }
}

/// Bytes of the rest of a JSON web token: head, payload and signature, with points between. The signature may be missing.
fn jwt(rest: &str) -> Option<usize> {
    let head = run(rest, is_token);
    let payload = run(rest.get(head..)?.strip_prefix('.')?, is_token);
    let signed = rest.get(head + 1 + payload..)?.strip_prefix('.')?;
    (head + JWT.len() >= MIN_JWT_PART && payload >= MIN_JWT_PART)
        .then(|| head + payload + 2 + run(signed, is_token))
}

fn run(text: &str, is_part: impl Fn(&u8) -> bool) -> usize {
    text.bytes().take_while(|byte| is_part(byte)).count()
}

fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-".contains(byte)
}

/// Names are written with the same characters, but are shorter and have no digits.
fn is_random(text: &str, bytes: usize, min: usize) -> bool {
    let token = text.get(..bytes).unwrap_or_default();
    token.len() >= min && token.bytes().any(|byte| byte.is_ascii_digit())
}

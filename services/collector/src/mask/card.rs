//! Numbers of payment cards: with the prefix and the length of a network that issues cards and a right check digit
//! (ISO/IEC 7812).
//!
//! Numbers of orders, articles and events are as long, and one of ten has a right check digit by chance. So a number counts
//! as a card's where it is written in the groups that are printed on cards, and, written together, only as the value of
//! a property whose name says that it is a card's.

use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};

use super::walk;

/// How numbers are written in groups, the longest first.
const GROUPED: [&[usize]; 4] = [&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4]];
/// Digits of a number that is written together.
const TOGETHER: RangeInclusive<usize> = 15..=19;
/// As a URL writes a space outside of its query.
const ENCODED_SPACE: &str = "%20";
/// 2^53: below, a float tells whole numbers apart.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
/// Zeros behind a point that are looked at.
const MAX_ZEROS: usize = 16;

/// First and last prefix, as many digits of a number as they have; lengths of the numbers.
const NETWORKS: &[(u64, u64, RangeInclusive<usize>)] = &[
    // Visa
    (4, 4, 16..=16),
    (4, 4, 19..=19),
    // Mastercard
    (51, 55, 16..=16),
    (2221, 2720, 16..=16),
    // American Express
    (34, 34, 15..=15),
    (37, 37, 15..=15),
    // Diners Club
    (300, 305, 14..=14),
    (36, 36, 14..=14),
    (38, 39, 14..=14),
    // Discover, RuPay
    (60, 60, 16..=19),
    (644, 649, 16..=19),
    (65, 65, 16..=19),
    (81, 82, 16..=16),
    // JCB
    (3528, 3589, 16..=19),
    // UnionPay
    (62, 62, 16..=19),
    // Mir
    (2200, 2204, 16..=19),
    // Maestro
    (5018, 5018, 16..=19),
    (5020, 5020, 16..=19),
    (5038, 5038, 16..=19),
    (5893, 5893, 16..=19),
    (6304, 6304, 16..=19),
    (6759, 6759, 16..=19),
    (6761, 6763, 16..=19),
    // Troy
    (9792, 9792, 16..=16),
];

/// Whether a property's name says that its value is a card's number: `card` is in it, however it is written, or it has a
/// word that is `pan` or `cc` or begins with `ccnum` (`account` and `company` have not).
pub(super) fn is_key(key: &str) -> bool {
    let words = words(key);
    let is_word = |word: &str| matches!(word, "pan" | "cc") || word.starts_with("ccnum");
    words.split(' ').any(is_word) || words.replace(' ', "").contains("card")
}

/// Whether a property of what is called a card (`card.number`) is its number.
pub(super) fn is_number_key(key: &str) -> bool {
    matches!(key.to_ascii_lowercase().as_str(), "number" | "num" | "no")
}

/// The words of a name in small letters: `ccNumber` and `cc_number` are `cc number`.
fn words(key: &str) -> String {
    let mut words = String::with_capacity(key.len() + 4);
    let mut is_small = false;
    for letter in key.chars() {
        let is_letter = letter.is_alphabetic();
        if !is_letter || is_small && letter.is_uppercase() {
            words.push(' ');
        }
        if is_letter {
            words.push(letter.to_ascii_lowercase());
        }
        is_small = letter.is_lowercase();
    }
    words
}

/// Where numbers of cards stand, in order; with `together` also those that are not written in groups.
pub(super) fn find(text: &str, together: bool) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut groups: Vec<Range<usize>> = Vec::new();
    for group in digit_groups(text) {
        let is_next = groups.last().is_some_and(|last| is_separator(text, last.end..group.start));
        if !is_next {
            cards_among(text, &groups, together, &mut found);
            groups.clear();
        }
        groups.push(group);
    }
    cards_among(text, &groups, together, &mut found);
    found
}

/// Whether a JSON number is a card's, if its name says so; also where a program that has only fractions wrote it
/// (`4111111111111111.0`, `4.111111111111111e15`).
pub(super) fn is_number(number: &str) -> bool {
    let digits = whole(number);
    TOGETHER.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && is_card(&digits)
}

/// The digits of a number without a fraction; what has one stays as it is.
fn whole(number: &str) -> Cow<'_, str> {
    if let Some((digits, fraction)) = number.split_once('.')
        && fraction.bytes().all(|byte| byte == b'0')
    {
        return Cow::Borrowed(digits);
    }
    match number.parse::<f64>() {
        // Below, each whole number has a float of its own.
        Ok(float) if number.contains(['e', 'E']) && float.fract() == 0.0 && float.abs() < MAX_WHOLE => {
            Cow::Owned(format!("{float:.0}"))
        }
        _ => Cow::Borrowed(number),
    }
}

/// Runs of digits, each as long as it gets; those of an encoded space are none.
fn digit_groups(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let mut start = at + walk::ahead(rest, usize::MAX, |letter| !letter.is_ascii_digit());
        while let Some(encoded) = encoded_space(text, start) {
            let rest = text.get(encoded.end..)?;
            start = encoded.end + walk::ahead(rest, usize::MAX, |letter| !letter.is_ascii_digit());
        }
        let digits = walk::ahead(text.get(start..)?, usize::MAX, |letter| letter.is_ascii_digit());
        at = start + digits;
        (digits > 0).then_some(start..at)
    })
}

fn is_separator(text: &str, range: Range<usize>) -> bool {
    let Some(between) = text.get(range) else { return false };
    // In a query a space is written as +.
    matches!(between, " " | "-" | "+" | ENCODED_SPACE)
}

/// The encoded space whose first digit stands at a place.
fn encoded_space(text: &str, at: usize) -> Option<Range<usize>> {
    let range = at.checked_sub(1)?..at + 2;
    (text.get(range.clone()) == Some(ENCODED_SPACE)).then_some(range)
}

/// Adds the cards in groups that follow each other with a separator between.
fn cards_among(text: &str, groups: &[Range<usize>], together: bool, found: &mut Vec<Range<usize>>) {
    let mut rest = groups;
    while let Some((first, after)) = rest.split_first() {
        let is_whole = together && TOGETHER.contains(&first.len());
        let whole = is_whole.then_some(1).filter(|_| is_card_at(text, std::slice::from_ref(first)));
        let taken = whole.or_else(|| grouped(text, rest));
        if let (Some(taken), Some(last)) = (taken, taken.and_then(|taken| rest.get(taken - 1))) {
            found.push(first.start..last.end);
            rest = rest.get(taken..).unwrap_or_default();
        } else {
            rest = after;
        }
    }
}

/// How many of the groups are a card's, from the first on.
fn grouped(text: &str, groups: &[Range<usize>]) -> Option<usize> {
    let is_written_so = |lengths: &&&[usize]| {
        let written = groups.get(..lengths.len());
        written.is_some_and(|written| {
            written.iter().map(Range::len).eq(lengths.iter().copied()) && is_card_at(text, written)
        })
    };
    GROUPED.iter().find(is_written_so).map(|lengths| lengths.len())
}

fn is_card_at(text: &str, groups: &[Range<usize>]) -> bool {
    let (Some(first), Some(last)) = (groups.first(), groups.last()) else { return false };
    let digits: String = groups.iter().filter_map(|group| text.get(group.clone())).collect();
    walk::read(digits.len());
    stands_alone(text, &(first.start..last.end)) && is_card(&digits)
}

/// Not a part of a name, of a fraction, of an identifier in hexadecimal digits.
fn stands_alone(text: &str, range: &Range<usize>) -> bool {
    let bytes = text.as_bytes();
    let before = |back: usize| range.start.checked_sub(back).and_then(|at| bytes.get(at)).copied();
    let after = |on: usize| bytes.get(range.end + on).copied();
    let is_word = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_point = |byte: Option<u8>| byte == Some(b'.');
    (walk::is_after_encoded(text, range.start)
        || !(is_word(before(1)) || is_point(before(1)) && is_word(before(2))))
        && !is_word(after(0))
        && !(is_point(after(0)) && has_fraction(text.get(range.end + 1..).unwrap_or_default()))
}

/// Whether digits behind a point are a fraction: `.5` is one, `.0` is how a program wrote a number without one.
fn has_fraction(text: &str) -> bool {
    let zeros = walk::ahead(text, MAX_ZEROS, |letter| letter == '0');
    text.as_bytes().get(zeros).is_some_and(u8::is_ascii_digit)
}

fn is_card(digits: &str) -> bool {
    let starts = |(first, last, lengths): &(u64, u64, RangeInclusive<usize>)| {
        let prefix = digits.get(..first.to_string().len()).and_then(|prefix| prefix.parse().ok());
        lengths.contains(&digits.len())
            && prefix.is_some_and(|prefix: u64| (*first..=*last).contains(&prefix))
    };
    NETWORKS.iter().any(starts) && luhn(digits)
}

/// From the right, every second digit counts double, as the sum of its own digits; all together end in 0.
pub(super) fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte.wrapping_sub(b'0'));
            match place % 2 {
                0 => digit,
                _ => digit * 2 / 10 + digit * 2 % 10,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

//! Numbers of payment cards: 13 to 19 digits, written together or in groups, with the prefix and the length of a network
//! that issues cards and a right check digit (ISO/IEC 7812). One of ten numbers has a right check digit by chance, so
//! without the prefix orders and times would be taken for cards.

use std::ops::Range;

const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// Digits of a group where a number is written in groups.
const GROUP: std::ops::RangeInclusive<usize> = 3..=7;

/// First and last prefix, as many digits of a number as they have; lengths of the numbers.
const NETWORKS: &[(u64, u64, std::ops::RangeInclusive<usize>)] = &[
    // Visa
    (4, 4, 13..=13),
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
    (5018, 5018, 13..=19),
    (5020, 5020, 13..=19),
    (5038, 5038, 13..=19),
    (5893, 5893, 13..=19),
    (6304, 6304, 13..=19),
    (6759, 6759, 13..=19),
    (6761, 6763, 13..=19),
    // Troy
    (9792, 9792, 16..=16),
];

/// Where numbers of cards stand, in order.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut groups: Vec<Range<usize>> = Vec::new();
    for group in digit_groups(text.as_bytes()) {
        let is_next = groups.last().is_some_and(|last| is_separator(text, last.end..group.start));
        if !is_next {
            cards_among(text, &groups, &mut found);
            groups.clear();
        }
        groups.push(group);
    }
    cards_among(text, &groups, &mut found);
    found
}

/// Whether a JSON number is a card's.
pub(super) fn is_number(number: &str) -> bool {
    DIGITS.contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()) && is_card(number)
}

/// Runs of digits, each as long as it gets.
fn digit_groups(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + bytes.get(at..)?.iter().position(u8::is_ascii_digit)?;
        let length = bytes.get(start..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        at = start + length;
        Some(start..at)
    })
}

fn is_separator(text: &str, range: Range<usize>) -> bool {
    // In a query a space is written as + or %20.
    matches!(text.get(range), Some(" " | "-" | "+" | "%20"))
}

/// Adds the cards in groups that follow each other with a separator between.
fn cards_among(text: &str, groups: &[Range<usize>], found: &mut Vec<Range<usize>>) {
    let mut rest = groups;
    while let Some((_, after)) = rest.split_first() {
        match card_at(text, rest) {
            Some((taken, range)) => {
                found.push(range);
                rest = rest.get(taken..).unwrap_or_default();
            }
            None => rest = after,
        }
    }
}

/// A card that begins with the first of the groups: how many of them it takes, and where it stands.
fn card_at(text: &str, groups: &[Range<usize>]) -> Option<(usize, Range<usize>)> {
    let start = groups.first()?.start;
    let mut digits = String::new();
    for (index, group) in groups.iter().enumerate() {
        digits.push_str(text.get(group.clone())?);
        let in_groups = groups.iter().take(index + 1).all(|group| GROUP.contains(&group.len()));
        if digits.len() > *DIGITS.end() || (index > 0 && !in_groups) {
            return None;
        }
        let range = start..group.end;
        if DIGITS.contains(&digits.len()) && stands_alone(text, &range) && is_card(&digits) {
            return Some((index + 1, range));
        }
    }
    None
}

/// Not a part of a name, of a fraction, of an identifier in hexadecimal digits.
fn stands_alone(text: &str, range: &Range<usize>) -> bool {
    let bytes = text.as_bytes();
    let before = |back: usize| range.start.checked_sub(back).and_then(|at| bytes.get(at)).copied();
    let after = |on: usize| bytes.get(range.end + on).copied();
    let is_word = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_point = |byte: Option<u8>| byte == Some(b'.');
    // An encoded byte of a URL (%3D) ends in a digit or letter that is no part of what follows.
    let is_encoded = before(3) == Some(b'%');
    (is_encoded || !(is_word(before(1)) || is_point(before(1)) && is_word(before(2))))
        && !is_word(after(0))
        && !(is_point(after(0)) && after(1).is_some_and(|byte| byte.is_ascii_digit()))
}

fn is_card(digits: &str) -> bool {
    let starts = |(first, last, lengths): &(u64, u64, std::ops::RangeInclusive<usize>)| {
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

//! `properties.revenue` (a number or a text that is one) in units of 1/10,000, exactly: decimal, never float.
//!
//! A revenue that cannot be read (`"12 EUR"`) or does not fit `Decimal(18,4)` is as good as none: the step that the
//! visitor took counts all the same, and the property itself is stored as it was sent.

use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};

/// `Decimal(18,4)` holds 14 digits before the point.
const MAX_E4: i64 = 999_999_999_999_999_999;

/// Revenue in 1/10,000, rounded half away from zero.
pub(crate) fn e4(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    // The parsers read over it, as in Rust's source.
    if text.contains('_') {
        return None;
    }
    let number: Decimal = text.parse().or_else(|_| Decimal::from_scientific(text)).ok()?;
    let rounded = number.round_dp_with_strategy(4, RoundingStrategy::MidpointAwayFromZero);
    let e4 = rounded.checked_mul(Decimal::from(10_000))?.to_i64()?;
    (-MAX_E4..=MAX_E4).contains(&e4).then_some(e4)
}

/// An ISO 4217 code (three letters) in upper case; empty for anything else.
pub(crate) fn currency(text: &str) -> String {
    let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_code { text.to_ascii_uppercase() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revenue_is_read_exactly() {
        let cases = [
            ("19.99", Some(199_900)),
            ("0.1", Some(1_000)),
            ("-5", Some(-50_000)),
            ("1e2", Some(1_000_000)),
            ("0.00005", Some(1)),
            ("12 EUR", None),
            ("1_000", None),
            ("1__0_", None),
            ("1_0e2", None),
            ("", None),
            ("1e30", None),
            ("123456789012345", None),
            ("99999999999999.9999", Some(MAX_E4)),
        ];
        for (text, e4) in cases {
            assert_eq!(super::e4(text), e4, "{text}");
        }
    }

    #[test]
    fn a_currency_is_three_letters() {
        assert_eq!(currency("eur"), "EUR");
        assert_eq!(currency("Euro"), "");
    }
}

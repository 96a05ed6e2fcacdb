//! The text of a number, one for each value however it is written: `100`, `100.0` and `1e2` are `100`. Plans write it of the
//! numbers in them, funnels of those in events, and so the two can be compared as texts.
//!
//! Whole numbers that are written in digits are these digits, also where no 64-bit number holds them: ids of 20 digits stay
//! apart. Others are the shortest digits of their 64-bit float. There is an exponent (`1e300`, `1.5e-9`) only beyond
//! [`MAX_DIGITS`] digits and below 1e-7.

/// Digits of a whole number that are written out, at most.
pub const MAX_DIGITS: usize = 40;

/// 10 to the power of [`MAX_DIGITS`].
const TOO_LONG: f64 = 1e40;
const TOO_SMALL: f64 = 1e-7;

/// The text of a float.
pub fn of_f64(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        TOO_SMALL..TOO_LONG => number.to_string(),
        _ => format!("{number:e}"),
    }
}

/// The text of a number as JSON or TOML write it, without `+` and `_`; `None` for what is no finite number.
pub fn of_written(number: &str) -> Option<String> {
    let digits = number.strip_prefix('-').unwrap_or(number);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let significant = digits.trim_start_matches('0');
    if is_whole && significant.len() <= MAX_DIGITS {
        let sign = if number.starts_with('-') { "-" } else { "" };
        return Some(if significant.is_empty() { "0".to_owned() } else { [sign, significant].concat() });
    }
    number.parse().ok().filter(|number: &f64| number.is_finite()).map(of_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_text_however_it_is_written() {
        for (written, expected) in [
            (&["100", "100.0", "1e2", "1E+2", "0100"][..], "100"),
            (&["0", "-0", "0.0", "-0.0", "0e5"], "0"),
            (&["-1.5", "-1.50", "-15e-1"], "-1.5"),
            (&["1e21", "1000000000000000000000", "1000000000000000000000.0"], "1000000000000000000000"),
            (&["1e16", "10000000000000000"], "10000000000000000"),
            (&["0.0000001", "1e-7"], "0.0000001"),
            (&["1.5e-9", "0.0000000015"], "1.5e-9"),
            (&["1e300"], "1e300"),
            (&["0.30000000000000004"], "0.30000000000000004"),
        ] {
            for number in written {
                assert_eq!(of_written(number).as_deref(), Some(expected), "{number}");
            }
        }
        let long = format!("1{}", "0".repeat(MAX_DIGITS));
        assert_eq!(of_written(&long).as_deref(), Some("1e40"));
        assert_eq!(of_written("1e40").as_deref(), Some("1e40"));
        assert_eq!(of_written("1e39"), of_written(&long[..MAX_DIGITS]));
    }

    #[test]
    fn whole_numbers_that_no_float_holds_stay_apart() {
        for number in
            ["18446744073709551617", "18446744073709551618", "-9223372036854775809", "9007199254740993"]
        {
            assert_eq!(of_written(number).as_deref(), Some(number));
        }
    }

    #[test]
    fn what_is_no_number_has_no_text() {
        for text in ["", "-", "inf", "nan", "1e400", "one", "1_000"] {
            assert_eq!(of_written(text), None, "{text}");
        }
    }
}

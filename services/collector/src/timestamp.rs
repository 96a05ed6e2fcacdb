//! Times as clients write them: ISO 8601 with or without fraction and zone (UTC where there is none), or seconds or
//! milliseconds since 1970 as a number or as digits in a text. Agrees with `jiff` wherever both read a text, which a
//! property test holds; written by hand because every event has one.

use crate::draft::When;
use crate::json::Value;
use crate::limits::SECONDS_BELOW;

/// Milliseconds of a time as sent; `Err` if it is no time, `Ok(None)` if there is none.
pub(crate) fn read(when: When<'_>) -> Result<Option<i64>, ()> {
    match when {
        When::Absent => Ok(None),
        When::Ms(ms) => Ok(Some(ms)),
        When::Written(Value::Number(number)) => epoch(number).map(Some).ok_or(()),
        When::Written(Value::Text(text)) => parse(&text.decode()).map(Some).ok_or(()),
        When::Written(_) => Err(()),
    }
}

/// Milliseconds of a text.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    iso(text.as_bytes()).or_else(|| epoch(text))
}

/// Seconds (below 1e11) or milliseconds since 1970, with or without a fraction.
fn epoch(number: &str) -> Option<i64> {
    let starts_as_number = number.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let value: f64 = number.parse().ok().filter(|_| starts_as_number)?;
    let ms = if value.abs() < SECONDS_BELOW { value * 1_000.0 } else { value };
    // A cast saturates: what is beyond any date fails the range check later.
    ms.is_finite().then_some(ms.round() as i64)
}

/// `YYYY-MM-DD`, then optionally `T` or a space, `HH:MM`, `:SS`, a fraction and a zone.
fn iso(text: &[u8]) -> Option<i64> {
    let mut rest = Digits(text);
    let year = rest.number(4)?;
    rest.byte(b"-")?;
    let month = rest.number(2)?;
    rest.byte(b"-")?;
    let day = rest.number(2)?;
    let days = days_since_1970(year, month, day)?;
    let mut ms = days * 86_400_000;
    if rest.byte(b"Tt ").is_some() {
        ms += rest.time_of_day()?;
        ms -= rest.zone_minutes()? * 60_000;
    }
    rest.0.is_empty().then_some(ms)
}

/// What is left of the text.
struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    // `digits` is a constant wherever it is called: inlined, the loop is gone.
    #[inline(always)]
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let mut value = 0;
        for byte in number {
            value = value * 10 + i64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
        }
        self.0 = rest;
        Some(value)
    }

    #[inline(always)]
    fn byte(&mut self, any_of: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        any_of.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    /// Milliseconds; second 60, a leap second, counts as 59.
    fn time_of_day(&mut self) -> Option<i64> {
        let hour = self.number(2).filter(|hour| *hour < 24)?;
        self.byte(b":")?;
        let minute = self.number(2).filter(|minute| *minute < 60)?;
        let mut ms = (hour * 60 + minute) * 60_000;
        if self.byte(b":").is_some() {
            ms += self.number(2).filter(|second| *second <= 60)?.min(59) * 1_000;
            if self.byte(b".,").is_some() {
                ms += self.fraction_ms()?;
            }
        }
        Some(ms)
    }

    /// Digits after the point, cut to milliseconds.
    fn fraction_ms(&mut self) -> Option<i64> {
        let digits = self.0.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(self.0.len());
        let (fraction, rest) = self.0.split_at_checked(digits).filter(|_| digits > 0)?;
        self.0 = rest;
        let shown = fraction.iter().take(3).fold(0, |ms, byte| ms * 10 + i64::from(byte - b'0'));
        Some(match digits {
            1 => shown * 100,
            2 => shown * 10,
            _ => shown,
        })
    }

    /// `Z`, `+HH`, `+HHMM`, `+HH:MM` or nothing, which is UTC.
    fn zone_minutes(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.byte(b"Zz").is_some() {
            return Some(0);
        }
        let sign = if self.byte(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.number(2).filter(|hours| *hours < 24)?;
        let has_minutes = self.byte(b":").is_some() || !self.0.is_empty();
        let minutes = if has_minutes { self.number(2).filter(|minutes| *minutes < 60)? } else { 0 };
        Some(sign * (hours * 60 + minutes))
    }
}

/// Days from 1970-01-01 in the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn timestamps_are_read_as_jiff_reads_them(
            ms in -62_135_596_800_000i64..253_402_207_200_000, digits in 0usize..10, offset in -839i32..839, form in 0u8..4
        ) {
            let sign = if offset < 0 { '-' } else { '+' };
            let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
            let local = Timestamp::from_millisecond(ms).unwrap().to_zoned(TimeZone::UTC).datetime();
            let mut text = format!("{local:.digits$}");
            let zone = match form {
                0 => "Z".to_owned(),
                1 => format!("{sign}{hours:02}:{minutes:02}"),
                2 => format!("{sign}{hours:02}{minutes:02}"),
                _ => String::new(),
            };
            text += &zone;
            let expected = match form {
                3 => text.parse::<DateTime>().unwrap().to_zoned(TimeZone::UTC).unwrap().timestamp(),
                _ => match text.parse::<Timestamp>() {
                    Ok(timestamp) => timestamp,
                    Err(_) => return Ok(()),
                },
            };
            prop_assert_eq!(parse(&text), Some(expected.as_nanosecond().div_euclid(1_000_000) as i64), "{}", text);
        }

        #[test]
        fn dates_are_valid_when_jiff_says_so(year in 0i16..9999, month in 0i8..15, day in 0i8..35, hour in 0i8..26, second in 0i8..62) {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:30:{second:02}");
            let expected = text.parse::<DateTime>().ok().map(|local| {
                local.to_zoned(TimeZone::UTC).unwrap().timestamp().as_millisecond()
            });
            prop_assert_eq!(parse(&text), expected, "{}", text);
        }

        #[test]
        fn no_text_brings_it_down(text in "\\PC{0,30}|[0-9T:.Z+-]{0,30}") {
            let _ = parse(&text);
        }
    }

    #[test]
    fn the_forms_that_clients_send_are_read() {
        let cases = [
            ("2026-11-22T02:30:18.035Z", 1_795_314_618_035),
            ("2026-11-22T02:30:29.921+00:00", 1_795_314_629_921),
            ("2026-11-22T02:30:31.032921+00:00", 1_795_314_631_032),
            ("2026-11-22T02:30:31+00:00", 1_795_314_631_000),
            ("2026-11-22 03:30:31+0100", 1_795_314_631_000),
            ("2026-11-22T02:30", 1_795_314_600_000),
            ("2026-11-22", 1_795_305_600_000),
            ("1795314632300", 1_795_314_632_300),
            ("1795314632", 1_795_314_632_000),
            ("1795315477.287", 1_795_315_477_287),
        ];
        for (text, ms) in cases {
            assert_eq!(parse(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-02-30",
            "2026-11-22T25:00Z",
            "2026-11-22T",
            "NaN",
            "inf",
            "20 26",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

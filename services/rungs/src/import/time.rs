//! Times as files write them: ISO 8601 with `T` or a space, with or without fraction and zone (UTC where there is none, a
//! trailing `UTC` or `GMT` is understood), a date alone, or seconds or milliseconds since 1970.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Numbers below this are seconds since 1970, from it on milliseconds.
const SECONDS_BELOW: f64 = 1e11;

/// UTC milliseconds, or `None` if the text is no time.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let text = ["UTC", "GMT"].iter().find_map(|zone| text.strip_suffix(zone)).unwrap_or(text).trim_end();
    number(text).or_else(|| with_zone(text)).or_else(|| without_zone(text))
}

fn number(text: &str) -> Option<i64> {
    let starts_as_number = text.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    let value: f64 = text.parse().ok().filter(|_| starts_as_number)?;
    let ms = if value.abs() < SECONDS_BELOW { value * 1_000.0 } else { value };
    // A date without separators (20240513) would be read as seconds of 1970; nothing that old is imported.
    (ms.is_finite() && ms.abs() >= SECONDS_BELOW).then_some(ms.round() as i64)
}

fn with_zone(text: &str) -> Option<i64> {
    let timestamp = text.parse::<Timestamp>().ok();
    timestamp
        .or_else(|| text.parse::<Zoned>().ok().map(|zoned| zoned.timestamp()))
        .map(Timestamp::as_millisecond)
}

fn without_zone(text: &str) -> Option<i64> {
    let local = text
        .parse::<DateTime>()
        .ok()
        .or_else(|| Some(text.parse::<Date>().ok()?.to_datetime(jiff::civil::Time::midnight())))?;
    Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_files_are_read() {
        let cases = [
            ("2024-03-13 10:21:14", 1_710_325_274_000),
            (" 2024-03-13 10:21:14 UTC ", 1_710_325_274_000),
            ("2024-03-13T10:21:14.5Z", 1_710_325_274_500),
            ("2024-03-13T11:21:14+01:00", 1_710_325_274_000),
            ("2024-03-13 10:21", 1_710_325_260_000),
            ("2024-03-13", 1_710_288_000_000),
            ("1710325274", 1_710_325_274_000),
            ("1710325274.25", 1_710_325_274_250),
            ("1710325274123", 1_710_325_274_123),
        ];
        for (text, ms) in cases {
            assert_eq!(parse(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "yesterday", "2024-02-30", "2024-13-01 10:00", "NaN", "inf", "UTC", "7"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

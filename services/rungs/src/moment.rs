//! A time as people write it after a flag: as in files ([`crate::import::time`]), or a time of today on this machine's clock.
//! Every flag that takes a time takes all of these forms.

use jiff::Zoned;
use jiff::civil::Time;

use crate::import::time;

const HINT: &str = "write 10:02, 2024-05-15T10:02Z, 2024-05-15, or milliseconds since 1970";

/// UTC milliseconds, or what to write instead; for `value_parser`.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    of_today(text).or_else(|| time::parse(text)).ok_or_else(|| HINT.to_owned())
}

fn of_today(text: &str) -> Option<i64> {
    let time: Time = text.parse().ok().filter(|_| text.contains(':') && !text.contains('-'))?;
    Some(Zoned::now().with().time(time).build().ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_todays_and_a_whole_time_is_itself() {
        let today = Zoned::now().date();
        for (text, minute) in [("10:02", 2), ("10:02:30", 2)] {
            let at = jiff::Timestamp::from_millisecond(parse(text).unwrap()).unwrap();
            let at = at.to_zoned(jiff::tz::TimeZone::system());
            assert!(
                (at.date() == today || at.date() == today.tomorrow().unwrap())
                    && at.hour() == 10
                    && at.minute() == minute
            );
        }
        assert_eq!(parse("2024-05-15T00:00Z"), Ok(1_715_731_200_000));
        assert_eq!(parse("1715731200000"), Ok(1_715_731_200_000));
        assert!(parse("soon").is_err() && parse("25:00").is_err());
    }
}

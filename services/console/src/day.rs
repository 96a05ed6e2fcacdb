//! Today and yesterday in a site's time zone, and what each is compared with: the same part of the day before. Days begin at
//! the zone's midnight, so one may have 23 or 25 hours; "until now, a day earlier" is the same time on the clock.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::source::Span;

/// A day, seen from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Day {
    /// From midnight until now.
    Today,
    /// From midnight to midnight.
    Yesterday,
    /// Yesterday from midnight until this time of day: what [`Day::Today`] is compared with.
    YesterdayUntilNow,
    /// What [`Day::Yesterday`] is compared with.
    DayBeforeYesterday,
}

impl Day {
    /// The day of a name, or the one before it.
    pub(crate) fn named(name: &str, previous: bool) -> Option<Self> {
        match (name, previous) {
            ("today", false) => Some(Self::Today),
            ("today", true) => Some(Self::YesterdayUntilNow),
            ("yesterday", false) => Some(Self::Yesterday),
            ("yesterday", true) => Some(Self::DayBeforeYesterday),
            _ => None,
        }
    }

    /// Its span in a zone; an unknown zone is UTC. Never empty: a day that has just begun is a millisecond long.
    pub fn span(self, zone: &str, now_ms: i64) -> Span {
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        self.within(&zone, now_ms).unwrap_or(Span { from_ms: now_ms - 1, to_ms: now_ms })
    }

    fn within(self, zone: &TimeZone, now_ms: i64) -> Result<Span, jiff::Error> {
        let now = Timestamp::from_millisecond(now_ms)?.to_zoned(zone.clone());
        let midnight = |days_ago: i32| now.checked_sub(days_ago.days())?.start_of_day();
        let (from, to) = match self {
            Self::Today => (midnight(0)?, now.clone()),
            Self::Yesterday => (midnight(1)?, midnight(0)?),
            Self::YesterdayUntilNow => (midnight(1)?, now.checked_sub(1.day())?),
            Self::DayBeforeYesterday => (midnight(2)?, midnight(1)?),
        };
        let ms = |at: &Zoned| at.timestamp().as_millisecond();
        Ok(Span { from_ms: ms(&from), to_ms: ms(&to).max(ms(&from) + 1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(day: Day, zone: &str, now: &str) -> [String; 2] {
        let span = day.span(zone, now.parse::<Timestamp>().unwrap().as_millisecond());
        [span.from_ms, span.to_ms].map(|ms| Timestamp::from_millisecond(ms).unwrap().to_string())
    }

    #[test]
    fn days_begin_at_the_midnight_of_the_sites_zone() {
        let now = "2024-05-15T01:30:00Z";
        assert_eq!(told(Day::Today, "UTC", now), ["2024-05-15T00:00:00Z", now]);
        assert_eq!(told(Day::Today, "Europe/Berlin", now), ["2024-05-14T22:00:00Z", now]);
        assert_eq!(told(Day::Today, "America/New_York", now), ["2024-05-14T04:00:00Z", now]);
        let yesterday = ["2024-05-13T04:00:00Z", "2024-05-14T04:00:00Z"];
        assert_eq!(told(Day::Yesterday, "America/New_York", now), yesterday);
        let until_now = ["2024-05-13T04:00:00Z", "2024-05-14T01:30:00Z"];
        assert_eq!(told(Day::YesterdayUntilNow, "America/New_York", now), until_now);
    }

    #[test]
    fn a_day_of_a_changed_clock_is_longer_or_shorter() {
        let spring = ["2024-03-30T23:00:00Z", "2024-03-31T22:00:00Z"];
        assert_eq!(told(Day::Yesterday, "Europe/Berlin", "2024-04-01T10:00:00Z"), spring);
        let before = ["2024-03-29T23:00:00Z", "2024-03-30T23:00:00Z"];
        assert_eq!(told(Day::DayBeforeYesterday, "Europe/Berlin", "2024-04-01T10:00:00Z"), before);
        let autumn = ["2024-10-26T22:00:00Z", "2024-10-27T23:00:00Z"];
        assert_eq!(told(Day::Yesterday, "Europe/Berlin", "2024-10-28T10:00:00Z"), autumn);
    }

    #[test]
    fn a_day_that_has_just_begun_is_not_empty() {
        let [from, to] = told(Day::Today, "UTC", "2024-05-15T00:00:00Z");
        assert_ne!(from, to);
    }
}

//! `limits` of a site: rates, each with a burst.

use checked_toml::{Table, Value, units};

use crate::plan::limits::MAX_PER_SECOND;
use crate::plan::{Rate, SiteLimits};

/// The burst that a plan does not name: what the rate gives in so many seconds.
const DEFAULT_BURST_SECONDS: u64 = 10;

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    Events,
    Bytes,
}

pub(super) fn read(site: &Table<'_>) -> SiteLimits {
    let Some(table) = site.table("limits") else { return SiteLimits::default() };
    table.describe(format!("the limits of {}", site.subject()));
    let limits = SiteLimits {
        events: rate(
            &table,
            Counted::Events,
            ("events_per_second", table.value("events_per_second")),
            ("events_burst", table.value("events_burst")),
        ),
        bytes: rate(
            &table,
            Counted::Bytes,
            ("bytes_per_second", table.value("bytes_per_second")),
            ("bytes_burst", table.value("bytes_burst")),
        ),
        address_events: rate(
            &table,
            Counted::Events,
            ("address_events_per_second", table.value("address_events_per_second")),
            ("address_events_burst", table.value("address_events_burst")),
        ),
        visitor_events: rate(
            &table,
            Counted::Events,
            ("visitor_events_per_second", table.value("visitor_events_per_second")),
            ("visitor_events_burst", table.value("visitor_events_burst")),
        ),
    };
    table.finish();
    limits
}

type Entry<'d> = (&'static str, Option<Value<'d>>);

fn rate(table: &Table<'_>, counted: Counted, rate: Entry<'_>, burst: Entry<'_>) -> Option<Rate> {
    let (rate_key, rate) = rate;
    let (burst_key, burst) = burst;
    let Some(rate) = rate else {
        if let Some(burst) = burst {
            let message = format!("{} has nothing that it is the burst of", table.named(burst_key));
            table.report(burst.line(), message, format!("add {rate_key}"));
        }
        return None;
    };
    let per_second = counted.read(table, rate_key, rate)?;
    let burst = match burst {
        Some(burst) => counted.read(table, burst_key, burst)?,
        None => per_second * DEFAULT_BURST_SECONDS,
    };
    Some(Rate { per_second, burst })
}

impl Counted {
    fn read(self, table: &Table<'_>, key: &str, value: Value<'_>) -> Option<u64> {
        let number = match self {
            Self::Events => value.as_integer().and_then(|number| u64::try_from(number).ok()),
            Self::Bytes => value.as_text().and_then(units::bytes),
        };
        let number = number.filter(|number| (1..=MAX_PER_SECOND).contains(number));
        if number.is_none() {
            let (what, example) = match self {
                Self::Events => ("a whole number", "500"),
                Self::Bytes => ("a size", "\"2MiB\""),
            };
            let hint = format!("{what} from 1 to {MAX_PER_SECOND} (MAX_PER_SECOND), e.g. {key} = {example}");
            table.report(value.line(), format!("{} cannot be that", table.named(key)), hint);
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use crate::Plan;
    use crate::plan::{Rate, SiteLimits};

    fn plan(limits: &str) -> Result<SiteLimits, String> {
        let text = format!("[[sites]]\nid = \"shop\"\nwrite_keys = [\"k\"]\n[sites.limits]\n{limits}\n");
        match Plan::parse("plan.toml", &text) {
            Ok(plan) => Ok(plan.sites[0].limits),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        }
    }

    #[test]
    fn a_limit_is_a_rate_and_a_burst_of_ten_seconds_unless_another_is_named() {
        let limits = plan(
            "events_per_second = 200\nevents_burst = 5000\nbytes_per_second = \"1MiB\"\naddress_events_per_second = 20\nvisitor_events_per_second = 3",
        );
        let expected = SiteLimits {
            events: Some(Rate { per_second: 200, burst: 5_000 }),
            bytes: Some(Rate { per_second: 1 << 20, burst: 10 << 20 }),
            address_events: Some(Rate { per_second: 20, burst: 200 }),
            visitor_events: Some(Rate { per_second: 3, burst: 30 }),
        };
        assert_eq!(limits, Ok(expected));
        assert!(plan("").unwrap().is_empty() && !expected.is_empty());
    }

    #[test]
    fn what_is_no_limit_is_told() {
        for (wrong, told) in [
            ("events_per_second = 0", "a whole number from 1"),
            ("events_per_second = \"10\"", "a whole number from 1"),
            ("bytes_per_second = 10", "e.g. bytes_per_second = \"2MiB\""),
            ("bytes_per_second = \"100TiB\"", "MAX_PER_SECOND"),
            ("events_burst = 5", "add events_per_second"),
            ("event_per_second = 5", "did you mean `events_per_second`?"),
        ] {
            let problem = plan(wrong).unwrap_err();
            assert!(problem.contains(told) && problem.starts_with("plan.toml:5"), "{problem}");
        }
    }
}

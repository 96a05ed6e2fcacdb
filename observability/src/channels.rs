//! *Channels*: which traffic climbs, not only clicks. By any breakdown of a funnel, all its values.

use serde_json::{Value, json};

use crate::dashboard::Dashboard;
use crate::live_ladder::{LAST_MINUTE, MINUTES, with_variables};
use crate::panel::Panel;

/// The chosen numbers of the history.
const CHOSEN: &str =
    "site = ${site:sqlstring} AND funnel = ${funnel:sqlstring} AND window = ${window:sqlstring}
  AND breakdown = ${breakdown:sqlstring}";

/// Raw events of the range.
const EVENTS: &str = "site = ${site:sqlstring} AND ts BETWEEN fromUnixTimestamp64Milli(${__from}) AND fromUnixTimestamp64Milli(${__to})";

pub(crate) fn dashboard() -> Value {
    let about = "Which channels, campaigns or variants carry visitors further, not only to the first step.";
    with_variables(Dashboard::new("rungs-channels", "Channels", about))
        .row("$funnel by $breakdown, as of the last minute")
        .add(24, 9, values())
        .add(12, 9, share_to_last())
        .add(12, 9, began())
        .row("All events of $site in the time range, by channel")
        .add(12, 9, visitors_by_channel())
        .add(12, 9, events_by_channel())
        .json()
}

fn values() -> Panel {
    let sql = format!(
        "SELECT if(value = '', '(none)', value) AS part, maxIf(visitors, position = 1) AS began,
  maxIf(visitors, position = 2) AS second, argMax(visitors, position) AS last,
  second / nullIf(began, 0) AS engagement, last / nullIf(began, 0) AS to_last,
  sum(committed) / nullIf(sum(offered), 0) AS click_through
FROM funnel_conversion
WHERE {CHOSEN}
  AND {LAST_MINUTE}
GROUP BY value
ORDER BY began DESC
LIMIT 100"
    );
    Panel::table(
        "Who carries visitors to the top?",
        "Engagement: second step of first. To last: of those who began, who reached the last step. A visitor who began by two of them is in both.",
    )
    .rows(&sql)
    .joined(
        &[
            ("part", "Value"),
            ("began", "Began"),
            ("second", "Second step"),
            ("last", "Last step"),
            ("engagement", "Engagement"),
            ("to_last", "To last"),
            ("click_through", "Click-through"),
        ],
        &[],
    )
    .bars(&["Began"])
    .shares(&["Engagement", "To last", "Click-through"])
}

fn share_to_last() -> Panel {
    let sql = format!(
        "SELECT minute AS time, if(value = '', '(none)', value) AS part,
  argMax(visitors, position) / nullIf(maxIf(visitors, position = 1), 0) AS to_last
FROM funnel_conversion
WHERE {CHOSEN}
  AND {MINUTES}
GROUP BY minute, value
ORDER BY time, part"
    );
    Panel::lines("To last", "Of those who began, who reached the last step, by value.")
        .series(&sql)
        .unit("percentunit")
        .zero_based()
}

fn began() -> Panel {
    let sql = format!(
        "SELECT minute AS time, if(value = '', '(none)', value) AS part, visitors
FROM funnel_conversion
WHERE {CHOSEN} AND position = 1
  AND {MINUTES}
ORDER BY time, part"
    );
    Panel::lines("Began", "Visitors who took the first step within the window, by value.")
        .series(&sql)
        .unit("short")
        .zero_based()
}

fn visitors_by_channel() -> Panel {
    let sql = format!(
        "SELECT if(channel = '', '(none)', channel) AS part, uniqExact(visitor_id) AS visitors, count() AS events,
  sum(revenue) AS revenue
FROM events FINAL
WHERE {EVENTS}
GROUP BY channel
ORDER BY visitors DESC
LIMIT 100"
    );
    Panel::table(
        "Visitors, events, revenue",
        "Of every event, also those that no funnel matches. Revenue adds up currencies as they are.",
    )
    .rows(&sql)
    .joined(
        &[("part", "Channel"), ("visitors", "Visitors"), ("events", "Events"), ("revenue", "Revenue")],
        &[],
    )
    .bars(&["Visitors"])
    .column("Revenue", &[("decimals", json!(2))])
}

fn events_by_channel() -> Panel {
    let sql = format!(
        "SELECT toStartOfInterval(ts, toIntervalSecond(greatest(60, intDiv(${{__to}} - ${{__from}}, 200000)))) AS time,
  if(channel = '', '(none)', channel) AS part, count() AS events
FROM events FINAL
WHERE {EVENTS}
GROUP BY time, channel
ORDER BY time, part"
    );
    Panel::lines("Events", "By the channel of the event itself.").series(&sql).unit("short").zero_based()
}

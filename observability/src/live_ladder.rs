//! *Live ladder*: one funnel, every step in order, now and over time.

use serde_json::{Value, json};

use crate::dashboard::Dashboard;
use crate::panel::Panel;

/// Rows of the view at minute ends: every minute of short ranges, every hour of long ones.
pub(crate) const MINUTES: &str = "minute BETWEEN toDateTime(intDiv(${__from}, 1000)) AND toDateTime(intDiv(${__to}, 1000))
  AND toUnixTimestamp(minute) % multiIf(${__to} - ${__from} <= 43200000, 60, ${__to} - ${__from} <= 216000000, 300,
    ${__to} - ${__from} <= 691200000, 900, 3600) = 0";

/// The last minute end before the range's end that has numbers.
pub(crate) const LAST_MINUTE: &str = "minute = (
    SELECT max(minute) FROM funnel_conversion
    WHERE site = ${site:sqlstring} AND funnel = ${funnel:sqlstring} AND breakdown = ''
      AND minute BETWEEN toDateTime(intDiv(${__to}, 1000)) - 7200 AND toDateTime(intDiv(${__to}, 1000))
  )";

const OF: &str = "site=\"$site\",funnel=\"$funnel\",window=\"$window\"";

/// The variables `site`, `funnel`, `window`, `breakdown`.
pub(crate) fn with_variables(dashboard: Dashboard) -> Dashboard {
    dashboard
        .prometheus_variable("site", "Site", "label_values(rungs_funnel_step_info, site)")
        .prometheus_variable("funnel", "Funnel", "label_values(rungs_funnel_step_info{site=\"$site\"}, funnel)")
        .prometheus_variable(
            "window",
            "Window",
            "label_values(rungs_funnel_visitors{site=\"$site\",funnel=\"$funnel\"}, window)",
        )
        .clickhouse_variable(
            "breakdown",
            "Breakdown",
            "SELECT DISTINCT breakdown FROM funnel_open WHERE site = ${site:sqlstring} AND funnel = ${funnel:sqlstring} \
             AND breakdown != '' ORDER BY breakdown",
        )
}

pub(crate) fn dashboard() -> Value {
    let about = "Who climbs one ladder: every step in order, as it is now, and over time.";
    with_variables(Dashboard::new("rungs-live-ladder", "Live ladder", about))
        .sql_annotation(
            "Counted anew",
            "blue",
            "SELECT toDateTime(intDiv(max(cutoff_clock_ms), 1000)) AS time, \
             concat('Counted anew from the raw events: generation ', toString(generation)) AS text \
             FROM progress FINAL WHERE kind = 'progress' AND site = ${site:sqlstring} AND funnel = ${funnel:sqlstring} \
             GROUP BY generation HAVING max(cutoff_clock_ms) BETWEEN ${__from} AND ${__to}",
        )
        .sql_annotation(
            "Notes",
            "purple",
            "SELECT at AS time, text FROM annotations FINAL WHERE site = ${site:sqlstring} AND text != '' \
             AND toUnixTimestamp64Milli(at) BETWEEN ${__from} AND ${__to} ORDER BY time DESC LIMIT 500",
        )
        .add(6, 4, began())
        .add(6, 4, micro_to_macro())
        .add(6, 4, freshness())
        .add(6, 4, whole())
        .add(24, 9, ladder())
        .row("Over time")
        .add(12, 9, momentum())
        .add(12, 9, click_through())
        .add(12, 9, visitors())
        .add(12, 9, seconds())
        .row("By $breakdown")
        .add(12, 10, by_value())
        .add(12, 10, entries_by_value())
        .json()
}

fn began() -> Panel {
    Panel::number("Began", "Visitors who took the first step within the window.")
        .over_time(&format!("rungs:funnel_entries:sum{{{OF}}}"), "began")
        .unit("short")
}

fn micro_to_macro() -> Panel {
    Panel::number("Micro to macro", "Of those who gave the first small yes, who gave the big one.")
        .over_time(&format!("rungs:funnel_micro_to_macro:ratio{{{OF}}}"), "to the last step")
        .unit("percentunit")
}

pub(crate) fn freshness() -> Panel {
    Panel::number("Counted within", "99 of 100 events are in these numbers so long after they were accepted.")
        .over_time(
            "histogram_quantile(0.99, sum by (le) (rate(rungs_aggregator_freshness_folded_seconds_bucket[$__rate_interval])))",
            "99 %",
        )
        .unit("s")
        .thresholds(&[(5.0, "red")])
}

pub(crate) fn whole() -> Panel {
    Panel::number(
        "Partitions counted",
        "Live partitions of all aggregators, as a share of the log's. Not 100 %: numbers have a gap.",
    )
    .over_time("sum(rungs_aggregator_partitions{state=\"live\"}) / max(rungs_log_partitions)", "live")
    .unit("percentunit")
    .thresholds(&[])
}

/// Counts and ratios come from several queries, a column each, joined by the step.
fn ladder() -> Panel {
    const COLUMNS: [(&str, &str); 11] = [
        ("rungs:funnel_visitors:sum", "Visitors"),
        ("rungs:funnel_momentum:ratio", "Momentum"),
        ("rungs:funnel_from_first:ratio", "Of first"),
        ("rungs:funnel_offered_visitors:sum", "Saw the offer"),
        ("rungs:funnel_ctr:ratio", "CTR"),
        ("rungs:funnel_step_seconds:p50", "Time (median)"),
        ("rungs:funnel_step_seconds:p90", "Time (p90)"),
        ("rungs:funnel_effort_seconds:p50", "Effort (median)"),
        ("rungs:funnel_effort_under_10s:ratio", "Effort under 10 s"),
        ("rungs:funnel_skipped_visitors:sum", "Skipped"),
        ("rungs:funnel_open_visitors:sum", "Open"),
    ];
    let about = "Momentum: of those on the step before, who went on. CTR: of those who saw the ask, who took it. Open: stand here and \
                 can still go on, within the conversion window. Times are approximate.";
    let steps = "max by (step, name, commitment, position) (rungs_funnel_step_info{site=\"$site\",funnel=\"$funnel\"})";
    let mut panel = Panel::table("Ladder", about).now(steps);
    let mut columns = vec![
        ("position".to_owned(), "#"),
        ("name".to_owned(), "Step"),
        ("commitment".to_owned(), "Commitment"),
    ];

    for ((series, title), letter) in COLUMNS.iter().zip('B'..) {
        // Whoever is open is so within the conversion window, whatever window is chosen.
        let of = if *title == "Open" { "site=\"$site\",funnel=\"$funnel\"" } else { OF };
        panel = panel.now(&format!("max by (step) ({series}{{{of}}})"));
        columns.push((format!("Value #{letter}"), title));
    }
    let columns: Vec<(&str, &str)> = columns.iter().map(|(name, title)| (name.as_str(), *title)).collect();
    panel
        .transform("merge", json!({}))
        .transform(
            "convertFieldType",
            json!({"conversions": [{"targetField": "position", "destinationType": "number"}], "fields": {}}),
        )
        .transform("sortBy", json!({"fields": {}, "sort": [{"field": "position", "desc": false}]}))
        .joined(&columns, &["Time", "step", "Value #A"])
        .bars(&["Visitors"])
        .shares(&["Momentum", "Of first", "CTR", "Effort under 10 s"])
        .seconds(&["Time (median)", "Time (p90)", "Effort (median)"])
}

fn momentum() -> Panel {
    Panel::lines("Momentum", "Of those on the step before, who went on, by step.")
        .over_time(&format!("rungs:funnel_momentum:ratio{{{OF}}}"), "{{step}}")
        .unit("percentunit")
        .zero_based()
}

fn click_through() -> Panel {
    Panel::lines("Click-through", "Of those who saw the offer, who took the step: steps that name an offer.")
        .over_time(&format!("rungs:funnel_ctr:ratio{{{OF}}}"), "{{step}}")
        .unit("percentunit")
        .zero_based()
}

fn visitors() -> Panel {
    let sql = format!(
        "SELECT minute AS time, step, visitors
FROM funnel_conversion
WHERE site = ${{site:sqlstring}} AND funnel = ${{funnel:sqlstring}} AND window = ${{window:sqlstring}} AND breakdown = ''
  AND {MINUTES}
ORDER BY time, position"
    );
    Panel::lines("Visitors", "At minute ends, from ClickHouse's history: as far back as it is kept.")
        .series(&sql)
        .unit("short")
        .zero_based()
}

fn seconds() -> Panel {
    Panel::lines("Time from the step before", "Median and nine of ten; approximate.")
        .over_time(&format!("rungs:funnel_step_seconds:p50{{{OF}}}"), "{{step}} median")
        .over_time(&format!("rungs:funnel_step_seconds:p90{{{OF}}}"), "{{step}} p90")
        .unit("s")
        .zero_based()
}

fn by_value() -> Panel {
    let sql = format!(
        "SELECT if(value = '', '(none)', value) AS part, step, visitors
FROM funnel_conversion
WHERE site = ${{site:sqlstring}} AND funnel = ${{funnel:sqlstring}} AND window = ${{window:sqlstring}}
  AND breakdown = ${{breakdown:sqlstring}}
  AND {LAST_MINUTE}
ORDER BY max(visitors) OVER (PARTITION BY value) DESC, value, position"
    );
    Panel::table(
        "Visitors by $breakdown",
        "By the value at the first step, all values, at the last minute's end.",
    )
    .rows(&sql)
    .transform(
        "groupingToMatrix",
        json!({"columnField": "step", "rowField": "part", "valueField": "visitors", "emptyValue": "null"}),
    )
}

fn entries_by_value() -> Panel {
    Panel::lines("Began, by $breakdown", "Listed values only: those that the plan names.")
        .over_time(
            &format!(
                "rungs:funnel_breakdown_visitors:sum{{{OF},breakdown=\"$breakdown\"}} and on (site, funnel, step) \
                 rungs_funnel_step_info{{position=\"1\"}}"
            ),
            "{{value}}",
        )
        .unit("short")
        .zero_based()
}

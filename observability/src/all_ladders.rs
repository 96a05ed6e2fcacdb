//! *All ladders*: every step of every funnel, the worst first.

use serde_json::{Value, json};

use crate::dashboard::Dashboard;
use crate::live_ladder;
use crate::panel::Panel;

const NAMES: &str = "max by (site, funnel, step, name, position) (rungs_funnel_step_info)";

pub(crate) fn dashboard() -> Value {
    Dashboard::new(
        "rungs-all-ladders",
        "All ladders",
        "Where visitors stop: every step of every funnel, the worst first.",
    )
    .prometheus_variable("window", "Window", "label_values(rungs_funnel_visitors, window)")
    .add(24, 10, worst_steps())
    .add(12, 10, funnels())
    .add(12, 10, falling())
    .row("Over time")
    .add(12, 9, micro_to_macro())
    .add(12, 9, began())
    .row("Are these numbers whole?")
    .add(12, 4, live_ladder::whole())
    .add(12, 4, live_ladder::freshness())
    .json()
}

fn worst_steps() -> Panel {
    let with_names = format!(
        "rungs:funnel_momentum:ratio{{window=\"$window\"}} * on (site, funnel, step) group_left (name, position) {NAMES}"
    );
    Panel::table("Steps, worst first", "Momentum: of those on the step before, who went on.")
        .now(&format!("sort({with_names})"))
        .now("max by (site, funnel, step) (rungs:funnel_eligible_visitors:sum{window=\"$window\"})")
        .now("max by (site, funnel, step) (rungs:funnel_visitors:sum{window=\"$window\"})")
        .now("max by (site, funnel, step) (rungs:funnel_ctr:ratio{window=\"$window\"})")
        .now("max by (site, funnel, step) (rungs:funnel_step_seconds:p50{window=\"$window\"})")
        .transform("merge", json!({}))
        // First steps have no step before.
        .transform(
            "filterByValue",
            json!({"type": "exclude", "match": "any",
                "filters": [{"fieldName": "Value #A", "config": {"id": "isNull", "options": {}}}]}),
        )
        .transform("sortBy", json!({"fields": {}, "sort": [{"field": "Value #A", "desc": false}]}))
        .joined(
            &[
                ("site", "Site"),
                ("funnel", "Funnel"),
                ("position", "#"),
                ("name", "Step"),
                ("Value #A", "Momentum"),
                ("Value #B", "Could have"),
                ("Value #C", "Did"),
                ("Value #D", "CTR"),
                ("Value #E", "Time (median)"),
            ],
            &["Time", "step", "window"],
        )
        .column(
            "Step",
            &[(
                "links",
                json!([{"title": "This ladder, live", "url": "/d/rungs-live-ladder?var-site=${__data.fields.Site}&\
                    var-funnel=${__data.fields.Funnel}&var-window=${window}&${__url_time_range}"}]),
            )],
        )
        .shares(&["Momentum", "CTR"])
        .bars(&["Could have"])
        .seconds(&["Time (median)"])
}

fn funnels() -> Panel {
    Panel::table("Funnels", "Micro to macro: of those who gave the first small yes, who gave the big one.")
        .now("max by (site, funnel) (rungs:funnel_micro_to_macro:ratio{window=\"$window\"})")
        .now("max by (site, funnel) (rungs:funnel_entries:sum{window=\"$window\"})")
        .transform("merge", json!({}))
        .transform("sortBy", json!({"fields": {}, "sort": [{"field": "Value #A", "desc": false}]}))
        .joined(
            &[("site", "Site"), ("funnel", "Funnel"), ("Value #A", "Micro to macro"), ("Value #B", "Began")],
            &["Time"],
        )
        .shares(&["Micro to macro"])
        .bars(&["Began"])
}

fn falling() -> Panel {
    Panel::lines(
        "Against their own past",
        "Momentum of the last hour over that of the same hour of the three days before, of busy steps; below 1 is worse. Empty for the \
         first three days.",
    )
    .over_time(
        "rungs:funnel_momentum_busy_hour:ratio / (rungs:funnel_momentum_busy_hour:mean3d > 0)",
        "{{site}} {{funnel}} {{step}}",
    )
    .unit("percentunit")
}

fn micro_to_macro() -> Panel {
    Panel::lines("Micro to macro", "Of those who gave the first small yes, who gave the big one.")
        .over_time("rungs:funnel_micro_to_macro:ratio{window=\"$window\"}", "{{site}} {{funnel}}")
        .unit("percentunit")
        .zero_based()
}

fn began() -> Panel {
    Panel::lines("Began", "Visitors who took the first step within the window.")
        .over_time("rungs:funnel_entries:sum{window=\"$window\"}", "{{site}} {{funnel}}")
        .unit("short")
        .zero_based()
}

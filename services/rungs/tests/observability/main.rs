//! Rules and dashboards against a running `rungs up` and a real Prometheus that scrapes it: every query of every panel,
//! variable and annotation answers as Grafana would ask it, every panel has data, and the ladder's numbers are the
//! console's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../program/mod.rs"]
mod program;

mod grafana;
mod prometheus;

use std::collections::BTreeMap;

use grafana::{Dashboard, Query, Range};
use program::Program;
use program::answers::visitors_of;
use prometheus::Prometheus;
use runtime::now_ms;
use serde_json::{Value, json};

/// What is chosen where a variable has several values.
const CHOICES: [(&str, &str); 4] =
    [("site", "shop"), ("funnel", "purchase"), ("window", "28d"), ("breakdown", "channel")];

/// Panels without data here, and why.
const EMPTY: [(&str, &str); 4] = [
    ("Against their own past", "needs three days"),
    ("Spill", "only with Kafka"),
    ("Records in the spill", "only with Kafka"),
    ("Age of the oldest record in the spill", "only with Kafka"),
];

const DAY_MS: i64 = 86_400_000;

struct Shop {
    program: Program,
    prometheus: Prometheus,
}

impl Shop {
    /// The shop with its clickstream moved to now, and visitors who come while it is watched.
    fn open() -> Self {
        let program = Program::start("examples/shop/tracking-plan.toml");
        let import = program.import("examples/shop/clickstream.csv.gz", &["--time-shift-to-now"]);
        assert!(import.ok, "{}", import.err);
        let prometheus = Prometheus::start(&program.admin);
        program.until("Prometheus is ready", |_| prometheus.is_ready());
        program.until("a scrape and its rules", |_| !prometheus.now("rungs:funnel_visitors:sum").is_empty());
        Self { program, prometheus }
    }

    /// One visitor looks and one event is wrong.
    fn visit(&self, number: usize) {
        let good = json!({"event": "product_view", "anonymousId": format!("visitor-{number}"), "properties": {"channel": "email"}});
        let wrong = json!({"event": "", "anonymousId": "wrong"});
        let body = json!({"batch": [good, wrong], "writeKey": "wk_shop_demo"});
        assert_eq!(prometheus::post(&format!("{}/v1/batch", self.program.collector), body.to_string()), 200);
    }

    /// Values of a dashboard's variables, each chosen with those before it.
    fn choose(&self, dashboard: &Dashboard, range: &Range) -> BTreeMap<String, String> {
        let mut chosen = BTreeMap::new();
        for (name, query) in dashboard.variables() {
            let values = match range.fill(&query, &chosen) {
                Query::LabelValues { series, label } => self.prometheus.label_values(&series, &label),
                Query::Sql(sql) => self.first_column(&sql),
                other => panic!("{name}: {other:?}"),
            };
            let wanted = CHOICES.iter().find(|(known, _)| *known == name).unwrap().1;
            assert!(values.iter().any(|value| value == wanted), "{name}: {values:?}");
            chosen.insert(name, wanted.to_owned());
        }
        chosen
    }

    fn first_column(&self, sql: &str) -> Vec<String> {
        let rows = self.sql(sql);
        rows.iter()
            .map(|row| row.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned())
            .collect()
    }

    fn sql(&self, sql: &str) -> Vec<Value> {
        self.program.rows(sql)
    }

    /// How many rows or samples a query gives; it must not fail.
    fn ask(&self, query: &Query, range: &Range) -> usize {
        match query {
            Query::Sql(sql) => self.sql(sql).len(),
            Query::Now(expr) => self.prometheus.now(expr).len(),
            Query::OverTime(expr) => self.prometheus.over_time(expr, range.from_ms, range.to_ms),
            Query::LabelValues { series, label } => self.prometheus.label_values(series, label).len(),
        }
    }

    /// What the last look at a dashboard found wrong: queries without data.
    fn without_data(&self, dashboard: &Dashboard) -> Vec<String> {
        let range = Range::last(10 * 60_000);
        let chosen = self.choose(dashboard, &Range::last(DAY_MS));
        let mut missing = Vec::new();
        for (panel, queries) in dashboard.panels() {
            let may_be_empty = EMPTY.iter().any(|(title, _)| *title == panel);
            for query in queries {
                // What Prometheus has begins with the test, ClickHouse's history with the clickstream.
                let range = if matches!(query, Query::Sql(_)) { Range::last(DAY_MS) } else { range };
                let query = range.fill(&query, &chosen);
                if self.ask(&query, &range) == 0 && !may_be_empty {
                    missing.push(format!("{}, {panel}: {query:?}", dashboard.file));
                }
            }
        }
        for query in dashboard.annotations() {
            // There may be nothing to tell, but asking must not fail.
            self.ask(&range.fill(&query, &chosen), &range);
        }
        missing
    }
}

#[test]
fn every_panel_of_every_dashboard_has_data_and_the_ladder_is_the_consoles() {
    let shop = Shop::open();
    every_panel_has_data(&shop);
    every_rule_is_healthy(&shop);
    every_example_of_the_docs_is_understood(&shop);
    the_ladder_is_the_consoles(&shop);
    the_history_is_the_consoles(&shop);
}

fn every_panel_has_data(shop: &Shop) {
    let mut visits = 0..;
    let dashboards = Dashboard::all();
    assert!(dashboards.len() >= 5);
    let missing = || dashboards.iter().flat_map(|dashboard| shop.without_data(dashboard)).collect::<Vec<_>>();
    let visits = std::cell::RefCell::new(&mut visits);
    let seen = std::cell::RefCell::new(Vec::new());
    shop.program.until_or(
        || seen.borrow().join("\n"),
        |_| {
            shop.visit(visits.borrow_mut().next().unwrap());
            *seen.borrow_mut() = missing();
            seen.borrow().is_empty()
        },
    );
}

fn every_rule_is_healthy(shop: &Shop) {
    shop.program.until("every rule was evaluated", |_| {
        shop.prometheus.rules().iter().all(|rule| rule["health"] != "unknown")
    });
    for rule in shop.prometheus.rules() {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert_ne!(rule["state"], "firing", "{rule}");
    }
    assert!(shop.prometheus.rules().len() > 30);
}

/// Examples are divided by empty lines; whether there is something to tell depends.
fn every_example_of_the_docs_is_understood(shop: &Shop) {
    let mut examples = 0;
    for doc in ["docs/metrics.md", "docs/observability.md"] {
        let text = std::fs::read_to_string(program::root().join(doc)).unwrap();
        let blocks = text.split("```promql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        for expr in blocks.flat_map(|block| block.split("\n\n")) {
            shop.prometheus.now(expr);
            examples += 1;
        }
    }
    assert!(examples > 30);
}

/// The first query of the table names the steps; the others are its columns.
fn the_ladder_is_the_consoles(shop: &Shop) {
    // Column and field of the console's answer.
    const COLUMNS: [(&str, &str); 7] = [
        ("rungs:funnel_visitors:sum", "visitors"),
        ("rungs:funnel_momentum:ratio", "from_previous"),
        ("rungs:funnel_from_first:ratio", "from_first"),
        ("rungs:funnel_offered_visitors:sum", "offered"),
        ("rungs:funnel_ctr:ratio", "ctr"),
        ("rungs:funnel_skipped_visitors:sum", "skipped"),
        ("rungs:funnel_open_visitors:sum", "open"),
    ];
    let dashboard = Dashboard::named("live-ladder.json");
    let range = Range::last(DAY_MS);
    let chosen = shop.choose(&dashboard, &range);
    let queries: Vec<String> = dashboard
        .queries_of("Ladder")
        .iter()
        .map(|query| match range.fill(query, &chosen) {
            Query::Now(expr) => expr,
            other => panic!("{other:?}"),
        })
        .collect();
    let difference = || {
        let live = shop.program.live("shop/purchase", "28d", "channel");
        let mut wrong = Vec::new();
        for (series, field) in COLUMNS {
            let query = queries.iter().find(|query| query.contains(series)).unwrap();
            let found = shop.prometheus.by_label(query, "step");
            for step in live["steps"].as_array().unwrap() {
                let id = step["id"].as_str().unwrap();
                let (found, console) = (found.get(id).copied(), step[field].as_f64());
                // The first step has nothing before it, in both.
                let equal = match (found, console) {
                    (Some(found), Some(console)) => (found - console).abs() < 1e-9,
                    (found, console) => found.is_none() && console.is_none(),
                };
                if !equal {
                    wrong.push(format!("{field} of {id}: {found:?}, the console has {console:?}"));
                }
            }
        }
        wrong
    };
    shop.program.until_or(|| difference().join("\n"), |_| difference().is_empty());
    let steps = shop.prometheus.now(&queries[0]);
    assert_eq!(steps.len(), 5, "{steps:?}");
}

fn the_history_is_the_consoles(shop: &Shop) {
    let dashboard = Dashboard::named("live-ladder.json");
    let range = Range::last(DAY_MS);
    let chosen = shop.choose(&dashboard, &range);
    let sql = |panel: &str, range: &Range| match range.fill(&dashboard.queries_of(panel)[0], &chosen) {
        Query::Sql(sql) => sql,
        other => panic!("{other:?}"),
    };
    let rows = shop.sql(&sql("Visitors", &range));
    let time = rows.last().unwrap()["time"].as_str().unwrap().to_owned();
    let at_ms = ms_of(&time);
    let history: Vec<u64> =
        rows.iter().filter(|row| row["time"] == time.as_str()).map(|row| number(&row["visitors"])).collect();
    let at = at_ms.to_string();
    let live = [("window", "28d"), ("as_of", at.as_str()), ("breakdown", "channel")];
    let (status, live) = shop.program.ask("shop/purchase", "live", &live);
    assert_eq!((status, &history), (200, &program::answers::visitors(&live)), "at {time}");

    let until_then = Range { from_ms: at_ms - DAY_MS, to_ms: at_ms };
    let parts = shop.sql(&sql("Visitors by $breakdown", &until_then));
    for channel in ["email", "organic", "paid_search", "social"] {
        let rows = parts.iter().filter(|row| row["part"] == channel);
        let found: Vec<u64> = rows.map(|row| number(&row["visitors"])).collect();
        assert_eq!(found, visitors_of(&live, channel), "{channel} at {time}");
    }
}

/// UTC milliseconds of ClickHouse's text.
fn ms_of(time: &str) -> i64 {
    let at: jiff::civil::DateTime = time.replace(' ', "T").parse().unwrap();
    let ms = at.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_millisecond();
    assert!(ms <= now_ms());
    ms
}

/// ClickHouse writes 64-bit numbers as text.
fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap()
}

//! Grafana dashboards as code: [`all`] gives every dashboard as JSON, by file name. `cargo run -p observability` writes
//! them to `observability/grafana/dashboards`, where Grafana's provisioning reads them; a test holds both equal.
//!
//! A dashboard is a file here: its variables, rows and panels in the order in which people see them. Prometheus panels read
//! the recorded series of `observability/prometheus/rules`, which have a gap where numbers are not whole. SQL panels use
//! only `${__from}`, `${__to}` and the dashboard's variables, so that a test can run each query as Grafana would.

mod aggregator;
mod all_ladders;
mod channels;
mod collector;
mod dashboard;
mod live_ladder;
mod panel;
mod processes;

use serde_json::Value;

/// Every dashboard: file name and content.
pub fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("live-ladder.json", live_ladder::dashboard()),
        ("all-ladders.json", all_ladders::dashboard()),
        ("channels.json", channels::dashboard()),
        ("collector.json", collector::dashboard()),
        ("aggregator.json", aggregator::dashboard()),
    ]
}

/// As a file holds it: indented, keys in order, a line's end at the end.
pub fn text(dashboard: &Value) -> String {
    format!("{dashboard:#}\n")
}

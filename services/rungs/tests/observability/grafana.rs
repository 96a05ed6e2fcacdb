//! The dashboards as Grafana reads them: variables, panels, annotations, and queries with the variables filled in.

use std::collections::BTreeMap;

use runtime::now_ms;
use serde_json::Value;

use super::program::root;

/// A dashboard's file.
pub(crate) struct Dashboard {
    pub(crate) file: String,
    json: Value,
}

/// What a panel or a variable asks.
#[derive(Debug, Clone)]
pub(crate) enum Query {
    Sql(String),
    /// PromQL at one time.
    Now(String),
    /// PromQL over a range.
    OverTime(String),
    /// `label_values(series, label)`.
    LabelValues {
        series: String,
        label: String,
    },
}

/// A time range, UTC milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
}

impl Dashboard {
    /// Every one of `observability/grafana/dashboards`.
    pub(crate) fn all() -> Vec<Self> {
        let folder = std::fs::read_dir(root().join("observability/grafana/dashboards")).unwrap();
        let mut dashboards: Vec<Self> = folder
            .map(|entry| {
                let path = entry.unwrap().path();
                let json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
                Self { file: path.file_name().unwrap().to_str().unwrap().to_owned(), json }
            })
            .collect();
        dashboards.sort_by(|a, b| a.file.cmp(&b.file));
        dashboards
    }

    pub(crate) fn named(file: &str) -> Self {
        Self::all().into_iter().find(|dashboard| dashboard.file == file).unwrap()
    }

    /// Variables with a query, in order.
    pub(crate) fn variables(&self) -> Vec<(String, Query)> {
        let list = self.json["templating"]["list"].as_array().unwrap().iter();
        list.filter(|variable| variable["type"] == "query")
            .map(|variable| {
                let name = variable["name"].as_str().unwrap().to_owned();
                let query = match variable["query"].as_str() {
                    Some(sql) => Query::Sql(sql.to_owned()),
                    None => label_values(variable["query"]["query"].as_str().unwrap()),
                };
                (name, query)
            })
            .collect()
    }

    /// Panels with their titles and queries.
    pub(crate) fn panels(&self) -> Vec<(String, Vec<Query>)> {
        let panels = self.json["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
        panels
            .map(|panel| {
                let queries: Vec<Query> = panel["targets"].as_array().unwrap().iter().map(query_of).collect();
                assert!(!queries.is_empty(), "{} asks nothing", panel["title"]);
                (panel["title"].as_str().unwrap().to_owned(), queries)
            })
            .collect()
    }

    pub(crate) fn queries_of(&self, title: &str) -> Vec<Query> {
        self.panels().into_iter().find(|(found, _)| found == title).unwrap().1
    }

    pub(crate) fn annotations(&self) -> Vec<Query> {
        let list = self.json["annotations"]["list"].as_array().unwrap().iter();
        list.map(|annotation| query_of(&annotation["target"])).collect()
    }
}

fn query_of(target: &Value) -> Query {
    let text = |name: &str| target[name].as_str().map(str::to_owned);
    match (text("rawSql"), text("expr")) {
        (Some(sql), None) => Query::Sql(sql),
        (None, Some(expr)) if target["instant"] == true => Query::Now(expr),
        (None, Some(expr)) => Query::OverTime(expr),
        other => panic!("{other:?} in {target}"),
    }
}

fn label_values(query: &str) -> Query {
    let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
    let (series, label) = inside.rsplit_once(", ").unwrap();
    Query::LabelValues { series: series.to_owned(), label: label.to_owned() }
}

impl Range {
    /// The last so many milliseconds.
    pub(crate) fn last(ms: i64) -> Self {
        let now = now_ms();
        Self { from_ms: now - ms, to_ms: now }
    }

    /// The query with every variable filled in, as Grafana does.
    pub(crate) fn fill(&self, query: &Query, chosen: &BTreeMap<String, String>) -> Query {
        let fill = |text: &str| self.fill_text(text, chosen);
        match query {
            Query::Sql(sql) => Query::Sql(fill(sql)),
            Query::Now(expr) => Query::Now(fill(expr)),
            Query::OverTime(expr) => Query::OverTime(fill(expr)),
            Query::LabelValues { series, label } => {
                Query::LabelValues { series: fill(series), label: label.clone() }
            }
        }
    }

    fn fill_text(&self, text: &str, chosen: &BTreeMap<String, String>) -> String {
        let mut text = text
            .replace("${__from}", &self.from_ms.to_string())
            .replace("${__to}", &self.to_ms.to_string())
            // Four times as long as a scrape, at least.
            .replace("$__rate_interval", "10s");
        for (name, value) in chosen {
            text =
                text.replace(&format!("${{{name}:sqlstring}}"), &format!("'{}'", value.replace('\'', "''")));
            text = text.replace(&format!("${name}"), value);
        }
        assert!(!text.contains('$'), "a variable is left: {text}");
        text
    }
}

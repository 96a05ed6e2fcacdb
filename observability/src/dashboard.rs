//! A dashboard: its variables and annotations, and panels that flow into rows of 24 columns.

use serde_json::{Value, json};

use crate::panel::{Panel, clickhouse, prometheus};

/// Grafana's width.
const COLUMNS: u32 = 24;

/// A dashboard in the making.
pub(crate) struct Dashboard {
    uid: &'static str,
    title: &'static str,
    about: &'static str,
    variables: Vec<Value>,
    annotations: Vec<Value>,
    panels: Vec<Value>,
    /// Where the next panel goes, and the height of what is left of it.
    place: (u32, u32, u32),
}

impl Dashboard {
    /// One with the two data sources to choose, and without panels.
    pub(crate) fn new(uid: &'static str, title: &'static str, about: &'static str) -> Self {
        let variables = vec![
            source("prometheus", "Prometheus", "prometheus", "rungs-prometheus"),
            source("clickhouse", "ClickHouse", "grafana-clickhouse-datasource", "rungs-clickhouse"),
        ];
        let gap = prometheus_annotation("absent(rungs:numbers:whole)", "Numbers had a gap", "");
        let firing = "ALERTS{alertname=~\"Rungs.*\",alertstate=\"firing\"}";
        let firing =
            prometheus_annotation(firing, "{{alertname}}", "{{site}} {{funnel}} {{step}} {{instance}}");
        let annotations = vec![
            annotation("Numbers had a gap", "orange", prometheus(), gap),
            annotation("Alerts", "red", prometheus(), firing),
        ];
        Self { uid, title, about, variables, annotations, panels: Vec::new(), place: (0, 0, 0) }
    }

    /// A variable whose values Prometheus knows: `label_values(…)`.
    pub(crate) fn prometheus_variable(mut self, name: &str, label: &str, query: &str) -> Self {
        let value = json!({
            "type": "query", "name": name, "label": label, "datasource": prometheus(),
            "query": {"query": query, "refId": name, "qryType": 1},
            "refresh": 2, "sort": 1, "hide": 0, "skipUrlSync": false, "multi": false, "includeAll": false,
            "regex": "", "options": [],
        });
        self.variables.push(value);
        self
    }

    /// A variable whose values ClickHouse knows: one column.
    pub(crate) fn clickhouse_variable(mut self, name: &str, label: &str, sql: &str) -> Self {
        let value = json!({
            "type": "query", "name": name, "label": label, "datasource": clickhouse(),
            "query": sql,
            "refresh": 2, "sort": 1, "hide": 0, "skipUrlSync": false, "multi": false, "includeAll": false,
            "regex": "", "options": [],
        });
        self.variables.push(value);
        self
    }

    /// Marks on every panel's time axis, from rows of `time`, `text`.
    pub(crate) fn sql_annotation(mut self, name: &str, color: &str, sql: &str) -> Self {
        let target = json!({
            "refId": "Anno", "editorType": "sql", "queryType": "table", "format": 1, "rawSql": sql, "datasource": clickhouse(),
        });
        self.annotations.push(annotation(name, color, clickhouse(), json!({"target": target})));
        self
    }

    /// Begins a row with a heading.
    pub(crate) fn row(mut self, title: &str) -> Self {
        self.break_line();
        let grid = json!({"h": 1, "w": COLUMNS, "x": 0, "y": self.place.1});
        let id = self.panels.len() + 1;
        self.panels.push(json!({"type": "row", "id": id, "title": title, "collapsed": false, "panels": [], "gridPos": grid}));
        self.place.1 += 1;
        self
    }

    /// A panel of so many columns and lines beside the last one, or below where it does not fit.
    pub(crate) fn add(mut self, width: u32, height: u32, panel: Panel) -> Self {
        if self.place.0 + width > COLUMNS {
            self.break_line();
        }
        let (x, y, tallest) = self.place;
        let id = self.panels.len() + 1;
        self.panels.push(panel.at(id, json!({"h": height, "w": width, "x": x, "y": y})));
        self.place = (x + width, y, tallest.max(height));
        self
    }

    fn break_line(&mut self) {
        self.place = (0, self.place.1 + self.place.2, 0);
    }

    /// The JSON that Grafana reads.
    pub(crate) fn json(self) -> Value {
        json!({
            "uid": self.uid, "title": self.title, "description": self.about, "tags": ["rungs"],
            "schemaVersion": 39, "version": 1, "editable": true, "graphTooltip": 1, "fiscalYearStartMonth": 0,
            "timezone": "browser", "weekStart": "", "refresh": "10s", "liveNow": false,
            "time": {"from": "now-24h", "to": "now"},
            "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m", "15m", "1h"]},
            "templating": {"list": self.variables},
            "annotations": {"list": self.annotations},
            "links": [{
                "type": "dashboards", "title": "Rungs", "tags": ["rungs"], "asDropdown": true, "includeVars": true,
                "keepTime": true, "targetBlank": false, "icon": "external link", "tooltip": "", "url": "",
            }],
            "panels": self.panels,
        })
    }
}

fn source(name: &str, label: &str, plugin: &str, preset: &str) -> Value {
    json!({
        "type": "datasource", "name": name, "label": label, "query": plugin, "current": {"text": preset, "value": preset},
        "refresh": 1, "hide": 0, "skipUrlSync": false, "multi": false, "includeAll": false, "regex": "", "options": [],
    })
}

fn prometheus_annotation(expr: &str, title: &str, text: &str) -> Value {
    let target = json!({"refId": "Anno", "expr": expr, "interval": "60s"});
    json!({"target": target, "titleFormat": title, "textFormat": text})
}

fn annotation(name: &str, color: &str, source: Value, how: Value) -> Value {
    let mut annotation =
        json!({"name": name, "datasource": source, "enable": true, "hide": false, "iconColor": color});
    if let (Some(all), Value::Object(how)) = (annotation.as_object_mut(), how) {
        all.extend(how);
    }
    annotation
}

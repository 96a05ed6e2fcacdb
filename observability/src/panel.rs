//! A panel: what it shows, of which queries, in which unit.

use serde_json::{Map, Value, json};

/// The chosen Prometheus.
pub(crate) fn prometheus() -> Value {
    json!({"type": "prometheus", "uid": "${prometheus}"})
}

/// The chosen ClickHouse.
pub(crate) fn clickhouse() -> Value {
    json!({"type": "grafana-clickhouse-datasource", "uid": "${clickhouse}"})
}

/// A panel in the making.
pub(crate) struct Panel {
    kind: &'static str,
    title: &'static str,
    about: String,
    source: Value,
    targets: Vec<Value>,
    defaults: Map<String, Value>,
    overrides: Vec<Value>,
    options: Value,
    transformations: Vec<Value>,
}

impl Panel {
    fn new(kind: &'static str, title: &'static str, about: &str, options: Value) -> Self {
        Self {
            kind,
            title,
            about: about.to_owned(),
            source: prometheus(),
            targets: Vec::new(),
            defaults: Map::new(),
            overrides: Vec::new(),
            options,
            transformations: Vec::new(),
        }
    }

    /// Lines over time.
    pub(crate) fn lines(title: &'static str, about: &str) -> Self {
        let legend = json!({"displayMode": "table", "placement": "right", "showLegend": true, "calcs": ["lastNotNull"]});
        let tooltip = json!({"mode": "multi", "sort": "none"});
        let mut panel = Self::new("timeseries", title, about, json!({"legend": legend, "tooltip": tooltip}));
        // A gap is a gap.
        let custom = json!({"drawStyle": "line", "lineWidth": 2, "fillOpacity": 0, "showPoints": "never", "spanNulls": false});
        panel.defaults.insert("custom".to_owned(), custom);
        panel
    }

    /// One number.
    pub(crate) fn number(title: &'static str, about: &'static str) -> Self {
        let reduce = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
        let options = json!({"reduceOptions": reduce, "colorMode": "value", "graphMode": "area", "justifyMode": "auto",
            "orientation": "auto", "textMode": "auto"});
        Self::new("stat", title, about, options)
    }

    /// A table.
    pub(crate) fn table(title: &'static str, about: &'static str) -> Self {
        Self::new("table", title, about, json!({"showHeader": true, "cellHeight": "sm"}))
    }

    /// A Prometheus query over the time range, with the legend of its series.
    pub(crate) fn over_time(mut self, expr: &str, legend: &str) -> Self {
        let ref_id = self.next_ref();
        self.targets
            .push(json!({"refId": ref_id, "datasource": prometheus(), "editorMode": "code", "expr": expr,
            "legendFormat": legend, "range": true, "instant": false}));
        self
    }

    /// Median and 99th percentile of a histogram of seconds, over all processes.
    pub(crate) fn quantiles(self, family: &str) -> Self {
        let quantile = |q: &str| {
            format!("histogram_quantile({q}, sum by (le) (rate({family}_bucket[$__rate_interval])))")
        };
        self.over_time(&quantile("0.5"), "median").over_time(&quantile("0.99"), "99 %").unit("s").zero_based()
    }

    /// A Prometheus query at the range's end, as rows.
    pub(crate) fn now(mut self, expr: &str) -> Self {
        let ref_id = self.next_ref();
        self.targets
            .push(json!({"refId": ref_id, "datasource": prometheus(), "editorMode": "code", "expr": expr,
            "format": "table", "range": false, "instant": true}));
        self
    }

    /// Rows from ClickHouse.
    pub(crate) fn rows(self, sql: &str) -> Self {
        self.sql(sql, "table", 1)
    }

    /// Series from ClickHouse: columns `time`, texts that name the series, a number.
    pub(crate) fn series(self, sql: &str) -> Self {
        self.sql(sql, "timeseries", 0)
    }

    fn sql(mut self, sql: &str, kind: &str, format: u8) -> Self {
        self.source = clickhouse();
        let ref_id = self.next_ref();
        self.targets.push(
            json!({"refId": ref_id, "datasource": clickhouse(), "editorType": "sql", "queryType": kind,
            "format": format, "rawSql": sql}),
        );
        self
    }

    /// `A`, `B`, and so on.
    fn next_ref(&self) -> String {
        char::from_u32('A' as u32 + self.targets.len() as u32).unwrap_or('Z').to_string()
    }

    /// Grafana's unit: `percentunit`, `s`, `bytes`, `reqps`, `short`.
    pub(crate) fn unit(self, unit: &str) -> Self {
        self.default("unit", json!(unit))
    }

    /// The axis or gauge begins at 0.
    pub(crate) fn zero_based(self) -> Self {
        self.default("min", json!(0))
    }

    /// Green below the first of these values, then the colours.
    pub(crate) fn thresholds(self, steps: &[(f64, &str)]) -> Self {
        let first = json!({"color": "green", "value": null});
        let steps = steps.iter().map(|(value, color)| json!({"color": color, "value": value}));
        let steps: Vec<Value> = std::iter::once(first).chain(steps).collect();
        self.default("thresholds", json!({"mode": "absolute", "steps": steps}))
    }

    fn default(mut self, name: &str, value: Value) -> Self {
        self.defaults.insert(name.to_owned(), value);
        self
    }

    /// Properties of one column.
    pub(crate) fn column(mut self, name: &str, properties: &[(&str, Value)]) -> Self {
        let properties: Vec<Value> =
            properties.iter().map(|(id, value)| json!({"id": id, "value": value})).collect();
        self.overrides.push(json!({"matcher": {"id": "byName", "options": name}, "properties": properties}));
        self
    }

    /// Columns of shares.
    pub(crate) fn shares(self, names: &[&str]) -> Self {
        names.iter().fold(self, |panel, name| {
            panel.column(name, &[("unit", json!("percentunit")), ("decimals", json!(1))])
        })
    }

    /// Columns of durations.
    pub(crate) fn seconds(self, names: &[&str]) -> Self {
        names.iter().fold(self, |panel, name| panel.column(name, &[("unit", json!("s"))]))
    }

    /// Columns of counts with a bar behind the number.
    pub(crate) fn bars(self, names: &[&str]) -> Self {
        let cell = json!({"type": "gauge", "mode": "basic", "valueDisplayMode": "text"});
        names.iter().fold(self, |panel, name| {
            panel.column(name, &[("custom.cellOptions", cell.clone()), ("min", json!(0))])
        })
    }

    /// What Grafana does with the rows before it shows them.
    pub(crate) fn transform(mut self, id: &str, options: Value) -> Self {
        self.transformations.push(json!({"id": id, "options": options}));
        self
    }

    /// Joins the rows of several instant queries, and shows these columns in this order: name in the result, title.
    pub(crate) fn joined(self, columns: &[(&str, &str)], hidden: &[&str]) -> Self {
        let order: Map<String, Value> =
            columns.iter().zip(0..).map(|((name, _), at)| ((*name).to_owned(), json!(at))).collect();
        let titles: Map<String, Value> =
            columns.iter().map(|(name, title)| ((*name).to_owned(), json!(title))).collect();
        let hidden: Map<String, Value> =
            hidden.iter().map(|name| ((*name).to_owned(), json!(true))).collect();
        self.transform(
            "organize",
            json!({"excludeByName": hidden, "includeByName": {}, "indexByName": order, "renameByName": titles}),
        )
    }

    /// The JSON, at a place.
    pub(crate) fn at(self, id: usize, grid: Value) -> Value {
        json!({
            "type": self.kind, "id": id, "title": self.title, "description": self.about, "datasource": self.source,
            "gridPos": grid, "targets": self.targets, "options": self.options, "transformations": self.transformations,
            "fieldConfig": {"defaults": self.defaults, "overrides": self.overrides},
        })
    }
}

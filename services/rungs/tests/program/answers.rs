//! What a running program answers: the console's JSON, the embedded ClickHouse's text. For tests that are not async.

use reqwest::Url;
use serde_json::Value;

use super::Program;

impl Program {
    /// What the embedded ClickHouse answers.
    pub(crate) fn clickhouse(&self, sql: &str) -> String {
        let url = Url::parse_with_params(&self.clickhouse, [("database", "rungs"), ("query", sql)]).unwrap();
        let (status, text) = get(url);
        assert_eq!(status, 200, "{sql}\n{text}");
        text.trim().to_owned()
    }

    /// Rows as objects.
    pub(crate) fn rows(&self, sql: &str) -> Vec<Value> {
        let text = self.clickhouse(&format!("{sql} FORMAT JSONEachRow"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A funnel's `live` or `report`: the HTTP status and the answer.
    pub(crate) fn ask(&self, funnel: &str, what: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
        let address = format!("{}/api/v1/funnels/{funnel}/{what}", self.console);
        let (status, text) = get(Url::parse_with_params(&address, parameters).unwrap());
        (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    /// The numbers of a window now, where there are any.
    pub(crate) fn live(&self, funnel: &str, window: &str, breakdown: &str) -> Value {
        let (status, answer) = self.ask(funnel, "live", &[("window", window), ("breakdown", breakdown)]);
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Waits until all parts serve: from then on a stop in order leaves nothing to be aggregated.
    pub(crate) fn until_ready(&self) {
        let url = format!("{}/readyz", self.admin);
        self.until("ready", |_| get(url.parse().unwrap()).0 == 200);
    }

    /// The program's own metrics.
    pub(crate) fn metrics(&self) -> String {
        get(format!("{}/metrics", self.admin).parse().unwrap()).1
    }
}

/// The visitors of each step of an answer or of a part of its breakdown.
pub(crate) fn visitors(answer: &Value) -> Vec<u64> {
    let steps = answer["steps"].as_array().unwrap_or_else(|| panic!("{answer}"));
    steps.iter().map(|step| step["visitors"].as_u64().unwrap()).collect()
}

/// The visitors of each step with a breakdown value; none where the value is not there.
pub(crate) fn visitors_of(answer: &Value, value: &str) -> Vec<u64> {
    let parts = answer["breakdown"].as_array().unwrap();
    parts.iter().find(|part| part["value"] == value).map(visitors).unwrap_or_default()
}

fn get(url: Url) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let answer = reqwest::get(url).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    })
}

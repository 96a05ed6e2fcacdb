//! A real Prometheus with the project's rules that scrapes one program every second. Killed when dropped.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use reqwest::Url;
use serde_json::Value;
use tempfile::TempDir;

use super::program::root;

pub(crate) struct Prometheus {
    child: Child,
    /// Its configuration and data.
    _folder: TempDir,
    address: String,
}

impl Prometheus {
    /// Starts it on a port that the system chooses.
    pub(crate) fn start(admin: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = root().join("observability/prometheus/rules/*.yml");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\n\
             scrape_configs: [{{job_name: rungs, static_configs: [{{targets: ['{}']}}]}}]\n",
            rules.display(),
            admin.strip_prefix("http://").unwrap()
        );
        let path = folder.path().join("prometheus.yml");
        std::fs::write(&path, config).unwrap();
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus is not there; scripts/need.sh prometheus says how to get it");
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let address = listening(&mut said);
        // What nobody reads would stop it.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { child, _folder: folder, address }
    }

    /// It listens before it can answer.
    pub(crate) fn is_ready(&self) -> bool {
        wait(async {
            reqwest::get(format!("http://{}/-/ready", self.address)).await.unwrap().status() == 200
        })
    }

    /// Values of a label of some series.
    pub(crate) fn label_values(&self, series: &str, label: &str) -> Vec<String> {
        let data = self.get(&format!("label/{label}/values"), &[("match[]", series)]);
        data.as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    }

    /// Samples at this moment.
    pub(crate) fn now(&self, expr: &str) -> Vec<Value> {
        self.get("query", &[("query", expr)])["result"].as_array().unwrap().clone()
    }

    /// The number of each value of a label.
    pub(crate) fn by_label(&self, expr: &str, label: &str) -> BTreeMap<String, f64> {
        let samples = self.now(expr);
        let number = |sample: &Value| sample["value"][1].as_str().unwrap().parse().unwrap();
        samples
            .iter()
            .map(|sample| (sample["metric"][label].as_str().unwrap().to_owned(), number(sample)))
            .collect()
    }

    /// How many samples that are numbers there are in a range.
    pub(crate) fn over_time(&self, expr: &str, from_ms: i64, to_ms: i64) -> usize {
        let (from, to) = ((from_ms / 1_000).to_string(), (to_ms / 1_000).to_string());
        let data = self.get("query_range", &[("query", expr), ("start", &from), ("end", &to), ("step", "1")]);
        let series = data["result"].as_array().unwrap();
        let samples = series.iter().flat_map(|series| series["values"].as_array().unwrap());
        samples.filter(|sample| sample[1] != "NaN").count()
    }

    /// Every recording and alerting rule.
    pub(crate) fn rules(&self) -> Vec<Value> {
        let data = self.get("rules", &[]);
        let groups = data["groups"].as_array().unwrap();
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    fn get(&self, what: &str, parameters: &[(&str, &str)]) -> Value {
        let url =
            Url::parse_with_params(&format!("http://{}/api/v1/{what}", self.address), parameters).unwrap();
        let answer: Value = wait(async { reqwest::get(url).await.unwrap().json().await.unwrap() });
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
        answer["data"].clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads on until it says where it listens.
fn listening(said: &mut impl BufRead) -> String {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "prometheus ended\n{all}");
        if let Some((_, address)) = line.split_once("\"Listening on\" address=") {
            return address.trim().to_owned();
        }
        all.push_str(&line);
    }
}

/// The status that a body is answered with.
pub(crate) fn post(url: &str, body: String) -> u16 {
    wait(async { reqwest::Client::new().post(url).body(body).send().await.unwrap().status().as_u16() })
}

fn wait<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what)
}

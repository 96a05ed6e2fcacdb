//! Everything that runs in production, each a process of its own on ports of its own: a Kafka, ClickHouse (the embedded
//! one, served by `rungs clickhouse`), a collector, aggregators, a console. All end when the value is dropped.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use event_log::kafka::KafkaSettings;
use kafka_server::{Kafka, Options, PASSWORD, USER};
use reqwest::Url;
use serde_json::Value;
use tempfile::TempDir;

use crate::part::Part;
use crate::program::{Ended, root};
use crate::{load, number};

/// Whatever is waited for comes within this time, or the test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);
/// Services that are frozen do not answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
pub(crate) const PARTITIONS: u32 = 4;

/// Everything is written often, so that faults fall between the writes of a flush.
const SETTINGS: &str = "[aggregator]\nevents_interval = \"100ms\"\njourneys_interval = \"500ms\"\n\
    max_tail_events = 100000\n[logging]\nlevel = \"info\"\n";

/// A broker that was killed is taken back as soon as the controller has given its former life up.
pub(crate) const BROKER: [(&str, &str); 2] =
    [("broker.session.timeout.ms", "2000"), ("broker.heartbeat.interval.ms", "500")];

pub(crate) struct Cluster {
    pub(crate) clickhouse: Part,
    pub(crate) collector: Part,
    pub(crate) console: Part,
    /// By instance.
    pub(crate) aggregators: BTreeMap<u32, Part>,
    pub(crate) kafka: Kafka,
    folder: TempDir,
    secured: bool,
    http: (tokio::runtime::Runtime, reqwest::Client),
}

impl Cluster {
    /// Starts everything with a plan in force and so many aggregators.
    pub(crate) fn start(plan: &str, aggregators: u32) -> Self {
        Self::start_on(&Options::default(), plan, aggregators)
    }

    /// As [`Cluster::start`], all clients of Kafka with TLS and SASL/SCRAM.
    pub(crate) fn start_secured(plan: &str, aggregators: u32) -> Self {
        Self::start_on(&Options { secured: true, ..Options::default() }, plan, aggregators)
    }

    /// As [`Cluster::start`], on several brokers with copies of everything.
    pub(crate) fn start_on_brokers(brokers: usize, plan: &str, aggregators: u32) -> Self {
        Self::start_on(&Options { brokers, ..Options::default() }, plan, aggregators)
    }

    fn start_on(options: &Options, plan: &str, aggregators: u32) -> Self {
        let began = Instant::now();
        let properties = BROKER.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let kafka = Kafka::with(&Options { properties, ..options.clone() });
        let secured = options.secured;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (settings, data) = (path("rungs.toml"), path("data"));
        let (settings, data) = (settings.to_str().unwrap(), data.to_str().unwrap());
        let part = |name: &str, arguments: &[&str], flags: &[&'static str]| {
            let log = path(&format!("{name}.log"));
            Part::new(name, &[&[name][..], arguments].concat(), flags, Vec::new(), log)
        };
        let mut clickhouse = part("clickhouse", &["--data-dir", data], &["--listen"]);
        clickhouse.start();
        let with_data = ["--settings", settings, "--data-dir", data];
        let collector = part("collector", &with_data, &["--listen", "--admin"]);
        let console = part("console", &["--settings", settings], &["--console", "--admin"]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // A connection that ended while the test slept would not be noticed before it is used again.
        let client = reqwest::Client::builder().timeout(ANSWER_LIMIT).pool_max_idle_per_host(0);
        let client = client.build().unwrap();
        let (http, aggregators_wanted) = ((runtime, client), aggregators);
        let aggregators = BTreeMap::new();
        let mut cluster = Self { clickhouse, collector, console, aggregators, kafka, folder, secured, http };
        std::fs::write(settings, cluster.settings()).unwrap();
        cluster.apply(plan);
        cluster.collector.spawn();
        cluster.console.spawn();
        (0..aggregators_wanted).for_each(|instance| cluster.add_aggregator(instance));
        cluster.collector.wait();
        cluster.console.wait();
        cluster.until_ready();
        println!("  started in {:.1} s", began.elapsed().as_secs_f64());
        cluster
    }

    fn settings(&self) -> String {
        let kafka = self.kafka_settings();
        let mut text = format!(
            "{SETTINGS}[clickhouse]\nurl = \"http://{}\"\n[kafka]\nbrokers = \"{}\"\npartitions = {PARTITIONS}\n\
             replication = {}\n",
            self.clickhouse.address("--listen"),
            kafka.brokers.unwrap_or_default(),
            kafka.replication,
        );
        if let Some(ca_file) = kafka.ca_file {
            text += &format!("username = \"{USER}\"\npassword = \"{PASSWORD}\"\nca_file = {ca_file:?}\n");
        }
        text
    }

    /// Replaces a part of the settings; a service reads them at its next start.
    pub(crate) fn change_settings(&self, from: &str, to: &str) {
        let path = self.folder.path().join("rungs.toml");
        let before = std::fs::read_to_string(&path).unwrap();
        assert!(before.contains(from), "{before}");
        std::fs::write(path, before.replace(from, to)).unwrap();
    }

    /// Kafka as the test reaches it.
    pub(crate) fn kafka_settings(&self) -> KafkaSettings {
        let mut settings = KafkaSettings::new(self.kafka.bootstrap());
        (settings.partitions, settings.replication) = (PARTITIONS, self.kafka.brokers().min(3) as u32);
        if self.secured {
            settings.brokers = Some(self.kafka.secure_bootstrap());
            (settings.username, settings.password) = (Some(USER.to_owned()), Some(PASSWORD.to_owned()));
            settings.ca_file = Some(self.kafka.ca_file());
        }
        settings
    }

    /// Gives the aggregators the state of as many visitors as `RUNGS_FAULT_VISITORS` says, in ClickHouse and in memory; how
    /// many events that took.
    pub(crate) fn load_visitors(&mut self) -> usize {
        let (count, began) = (number("RUNGS_FAULT_VISITORS", 2_000), Instant::now());
        load::visitors(self.collector.address("--listen"), count as usize);
        let stored = |cluster: &Self| -> u64 {
            cluster.clickhouse("SELECT count() FROM events").and_then(|rows| rows.parse().ok()).unwrap_or(0)
        };
        let mut known = 0;
        while known < count {
            self.until("more of the visitors are stored", |cluster| stored(cluster) > known);
            known = stored(self);
        }
        self.until("all of them are counted", |cluster| {
            cluster.sum("rungs_aggregator_lag_records", &[]) == Some(0.0)
        });
        println!("  {count} visitors of state loaded in {:.1} s", began.elapsed().as_secs_f64());
        count as usize
    }

    /// Another aggregator, or one that was stopped, as the same member of its group. Does not wait for it.
    pub(crate) fn add_aggregator(&mut self, instance: u32) {
        let settings = self.folder.path().join("rungs.toml");
        let log = self.folder.path().join(format!("aggregator-{instance}.log"));
        let arguments = ["aggregator", "--settings", settings.to_str().unwrap()];
        let name = format!("aggregator-{instance}");
        let environment = vec![("RUNGS_KAFKA__INSTANCE_ID", name.clone())];
        let new = || Part::new(&name, &arguments, &["--admin"], environment, log);
        self.aggregators.entry(instance).or_insert_with(new).start();
    }

    /// Ends an aggregator in order and forgets it.
    pub(crate) fn remove_aggregator(&mut self, instance: u32) {
        let mut part = self.aggregators.remove(&instance).unwrap();
        assert_eq!(part.stop(), Some(0), "{}", part.tail());
    }

    /// Runs a `rungs` command.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rungs"));
        command.current_dir(root()).env("XDG_STATE_HOME", self.folder.path().join("state"));
        command.args(arguments);
        Ended::of(command)
    }

    /// Puts a plan in force.
    pub(crate) fn apply(&self, plan: &str) {
        let (file, settings) = (self.folder.path().join("plan.toml"), self.folder.path().join("rungs.toml"));
        std::fs::write(&file, plan).unwrap();
        let (file, settings) = (file.to_str().unwrap(), settings.to_str().unwrap());
        let applied = self.run(&["plan", "apply", file, "--settings", settings]);
        assert!(applied.ok, "{}{}", applied.out, applied.err);
    }

    /// A GET; none if there is no answer.
    pub(crate) fn get(&self, url: Url) -> Option<(u16, String)> {
        let (runtime, client) = &self.http;
        runtime.block_on(async {
            let answer = client.get(url).send().await.ok()?;
            Some((answer.status().as_u16(), answer.text().await.ok()?))
        })
    }

    /// The status that a POST is answered with.
    pub(crate) fn post(&self, url: &str, body: &str) -> Option<u16> {
        let (runtime, client) = &self.http;
        runtime.block_on(async {
            let answer = client.post(url).body(body.to_owned()).send().await.ok()?;
            Some(answer.status().as_u16())
        })
    }

    /// A service's metrics; none if it does not answer.
    pub(crate) fn metrics(&self, part: &Part) -> Option<String> {
        let url = format!("http://{}/metrics", part.address("--admin"));
        self.get(url.parse().unwrap()).filter(|(status, _)| *status == 200).map(|(_, text)| text)
    }

    /// The sum of a metric's series that have all of `labels`, over all aggregators that run.
    pub(crate) fn sum(&self, metric: &str, labels: &[&str]) -> Option<f64> {
        let texts: Option<Vec<String>> = self.aggregators.values().map(|part| self.metrics(part)).collect();
        Some(texts?.iter().map(|text| value(text, metric, labels)).sum())
    }

    /// What ClickHouse answers to a statement.
    pub(crate) fn clickhouse(&self, sql: &str) -> Option<String> {
        let address = format!("http://{}/", self.clickhouse.address("--listen"));
        let url = Url::parse_with_params(&address, [("database", "rungs"), ("query", sql)]).unwrap();
        let (status, text) = self.get(url)?;
        assert!(status == 200 || status >= 500, "{sql}\n{text}");
        (status == 200).then(|| text.trim().to_owned())
    }

    /// A funnel's `live`: the HTTP status and the answer.
    pub(crate) fn live(&self, funnel: &str, parameters: &[(&str, &str)]) -> Option<(u16, Value)> {
        let address = format!("http://{}/api/v1/funnels/{funnel}/live", self.console.address("--console"));
        let (status, text) = self.get(Url::parse_with_params(&address, parameters).unwrap())?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// Until every service says that it is ready and all partitions are served.
    pub(crate) fn until_ready(&mut self) {
        self.until("all services are ready and all partitions live", |cluster| {
            let parts = cluster.aggregators.values().chain([&cluster.collector, &cluster.console]);
            let urls = parts.map(|part| format!("http://{}/readyz", part.address("--admin")));
            let urls: Vec<String> = urls.collect();
            let ready = |url: &String| matches!(cluster.get(url.parse().unwrap()), Some((200, _)));
            urls.iter().all(ready) && cluster.all_live()
        });
    }

    /// Whether all partitions are served and counted, each by one aggregator.
    pub(crate) fn all_live(&self) -> bool {
        let live = self.sum("rungs_aggregator_partitions", &["state=\"live\""]);
        live == Some(f64::from(PARTITIONS))
    }

    /// Waits until something holds; how long it took.
    pub(crate) fn until(&mut self, what: &str, holds: impl FnMut(&mut Self) -> bool) -> Duration {
        self.until_or(|_| what.to_owned(), holds)
    }

    /// As [`Cluster::until`]; what is wrong is told at the end only.
    pub(crate) fn until_or(
        &mut self,
        what: impl Fn(&mut Self) -> String,
        mut holds: impl FnMut(&mut Self) -> bool,
    ) -> Duration {
        let began = Instant::now();
        while !holds(self) {
            if began.elapsed() > LIMIT {
                let what = what(self);
                panic!("not within {} s: {what}\n{}", LIMIT.as_secs(), self.tails());
            }
            std::thread::sleep(LOOK);
        }
        began.elapsed()
    }

    /// The ends of all logs.
    pub(crate) fn tails(&self) -> String {
        let parts = [&self.clickhouse, &self.collector, &self.console].into_iter();
        parts.chain(self.aggregators.values()).map(Part::tail).collect()
    }

    /// Ends everything in order; every service says that it ended well.
    pub(crate) fn stop(mut self) {
        let mut codes = vec![self.collector.stop(), self.console.stop()];
        codes.extend(self.aggregators.values_mut().map(Part::stop));
        codes.push(self.clickhouse.stop());
        assert!(codes.iter().all(|code| *code == Some(0)), "{codes:?}\n{}", self.tails());
    }
}

/// The sum of a metric's series that have all of `labels` (`name="value"`), in a text of `/metrics`.
pub(crate) fn value(text: &str, metric: &str, labels: &[&str]) -> f64 {
    let series = text.lines().filter(|line| {
        line.strip_prefix(metric).is_some_and(|rest| {
            rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label))
        })
    });
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

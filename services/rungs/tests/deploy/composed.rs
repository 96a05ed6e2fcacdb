//! What docker-compose.yml describes, without containers: a real Kafka with the broker's settings, the embedded
//! ClickHouse in place of the server, and each service of ours a process with its own arguments, environment, order and
//! health check. What is different is where things are: `service:port` and `0.0.0.0:port` become ports of this machine,
//! a volume a folder.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use kafka_server::{Kafka, Options};
use serde_json::Value;
use tempfile::TempDir;

use crate::compose::{container, is_ours, services};
use crate::part::Part;
use crate::program::{Ended, root};
use crate::tools::{compose, list, text};

/// Whatever is waited for comes within this time, or the test fails.
const LIMIT: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(100);
/// Where a broker is and which part of a cluster it is, which the test's own broker decides for itself.
const OF_THE_PLACE: [&str; 9] = [
    "advertised.listeners",
    "controller.listener.names",
    "controller.quorum.voters",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "listeners",
    "log.dirs",
    "node.id",
    "process.roles",
];

pub(crate) struct Composed {
    pub(crate) services: BTreeMap<String, Value>,
    /// `service:port` as containers say it, and the same on this machine.
    addresses: BTreeMap<String, String>,
    parts: BTreeMap<String, Part>,
    _kafka: Kafka,
    _clickhouse: Part,
    folder: TempDir,
}

/// The broker's own settings, from its variables as its image reads them.
fn broker(service: &Value) -> Vec<(String, String)> {
    let variables = service["environment"].as_object().unwrap().iter();
    let properties = variables.filter_map(|(name, value)| {
        let property = name.strip_prefix("KAFKA_")?.to_ascii_lowercase().replace('_', ".");
        Some((property, value.as_str().unwrap().to_owned()))
    });
    properties.filter(|(property, _)| !OF_THE_PLACE.contains(&property.as_str())).collect()
}

impl Composed {
    /// Starts Kafka and ClickHouse; the services come with [`Composed::up`].
    pub(crate) fn prepare() -> Self {
        let services = services(&compose());
        let folder = tempfile::tempdir().unwrap();
        let kafka = Kafka::with(&Options { properties: broker(&services["kafka"]), ..Options::default() });
        let data = folder.path().join("clickhouse");
        let arguments = ["clickhouse", "--data-dir", data.to_str().unwrap()];
        let log = folder.path().join("clickhouse.log");
        let mut clickhouse = Part::new("clickhouse", &arguments, &["--listen"], Vec::new(), log);
        clickhouse.start();
        let advertised = text(&services["kafka"], "/environment/KAFKA_ADVERTISED_LISTENERS");
        let advertised = advertised.strip_prefix("PLAINTEXT://").unwrap();
        let clickhouse_port = &list(&services["clickhouse"], "/ports")[0]["target"];
        let mut addresses = BTreeMap::from([
            (advertised.to_owned(), kafka.bootstrap()),
            (format!("clickhouse:{clickhouse_port}"), clickhouse.address("--listen").to_owned()),
        ]);
        // Held together, so that no two are the same.
        let mut held = Vec::new();
        for (name, service) in services.iter().filter(|(_, service)| is_ours(service)) {
            let listens = container(name, service).listens();
            for address in [listens.http, listens.admin].into_iter().flatten() {
                let free = TcpListener::bind("127.0.0.1:0").unwrap();
                addresses
                    .insert(format!("{name}:{}", address.port()), free.local_addr().unwrap().to_string());
                held.push(free);
            }
        }
        drop(held);
        Self { services, addresses, parts: BTreeMap::new(), _kafka: kafka, _clickhouse: clickhouse, folder }
    }

    /// Where a container's `service:port` is on this machine.
    pub(crate) fn address(&self, service: &str, port: u64) -> &str {
        &self.addresses[&format!("{service}:{port}")]
    }

    /// A word of a service's description, as it is on this machine.
    fn here(&self, service: &str, word: &str) -> String {
        // Those who listen nowhere (a plan is applied) may say so all the same.
        let mut word = match word.strip_prefix("0.0.0.0:") {
            Some(port) if self.addresses.contains_key(&format!("{service}:{port}")) => {
                format!("{service}:{port}")
            }
            _ => word.to_owned(),
        };
        for (there, here) in &self.addresses {
            word = word.replace(there, here);
        }
        for volume in list(&self.services[service], "/volumes") {
            let source = match text(volume, "/type") {
                "bind" => text(volume, "/source").to_owned(),
                _ => self.folder.path().join(text(volume, "/source")).display().to_string(),
            };
            word = word.replace(text(volume, "/target"), &source);
        }
        word
    }

    /// The process of a service, not started.
    fn part(&self, service: &str) -> Part {
        let container = container(service, &self.services[service]);
        let arguments: Vec<String> =
            container.arguments.iter().map(|word| self.here(service, word)).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment = container.environment.iter();
        let environment = environment.map(|(key, value)| (&*key.clone().leak(), self.here(service, value)));
        let log = self.folder.path().join(format!("{service}.log"));
        Part::new(service, &arguments, &[], environment.collect(), log)
    }

    /// Starts every service of a profile (`""`: those of none), each as soon as what it waits for is as it must be.
    pub(crate) fn up(&mut self, profile: &str) {
        let of_profile = |service: &Value| match list(service, "/profiles") {
            [] => profile.is_empty(),
            profiles => profiles.iter().any(|known| known == profile),
        };
        let mut waiting: Vec<String> = self
            .services
            .iter()
            .filter(|(name, service)| {
                is_ours(service) && of_profile(service) && !self.parts.contains_key(*name)
            })
            .map(|(name, _)| name.clone())
            .collect();
        while !waiting.is_empty() {
            let is_free = |name: &String| {
                let waits = self.services[name]["depends_on"].as_object().unwrap();
                waits.keys().all(|other| !waiting.contains(other))
            };
            let next = waiting.iter().position(is_free).expect("nobody waits for each other");
            let name = waiting.remove(next);
            self.start(&name);
        }
    }

    /// Starts a service after those that it waits for are healthy, or have ended well.
    fn start(&mut self, name: &str) {
        let waits = self.services[name]["depends_on"].as_object().unwrap().clone();
        for (other, how) in &waits {
            if is_ours(&self.services[other]) && text(how, "/condition") == "service_healthy" {
                self.until_healthy(other);
            }
        }
        let mut part = self.part(name);
        part.spawn();
        let ends = text(&self.services[name], "/restart") == "on-failure";
        if ends {
            assert_eq!(part.ended(), Some(0), "{}", part.tail());
        } else {
            self.parts.insert(name.to_owned(), part);
        }
    }

    /// Runs a service's own health check until it says yes.
    pub(crate) fn until_healthy(&self, name: &str) {
        let test: Vec<&str> = list(&self.services[name], "/healthcheck/test")
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect();
        let [how, program, arguments @ ..] = test.as_slice() else { panic!("{name} has no health check") };
        assert_eq!((*how, *program), ("CMD", "/usr/bin/rungs"));
        let dockerfile = std::fs::read_to_string(root().join("Dockerfile")).unwrap();
        assert!(dockerfile.contains(&format!("ENTRYPOINT [\"{program}\"]")));
        let admin = container(name, &self.services[name]).listens().admin.unwrap().port();
        let admin = format!("http://{}", self.address(name, admin.into()));
        let deadline = Instant::now() + LIMIT;
        loop {
            let mut command = Command::new(env!("CARGO_BIN_EXE_rungs"));
            // In the container the admin server is where `rungs ready` looks for it by itself.
            command.args(arguments).args(["--admin", &admin]);
            let asked = Ended::of(command);
            if asked.ok {
                return;
            }
            assert!(Instant::now() < deadline, "{name}: {}\n{}", asked.err, self.tails());
            std::thread::sleep(LOOK);
        }
    }

    /// Ends every service as `docker compose stop` does; each does so well, and before it would be killed.
    pub(crate) fn stop(&mut self) {
        for (name, part) in &mut self.parts {
            let grace = text(&self.services[name], "/stop_grace_period");
            let grace: u64 = grace.trim_end_matches('s').parse().unwrap();
            let began = Instant::now();
            assert_eq!(part.stop(), Some(0), "{}", part.tail());
            assert!(
                began.elapsed() < Duration::from_secs(grace),
                "{name} takes {:?} to end",
                began.elapsed()
            );
        }
    }

    /// The ends of all logs.
    pub(crate) fn tails(&self) -> String {
        self.parts.values().map(Part::tail).collect()
    }
}

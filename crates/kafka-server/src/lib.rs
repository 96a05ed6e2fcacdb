//! A real Apache Kafka for tests: [`Kafka::start`] runs one broker, [`Kafka::cluster`] several, each a process of its own
//! (KRaft, broker and controller in one) with its data in a temporary folder and its ports chosen by the system. They can
//! be killed, stopped, frozen and started again where they were; all end when the value is dropped.
//!
//! For tests and benchmarks only, so it panics with what went wrong instead of returning errors. The jars come from
//! `scripts/fetch-kafka.sh`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod broker;
mod certificate;
mod jars;
mod metadata;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tempfile::TempDir;

use broker::Broker;
use certificate::Certificate;

/// The user of a secured cluster.
pub const USER: &str = "rungs";
/// That user's password (SCRAM-SHA-512).
pub const PASSWORD: &str = "rungs-secret";

/// How long a start may take, all brokers together.
const START_LIMIT: Duration = Duration::from_secs(90);

/// A running cluster.
pub struct Kafka {
    brokers: Vec<Broker>,
    certificate: Option<Certificate>,
    _dir: TempDir,
}

/// How a cluster is to be.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How many brokers; 0 is one.
    pub brokers: usize,
    /// Whether they also listen with TLS and SASL/SCRAM-SHA-512.
    pub secured: bool,
    /// Further lines of `server.properties`.
    pub properties: Vec<(String, String)>,
    /// Whether they are to be fast rather than quick to start: all of Java's compilers, a larger heap. For benchmarks.
    pub fast: bool,
    /// Where its temporary folder is made; by default where the system makes them.
    pub folder: Option<PathBuf>,
}

impl Kafka {
    /// One broker.
    pub fn start() -> Self {
        Self::with(&Options::default())
    }

    /// Several brokers.
    pub fn cluster(brokers: usize) -> Self {
        Self::with(&Options { brokers, ..Options::default() })
    }

    /// One broker that also listens with TLS and SASL/SCRAM-SHA-512, for [`USER`] with [`PASSWORD`].
    pub fn secured() -> Self {
        Self::with(&Options { secured: true, ..Options::default() })
    }

    /// A cluster as described; it answers when this returns.
    pub fn with(options: &Options) -> Self {
        let place = options.folder.clone().unwrap_or_else(std::env::temp_dir);
        let dir = tempfile::Builder::new().prefix("kafka-").tempdir_in(place).expect("a temporary folder");
        let certificate = options.secured.then(|| Certificate::make(dir.path()));
        let cluster_id = URL_SAFE_NO_PAD.encode(uuid::Uuid::new_v4().as_bytes());
        let addresses = broker::addresses(options.brokers.max(1), options.secured);
        let brokers = addresses.iter().map(|address| {
            let files = dir.path().join(format!("broker-{}", address.node));
            Broker::format(files, &addresses, address, certificate.as_ref(), options, &cluster_id)
        });
        let mut kafka = Self { brokers: brokers.collect(), certificate, _dir: dir };
        for broker in &mut kafka.brokers {
            broker.start();
        }
        kafka.wait();
        kafka
    }

    /// `host:port` of every broker, without encryption or passwords.
    pub fn bootstrap(&self) -> String {
        self.list(|broker| broker.address.plain)
    }

    /// `host:port` of every broker's TLS and SASL listener.
    pub fn secure_bootstrap(&self) -> String {
        self.list(|broker| broker.address.secure.expect("the cluster is secured"))
    }

    /// The certificate (PEM) that clients of a secured cluster are to trust.
    pub fn ca_file(&self) -> PathBuf {
        self.certificate.as_ref().expect("the cluster is secured").pem.clone()
    }

    /// How many brokers there are, running or not. They are counted from 0 in the methods below; `node.id` is one more.
    pub fn brokers(&self) -> usize {
        self.brokers.len()
    }

    /// Ends a broker at once, as `kill -9` does.
    pub fn kill(&mut self, broker: usize) {
        self.brokers[broker].kill();
    }

    /// Ends a broker in order and waits for its end.
    pub fn stop(&mut self, broker: usize) {
        self.brokers[broker].stop();
    }

    /// Stops a broker's process without ending it (SIGSTOP): connections stay open and nothing answers.
    pub fn freeze(&mut self, broker: usize) {
        self.brokers[broker].signal("STOP");
    }

    /// Lets a frozen broker go on.
    pub fn thaw(&mut self, broker: usize) {
        self.brokers[broker].signal("CONT");
    }

    /// Starts a broker that was killed or stopped, on its old ports with its old data, and waits until all running
    /// brokers answer.
    pub fn restart(&mut self, broker: usize) {
        self.brokers[broker].start();
        self.wait();
    }

    /// The process of a broker, if it runs.
    pub fn pid(&self, broker: usize) -> Option<u32> {
        self.brokers[broker].pid()
    }

    /// Runs one of Kafka's own tools with `--bootstrap-server` and `arguments` and returns what it prints, e.g.
    /// `org.apache.kafka.tools.TopicCommand`. Takes a second or two.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> String {
        let mut command = jars::java("-Xmx256m");
        let output =
            command.arg(class).args(["--bootstrap-server", &self.bootstrap()]).args(arguments).output();
        let output = output.expect("java runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{class}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    fn list(&self, port: impl Fn(&Broker) -> u16) -> String {
        let all = self.brokers.iter().map(|broker| format!("127.0.0.1:{}", port(broker)));
        all.collect::<Vec<_>>().join(",")
    }

    /// Until every running broker knows of all running brokers.
    fn wait(&mut self) {
        let deadline = Instant::now() + START_LIMIT;
        let running = self.brokers.iter().filter(|broker| broker.pid().is_some()).count();
        for broker in &mut self.brokers {
            if broker.pid().is_some() {
                broker.wait(running, deadline);
            }
        }
    }
}

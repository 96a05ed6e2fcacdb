//! One broker: its ports, its `server.properties`, its process.

use std::fmt::Write as _;
use std::fs::{File, read_to_string};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::certificate::{Certificate, STORE_PASSWORD};
use crate::{Options, PASSWORD, USER, jars, metadata};

/// Where a broker listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address {
    pub(crate) node: usize,
    pub(crate) plain: u16,
    pub(crate) controller: u16,
    pub(crate) secure: Option<u16>,
}

pub(crate) struct Broker {
    pub(crate) address: Address,
    files: PathBuf,
    fast: bool,
    process: Option<Child>,
    /// Ends the broker when this process ends without having done so: values in statics are never dropped.
    watchdog: Option<Child>,
}

/// Free ports for so many brokers. Kafka must be told its ports beforehand, so they are free only until somebody else
/// takes them; the system gives recently used ones out last.
pub(crate) fn addresses(brokers: usize, secured: bool) -> Vec<Address> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let held: Vec<TcpListener> = (0..3 * brokers).map(|_| bind()).collect();
    let ports: Vec<u16> = held.iter().map(|held| held.local_addr().expect("its address").port()).collect();
    let address = |(node, ports): (usize, &[u16])| Address {
        node: node + 1,
        plain: ports[0],
        controller: ports[1],
        secure: secured.then_some(ports[2]),
    };
    ports.chunks(3).enumerate().map(address).collect()
}

impl Broker {
    /// Writes the broker's settings and formats its storage.
    pub(crate) fn format(
        files: PathBuf,
        all: &[Address],
        address: &Address,
        certificate: Option<&Certificate>,
        options: &Options,
        cluster_id: &str,
    ) -> Self {
        std::fs::create_dir_all(&files).expect("the broker's folder");
        let settings = properties(&files, all, address, certificate, options);
        std::fs::write(files.join("server.properties"), settings).expect("server.properties");
        std::fs::write(files.join("log4j2.properties"), LOGGING).expect("log4j2.properties");
        let mut format = jars::java("-Xmx128m");
        // In one argument with its name, as an id may begin with a dash.
        let cluster_id = format!("--cluster-id={cluster_id}");
        format.args(["kafka.tools.StorageTool", "format", cluster_id.as_str(), "-c"]);
        format.arg(files.join("server.properties"));
        if certificate.is_some() {
            let user = format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]");
            format.args(["--add-scram", &user]);
        }
        let output = format.output().expect("java runs");
        assert!(output.status.success(), "formatting: {}", String::from_utf8_lossy(&output.stderr));
        Self { address: *address, files, fast: options.fast, process: None, watchdog: None }
    }

    pub(crate) fn start(&mut self) {
        assert!(self.process.is_none(), "broker {} runs already", self.address.node);
        let log = File::options().create(true).append(true).open(self.log_file()).expect("the broker's log");
        let configuration = self.files.join("log4j2.properties");
        let mut broker = Command::new("java");
        broker.arg(format!("-Dlog4j2.configurationFile={}", configuration.display()));
        let java = if self.fast { jars::fast_java("-Xmx1g") } else { jars::java("-Xmx512m") };
        broker.args(java.get_args());
        broker.arg("kafka.Kafka").arg(self.files.join("server.properties"));
        broker.stdin(Stdio::null()).stdout(log.try_clone().expect("the log once more")).stderr(log);
        let broker = broker.spawn().expect("java runs");
        self.watchdog = Some(watchdog(broker.id()));
        self.process = Some(broker);
    }

    /// Until it answers and knows of `brokers` brokers.
    pub(crate) fn wait(&mut self, brokers: usize, deadline: Instant) {
        while !metadata::brokers(self.address.plain).is_ok_and(|known| known >= brokers) {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().expect("its state"));
            let late = Instant::now() > deadline;
            assert!(
                ended.is_none() && !late,
                "broker {} does not start:\n{}",
                self.address.node,
                self.end_of_log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().expect("the broker runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs");
        assert!(sent.success(), "SIG{name} was not sent");
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("SIGKILL");
            process.wait().expect("its end");
        }
        self.call_off();
    }

    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        let deadline = Instant::now() + Duration::from_secs(30);
        let process = self.process.as_mut().expect("the broker runs");
        while process.try_wait().expect("its state").is_none() {
            assert!(Instant::now() < deadline, "broker {} does not stop", self.address.node);
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process = None;
        self.call_off();
    }

    fn call_off(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            // It may have seen the end of this process coming.
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
    }

    fn log_file(&self) -> PathBuf {
        self.files.join("broker.log")
    }

    fn end_of_log(&self) -> String {
        let log = read_to_string(self.log_file()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// A process that reads its standard input, which ends when this process does, and then kills the broker.
fn watchdog(pid: u32) -> Child {
    let script = format!("read -r _; kill -9 {pid}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn().expect("sh runs")
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Warnings to standard output, which goes to `broker.log`.
const LOGGING: &str = "status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %m (%c)%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
";

fn properties(
    files: &Path,
    all: &[Address],
    address: &Address,
    certificate: Option<&Certificate>,
    options: &Options,
) -> String {
    let voters = all.iter().map(|other| format!("{}@127.0.0.1:{}", other.node, other.controller));
    let voters = voters.collect::<Vec<_>>().join(",");
    let copies = all.len().min(3);
    let mut listeners = format!("PLAINTEXT://127.0.0.1:{}", address.plain);
    if let Some(port) = address.secure {
        let _ = write!(listeners, ",SECURE://127.0.0.1:{port}");
    }
    let mut text = format!(
        "process.roles=broker,controller
node.id={}
controller.quorum.voters={voters}
listeners={listeners},CONTROLLER://127.0.0.1:{}
advertised.listeners={listeners}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL
log.dirs={}
auto.create.topics.enable=false
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=3
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={}
transaction.state.log.num.partitions=3
group.initial.rebalance.delay.ms=0
log.retention.check.interval.ms=1000
",
        address.node,
        address.controller,
        files.join("data").display(),
        copies.min(2),
    );
    if let Some(certificate) = certificate {
        let _ = write!(
            text,
            "sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PKCS12
ssl.keystore.location={}
ssl.keystore.password={STORE_PASSWORD}
",
            certificate.keystore.display(),
        );
    }
    for (key, value) in &options.properties {
        let _ = writeln!(text, "{key}={value}");
    }
    text
}

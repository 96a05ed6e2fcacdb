//! Section `[kafka]`: the log that several processes share, and the names that its prefix gives to topics and group.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// `[kafka]`: how Kafka is reached and used.
#[derive(Clone, PartialEq)]
pub struct KafkaSettings {
    /// `host:port` of some brokers, separated by commas; none: the local log.
    pub brokers: Option<String>,
    /// Begins the names of topics and of the consumer group, e.g. `staging.`.
    pub topic_prefix: Option<String>,
    /// Partitions of `rungs.events.v1`.
    pub partitions: u32,
    /// Copies of each partition in a topic that is created.
    pub replication: u32,
    /// How long a topic that is created keeps its records, at least for one that exists; milliseconds.
    pub retention_ms: u64,
    /// Names this process in its consumer group for ever (static membership): started again soon, it goes on with its
    /// partitions. No two processes may share one.
    pub instance_id: Option<String>,
    /// SASL user; with one, connections are `SASL_SSL` with `SCRAM-SHA-512` unless `options` say otherwise.
    pub username: Option<String>,
    /// SASL password.
    pub password: Option<String>,
    /// Certificates (PEM) of authorities to trust; with one, connections use TLS.
    pub ca_file: Option<PathBuf>,
    /// This process's certificate (PEM), where brokers ask for one.
    pub certificate_file: Option<PathBuf>,
    /// Its private key (PEM).
    pub key_file: Option<PathBuf>,
    /// Bytes of messages that wait for Kafka's acknowledgement; a publish beyond is refused as full.
    pub max_in_flight_bytes: u64,
    /// Events of a partition that arrive while a record is on its way travel together in the next, of at most so many bytes;
    /// 0: each has a record of its own.
    pub record_bytes: u64,
    /// Bytes of fetched records that wait to be read, over all partitions, about.
    pub fetch_buffer_bytes: u64,
    /// librdkafka's own options, passed through.
    pub options: BTreeMap<String, String>,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            brokers: None,
            topic_prefix: None,
            partitions: 32,
            replication: 3,
            retention_ms: 7 * 86_400_000,
            instance_id: None,
            username: None,
            password: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            max_in_flight_bytes: 64 << 20,
            record_bytes: 128 << 10,
            fetch_buffer_bytes: 64 << 20,
            options: BTreeMap::new(),
        }
    }
}

impl KafkaSettings {
    /// The defaults for the brokers at these addresses.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self { brokers: Some(brokers.into()), ..Self::default() }
    }

    /// The topic of events.
    pub fn events_topic(&self) -> String {
        self.named("rungs.events.v1")
    }

    /// The compacted topic of tracking plans.
    pub fn plan_topic(&self) -> String {
        self.named("rungs.plan.v1")
    }

    /// The topic of what was not taken.
    pub fn rejected_topic(&self) -> String {
        self.named("rungs.rejected.v1")
    }

    /// The topic of the salts of visitors without an id.
    pub fn salts_topic(&self) -> String {
        self.named("rungs.salts.v1")
    }

    /// The consumer group of those who store what was rejected.
    pub fn rejected_group(&self) -> String {
        self.named("rungs.rejected")
    }

    /// The consumer group of the aggregators.
    pub fn group(&self) -> String {
        self.named("rungs.aggregator")
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.topic_prefix.as_deref().unwrap_or_default())
    }
}

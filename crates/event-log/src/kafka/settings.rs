//! How to reach Kafka and what the topics are to be like: section `[kafka]` of the settings, as the log needs it, and
//! the librdkafka configuration made of it.
//!
//! Whatever librdkafka knows can be set through `options`, but for what the log's guarantees rest on ([`KEPT`]).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::KafkaError;

/// Options of librdkafka that the log sets itself, because its guarantees rest on them.
const KEPT: [&str; 23] = [
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "go.delivery.reports",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "log.queue",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "partitioner",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "request.required.acks",
    "statistics.interval.ms",
    "transactional.id",
];

/// How Kafka is reached and used.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port` of some brokers, separated by commas.
    pub brokers: String,
    /// Put before the names of all topics and of the consumer group, e.g. `staging.`; empty for none.
    pub prefix: String,
    /// Partitions of `rungs.events.v1`.
    pub partitions: u32,
    /// Copies of each partition in a topic that is created.
    pub replication: u32,
    /// How long a topic that is created keeps its records, at least for one that exists; milliseconds.
    pub retention_ms: u64,
    /// Names this process in its consumer group for ever (static membership): started again within
    /// [`SESSION_TIMEOUT_MS`](super::SESSION_TIMEOUT_MS), it goes on with its partitions. No two processes may share one.
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
    /// Bytes of messages that were handed to librdkafka and not acknowledged; a publish beyond is refused as full.
    pub max_in_flight_bytes: u64,
    /// Bytes of fetched records that wait to be read, over all partitions, about.
    pub fetch_buffer_bytes: u64,
    /// Options of librdkafka, passed through.
    pub options: BTreeMap<String, String>,
}

impl KafkaSettings {
    /// The defaults for the brokers at these addresses.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            prefix: String::new(),
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
            fetch_buffer_bytes: 64 << 20,
            options: BTreeMap::new(),
        }
    }

    /// The topic of events.
    pub fn events_topic(&self) -> String {
        format!("{}rungs.events.v1", self.prefix)
    }

    /// The compacted topic of tracking plans.
    pub fn plan_topic(&self) -> String {
        format!("{}rungs.plan.v1", self.prefix)
    }

    /// The topic of what was not taken.
    pub fn rejected_topic(&self) -> String {
        format!("{}rungs.rejected.v1", self.prefix)
    }

    /// The consumer group of those who store what was rejected.
    pub fn rejected_group(&self) -> String {
        format!("{}rungs.rejected", self.prefix)
    }

    /// The consumer group of the aggregators.
    pub fn group(&self) -> String {
        format!("{}rungs.aggregator", self.prefix)
    }

    /// How many partitions, as Kafka counts them.
    pub(super) fn partition_count(&self) -> Result<i32, KafkaError> {
        match i32::try_from(self.partitions) {
            Ok(partitions) if partitions > 0 => Ok(partitions),
            _ => Err(KafkaError::Settings("[kafka] partitions must be at least 1".to_owned())),
        }
    }

    /// What all clients have in common.
    ///
    /// # Errors
    /// An option that the log sets itself.
    pub(super) fn client(&self) -> Result<ClientConfig, KafkaError> {
        if let Some(kept) = self.options.keys().find(|key| KEPT.contains(&key.as_str())) {
            let reason = "the log's guarantees rest on it, so it cannot be set";
            return Err(KafkaError::Settings(format!("[kafka.options] \"{kept}\": {reason}")));
        }
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        config.set("bootstrap.servers", &self.brokers).set("client.id", "rungs");
        // Brokers that come back are found within a second, not after ten.
        config.set("reconnect.backoff.max.ms", "1000");
        config.set("socket.keepalive.enable", "true").set("allow.auto.create.topics", "false");
        self.secure(&mut config);
        for (key, value) in &self.options {
            config.set(key, value);
        }
        Ok(config)
    }

    fn secure(&self, config: &mut ClientConfig) {
        let tls = self.ca_file.is_some() || self.certificate_file.is_some();
        if let Some(username) = &self.username {
            config.set("security.protocol", "SASL_SSL").set("sasl.mechanism", "SCRAM-SHA-512");
            config.set("sasl.username", username);
        } else if tls {
            config.set("security.protocol", "SSL");
        }
        if let Some(password) = &self.password {
            config.set("sasl.password", password);
        }
        let files = [
            ("ssl.ca.location", &self.ca_file),
            ("ssl.certificate.location", &self.certificate_file),
            ("ssl.key.location", &self.key_file),
        ];
        for (key, file) in files {
            if let Some(file) = file {
                config.set(key, file.to_string_lossy());
            }
        }
    }
}

/// Without the password, and with no option's value: some hold secrets.
impl fmt::Debug for KafkaSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<&String> = self.options.keys().collect();
        let mut debug = formatter.debug_struct("KafkaSettings");
        debug.field("brokers", &self.brokers).field("prefix", &self.prefix);
        debug.field("partitions", &self.partitions).field("replication", &self.replication);
        debug.field("username", &self.username).field("options", &options);
        debug.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(options: &[(&str, &str)]) -> KafkaSettings {
        let mut settings = KafkaSettings::new("127.0.0.1:9092");
        settings.options =
            options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        settings
    }

    #[test]
    fn options_are_passed_through_and_come_after_what_is_derived() {
        let mut settings = with(&[("security.protocol", "SASL_PLAINTEXT"), ("linger.ms", "20")]);
        settings.username = Some("u".to_owned());
        let config = settings.client().unwrap();
        assert_eq!(config.get("security.protocol"), Some("SASL_PLAINTEXT"));
        assert_eq!(config.get("sasl.mechanism"), Some("SCRAM-SHA-512"));
        assert_eq!(config.get("linger.ms"), Some("20"));
    }

    #[test]
    fn options_that_guarantees_rest_on_are_refused() {
        for key in KEPT {
            let error = with(&[(key, "1")]).client().unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn what_is_printed_holds_no_secret() {
        let mut settings = with(&[("ssl.key.password", "hush-1")]);
        settings.password = Some("hush-2".to_owned());
        assert!(!format!("{settings:?}").contains("hush"));
    }
}

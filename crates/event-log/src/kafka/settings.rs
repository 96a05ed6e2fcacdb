//! The librdkafka configuration that is made of section `[kafka]` of the settings, for all clients of the log.
//!
//! Whatever librdkafka knows can be set through `options`, but for what the log's guarantees rest on ([`KEPT`]).

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

pub use runtime::settings::KafkaSettings;

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

/// How many partitions, as Kafka counts them.
pub(super) fn partition_count(settings: &KafkaSettings) -> Result<i32, KafkaError> {
    match i32::try_from(settings.partitions) {
        Ok(partitions) if partitions > 0 => Ok(partitions),
        _ => Err(KafkaError::Settings("[kafka] partitions must be at least 1".to_owned())),
    }
}

/// What all clients have in common.
///
/// # Errors
/// No brokers, or an option that the log sets itself.
pub(super) fn client(settings: &KafkaSettings) -> Result<ClientConfig, KafkaError> {
    if let Some(kept) = settings.options.keys().find(|key| KEPT.contains(&key.as_str())) {
        let reason = "the log's guarantees rest on it, so it cannot be set";
        return Err(KafkaError::Settings(format!("[kafka.options] \"{kept}\": {reason}")));
    }
    let missing =
        || KafkaError::Settings("[kafka] brokers is not set; e.g. brokers = \"kafka-1:9092\"".to_owned());
    let brokers = settings.brokers.as_ref().ok_or_else(missing)?;
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Info);
    config.set("bootstrap.servers", brokers).set("client.id", "rungs");
    // Brokers that come back are found within a second, not after ten.
    config.set("reconnect.backoff.max.ms", "1000");
    config.set("socket.keepalive.enable", "true").set("allow.auto.create.topics", "false");
    secure(settings, &mut config);
    for (key, value) in &settings.options {
        config.set(key, value);
    }
    Ok(config)
}

fn secure(settings: &KafkaSettings, config: &mut ClientConfig) {
    let tls = settings.ca_file.is_some() || settings.certificate_file.is_some();
    if let Some(username) = &settings.username {
        config.set("security.protocol", "SASL_SSL").set("sasl.mechanism", "SCRAM-SHA-512");
        config.set("sasl.username", username);
    } else if tls {
        config.set("security.protocol", "SSL");
    }
    if let Some(password) = &settings.password {
        config.set("sasl.password", password);
    }
    let files = [
        ("ssl.ca.location", &settings.ca_file),
        ("ssl.certificate.location", &settings.certificate_file),
        ("ssl.key.location", &settings.key_file),
    ];
    for (key, file) in files {
        if let Some(file) = file {
            config.set(key, file.to_string_lossy());
        }
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
        let config = client(&settings).unwrap();
        assert_eq!(config.get("security.protocol"), Some("SASL_PLAINTEXT"));
        assert_eq!(config.get("sasl.mechanism"), Some("SCRAM-SHA-512"));
        assert_eq!(config.get("linger.ms"), Some("20"));
    }

    #[test]
    fn options_that_guarantees_rest_on_are_refused() {
        for key in KEPT {
            let error = client(&with(&[(key, "1")])).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}

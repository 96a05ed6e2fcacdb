//! Kafka as the settings name it, and the wait for what is away at the start of a service.

use std::time::Duration;

use event_log::kafka::{KafkaError, KafkaSettings};
use runtime::Settings;

use crate::failure::Failure;
use crate::process::Process;

/// What is away at the start is asked again after this long.
const PAUSE: Duration = Duration::from_secs(1);

/// Section `[kafka]` as the log takes it; `None` without brokers.
pub(crate) fn configured(settings: &Settings) -> Option<KafkaSettings> {
    let kafka = settings.kafka.clone();
    let brokers = kafka.brokers?;
    Some(KafkaSettings {
        prefix: kafka.topic_prefix.unwrap_or_default(),
        partitions: kafka.partitions,
        replication: kafka.replication,
        retention_ms: kafka.retention_ms,
        instance_id: kafka.instance_id,
        username: kafka.username,
        password: kafka.password,
        ca_file: kafka.ca_file,
        certificate_file: kafka.certificate_file,
        key_file: kafka.key_file,
        max_in_flight_bytes: kafka.max_in_flight_bytes,
        fetch_buffer_bytes: kafka.fetch_buffer_bytes,
        options: kafka.options,
        ..KafkaSettings::new(brokers)
    })
}

/// As [`configured`], for a service that cannot do without.
pub(super) fn required(settings: &Settings, service: &str) -> Result<KafkaSettings, Failure> {
    configured(settings).ok_or_else(|| {
        Failure::usage(format!(
            "`rungs {service}` needs Kafka: set [kafka] brokers in the settings, or RUNGS_KAFKA__BROKERS. Without Kafka, \
             `rungs up` runs all services in one process"
        ))
    })
}

/// Opens a part of Kafka off the runtime's threads; waits for brokers that are away. `None` once a stop is asked for.
pub(super) async fn opened<T: Send + 'static>(
    process: &Process,
    open: impl Fn() -> Result<T, KafkaError> + Clone + Send + 'static,
) -> Result<Option<T>, Failure> {
    until_it_works(process, "Kafka", move || {
        let open = open.clone();
        async move {
            let opened = tokio::task::spawn_blocking(open).await.map_err(|error| (error.into(), false))?;
            opened.map_err(|error| {
                let may_pass = error.may_pass();
                (error.into(), may_pass)
            })
        }
    })
    .await
}

/// Tries until it works, or until an error that does not pass by itself; `None` once a stop is asked for. An error comes
/// with whether it may pass.
pub(super) async fn until_it_works<T, F: Future<Output = Result<T, (Failure, bool)>>>(
    process: &Process,
    what: &str,
    attempt: impl Fn() -> F,
) -> Result<Option<T>, Failure> {
    loop {
        match attempt().await {
            Ok(done) => return Ok(Some(done)),
            Err((failure, false)) => return Err(failure),
            Err((failure, true)) => tracing::warn!(%failure, "waiting for {what}"),
        }
        tokio::select! {
            () = process.shutdown.requested() => return Ok(None),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

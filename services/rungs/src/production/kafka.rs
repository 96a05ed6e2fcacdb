//! Kafka as the settings name it, and the wait for brokers that are away at the start of a service.

use event_log::kafka::{KafkaError, KafkaSettings};
use runtime::Settings;
use runtime::retry::until_it_works;

use crate::failure::Failure;
use crate::process::Process;

/// Section `[kafka]`; `None` without brokers.
pub(crate) fn configured(settings: &Settings) -> Option<&KafkaSettings> {
    Some(&settings.kafka).filter(|kafka| kafka.brokers.is_some())
}

/// As [`configured`], for a service that cannot do without.
pub(super) fn required(settings: &Settings, service: &str) -> Result<KafkaSettings, Failure> {
    configured(settings).cloned().ok_or_else(|| {
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
    // A thread that ended is no error of Kafka's, and is not tried again.
    let attempt = || async {
        match tokio::task::spawn_blocking(open.clone()).await {
            Ok(opened) => opened.map(Ok),
            Err(ended) => Ok(Err(ended)),
        }
    };
    let opened = until_it_works(&process.shutdown, "Kafka", KafkaError::may_pass, attempt).await?;
    Ok(opened.transpose()?)
}

//! Where events that are not taken go, as the services are wired: over Kafka, or within the process; and how the
//! aggregator reads JSON of other producers, which is a collector's matter.

use std::sync::Arc;

use aggregator::{Translate, Untranslatable};
use event_log::kafka::{KafkaRejections, KafkaSettings};
use event_log::rejected::{OnUnkept, QueuedRejections, Rejections, queue};
use runtime::settings::CollectorSettings;

use crate::failure::Failure;
use crate::process::Process;

/// To Kafka's topic of rejections.
pub(crate) fn to_kafka(process: &Process, kafka: &KafkaSettings) -> Result<Arc<Rejections>, Failure> {
    Ok(Arc::new(Rejections::to_kafka(KafkaRejections::open(kafka)?, counted(process)?)))
}

/// From collector to aggregator in one process.
pub(crate) fn within(process: &Process) -> Result<(Arc<Rejections>, QueuedRejections), Failure> {
    let (rejections, rejected) = queue(counted(process)?);
    Ok((Arc::new(rejections), rejected))
}

fn counted(process: &Process) -> Result<OnUnkept, Failure> {
    let unkept = collector::unkept_rejections(&process.metrics)?;
    Ok(Box::new(move || unkept.inc()))
}

/// Reads JSON as a collector of these settings would.
pub(crate) fn translate(settings: &CollectorSettings) -> Translate {
    let settings = settings.clone();
    Arc::new(move |json, appended_at_ms| {
        collector::event_of_json(json, appended_at_ms, &settings).map_err(|rejection| Untranslatable {
            reason: rejection.reason.code(),
            message: rejection.message.into_owned(),
        })
    })
}

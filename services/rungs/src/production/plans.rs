//! The plan topic for `rungs plan`: the plan in force on Kafka, without a service in between.

use std::sync::Arc;

use event_log::SystemClock;
use event_log::kafka::{KafkaError, KafkaPlans, KafkaPublisher, KafkaSettings};

use crate::failure::Failure;
use crate::plans::in_force::PlanInForce;

/// Opens the topic; brokers that are away are an error.
pub(crate) async fn open(kafka: KafkaSettings) -> Result<PlanInForce, Failure> {
    let open = move || -> Result<PlanInForce, KafkaError> {
        let (topic, publisher) = (KafkaPlans::open(&kafka)?, KafkaPublisher::open(&kafka)?);
        // Generations follow the clock; what was begun last was begun before.
        Ok(PlanInForce::new(Arc::new(topic), Arc::new(publisher), Arc::new(SystemClock), 0))
    };
    Ok(tokio::task::spawn_blocking(open).await??)
}

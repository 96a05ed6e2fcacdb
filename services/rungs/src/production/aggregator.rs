//! `rungs aggregator`: a member of the group that shares the partitions.

use std::sync::Arc;
use std::time::Duration;

use aggregator::Aggregator;
use aggregator::run::Foreign;
use event_log::kafka::{KafkaPlans, KafkaPublisher, KafkaRejected, KafkaSource};
use runtime::Settings;

use super::kafka;
use crate::failure::Failure;
use crate::process::{Process, ended};
use crate::rejections;

/// At shutdown Kafka has this long to take the records that were rejected last.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Runs until a signal, or until the service fails.
pub(crate) async fn run(settings: Settings) -> Result<(), Failure> {
    let process = Process::new()?;
    let kafka = kafka::required(&settings, "aggregator")?;
    let warehouse = super::warehouse(&settings)?;
    let admin = super::start_admin(&process, &settings)?;
    super::announce("aggregator", None, &admin, None);
    let outcome = serve(&process, settings, kafka, warehouse).await;
    process.shutdown.request();
    admin.stop().await;
    outcome
}

async fn serve(
    process: &Process,
    settings: Settings,
    kafka: event_log::kafka::KafkaSettings,
    warehouse: warehouse::Warehouse,
) -> Result<(), Failure> {
    if !super::migrated(process, &warehouse, &settings).await? {
        return Ok(());
    }
    let rejections = rejections::to_kafka(process, &kafka)?;
    let topic = kafka.events_topic();
    let of_plans = kafka.clone();
    let Some(plans) = kafka::opened(process, move || KafkaPlans::open(&of_plans).map(Arc::new)).await? else {
        return Ok(());
    };
    let beside = Arc::clone(&plans);
    let Some(source) = kafka::opened(process, move || KafkaSource::join_beside(&beside)).await? else {
        return Ok(());
    };
    let rejected = KafkaRejected::join(&kafka)?;
    let translate = rejections::translate(&settings.collector);
    let aggregator = Aggregator {
        settings: settings.aggregator,
        source: Arc::new(source),
        plans,
        publisher: Arc::new(KafkaPublisher::open(&kafka)?),
        foreign: Foreign { topic, rejections: rejections.clone(), translate },
        rejected: Some(Box::new(rejected)),
        warehouse,
        metrics: process.metrics.clone(),
        health: process.health.clone(),
        tasks: process.tasks.clone(),
        // Another member goes on with what is left.
        drain_limit: Duration::ZERO,
    };
    let running = process.serve("aggregator", aggregator::run(aggregator, process.shutdown.clone()));
    let outcome = ended("aggregator", running).await;
    tokio::task::spawn_blocking(move || rejections.close(CLOSE_LIMIT)).await?;
    outcome.map_err(Failure::new)
}

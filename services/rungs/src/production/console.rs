//! `rungs console`: the live page and its API.

use std::sync::Arc;

use event_log::PlanTopic;
use event_log::kafka::KafkaPlans;
use rungs_console::{Console, WarehouseSource};
use runtime::Settings;

use super::kafka;
use crate::failure::Failure;
use crate::plans::follow;
use crate::process::{Process, ended};

/// Runs until a signal, or until the service fails.
pub(crate) async fn run(settings: Settings) -> Result<(), Failure> {
    let process = Process::new()?;
    let kafka = kafka::required(&settings, "console")?;
    let warehouse = super::warehouse(&settings)?;
    let admin = super::start_admin(&process, &settings)?;
    let opened = kafka::opened(&process, move || KafkaPlans::open(&kafka)).await;
    let outcome = match opened {
        Ok(Some(plans)) => serve(&process, &settings, &plans, warehouse, &admin).await,
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    process.shutdown.request();
    admin.stop().await;
    outcome
}

async fn serve(
    process: &Process,
    settings: &Settings,
    plans: &KafkaPlans,
    warehouse: warehouse::Warehouse,
    admin: &runtime::AdminServer,
) -> Result<(), Failure> {
    let (tasks, shutdown) = (process.tasks.clone(), process.shutdown.clone());
    let (horizon_ms, max_visitors) = (settings.aggregator.horizon_ms, settings.console.max_report_visitors);
    let source = WarehouseSource::new(warehouse, horizon_ms, max_visitors, tasks.clone(), shutdown.clone());
    let console = Console {
        settings: settings.console.clone(),
        source: Arc::new(source),
        plan: follow::follow(plans.latest(), &tasks, shutdown.clone()),
        tasks,
        metrics: process.metrics.clone(),
        health: process.health.clone(),
    };
    let console = rungs_console::Server::bind(console, shutdown)?;
    super::announce("console", Some(console.address()), admin, None);
    ended("console", process.serve("console", console.serve())).await.map_err(Failure::new)
}

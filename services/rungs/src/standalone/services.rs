//! Collector, aggregator, console and admin server: bound before any of them serves, so that a port in use ends the
//! start and nothing else; and drained in the order in which events pass them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aggregator::Aggregator;
use aggregator::run::Foreign;
use collector::Collector;
use event_log::PlanTopic;
use funnel::Plan;
use rungs_console::{Console, WarehouseSource};
use runtime::{AdminServer, Shutdown};
use tokio::sync::watch;

use super::Options;
use super::engine::Engines;
use super::engine_metrics;
use crate::failure::Failure;
use crate::plans::in_force::PlanInForce;
use crate::plans::{follow, http};
use crate::process::{Process, Running, ended};
use crate::rejections;
use crate::salts;
use crate::warehouse_answers::WarehouseAnswers;

/// At shutdown the aggregator takes what is left in the log for at most this long; the next start goes on with the rest.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// What still runs after the services have ended has this long.
const LAST_TASKS_LIMIT: Duration = Duration::from_secs(10);

/// The local log as people know it.
const LOG: &str = "log";

/// Where the services listen; never port 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) collector: SocketAddr,
    pub(super) console: SocketAddr,
    pub(super) admin: SocketAddr,
}

/// The running services.
pub(super) struct Services {
    pub(super) addresses: Addresses,
    /// The plan in force.
    pub(super) plan: watch::Receiver<Option<Arc<Plan>>>,
    process: Process,
    collector: Running,
    console: Running,
    aggregator: Running,
    /// Separate from the process's: the aggregator stops after the collector has.
    stop_aggregator: Shutdown,
    admin: AdminServer,
}

impl Services {
    /// Binds all, then serves.
    pub(super) fn start(
        options: &Options,
        process: &Process,
        engines: &Engines,
        plans: &Arc<PlanInForce>,
    ) -> Result<Self, Failure> {
        let Options { settings, .. } = options;
        let (rejections, rejected) = rejections::within(process)?;
        let plan = follow::follow(engines.log.latest(), &process.tasks, process.shutdown.clone());
        let horizon_ms = settings.aggregator.horizon_ms;
        let answers =
            WarehouseAnswers { warehouse: engines.warehouse.clone(), plan: plan.clone(), horizon_ms };
        let collector = Collector {
            settings: settings.collector.clone(),
            publisher: engines.log.clone(),
            direct: engines.log.clone(),
            plan: plan.clone(),
            salts: salts::keep(process, engines.salts.clone(), plan.clone()),
            warehouse: Some(Arc::new(answers)),
            generations: plans.generations(),
            rejections: Some(rejections.clone()),
            metrics: &process.metrics,
            health: process.health.clone(),
        };
        let source = WarehouseSource::new(
            engines.warehouse.clone(),
            horizon_ms,
            settings.console.max_report_visitors,
            process.tasks.clone(),
            process.shutdown.clone(),
        );
        let console = Console {
            settings: settings.console.clone(),
            source: Arc::new(source),
            plan: plan.clone(),
            tasks: process.tasks.clone(),
            metrics: process.metrics.clone(),
            health: process.health.clone(),
        };
        let translate = rejections::translate(&settings.collector);
        let aggregator = Aggregator {
            settings: settings.aggregator.clone(),
            source: engines.log.clone(),
            plans: engines.log.clone(),
            publisher: engines.log.clone(),
            foreign: Foreign { topic: LOG.to_owned(), rejections, translate },
            rejected: Some(Box::new(rejected)),
            warehouse: engines.warehouse.clone(),
            metrics: process.metrics.clone(),
            health: process.health.clone(),
            tasks: process.tasks.clone(),
            drain_limit: DRAIN_LIMIT,
        };
        engine_metrics::show(process, engines)?;
        let collector = collector.bind(&process.shutdown)?;
        let console = rungs_console::Server::bind(console, process.shutdown.clone())?;
        let admin = start_admin(options, process, plans)?;
        let addresses =
            Addresses { collector: collector.address(), console: console.address(), admin: admin.address() };
        let stop_aggregator = Shutdown::new();
        Ok(Self {
            addresses,
            plan,
            aggregator: process.serve("aggregator", aggregator::run(aggregator, stop_aggregator.clone())),
            console: process.serve("console", console.serve()),
            collector: process.serve("collector", collector.serve()),
            stop_aggregator,
            admin,
            process: process.clone(),
        })
    }

    /// The way out, to be called once a stop was asked for: stop accepting, answer what is in flight, then let the
    /// aggregator flush and commit. The engines are closed after it.
    ///
    /// # Errors
    /// When a service failed, now or before: the reason for which the process stops.
    pub(super) async fn drain(self) -> Result<(), Failure> {
        let collector = ended("collector", self.collector).await;
        let console = ended("console", self.console).await;
        self.stop_aggregator.request();
        let aggregator = ended("aggregator", self.aggregator).await;
        if let Err(error) = self.process.tasks.wait(LAST_TASKS_LIMIT).await {
            tracing::warn!(%error, "some tasks did not end");
        }
        self.admin.stop().await;
        let failures: Vec<String> =
            [collector, console, aggregator].into_iter().filter_map(Result::err).collect();
        match failures.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(failures.join("\nrungs: "))),
        }
    }
}

fn start_admin(
    options: &Options,
    process: &Process,
    plans: &Arc<PlanInForce>,
) -> Result<AdminServer, Failure> {
    let Process { metrics, health, tasks, shutdown } = process.clone();
    let routes = http::routes(plans.clone());
    let listen = options.settings.admin.listen;
    Ok(AdminServer::start_with(listen, metrics, health, &tasks, shutdown, routes)?)
}

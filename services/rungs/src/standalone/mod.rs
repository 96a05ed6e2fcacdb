//! Collector, aggregator and console in one process: what `rungs up` runs.
//!
//! [`run`] reads like the life of the process: open the engines, put the plan in force, start the services, say where
//! they are, wait, drain. The services are the ones that run alone in production; here they meet over a local log and,
//! unless `[clickhouse] url` names a server, an embedded ClickHouse. A crash at any point loses nothing acknowledged:
//! the log is fsynced before an event is acknowledged, and the aggregator goes on where ClickHouse's progress says.

mod banner;
pub(crate) mod engine;
mod engine_metrics;
mod services;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use event_log::{PlanTopic, SystemClock};
use runtime::Settings;

use crate::failure::Failure;
use crate::generation;
use crate::plans::file::PlanFile;
use crate::plans::in_force::PlanInForce;
use crate::process::Process;
use engine::Engines;
use services::Services;

/// What `rungs up` was asked to do.
pub(crate) struct Options {
    pub(crate) settings: Settings,
    pub(crate) plan_file: Option<PathBuf>,
    pub(crate) data_dir: PathBuf,
    /// Where the embedded ClickHouse listens.
    pub(crate) clickhouse: SocketAddr,
}

/// Runs until a signal, or until a service fails.
///
/// # Errors
/// When something cannot be opened or bound, or a service failed; what was started is drained before.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let process = Process::new()?;
    let plan_file = options.plan_file.clone().map(PlanFile::new);
    let engines = Engines::open(&options).await?;
    let started = start(&options, &process, &engines, plan_file).await;
    let outcome = match started {
        Ok(services) => {
            let plan = services.plan.borrow().clone();
            let clickhouse = engines.clickhouse_address();
            eprint!("{}", banner::render(&services.addresses, &options, clickhouse, plan.as_deref()));
            drop(plan);
            process.shutdown.requested().await;
            services.drain().await
        }
        Err(failure) => Err(failure),
    };
    process.shutdown.request();
    engines.close().await;
    outcome
}

/// Puts the plan in force, then starts the services in the order in which events pass them, the last one first.
async fn start(
    options: &Options,
    process: &Process,
    engines: &Engines,
    plan_file: Option<PlanFile>,
) -> Result<Services, Failure> {
    let generation = generation::latest(&engines.warehouse).await?;
    let plans = Arc::new(PlanInForce::new(
        engines.log.clone(),
        engines.log.clone(),
        Arc::new(SystemClock),
        generation,
    ));
    let plan_file = match plan_file {
        Some(file) => Some(file.apply_first(&plans).await?),
        None => None,
    };
    if engines.log.latest().borrow().is_none() {
        return Err(Failure::usage(NO_PLAN));
    }
    let services = Services::start(options, process, engines, &plans)?;
    drop(process.tasks.spawn("plan announcements", plans.clone().keep_announced(process.shutdown.clone())));
    if let Some(file) = plan_file {
        drop(process.tasks.spawn("plan file", file.watch(plans, process.shutdown.clone())));
    }
    Ok(services)
}

const NO_PLAN: &str = "there is no tracking plan yet, so nothing could be counted. Name one: rungs up --plan FILE \
(examples/shop/tracking-plan.toml is a start, and `rungs check FILE` tells what is wrong with yours)";

//! `rungs up`: collector, aggregator and console in one process, on a local log and an embedded ClickHouse.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use runtime::Settings;

use crate::failure::Failure;
use crate::settings;
use crate::standalone::{self, Options};

/// Everything in one process, on one machine
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// The settings file; without it, defaults and RUNGS_… variables
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The tracking plan; applied when it differs from the plan in force, and watched for changes [default:
    /// tracking-plan.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// The folder of the log and of ClickHouse; created if missing
    #[arg(long, value_name = "DIR", default_value = "data")]
    data_dir: PathBuf,
    /// Where events come in [default: [collector] listen, 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where the live page and its API are [default: [console] listen, 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS")]
    console: Option<SocketAddr>,
    /// Where metrics, readiness and the plan are; loopback only [default: [admin] listen, 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// The embedded ClickHouse's HTTP interface; loopback only
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8123")]
    clickhouse: SocketAddr,
}

const EXAMPLE: &str = "Keeps everything it acknowledged in the data folder, also when it is killed; started again, it \
goes on from there. Ctrl-C (or SIGTERM) drains and ends; a second one ends at once. A change of the plan file is \
applied while it runs; a plan with mistakes changes nothing. The file is the whole plan: what is in force and not in it \
ends, also what was applied by hand, and is told. With [clickhouse] url in the settings no embedded \
ClickHouse is started.

Examples:
  rungs up --plan tracking-plan.toml
  rungs up --plan tracking-plan.toml --data-dir /var/lib/rungs --listen 0.0.0.0:8080
  rungs up --settings rungs.toml --plan tracking-plan.toml";

const DEFAULT_PLAN: &str = "tracking-plan.toml";

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut settings = settings::load(arguments.settings.as_deref())?;
    settings::start_logging(&settings.logging)?;
    if settings.kafka.brokers.is_some() {
        return Err(Failure::usage(
            "[kafka] brokers is set, but `rungs up` runs on its own log: leave it out, or run `rungs collector`, `rungs \
             aggregator` and `rungs console`",
        ));
    }
    arguments.override_addresses(&mut settings);
    let plan_file = arguments.plan.or_else(|| Some(PathBuf::from(DEFAULT_PLAN)).filter(|file| file.exists()));
    let options =
        Options { settings, plan_file, data_dir: arguments.data_dir, clickhouse: arguments.clickhouse };
    standalone::run(options).await
}

impl Arguments {
    fn override_addresses(&self, settings: &mut Settings) {
        settings.collector.listen = self.listen.unwrap_or(settings.collector.listen);
        settings.console.listen = self.console.unwrap_or(settings.console.listen);
        settings.admin.listen = self.admin.unwrap_or(settings.admin.listen);
    }
}

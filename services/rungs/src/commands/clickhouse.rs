//! `rungs clickhouse`: the embedded ClickHouse alone, for tests, development and a look at the data while `rungs up` is
//! not running.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use runtime::Shutdown;
use runtime::settings::LoggingSettings;
use warehouse::embedded::EmbeddedServer;

use crate::failure::Failure;
use crate::settings;
use crate::standalone::engine;

/// The embedded ClickHouse alone, on its HTTP interface
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// Where the data is; `rungs up` keeps its ClickHouse in DIR/clickhouse
    #[arg(long, value_name = "DIR", default_value = "data")]
    data_dir: PathBuf,
    /// The HTTP interface; loopback only, there are no passwords
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8123")]
    listen: SocketAddr,
}

const EXAMPLE: &str =
    "One process at a time may hold the folder: end `rungs up` first, or query its own interface.

Examples:
  rungs clickhouse --data-dir data
  curl 'http://127.0.0.1:8123/?database=rungs&query=SELECT+event,count()+FROM+events+GROUP+BY+event'";

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    settings::start_logging(&LoggingSettings::default())?;
    let shutdown = Shutdown::on_signals()?;
    let server = EmbeddedServer::start(engine::settings(&arguments.data_dir, arguments.listen)).await?;
    eprintln!("ClickHouse answers at http://{}; Ctrl-C ends it", server.address());
    shutdown.requested().await;
    server.stop().await;
    Ok(())
}

//! `rungs ready`: asks a service whether it is ready; the health check of containers that have no other program in them.

use std::time::Duration;

use clap::Args;
use reqwest::Client;
use serde::Deserialize;

use crate::failure::Failure;
use crate::import::send::cause;

/// Ask a running service whether it is ready
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// The service's admin server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9464")]
    admin: String,
}

const EXAMPLE: &str =
    "Exit code 0: it is ready; 1: it is not, with what it waits for, or it does not answer within 5 s.

Examples:
  rungs ready
  rungs ready --admin http://127.0.0.1:9465";

const LIMIT: Duration = Duration::from_secs(5);

/// What `/readyz` answers.
#[derive(Debug, Deserialize)]
struct Readiness {
    ready: bool,
    missing: Vec<String>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let url = format!("{}/readyz", arguments.admin.trim_end_matches('/'));
    let silent = |error: reqwest::Error| Failure::new(format!("{url} does not answer: {}", cause(&error)));
    let client = Client::builder().timeout(LIMIT).build()?;
    let readiness: Readiness = client
        .get(&url)
        .send()
        .await
        .map_err(silent)?
        .json()
        .await
        .map_err(|error| Failure::new(format!("{url} is no admin server of Rungs: {}", cause(&error))))?;
    if !readiness.ready {
        return Err(Failure::new(format!("not ready, it lacks: {}", readiness.missing.join(", "))));
    }
    eprintln!("ready");
    Ok(())
}

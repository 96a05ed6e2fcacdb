//! `rungs demo-visitors`: simulated visitors on the site of `examples/ladder`, so that the page of `make run` moves. Hidden:
//! it is of use for trying out only.

use std::time::Duration;

use clap::Args;
use runtime::Shutdown;

use crate::demo::{self, Stream};
use crate::failure::Failure;

/// Simulated visitors for the site of examples/ladder
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The collector
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A write key of the site
    #[arg(long, value_name = "KEY", default_value = "wk_ladder_demo")]
    key: String,
    /// New visitors a second
    #[arg(long, value_name = "VISITORS", default_value_t = 2.0, value_parser = rate)]
    rate: f64,
    /// New visitors come for this long; those who came climb on for a few minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { url, key, rate, minutes } = arguments;
    let url = url.trim_end_matches('/').to_owned();
    let stream = Stream { url, key, rate, length: Duration::from_secs(minutes * 60) };
    demo::run(&stream, Shutdown::on_signals()?).await
}

/// Bounded, so that a slip of the finger is no load test.
fn rate(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|rate| (0.01..=100.0).contains(rate)).ok_or_else(|| "0.01 to 100".to_owned())
}

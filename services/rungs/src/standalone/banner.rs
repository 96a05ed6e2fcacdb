//! What `rungs up` says when it is up: the addresses, and what to try next with the plan that is in force.

use std::net::SocketAddr;

use super::Options;
use super::services::Addresses;

/// A block of text for the terminal.
pub(super) fn render(addresses: &Addresses, options: &Options, clickhouse: Option<SocketAddr>) -> String {
    let Addresses { collector, console, admin } = addresses;
    let configured = options.settings.clickhouse.url.as_deref().unwrap_or_default();
    let clickhouse = clickhouse.map_or_else(|| configured.to_owned(), |address| format!("http://{address}"));
    let plan = match &options.plan_file {
        Some(file) => format!("{} (watched: save it and it is applied)", file.display()),
        None => "the one in force (rungs plan show)".to_owned(),
    };
    format!(
        "
  Rungs is up.

    live page    http://{console}
    events       http://{collector}          POST /v1/track, /v1/batch, /v1/events; GET /v1/pixel.gif
    metrics      http://{admin}/metrics
    ClickHouse   {clickhouse}
    data         {data}
    plan         {plan}

  Try:
    curl -u WRITE_KEY: http://{collector}/v1/track -d '{{\"event\":\"EVENT\",\"anonymousId\":\"ann\"}}'
    rungs report --url http://{console} --site SITE --funnel FUNNEL
    rungs import --help

  Ctrl-C stops it; nothing that was acknowledged is lost.

",
        data = options.data_dir.display(),
    )
}

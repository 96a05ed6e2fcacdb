//! What `rungs up` says when it is up: the addresses, and what to try next with the plan that is in force.

use std::net::SocketAddr;

use funnel::Plan;

use super::Options;
use super::services::Addresses;

/// A block of text for the terminal.
pub(super) fn render(
    addresses: &Addresses,
    options: &Options,
    clickhouse: Option<SocketAddr>,
    plan: Option<&Plan>,
) -> String {
    let Addresses { collector, console, admin } = addresses;
    let configured = options.settings.clickhouse.url.as_deref().unwrap_or_default();
    let clickhouse = clickhouse.map_or_else(|| configured.to_owned(), |address| format!("http://{address}"));
    let file = match &options.plan_file {
        Some(file) => format!("{} (watched: save it and it is applied)", file.display()),
        None => "the one in force (`rungs plan show`)".to_owned(),
    };
    let Example { key, event, site, funnel } = Example::of(plan);
    format!(
        "
  Rungs is up.

    live page    http://{console}
    events       http://{collector}          POST /v1/track, /v1/batch, /v1/events; GET /v1/pixel.gif
    metrics      http://{admin}/metrics
    ClickHouse   {clickhouse}
    data         {data}
    plan         {file}

  Try:
    curl -u {key}: http://{collector}/v1/track -d '{{\"event\":\"{event}\",\"anonymousId\":\"ann\"}}'
    {program} report --url http://{console} --site {site} --funnel {funnel}
    {program} import --help

  Ctrl-C stops it; nothing that was acknowledged is lost.

",
        data = options.data_dir.display(),
        program = program(),
    )
}

/// As it was started, so that commands can be pasted.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "rungs".to_owned())
}

/// The first funnel of the plan, for commands that can be pasted.
struct Example<'p> {
    key: &'p str,
    event: &'p str,
    site: &'p str,
    funnel: &'p str,
}

impl<'p> Example<'p> {
    fn of(plan: Option<&'p Plan>) -> Self {
        let plan = plan.and_then(Self::first);
        plan.unwrap_or(Self { key: "WRITE_KEY", event: "EVENT", site: "SITE", funnel: "FUNNEL" })
    }

    fn first(plan: &'p Plan) -> Option<Self> {
        let funnel = plan.funnels.first()?;
        let key = plan.site(&funnel.site)?.write_keys.first()?;
        let event = funnel.steps.first()?.events.first()?;
        Some(Self { key, event, site: &funnel.site, funnel: &funnel.id })
    }
}

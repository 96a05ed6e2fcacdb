//! `rungs rebuild`: has funnels counted anew.

use clap::Args;
use serde::Deserialize;

use crate::failure::Failure;
use crate::site_key::SiteKey;

/// Count a site's funnels anew from the raw events
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    #[command(flatten)]
    site: SiteKey,
    /// Only this funnel
    #[arg(long, value_name = "FUNNEL")]
    funnel: Option<String>,
}

const EXAMPLE: &str = "Counts what came too late or was too much to be counted live. The numbers of before are shown until \
the new ones are complete; `rungs report` and the live page say how far that is. History begins with the oldest raw event.

Examples:
  rungs rebuild --key sk_shop_demo --site shop
  RUNGS_SECRET_KEY=… rungs rebuild --url http://10.0.0.11:8080 --site shop --funnel purchase";

#[derive(Debug, Deserialize)]
struct Answer {
    generation: u64,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let body = arguments.funnel.map(|funnel| serde_json::json!({ "funnel": funnel }).to_string());
    let collector = arguments.site.collector()?;
    let Answer { generation } = collector.order("/v1/rebuild", body.unwrap_or_default()).await?;
    println!("being counted anew, as generation {generation}");
    Ok(())
}

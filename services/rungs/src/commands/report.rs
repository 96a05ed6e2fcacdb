//! `rungs report`: a funnel's ladder as a table, or as JSON for scripts.

use clap::Args;

use crate::failure::Failure;
use crate::moment;
use crate::report::{self, Question, Span};

/// Show a funnel: who takes each step, where they drop off, how long it takes
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// The console
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081")]
    url: String,
    /// A site of the plan, by its id
    #[arg(long, value_name = "SITE")]
    site: String,
    /// One of its funnels, by its id
    #[arg(long, value_name = "FUNNEL")]
    funnel: String,
    /// A rolling window of the funnel, as the plan writes it [default: the longest]
    #[arg(long, value_name = "WINDOW", conflicts_with_all = ["from", "to"])]
    window: Option<String>,
    /// The end of the rolling window instead of now: a minute's end of the last days, or an hour's end
    #[arg(long, value_name = "TIME", value_parser = moment::parse, conflicts_with_all = ["from", "to"])]
    as_of: Option<i64>,
    /// Only events from this time on; with --to
    #[arg(long, value_name = "TIME", value_parser = moment::parse, requires = "to")]
    from: Option<i64>,
    /// Only events before this time; with --from
    #[arg(long, value_name = "TIME", value_parser = moment::parse, requires = "from")]
    to: Option<i64>,
    /// Split by a breakdown of the funnel
    #[arg(long, value_name = "BREAKDOWN")]
    breakdown: Option<String>,
    /// Print the console's JSON
    #[arg(long)]
    json: bool,
    /// The console's token, where it asks for one
    #[arg(long, value_name = "TOKEN", env = "RUNGS_CONSOLE__TOKEN", hide_env_values = true)]
    token: Option<String>,
}

const EXAMPLE: &str = "Columns: visitors who reached the step; their share of the previous and of the first step; drop-off, those \
of the previous step who have not taken this one, and lost, those of them who cannot any more; CTR, the share of those \
who saw the offer; the median time from the step before, and effort, that from the offer; open, who stands there and can \
still go on; skipped, who took a later step within the span and not this one in it. docs/numbers.md says more.

Below the table: names of events of the last day that no step has and that look like slips of one that does.

Times are ISO 8601 (UTC where no zone is given), milliseconds since 1970, or a time of today on this machine's clock.

Examples:
  rungs report --site shop --funnel purchase                          the longest rolling window, now
  rungs report --site shop --funnel purchase --window 24h --breakdown channel
  rungs report --site shop --funnel purchase --window 7d --as-of 2024-05-15T00:00Z
  rungs report --site shop --funnel purchase --window 1h --as-of 10:00
  rungs report --site shop --funnel purchase --from 2024-04-01 --to 2024-05-01 --breakdown channel
  rungs report --url http://10.0.0.5:8081 --token TOKEN --site shop --funnel purchase
  rungs report --site shop --funnel purchase --json | jq '.steps[] | [.id, .visitors]'";

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { url, site, funnel, window, as_of, from, to, breakdown, json, token } = arguments;
    let span = match from.zip(to) {
        Some((from, to)) => Span::Between { from, to },
        None => Span::Rolling { window, as_of },
    };
    let url = url.trim_end_matches('/').to_owned();
    report::run(Question { url, site, funnel, span, breakdown, token }, json).await
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn read(flags: &[&str]) -> Arguments {
        let all = ["report", "--site", "shop", "--funnel", "purchase"];
        Line::try_parse_from([&all, flags].concat()).unwrap().arguments
    }

    #[test]
    fn every_time_may_be_one_of_today() {
        let expected = moment::parse("10:00").ok();
        assert_eq!(read(&["--window", "1h", "--as-of", "10:00"]).as_of, expected);
        let Arguments { from, to, .. } = read(&["--from", "10:00", "--to", "2099-01-01"]);
        assert_eq!((from, to), (expected, Some(4_070_908_800_000)));
        assert_eq!(read(&["--from", "2024-05-15", "--to", "10:00"]).to, expected);
    }
}

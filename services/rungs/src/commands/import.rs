//! `rungs import`: events of the past from a CSV or NDJSON file.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
use crate::import::{self, Columns, Job};

/// Import events of the past from a CSV or NDJSON file
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// The collector
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A secret key of the site (its SHA-256 stands in the plan)
    #[arg(long, value_name = "SECRET", env = "RUNGS_IMPORT_KEY", hide_env_values = true)]
    key: String,
    /// The site that the key belongs to
    #[arg(long, value_name = "SITE")]
    site: String,
    /// The column (CSV) or key (NDJSON, dots reach into objects) that identifies a visitor
    #[arg(long, value_name = "COLUMN")]
    visitor: String,
    /// The column of the event's name
    #[arg(long, value_name = "COLUMN")]
    event: String,
    /// The column of the event's time: ISO 8601 (UTC where no zone is given), or seconds or milliseconds since 1970
    #[arg(long, value_name = "COLUMN")]
    time: String,
    /// A property and the column that it comes from; may be repeated
    #[arg(long = "property", value_name = "NAME=COLUMN", value_parser = property)]
    properties: Vec<(String, String)>,
    /// Move all times by whole minutes, so that the last event is at most a minute old: for demonstrations
    #[arg(long)]
    time_shift_to_now: bool,
    /// CSV or NDJSON, plain or gzip
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

const EXAMPLE: &str = "Ends when the numbers with the imported events can be read. It may be interrupted, and run again \
at any time: rows that are stored are not stored twice. The position is kept in $XDG_STATE_HOME/rungs/imports \
(~/.local/state), or beside the file.

Exit code 1 if a row was rejected; the first of them are listed with their reason. Rows of erased visitors are not stored \
because somebody asked for it: they are counted at the end.

A file that was changed is another import: every row of it is a new event, and what was imported before stays.

Examples:
  rungs import --key sk_shop_demo --site shop --visitor user_id --event event --time timestamp \\
      --property channel=acquisition_channel examples/shop/clickstream.csv.gz
  RUNGS_IMPORT_KEY=… rungs import --site shop --visitor user.id --event name --time at \\
      --property plan=user.plan events.ndjson.gz";

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { url, key, site, visitor, event, time, properties, time_shift_to_now, file } = arguments;
    let columns = Columns { visitor, event, time, properties };
    let url = url.trim_end_matches('/').to_owned();
    import::run(Job { url, key, site, columns, shift_to_now: time_shift_to_now, file }).await
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, column)) if !name.is_empty() && !column.is_empty() => {
            Ok((name.to_owned(), column.to_owned()))
        }
        _ => Err("write NAME=COLUMN, for example channel=acquisition_channel".to_owned()),
    }
}

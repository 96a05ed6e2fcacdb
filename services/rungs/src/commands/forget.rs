//! `rungs forget`: erases visitors, for good.

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use crate::failure::Failure;
use crate::plural::plural_are;
use crate::site_key::{SiteKey, read};
use crate::terminal::on_one_line;

/// Visitors of one request; the collector takes as many.
const AT_ONCE: usize = 1_000;

/// Erase visitors for good: from the numbers at once, from the tables soon after
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    #[command(flatten)]
    site: SiteKey,
    /// The visitor's anonymousId, or userId where there is none; may be repeated
    #[arg(long = "visitor", value_name = "VISITOR", required_unless_present = "visitors")]
    visitor: Vec<String>,
    /// A file with a visitor a line
    #[arg(long, value_name = "FILE")]
    visitors: Option<PathBuf>,
}

const EXAMPLE: &str = "A visitor is an id: who came with several devices has several, and a user's are those with the \
userId in the table events. Nothing brings an erased visitor back: events of the id that come later are thrown away and \
counted. What is counted at past minutes stays: it names nobody. Run again, it does no harm. Where no event of an id is \
stored, that is said: it may be mistyped, or was erased before.

Exit code 1 if a visitor was not erased.

Examples:
  rungs forget --key sk_shop_demo --site shop --visitor 2c1f7e2a
  RUNGS_SECRET_KEY=… rungs forget --url https://events.example --site shop --visitors leaving.txt";

#[derive(Debug, Deserialize)]
struct Answer {
    results: Vec<Outcome>,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    index: usize,
    result: String,
    /// Whether an event of the visitor was stored, where that is known.
    #[serde(default)]
    was_stored: Option<bool>,
    #[serde(default)]
    message: String,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let visitors = visitors(&arguments)?;
    let collector = arguments.site.collector()?;
    let mut failed = 0;
    for part in visitors.chunks(AT_ONCE) {
        let body = serde_json::json!({ "visitors": part }).to_string();
        let answer: Answer = collector.order("/v1/forget", body).await?;
        failed += answer.results.iter().filter(|outcome| !tell(outcome, part)).count();
    }
    match failed {
        0 => Ok(()),
        failed => Err(Failure::new(format!(
            "{failed} of {} not erased",
            plural_are(visitors.len() as u64, "visitor")
        ))),
    }
}

/// Prints what became of a visitor; whether they were erased.
fn tell(outcome: &Outcome, part: &[String]) -> bool {
    let visitor = part.get(outcome.index).map_or("", String::as_str);
    let erased = outcome.result == "erased";
    let visitor = on_one_line(visitor);
    match (erased, outcome.was_stored) {
        (true, Some(false)) => {
            println!("erased: {visitor}: no event of it is stored, and none will be from now on")
        }
        (true, _) => println!("erased: {visitor}"),
        (false, _) => eprintln!("not erased: {visitor}: {}", on_one_line(&outcome.message)),
    }
    erased
}

fn visitors(arguments: &Arguments) -> Result<Vec<String>, Failure> {
    let mut visitors = arguments.visitor.clone();
    if let Some(path) = &arguments.visitors {
        let text = read(path)?;
        // Spreadsheets begin a text with a mark, and leave blanks behind it.
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_end);
        visitors.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
    }
    if visitors.is_empty() {
        return Err(Failure::usage("--visitors: the file names nobody; write a visitor's id a line"));
    }
    Ok(visitors)
}

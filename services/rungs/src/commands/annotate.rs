//! `rungs annotate`: a note on a site's time line, or one that is to go.

use clap::Args;
use serde_json::{Value, json};

use crate::console_client::ConsoleClient;
use crate::failure::Failure;
use crate::moment;
use crate::terminal::on_one_line;

/// Note what you did, beside the numbers: "email sent"
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// The console
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081")]
    url: String,
    /// A site of the plan, by its id
    #[arg(long, value_name = "SITE")]
    site: String,
    /// When it happened [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    at: Option<i64>,
    /// A name of the note: one that is written again replaces it [default: chosen]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// A secret key of the site, where the console asks for one
    #[arg(long, value_name = "SECRET", env = "RUNGS_SECRET_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The console's token, in place of a secret key
    #[arg(long, value_name = "TOKEN", env = "RUNGS_CONSOLE__TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Removes the note of this id instead: neither the page nor Grafana draw it any more
    #[arg(long, value_name = "ID", conflicts_with_all = ["text", "at", "id"])]
    remove: Option<String>,
    /// What happened: one line of at most 280 characters
    #[arg(value_name = "TEXT", required_unless_present = "remove")]
    text: Option<String>,
}

const EXAMPLE: &str = "The live page draws notes into its lines, Grafana's Live ladder over its panels. On the console's own machine no \
key is needed unless `[console] token` is set; elsewhere a secret key of the site, or that token.

Times are ISO 8601 (UTC where no zone is given), milliseconds since 1970, or a time of today on this machine's clock.

Examples:
  rungs annotate --site shop \"email sent\"
  rungs annotate --site shop --at 10:02 \"email sent\"
  rungs annotate --site shop --at 2024-05-15T10:02+02:00 --id spring-sale \"spring sale began\"
  rungs annotate --site shop --remove spring-sale
  rungs annotate --url https://rungs.example --key SECRET --site shop \"new checkout\"";

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { url, site, at, id, key, token, remove, text } = arguments;
    let console = ConsoleClient::new(url.trim_end_matches('/'), token.as_deref());
    if let Some(id) = remove {
        console.delete("/api/v1/annotations", &[("site", &site), ("id", &id)], key.as_deref()).await?;
        println!("{}", on_one_line(&format!("removed (id {id})")));
        return Ok(());
    }
    let mut note = json!({ "site": site, "text": text });
    for (name, value) in [("at", at.map(Value::from)), ("id", id.map(Value::from))] {
        if let (Some(value), Some(note)) = (value, note.as_object_mut()) {
            note.insert(name.to_owned(), value);
        }
    }
    let answer = console.post("/api/v1/annotations", &note, key.as_deref()).await?;
    let stored: Value = serde_json::from_str(&answer)
        .map_err(|error| Failure::new(format!("the console's answer is strange: {error}")))?;
    let part = |name: &str| stored.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let at = stored.get("at").and_then(Value::as_i64).unwrap_or_default();
    let at = jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |time| time.to_string());
    println!("{}", on_one_line(&format!("{at} {} (id {})", part("text"), part("id"))));
    Ok(())
}

//! Asks the console for a funnel's ladder and prints it: a table for people ([`table`]), the console's own JSON for
//! scripts. [`check`] prints what `rungs check` says about a good plan.

mod answer;
pub(crate) mod check;
mod columns;
mod table;

use checked_toml::units;
use console::Term;
use reqwest::{Client, Url};
use serde::Deserialize;

use crate::failure::Failure;
use crate::import::send::cause;
use answer::Answer;

/// Characters of a line where standard output is no terminal.
const DEFAULT_WIDTH: usize = 110;

/// What is asked.
#[derive(Debug)]
pub(crate) struct Question {
    /// The console, without a slash at its end.
    pub(crate) url: String,
    pub(crate) site: String,
    pub(crate) funnel: String,
    pub(crate) span: Span,
    pub(crate) breakdown: Option<String>,
    pub(crate) token: Option<String>,
}

/// Which events count. Times are UTC milliseconds.
#[derive(Debug)]
pub(crate) enum Span {
    /// A rolling window (the longest, where none is named) that ends now or at `as_of`.
    Rolling { window: Option<String>, as_of: Option<i64> },
    /// Only events from `from` on and before `to`.
    Between { from: i64, to: i64 },
}

/// Prints the answer to standard output.
pub(crate) async fn run(mut question: Question, as_json: bool) -> Result<(), Failure> {
    let client = Client::new();
    if let Span::Rolling { window: window @ None, .. } = &mut question.span {
        *window = Some(
            longest_window(
                &client,
                &question.url,
                &question.site,
                &question.funnel,
                question.token.as_deref(),
            )
            .await?,
        );
    }
    let text =
        get(&client, &question.url, &question.path(), &question.parameters(), question.token.as_deref())
            .await?;
    if as_json {
        println!("{text}");
        return Ok(());
    }
    let answer: Answer = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("the console's answer is strange: {error}")))?;
    print!("{}", table::render(&answer, question.breakdown.as_deref(), width()));
    Ok(())
}

impl Question {
    fn path(&self) -> String {
        let kind = match self.span {
            Span::Rolling { .. } => "live",
            Span::Between { .. } => "report",
        };
        format!("/api/v1/funnels/{}/{}/{kind}", self.site, self.funnel)
    }

    fn parameters(&self) -> Vec<(&str, String)> {
        let mut parameters = match &self.span {
            Span::Rolling { window, as_of } => {
                let window = window.iter().map(|window| ("window", window.clone()));
                window.chain(as_of.map(|as_of| ("as_of", as_of.to_string()))).collect()
            }
            Span::Between { from, to } => vec![("from", from.to_string()), ("to", to.to_string())],
        };
        parameters.extend(self.breakdown.clone().map(|breakdown| ("breakdown", breakdown)));
        parameters
    }
}

async fn longest_window(
    client: &Client,
    url: &str,
    site: &str,
    funnel: &str,
    token: Option<&str>,
) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Catalog {
        funnels: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        id: String,
        rolling_windows: Vec<String>,
    }
    let text = get(client, url, "/api/v1/funnels", &[("site", site.to_owned())], token).await?;
    let catalog: Catalog = serde_json::from_str(&text)?;
    let known: Vec<&str> = catalog.funnels.iter().map(|entry| entry.id.as_str()).collect();
    let Some(entry) = catalog.funnels.iter().find(|entry| entry.id == funnel) else {
        let known = known.join(", ");
        return Err(Failure::new(format!("the site {site} has no funnel {funnel}; it has: {known}")));
    };
    let longest = entry.rolling_windows.iter().max_by_key(|window| units::duration_ms(window));
    longest.cloned().ok_or_else(|| Failure::new(format!("the funnel {funnel} has no rolling window")))
}

/// The body of a successful answer.
async fn get(
    client: &Client,
    url: &str,
    path: &str,
    parameters: &[(&str, String)],
    token: Option<&str>,
) -> Result<String, Failure> {
    let address = Url::parse_with_params(&format!("{url}{path}"), parameters)
        .map_err(|error| Failure::usage(format!("--url {url}: {error}")))?;
    let request = match token {
        Some(token) => client.get(address).bearer_auth(token),
        None => client.get(address),
    };
    let response = request.send().await.map_err(|error| {
        let cause = cause(&error);
        Failure::new(format!(
            "{url} does not answer: is `rungs up` running, and is --url its console? ({cause})"
        ))
    })?;
    let status = response.status();
    let text = response.text().await?;
    match status.is_success() {
        true => Ok(text),
        false => Err(Failure::new(
            refusal(&text).unwrap_or_else(|| format!("the console answered {status}: {text}")),
        )),
    }
}

/// The message of the console's JSON error.
fn refusal(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        code: String,
        message: String,
    }
    let Refusal { code, message } = serde_json::from_str(text).ok()?;
    Some(format!("{message} ({code})"))
}

fn width() -> usize {
    let term = Term::stdout();
    match term.is_term() {
        true => term.size_checked().map_or(DEFAULT_WIDTH, |(_, columns)| usize::from(columns)),
        false => DEFAULT_WIDTH,
    }
}

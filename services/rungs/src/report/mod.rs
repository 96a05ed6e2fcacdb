//! Asks the console for a funnel's ladder and prints it: a table for people ([`table`]), the console's own JSON for
//! scripts. [`check`] prints what `rungs check` says about a good plan.

mod answer;
pub(crate) mod check;
pub(crate) mod columns;
mod table;

use console::Term;

use crate::console_client::ConsoleClient;
use crate::failure::Failure;
use answer::{Answer, EventNames};

/// Characters of a line where standard output is no terminal.
const DEFAULT_WIDTH: usize = 130;

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
    /// A rolling window (the console's default, the longest, where none is named) that ends now or at `as_of`.
    Rolling { window: Option<String>, as_of: Option<i64> },
    /// Only events from `from` on and before `to`.
    Between { from: i64, to: i64 },
}

/// Prints the answer to standard output, and what may be wrong with what is sent to standard error.
pub(crate) async fn run(question: Question, as_json: bool) -> Result<(), Failure> {
    let console = ConsoleClient::new(&question.url, question.token.as_deref());
    let text = console.get(&question.path(), &question.parameters()).await?;
    if as_json {
        println!("{text}");
        return Ok(());
    }
    let answer: Answer = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("the console's answer is strange: {error}")))?;
    print!("{}", table::render(&answer, question.breakdown.as_deref(), width()));
    if let Some(hint) = strangers(&console, &question.site, &answer).await {
        eprint!("\n{hint}");
    }
    Ok(())
}

/// A hint only: a console that cannot tell (an older one) says nothing.
async fn strangers(console: &ConsoleClient, site: &str, answer: &Answer) -> Option<String> {
    let text = console.get(&format!("/api/v1/sites/{site}/events"), &[]).await.ok()?;
    let names: EventNames = serde_json::from_str(&text).ok()?;
    table::strangers(&names.events, answer)
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

fn width() -> usize {
    let term = Term::stdout();
    match term.is_term() {
        true => term.size_checked().map_or(DEFAULT_WIDTH, |(_, columns)| usize::from(columns)),
        false => DEFAULT_WIDTH,
    }
}

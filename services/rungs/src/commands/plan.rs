//! `rungs plan apply|show|history`: the plan in force of a running `rungs up`, over its admin server.

use std::path::{Path, PathBuf};

use checked_toml::Problem;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::plans::http::{AppliedAnswer, PLAN_MEDIA_TYPE, PlanAnswer, PlanSummary, ProblemAnswer};
use crate::problems;

/// The tracking plan in force: apply one, show it, list its predecessors
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// The admin server of the running `rungs up`
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:9464")]
    admin: String,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check a plan and put it in force; a plan with mistakes changes nothing
    Apply {
        /// The tracking plan
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the plan in force (as TOML, to standard output)
    Show,
    /// List the plans that were applied, the latest last
    History,
}

const EXAMPLE: &str = "The plan in force is a numbered record beside the events, not a file: collector and console follow \
it, and the aggregator switches at one place of the log. `rungs up --plan FILE` applies that file at its start and \
whenever it changes.

Examples:
  rungs plan apply tracking-plan.toml
  rungs plan show > in-force.toml
  rungs plan history";

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let admin = Admin { base: arguments.admin.trim_end_matches('/').to_owned(), client: Client::new() };
    match arguments.action {
        Action::Apply { file } => apply(&admin, &file).await,
        Action::Show => show(&admin).await,
        Action::History => history(&admin).await,
    }
}

struct Admin {
    base: String,
    client: Client,
}

async fn apply(admin: &Admin, file: &Path) -> Result<(), Failure> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(format!("{name} cannot be read: {error}")))?;
    let request = admin.client.post(format!("{}/plan", admin.base));
    let response = request.header("content-type", PLAN_MEDIA_TYPE).body(text.clone()).send().await;
    let response = response.map_err(|error| admin.unreachable(&error))?;
    if response.status() == StatusCode::UNPROCESSABLE_ENTITY {
        let refused: RefusedAnswer = json(response).await?;
        let problems: Vec<Problem> = refused.problems.into_iter().map(|found| found.problem(&name)).collect();
        println!("{}", problems::render(&problems, &text));
        return Err(Failure::new("nothing was changed; correct the plan and apply it again"));
    }
    let applied: AppliedAnswer = json(successful(response).await?).await?;
    match applied.changed {
        true => eprintln!("plan {} is in force", applied.number),
        false => eprintln!("plan {} is in force already; nothing was changed", applied.number),
    }
    Ok(())
}

async fn show(admin: &Admin) -> Result<(), Failure> {
    let plan: PlanAnswer = json(admin.get("/plan").await?).await?;
    eprintln!("plan {}, applied at {}", plan.number, utc(plan.applied_at_ms));
    print!("{}", plan.text);
    Ok(())
}

async fn history(admin: &Admin) -> Result<(), Failure> {
    let plans: Vec<PlanSummary> = json(admin.get("/plan/history").await?).await?;
    println!("{:>6}  {:<20}  {:>5}  {:>7}", "plan", "applied", "sites", "funnels");
    for plan in plans {
        let PlanSummary { number, applied_at_ms, sites, funnels } = plan;
        println!("{number:>6}  {:<20}  {sites:>5}  {funnels:>7}", utc(applied_at_ms));
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
struct RefusedAnswer {
    problems: Vec<ProblemAnswer>,
}

impl Admin {
    async fn get(&self, path: &str) -> Result<Response, Failure> {
        let response = self.client.get(format!("{}{path}", self.base)).send().await;
        successful(response.map_err(|error| self.unreachable(&error))?).await
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        Failure::new(format!(
            "{} does not answer: is `rungs up` running, and is --admin its admin address? ({})",
            self.base,
            crate::import::send::cause(error)
        ))
    }
}

/// The answer, or what the server said against it.
async fn successful(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    Err(Failure::new(format!("the admin server answered {status}: {}", text.trim())))
}

async fn json<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    response
        .json()
        .await
        .map_err(|error| Failure::new(format!("the admin server's answer is strange: {error}")))
}

fn utc(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.strftime("%F %T UTC").to_string())
}

//! `rungs plan apply|show|history`: the plan in force, of a running `rungs up` over its admin server, or of the services on
//! Kafka through the plan topic itself.

use std::path::{Path, PathBuf};

use checked_toml::Problem;
use clap::{Args, Subcommand};
use event_log::PlanRecord;
use event_log::kafka::KafkaSettings;
use jiff::Timestamp;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::plans::http::{AppliedAnswer, PLAN_MEDIA_TYPE, PlanAnswer, PlanSummary, ProblemAnswer};
use crate::plans::in_force::ApplyError;
use crate::{problems, production, settings};

/// The tracking plan in force: apply one, show it, list its predecessors
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// The admin server of the running `rungs up` [default: http://127.0.0.1:9464, unless the settings name Kafka]
    #[arg(long, global = true, value_name = "URL", conflicts_with = "settings")]
    admin: Option<String>,
    /// The settings file with [kafka] brokers, to read and write the plan topic; RUNGS_KAFKA__BROKERS does too
    #[arg(long, global = true, value_name = "FILE")]
    settings: Option<PathBuf>,
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
whenever it changes. With [kafka] brokers in the settings the plan topic itself is used, and no service need run.

Examples:
  rungs plan apply tracking-plan.toml
  rungs plan show > in-force.toml
  rungs plan history
  rungs plan apply tracking-plan.toml --settings rungs.toml";

const DEFAULT_ADMIN: &str = "http://127.0.0.1:9464";

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    if let Some(kafka) = arguments.kafka()? {
        return on_kafka(kafka, arguments.action).await;
    }
    let admin = arguments.admin.as_deref().unwrap_or(DEFAULT_ADMIN);
    let admin = Admin { base: admin.trim_end_matches('/').to_owned(), client: Client::new() };
    match arguments.action {
        Action::Apply { file } => apply(&admin, &file).await,
        Action::Show => show(&admin).await,
        Action::History => history(&admin).await,
    }
}

impl Arguments {
    /// Kafka, if the settings or the environment name it and no admin server was named.
    fn kafka(&self) -> Result<Option<KafkaSettings>, Failure> {
        if self.admin.is_some() {
            return Ok(None);
        }
        let settings = settings::load(self.settings.as_deref())?;
        let kafka = production::kafka::configured(&settings).cloned();
        match (&self.settings, kafka) {
            (Some(file), None) => Err(Failure::usage(format!(
                "{} names no [kafka] brokers; the plan of a running `rungs up` is reached without --settings",
                file.display()
            ))),
            (_, kafka) => Ok(kafka),
        }
    }
}

async fn on_kafka(kafka: KafkaSettings, action: Action) -> Result<(), Failure> {
    let plans = production::plans::open(kafka).await?;
    match action {
        Action::Apply { file } => {
            let (name, text) = read(&file)?;
            match plans.apply(&name, &text).await {
                Ok(applied) => say(&AppliedAnswer { number: applied.number, changed: applied.changed }),
                Err(ApplyError::Invalid(found)) => return Err(refused(&found, &text)),
                Err(error) => return Err(error.into()),
            }
        }
        Action::Show => {
            let plan = plans.latest().ok_or_else(|| Failure::new("no plan was applied yet"))?;
            let PlanRecord { number, applied_at_ms, text } = plan.as_ref().clone();
            print_plan(&PlanAnswer { number, applied_at_ms, text });
        }
        Action::History => print_history(plans.history()?.iter().map(PlanSummary::of)),
    }
    Ok(())
}

fn read(file: &Path) -> Result<(String, String), Failure> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(format!("{name} cannot be read: {error}")))?;
    Ok((name, text))
}

fn refused(problems: &[Problem], text: &str) -> Failure {
    println!("{}", problems::render(problems, text));
    Failure::new("nothing was changed; correct the plan and apply it again")
}

fn say(applied: &AppliedAnswer) {
    match applied.changed {
        true => eprintln!("plan {} is in force", applied.number),
        false => eprintln!("plan {} is in force already; nothing was changed", applied.number),
    }
}

fn print_plan(plan: &PlanAnswer) {
    eprintln!("plan {}, applied at {}", plan.number, utc(plan.applied_at_ms));
    print!("{}", plan.text);
}

fn print_history(plans: impl Iterator<Item = PlanSummary>) {
    println!("{:>6}  {:<20}  {:>5}  {:>7}", "plan", "applied", "sites", "funnels");
    for PlanSummary { number, applied_at_ms, sites, funnels } in plans {
        println!("{number:>6}  {:<20}  {sites:>5}  {funnels:>7}", utc(applied_at_ms));
    }
}

struct Admin {
    base: String,
    client: Client,
}

async fn apply(admin: &Admin, file: &Path) -> Result<(), Failure> {
    let (name, text) = read(file)?;
    let request = admin.client.post(format!("{}/plan", admin.base));
    let response = request.header("content-type", PLAN_MEDIA_TYPE).body(text.clone()).send().await;
    let response = response.map_err(|error| admin.unreachable(&error))?;
    if response.status() == StatusCode::UNPROCESSABLE_ENTITY {
        let answer: RefusedAnswer = json(response).await?;
        let problems: Vec<Problem> = answer.problems.into_iter().map(|found| found.problem(&name)).collect();
        return Err(refused(&problems, &text));
    }
    say(&json(successful(response).await?).await?);
    Ok(())
}

async fn show(admin: &Admin) -> Result<(), Failure> {
    print_plan(&json(admin.get("/plan").await?).await?);
    Ok(())
}

async fn history(admin: &Admin) -> Result<(), Failure> {
    let plans: Vec<PlanSummary> = json(admin.get("/plan/history").await?).await?;
    print_history(plans.into_iter());
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

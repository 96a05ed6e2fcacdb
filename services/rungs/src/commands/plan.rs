//! `rungs plan apply|diff|show|history`: the plan in force, of a running `rungs up` over its admin server, or of the
//! services on Kafka through the plan topic itself.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use checked_toml::Problem;
use clap::{Args, Subcommand};
use event_log::kafka::KafkaSettings;

use crate::failure::Failure;
use crate::plans::difference::{Comparison, utc};
use crate::plans::http::PlanSummary;
use crate::plans::reached::{Admin, NotApplied, Plans};
use crate::report::columns::{self, Column};
use crate::{problems, production, settings};

/// The tracking plan in force: apply one, compare one, show it, list its predecessors
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
        /// Do not ask, also where something ends or is counted anew; nobody is asked where there is no terminal
        #[arg(long)]
        yes: bool,
    },
    /// Tell what applying a plan would change: what ends, what is counted anew, what is new
    Diff {
        /// The tracking plan
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the plan in force (as TOML, to standard output)
    Show {
        /// An earlier one instead, by its number in the history
        #[arg(long, value_name = "N")]
        number: Option<u64>,
    },
    /// List the plans that were applied, the latest last
    History,
}

const EXAMPLE: &str = "The plan in force is a numbered record beside the events, not a file: collector and console follow \
it, and the aggregator switches at one place of the log. `rungs up --plan FILE` applies that file at its start and \
whenever it changes. A plan is the whole of it: what is in force and not in the new one ends. With [kafka] brokers in the settings the plan topic itself is used, and no service need run.

Examples:
  rungs plan diff tracking-plan.toml
  rungs plan apply tracking-plan.toml
  rungs plan show > in-force.toml
  rungs plan history
  rungs plan show --number 3 > plan-3.toml
  rungs plan apply tracking-plan.toml --settings rungs.toml";

const DEFAULT_ADMIN: &str = "http://127.0.0.1:9464";

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let plans = match arguments.kafka()? {
        Some(kafka) => Plans::Topic(production::plans::open(kafka).await?),
        None => Plans::Admin(Admin::at(arguments.admin.as_deref().unwrap_or(DEFAULT_ADMIN))),
    };
    match arguments.action {
        Action::Apply { file, yes } => apply(&plans, &file, yes).await,
        Action::Diff { file } => diff(&plans, &file).await,
        Action::Show { number } => show(&plans, number).await,
        Action::History => {
            print!("{}", history_table(&plans.history().await?));
            Ok(())
        }
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

async fn apply(plans: &Plans, file: &Path, yes: bool) -> Result<(), Failure> {
    let (name, text) = read(file)?;
    let latest = plans.latest().await?;
    let comparison = Comparison::of(latest.as_ref(), &name, &text).map_err(|found| refused(&found, &text))?;
    eprint!("{}", comparison.text());
    if comparison.takes_away() && !yes && is_terminal() && !agreed()? {
        return Err(Failure::new("nothing was changed"));
    }
    let applied = match plans.apply(&name, &text).await {
        Ok(applied) => applied,
        Err(NotApplied::Mistakes(found)) => return Err(refused(&found, &text)),
        Err(NotApplied::Failed(failure)) => return Err(failure),
    };
    match applied.changed {
        true => eprintln!("plan {} is in force", applied.number),
        false => eprintln!("plan {} is in force already; nothing was changed", applied.number),
    }
    Ok(())
}

async fn diff(plans: &Plans, file: &Path) -> Result<(), Failure> {
    let (name, text) = read(file)?;
    let latest = plans.latest().await?;
    let comparison = Comparison::of(latest.as_ref(), &name, &text).map_err(|found| refused(&found, &text))?;
    match (comparison.text(), latest) {
        (changes, _) if !changes.is_empty() => print!("{changes}"),
        (_, Some(plan)) => println!("plan {} is in force already; nothing would change", plan.number),
        (_, None) => println!("there is no plan yet; this one would be the first"),
    }
    Ok(())
}

async fn show(plans: &Plans, number: Option<u64>) -> Result<(), Failure> {
    let found = match number {
        Some(number) => plans.numbered(number).await?,
        None => plans.latest().await?,
    };
    let missing = || match number {
        Some(number) => {
            Failure::new(format!("plan {number} is not kept; `rungs plan history` lists those that are"))
        }
        None => Failure::new("there is no plan yet; apply one with `rungs plan apply FILE`"),
    };
    let plan = found.ok_or_else(missing)?;
    eprintln!("plan {}, applied at {}", plan.number, utc(plan.applied_at_ms));
    print!("{}", plan.text);
    Ok(())
}

/// A line a plan below the heads of the columns.
fn history_table(plans: &[PlanSummary]) -> String {
    let cells = |cell: fn(&PlanSummary) -> String| plans.iter().map(cell);
    columns::render(&[
        Column::right("plan", cells(|plan| plan.number.to_string())),
        Column::left("applied", cells(|plan| utc(plan.applied_at_ms))),
        Column::right("sites", cells(|plan| plan.sites.to_string())),
        Column::right("funnels", cells(|plan| plan.funnels.to_string())),
    ])
}

/// Whether somebody is there to be asked.
fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn agreed() -> Result<bool, Failure> {
    eprint!("Apply it? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_has_each_head_above_its_column() {
        let plan = |number, applied_at_ms, funnels| PlanSummary { number, applied_at_ms, sites: 2, funnels };
        let expected = "\
plan  applied                  sites  funnels
   9  2024-05-15 00:00:00 UTC      2        3
  10  2024-05-15 09:43:58 UTC      2       12
";
        let plans = [plan(9, 1_715_731_200_000, 3), plan(10, 1_715_766_238_000, 12)];
        assert_eq!(history_table(&plans), expected);
    }
}

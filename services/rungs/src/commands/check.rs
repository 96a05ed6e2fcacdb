//! `rungs check`: everything that is wrong with a plan (and settings) at once; of a good plan, what it will cost and how
//! it could be better.

use std::path::{Path, PathBuf};

use checked_toml::Problem;
use clap::Args;
use funnel::Plan;

use crate::failure::Failure;
use crate::plural::plural;
use crate::{problems, report, settings};

/// Check a tracking plan (and settings): every mistake with its line, else advice and cost
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// The tracking plan
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// A settings file to check as well
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
}

const EXAMPLE: &str =
    "Prints every mistake with file, line and what to do, and exits with 1; or, of a good plan, advice \
and what it will cost, and exits with 0. Changes nothing: `rungs plan apply` does.

Examples:
  rungs check tracking-plan.toml
  rungs check tracking-plan.toml --settings rungs.toml";

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings =
        arguments.settings.as_deref().map(|file| settings::check(file).map_err(|mistakes| (file, mistakes)));
    let plan = read_plan(&arguments.plan);
    let mut mistakes = 0;
    if let Some(Err((file, found))) = &settings {
        mistakes += show(file, found);
    }
    match plan {
        Ok(plan) if mistakes == 0 => {
            print!("{}", report::check::render(&plan));
            Ok(())
        }
        Ok(_) => Err(failed(mistakes)),
        Err(found) => Err(failed(mistakes + show(&arguments.plan, &found))),
    }
}

fn read_plan(file: &Path) -> Result<Plan, Vec<Problem>> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| vec![settings::unreadable(&name, &error)])?;
    Plan::parse(&name, &text)
}

/// Mistakes are what was asked for: data, on standard output.
fn show(file: &Path, found: &[Problem]) -> usize {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    print!("{}", problems::list(found, &text));
    found.len()
}

fn failed(mistakes: usize) -> Failure {
    let what = if mistakes == 1 { "it" } else { "them" };
    Failure::new(format!("{} found; correct {what} and check again", plural(mistakes as u64, "mistake")))
}

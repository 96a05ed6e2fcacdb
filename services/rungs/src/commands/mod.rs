//! The command line: one file a command, each with its arguments (and the help that teaches them) and a `run`.

mod aggregator;
mod annotate;
mod check;
mod clickhouse;
mod collector;
mod console;
mod demo_visitors;
mod forget;
mod import;
mod migrate;
mod plan;
mod ready;
mod rebuild;
mod report;
mod trace;
mod up;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// Measures the small yeses that lead a visitor to the big one, live
#[derive(Debug, Parser)]
#[command(name = "rungs", version, about, long_about = LONG_ABOUT, after_long_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const LONG_ABOUT: &str = "Rungs measures micro-commitments: the small yeses (a click, an answer, a download, a \
1-dollar order) that lead a visitor up a ladder to the one big yes. Websites post events; Rungs tells, live, what \
share of visitors takes each step, where they drop off and which channel or variant carries them further.";

const AFTER_HELP: &str = "Begin:
  rungs check tracking-plan.toml            is the plan right, what will it cost, can it be better?
  rungs up --plan tracking-plan.toml        everything in one process; prints the addresses
  rungs report --site shop --funnel purchase

Each command teaches more: rungs help COMMAND

Exit codes: 0 done; 1 it could not be done (the message says why and what to do); 2 the command line, or this build, \
does not allow it. Data goes to standard output, messages to standard error.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(up::Arguments),
    Plan(plan::Arguments),
    Check(check::Arguments),
    Import(import::Arguments),
    Report(report::Arguments),
    Trace(trace::Arguments),
    Annotate(annotate::Arguments),
    Forget(forget::Arguments),
    Rebuild(rebuild::Arguments),
    Migrate(migrate::Arguments),
    Clickhouse(clickhouse::Arguments),
    Collector(collector::Arguments),
    Aggregator(aggregator::Arguments),
    Console(console::Arguments),
    Ready(ready::Arguments),
    #[command(hide = true)]
    DemoVisitors(demo_visitors::Arguments),
}

/// Runs a command to its end.
pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Up(arguments) => up::run(arguments).await,
        Command::Plan(arguments) => plan::run(arguments).await,
        Command::Check(arguments) => check::run(&arguments),
        Command::Import(arguments) => import::run(arguments).await,
        Command::Report(arguments) => report::run(arguments).await,
        Command::Trace(arguments) => trace::run(arguments).await,
        Command::Annotate(arguments) => annotate::run(arguments).await,
        Command::Rebuild(arguments) => rebuild::run(arguments).await,
        Command::Forget(arguments) => forget::run(arguments).await,
        Command::Migrate(arguments) => migrate::run(arguments).await,
        Command::Clickhouse(arguments) => clickhouse::run(arguments).await,
        Command::Collector(arguments) => collector::run(arguments).await,
        Command::Aggregator(arguments) => aggregator::run(arguments).await,
        Command::Console(arguments) => console::run(arguments).await,
        Command::Ready(arguments) => ready::run(arguments).await,
        Command::DemoVisitors(arguments) => demo_visitors::run(arguments).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_that_is_not_hidden_teaches_by_an_example() {
        let mut cli = Cli::command();
        for command in cli.get_subcommands_mut().filter(|command| !command.is_hide_set()) {
            let name = command.get_name().to_owned();
            let help = command.render_long_help().to_string();
            assert!(help.contains(&format!("rungs {name}")), "{name} has no example:\n{help}");
        }
    }
}

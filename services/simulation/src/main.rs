//! Runs seeds of the simulation on all cores: `--seeds N` runs on to N, `--seed N` replays one and tells every step.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use simulation::Happened;
use simulation::fate::Telling;
use simulation::rules::Rule;

/// The whole pipeline on one thread, from one seed.
#[derive(Debug, Parser)]
struct Arguments {
    /// Replay this seed and print each step.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds to run.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Leave out a rule of the design, as services/simulation/src/rules.rs names it: seeds are to fail then.
    #[arg(long)]
    without: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    hush_poison();
    let named = |name: &String| Rule::ALL.into_iter().find(|rule| format!("{rule:?}") == *name);
    let left_out = match arguments.without.as_ref().map(|name| named(name).ok_or(name)) {
        None => None,
        Some(Ok(rule)) => Some(rule),
        Some(Err(name)) => {
            eprintln!("there is no rule {name}; there are {:?}", Rule::ALL);
            return ExitCode::FAILURE;
        }
    };
    let outcome = match arguments.seed {
        Some(seed) => simulation::run(seed, left_out, Telling::Aloud),
        None => run_on(&arguments, left_out),
    };
    match outcome {
        Ok(happened) => {
            happened.iter().for_each(|(what, times)| println!("{times:>12}  {what}"));
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Events that no build can fold come up in most runs ([`simulation::client::POISON_MS`]): their panics are no news.
fn hush_poison() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<&str>();
        if !text.is_some_and(|text| text.ends_with("with overflow")) {
            report(panic);
        }
    }));
}

/// All seeds, on all cores; the first failure ends it.
fn run_on(arguments: &Arguments, left_out: Option<Rule>) -> Result<Happened, String> {
    let (next, end) = (AtomicU64::new(arguments.from), arguments.from + arguments.seeds);
    let (happened, failed) = (Mutex::new(Happened::new()), Mutex::new(None));
    let work = || {
        while failed.lock().is_ok_and(|failed| failed.is_none()) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            if seed > arguments.from && (seed - arguments.from).is_multiple_of(1_000) {
                eprintln!("{} of {} seeds", seed - arguments.from, arguments.seeds);
            }
            match simulation::run(seed, left_out, Telling::Silent) {
                Ok(more) => simulation::add(&mut happened.lock().unwrap_or_else(|e| e.into_inner()), more),
                Err(problem) => {
                    let again = format!("{problem}\nreplay it with: make simulate SEED={seed}");
                    failed.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(again);
                }
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    match failed.into_inner().unwrap_or_else(|e| e.into_inner()) {
        Some(problem) => Err(problem),
        None => Ok(happened.into_inner().unwrap_or_else(|e| e.into_inner())),
    }
}

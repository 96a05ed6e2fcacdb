//! The one binary of Rungs. Reads the command line, runs one command (a file each under `commands`), and turns its
//! outcome into an exit code: 0 done, 1 it could not be done, 2 the command line or this build does not allow it.
//! Data goes to standard output, everything said to people to standard error.

mod commands;
mod console_client;
mod demo;
mod failure;
mod generation;
mod import;
mod moment;
mod plans;
mod plural;
mod problems;
mod process;
mod production;
mod rejections;
mod report;
mod salts;
mod settings;
mod site_key;
mod standalone;
mod terminal;
mod trace;
mod warehouse_answers;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Cli;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    runtime::descriptors::raise();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("rungs: the system gives no threads: {error}");
            return ExitCode::from(1);
        }
    };
    match runtime.block_on(commands::run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}

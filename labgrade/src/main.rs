//! The labs' command line.
//!
//! | module | what it is |
//! |---|---|
//! | `labs` | which labs there are, and where their suites are |
//! | `builder` | builds a suite |
//! | `runner` | runs tests of a built suite over seeds, each in a process of its own |
//! | `verdict` | what a test binary says about a test |
//! | `tree` | sources in memory: patches, and scratch copies |
//! | `mutants` | the kill matrix: what the suites make of known bugs, and of correct solutions |
#![forbid(unsafe_code)]

mod builder;
mod files;
mod labs;
mod mutants;
mod progress;
mod runner;
mod tree;
mod verdict;

use std::process::ExitCode;

use clap::Parser;

/// Runs, measures and grades the labs
#[derive(Debug, clap::Parser)]
#[command(name = "labgrade", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Mutants(mutants::Args),
}

fn main() -> ExitCode {
    let Cli { command: Command::Mutants(args) } = Cli::parse();
    mutants::run(&args).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

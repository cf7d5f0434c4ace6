//! The labs' command line.
//!
//! | module | what it is |
//! |---|---|
//! | `labs` | which labs there are, and where their suites are |
//! | `builder` | builds a suite |
//! | `runner` | runs tests of a built suite over seeds, each in a process of its own |
//! | `verdict` | what a test binary says about a test |
//! | `tree` | sources in memory: patches, and scratch copies |
//! | `grade` | from a submission, hostile perhaps, to a score |
//! | `mutants` | the kill matrix: what the suites make of known bugs, and of correct solutions |
#![forbid(unsafe_code)]

mod builder;
mod files;
mod grade;
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
    Grade(grade::Args),
    Policy(grade::PolicyArgs),
    Mutants(mutants::Args),
    #[command(hide = true)]
    Jail(grade::jail::Args),
}

fn main() -> ExitCode {
    let done = match &Cli::parse().command {
        Command::Grade(args) => grade::run(args),
        Command::Policy(args) => grade::run_policy(args),
        Command::Mutants(args) => mutants::run(args),
        Command::Jail(args) => Ok(grade::jail::run(args)),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

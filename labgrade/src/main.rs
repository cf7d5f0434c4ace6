//! The labs' command line: `cargo lab <command>`. For Linux only: of other systems it knows neither how to jail nor how to count
//! what a process takes.
//!
//! | command | for | what it does | exit codes |
//! |---|---|---|---|
//! | `run` | students | tests over some seeds, with progress, a summary, and recorded failures | 0, 1, 2, 3, 130 |
//! | `stress` | students | thousands of seeds; failures by cause; goes on where it was interrupted | 0, 1, 2, 3, 130 |
//! | `replay` | students | one run again, with everything recorded | 0, 1, 2, 3 |
//! | `doctor` | students | what this machine lacks, and what that costs | 0, 1, 2 |
//! | `completions` | students | completion for shells | 0, 2 |
//! | `grade`, `policy` | staff | from a submission, hostile perhaps, to a score | their help |
//! | `batch`, `merge` | staff | a class, on one machine or more | their help |
//! | `handout` | staff | the tree that students get | 0, 2 |
//! | `mutants` | staff | the kill matrix: what the suites make of known bugs, and of correct solutions | its help |
//!
//! Exit codes of the commands for students: 0 all passed; 1 some failed; 2 nothing was found out, as the command line is
//! wrong, the code does not compile or a tool is missing; 3 of some runs nothing can be said; 130 interrupted.
//!
//! What they share:
//!
//! | module | what it is |
//! |---|---|
//! | `workspace` | the tree around the current directory; which tests are meant |
//! | `builder`, `unclean` | builds a suite; what a build that was stopped leaves behind |
//! | `trials` | tries tests with seeds, several processes at a time, as a plan says |
//! | `judge` | asks a suite's process for seeds, and hears what became of each |
//! | `record` | one run, recorded |
//! | `cause` | by what failures are told apart |
//! | `board`, `progress` | what is shown meanwhile |
//! | `knobs` | what becomes of `LAB_SEED` and its kin |
//! | `signals`, `exit`, `time`, `files` | interruption, exit codes, kinds of time, whole files |
//! | `labs` | which labs there are, and where their suites are |
//! | `runner` | a built suite; runs a test of it to the end |
//! | `verdict` | what a test binary says about a test |
//! | `tree` | sources in memory: patches, and scratch copies |
#![forbid(unsafe_code)]

mod board;
mod builder;
mod cause;
mod completions;
mod doctor;
mod exit;
mod files;
mod grade;
mod handout;
mod judge;
mod knobs;
mod labs;
mod mutants;
mod progress;
mod record;
mod replay;
mod run;
mod runner;
mod signals;
mod stress;
mod time;
mod tree;
mod trials;
mod unclean;
mod verdict;
mod workspace;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};

/// Runs, replays, grades and measures the labs
#[derive(Debug, clap::Parser)]
#[command(
    name = "labgrade",
    bin_name = "cargo lab",
    version,
    after_help = "Examples:
  cargo lab run 2B                  the tests of a lab
  cargo lab stress 2B               the same with 1000 seeds each, failures by cause
  cargo lab replay basic_agree 7    one run again, recorded
  cargo lab doctor                  what is missing here
  cargo lab help run                more on a command"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Run(run::Args),
    Stress(stress::Args),
    Replay(replay::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Grade(grade::Args),
    Batch(grade::batch::Args),
    Merge(grade::batch::MergeArgs),
    Policy(grade::PolicyArgs),
    Handout(handout::Args),
    Mutants(mutants::Args),
    #[command(hide = true)]
    Jail(grade::jail::Args),
}

fn main() -> ExitCode {
    let done = match &Cli::parse().command {
        Command::Run(args) => run::run(args),
        Command::Stress(args) => stress::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => completions::run(args, Cli::command()),
        Command::Grade(args) => grade::run(args),
        Command::Batch(args) => grade::batch::run(args),
        Command::Merge(args) => grade::batch::run_merge(args),
        Command::Policy(args) => grade::run_policy(args),
        Command::Handout(args) => handout::run(args),
        Command::Mutants(args) => mutants::run(args),
        Command::Jail(args) => Ok(grade::jail::run(args)),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(exit::NOT_BEGUN)
    })
}

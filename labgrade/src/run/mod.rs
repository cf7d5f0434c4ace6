//! `labgrade run`: the labs' tests, as `cargo test` runs them, with what it does not show: how far each test is, how many of
//! its seeds fail, and what it costs.
//!
//! Runs are judged over the channel that the grader uses ([`crate::judge`]), and none is recorded. Afterwards the smallest
//! failing seed of each test is run again, recorded; in virtual time that is the same run.

mod plan;
mod table;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::board::Board;
use crate::exit;
use crate::grade::policy::Policy;
use crate::knobs;
use crate::labs::Package;
use crate::record::{Recorded, Recording};
use crate::signals::interrupts;
use crate::time::Time;
use crate::trials::{Manner, Over, carry_out};
use crate::verdict::Verdict;
use crate::workspace::{Selection, Test, Workspace};
use plan::{RunPlan, Tally};

/// Seeds for each test, where nobody says: as many as most tests take under `cargo test`.
const SEEDS_RAFT: u32 = 20;
const SEEDS_KV: u32 = 5;
/// Reports that are shown whole; of other tests the first line is.
const REPORTS_SHOWN: usize = 3;
/// Tests whose failures are recorded: as many pages as are kept.
const RECORDED_MAX: usize = 32;

/// Runs tests over seeds, like `cargo test`, with progress and a summary
///
/// Shows how far each test is; at the end a table, and for each test that failed the report, the command that replays it, and
/// where its page for a browser is.
///
/// Exit code: 0 if all runs passed, 1 if some failed, 2 if nothing could be run (no such test, code that does not compile),
/// 3 if nothing can be said of some runs, and no other failed; 130 after Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo lab run 2B                       a lab
  cargo lab run basic_agree rejoin       some tests
  cargo lab run 2A 2B --seeds 200        more seeds
  cargo lab run --policy student.toml    what the course has published of its policy, scored
  cargo lab run 2A --time real           on the wall clock")]
pub(crate) struct Args {
    /// Labs or parts of tests' names; all tests if none is given
    filter: Vec<String>,
    /// Seeds for each test [default: 20, and 5 in labs 3A and 3B; 1 in real time]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), conflicts_with = "policy")]
    seeds: Option<u32>,
    /// The first seed; the others follow it [default: drawn anew]
    #[arg(long, value_name = "SEED", conflicts_with = "policy")]
    first_seed: Option<u64>,
    /// Virtual time or the wall clock [default: virtual where there is such]
    #[arg(long, value_enum)]
    time: Option<Time>,
    /// Take labs, tests, seeds, limits and points from a policy that the course has published
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// Runs `labgrade run`.
pub(crate) fn run(args: &Args) -> io::Result<ExitCode> {
    let policy = args.policy.as_ref().map(|path| Policy::read(path).map_err(io::Error::other)).transpose()?;
    knobs::look(if policy.is_some() { knobs::Command::RunPolicy } else { knobs::Command::Run })?;
    let workspace = Workspace::find()?;
    let mut selection = workspace.select(&args.filter)?;
    if let Some(policy) = &policy {
        selection.tests.retain(|test| policy.labs.contains(&test.lab) && policy.grades(&test.name));
        if selection.tests.is_empty() {
            return Err(io::Error::other("the policy has none of these tests"));
        }
    }
    let time = Time::choose(args.time);
    let first = args.first_seed.map_or_else(fresh_seed, Ok)?;
    let seeds = |test: &Test| match &policy {
        Some(policy) => policy.seeds_of(&test.name),
        None => {
            let usual = match (time, test.lab.package()) {
                (Time::Real, _) => 1,
                (Time::Sim, Package::Raft) => SEEDS_RAFT,
                (Time::Sim, Package::KvRaft) => SEEDS_KV,
            };
            (0..args.seeds.unwrap_or(usual)).map(|number| first.wrapping_add(number.into())).collect()
        }
    };
    let seeds: Vec<Vec<u64>> = selection.tests.iter().map(seeds).collect();
    let mut manner =
        Manner { variables: vec![("LAB_TIME".into(), time.to_string())], real: time == Time::Real };
    if let Some(policy) = &policy {
        manner.variables.extend(policy.limits.environment());
    }
    let interrupts = interrupts()?;
    let mut plan = RunPlan::new(&selection, seeds, manner.real, workspace.rules(), Board::new());
    let over = carry_out(&selection, &manner, &interrupts, None, &mut plan)?;
    let tallies = plan.into_tallies();
    if over != Over::Interrupted {
        report_failures(&selection, &tallies, &workspace, time)?;
    }
    print!("\n{}", table::by_lab(&selection, &tallies));
    if let Some(policy) = &policy {
        print!("{}", table::points(&selection, &tallies, policy));
    }
    let any = |of: fn(&Tally) -> bool| tallies.iter().any(of);
    Ok(match over {
        Over::Interrupted => {
            println!("interrupted: not all seeds were tried");
            ExitCode::from(exit::INTERRUPTED)
        }
        _ if any(|tally| tally.failed > 0) => ExitCode::from(exit::FAILED),
        _ if any(|tally| !tally.unknown.is_empty()) => ExitCode::from(exit::UNKNOWN),
        _ => ExitCode::SUCCESS,
    })
}

/// Likely not tried before; short enough to be typed.
fn fresh_seed() -> io::Result<u64> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u32::from_le_bytes(bytes).into())
}

/// Records the smallest failing seed of each test that failed, and shows what there is to see.
fn report_failures(
    selection: &Selection,
    tallies: &[Tally],
    workspace: &Workspace,
    time: Time,
) -> io::Result<()> {
    let failed =
        selection.tests.iter().zip(tallies).filter_map(|(test, tally)| Some((test, tally.first.as_ref()?)));
    for (number, (test, first)) in failed.enumerate() {
        println!("\n---- {} with seed {} ----", test.short_name(), first.seed);
        let mut recorded = None;
        // What fails in real time does not come back: the report that there is must do.
        if time == Time::Sim && number < RECORDED_MAX {
            let variables = vec![("LAB_TIME", time.to_string())];
            let suite = selection.suite(test);
            let recording = Recording { suite, test: &test.name, seed: first.seed, build: None, variables };
            recorded = Some(recording.make(workspace.rules())?);
        }
        println!("{}", told(test, first, recorded.as_ref(), number < REPORTS_SHOWN));
    }
    Ok(())
}

/// A failure, whole or in short, with the way to it.
fn told(test: &Test, first: &plan::First, recorded: Option<&Recorded>, whole: bool) -> String {
    let again = recorded.is_some_and(|recorded| matches!(recorded.verdict, Verdict::Failed(_)));
    let mut text = match recorded {
        Some(recorded) if whole && again => recorded.shown.clone(),
        _ if whole => first.report.trim().to_owned(),
        _ => first.headline.clone(),
    };
    if recorded.is_some() && !again {
        text += "\n\nRun again, it did not fail. That should not be in virtual time: see docs/troubleshooting.md.";
    }
    let build = recorded.and_then(|recorded| Some(format!("@{}", recorded.build.as_ref()?)));
    let places = recorded.map(Recorded::places).unwrap_or_default();
    let (name, seed) = (test.short_name(), first.seed);
    text + &format!("\n\n{places}  replay  cargo lab replay {name} {seed}{}", build.unwrap_or_default())
}

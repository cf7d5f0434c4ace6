//! `labgrade stress`: thousands of seeds, on all processors, until told to stop.
//!
//! What is found is kept in a file ([`state`]), so that an interrupted command goes on where it was: seeds that this build of
//! a suite has tried are not tried again. Of failures no more is kept than the smallest seeds for each test and cause, so
//! that memory is bounded however long it goes on.

mod plan;
mod state;

use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use crate::board::Board;
use crate::exit;
use crate::knobs;
use crate::signals::interrupts;
use crate::time::Time;
use crate::trials::{Manner, Over, carry_out};
use crate::workspace::Workspace;
use plan::{Pace, StressPlan};
use state::State;

/// Seeds for each test where nothing is said.
const SEEDS: u64 = 1000;

/// Tries tests with thousands of seeds, on all cores
///
/// Begins with seed 1 and goes through all tests evenly. Groups what fails by test and cause: the rule that was broken, or what was
/// said, without its numbers. Ctrl-C ends it with a summary; started again, it goes on where it was, as long as your code
/// has not changed.
///
/// Exit code: 0 if no run has failed, 1 if some have, in this session or before, 2 if nothing could be run, 3 if nothing
/// can be said of some runs, and no other failed; 130 after Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo lab stress 2B                    1000 seeds for each test of a lab
  cargo lab stress 2B --seeds 20000      so many, counting those that were tried before
  cargo lab stress --for 10m             whatever ten minutes are enough for
  cargo lab stress figure8 --until-fail  up to the first failure
  cargo lab stress 2B --fresh            from the beginning, whatever was found before")]
pub(crate) struct Args {
    /// Labs or parts of tests' names; all tests if none is given
    filter: Vec<String>,
    /// Seeds for each test [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Go on for so long: 90s, 10m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time_max: Option<Duration>,
    /// Go on up to the first failure
    #[arg(long)]
    until_fail: bool,
    /// Forget what was found before
    #[arg(long)]
    fresh: bool,
    /// Virtual time or the wall clock [default: virtual where there is such]
    #[arg(long, value_enum)]
    time: Option<Time>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let takes = || "a time is a whole number and a unit: 90s, 10m, 2h".to_owned();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(takes)?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(takes()),
    };
    let number: u64 = number.parse().map_err(|_| takes())?;
    number.checked_mul(seconds).filter(|time| *time > 0).map(Duration::from_secs).ok_or_else(takes)
}

/// Runs `labgrade stress`.
pub(crate) fn run(args: &Args) -> io::Result<ExitCode> {
    knobs::look(knobs::Command::Stress)?;
    let workspace = Workspace::find()?;
    let selection = workspace.select(&args.filter)?;
    let time = Time::choose(args.time);
    let state = State::open(&selection, time, args.fresh)?;
    let known: u64 = state.tests().map(|(_, found)| found.tried.count()).sum();
    if known > 0 {
        eprintln!("{known} runs of this build are known already; --fresh tries them again");
    }
    let without_end = args.time_max.is_some() || args.until_fail;
    let pace = Pace {
        seeds: args.seeds.or((!without_end).then_some(SEEDS)),
        unit: if time == Time::Real { 1 } else { plan::UNIT },
        until_fail: args.until_fail,
    };
    let manner = Manner { variables: vec![("LAB_TIME".into(), time.to_string())], real: time == Time::Real };
    let interrupts = interrupts()?;
    let begun = Instant::now();
    let until = args.time_max.map(|time| begun + time);
    let mut plan = StressPlan::new(&selection, state, pace, workspace.rules(), Board::new());
    let over = carry_out(&selection, &manner, &interrupts, until, &mut plan)?;
    let (state, session) = plan.finish()?;
    print!("{}", state.summary());
    let took = begun.elapsed().as_secs_f64();
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let (runs, cpu) = (session.runs, session.cpu.as_secs_f64());
    println!(
        "{runs} runs in {took:.1} s, {:.0} a second; {cpu:.1} s of CPU, {:.0} % of {processors} cores",
        runs as f64 / took,
        100.0 * cpu / (took * processors as f64)
    );
    println!("kept in {}", state.path().display());
    let failed = state.tests().any(|(_, found)| found.failed > 0);
    Ok(match over {
        Over::Interrupted => {
            println!("interrupted; the same command goes on from here");
            ExitCode::from(exit::INTERRUPTED)
        }
        _ if failed => ExitCode::from(exit::FAILED),
        _ if session.unknown > 0 => {
            println!("nothing can be said of {} runs: {}", session.unknown, session.why_unknown);
            ExitCode::from(exit::UNKNOWN)
        }
        _ => ExitCode::SUCCESS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for wrong in
            ["", "10", "m", "0s", "1.5h", "-1s", "10 m", "99999999999999999999s", "9999999999999999999h"]
        {
            assert!(duration(wrong).unwrap_err().contains("90s, 10m, 2h"), "{wrong}");
        }
    }
}

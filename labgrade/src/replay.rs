//! `labgrade replay`: one run again, with everything recorded.

use std::io;
use std::process::ExitCode;

use crate::exit;
use crate::knobs;
use crate::record::Recording;
use crate::time::Time;
use crate::verdict::Verdict;
use crate::workspace::Workspace;

/// Runs a test once more with a seed, and records everything
///
/// In virtual time the same build with the same seed is the same run, exactly. Shows its report, and says where that, the
/// log of events and the page for a browser are.
///
/// Exit code: 0 if the run passes, 1 if it fails, 2 if it could not be made, 3 if nothing can be said of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo lab replay basic_agree 7
  cargo lab replay backup_2B 7@155f6068         as a report names it; tells if it is another build
  cargo lab replay backup_2B 7 --log debug      with all that you log from `debug` up
  cargo lab replay backup_2B 7 --log info,0,2   lines of servers 0 and 2 only")]
pub(crate) struct Args {
    /// The test's name, or a part of it that no other has
    test: String,
    /// The seed, with `@` and the build it was found with if you like
    #[arg(value_parser = seed)]
    seed: (u64, Option<String>),
    /// What your code logs is printed too: a level, and topics and servers if you like, as LAB_LOG takes it
    #[arg(long, value_name = "SPEC")]
    log: Option<String>,
    /// Virtual time or the wall clock, in which a failure may not come back
    #[arg(long, value_enum)]
    time: Option<Time>,
}

fn seed(text: &str) -> Result<(u64, Option<String>), String> {
    let (number, build) = text.split_once('@').map_or((text, None), |(number, build)| (number, Some(build)));
    let number = number.parse().map_err(|_| "a seed is a whole number, as in 7 or 7@155f6068".to_owned())?;
    Ok((number, build.map(str::to_owned)))
}

/// Runs `labgrade replay`.
pub(crate) fn run(args: &Args) -> io::Result<ExitCode> {
    knobs::look(knobs::Command::Replay)?;
    let workspace = Workspace::find()?;
    let selection = workspace.select(std::slice::from_ref(&args.test))?;
    let test = selection.one(&args.test)?;
    let (seed, build) = &args.seed;
    let mut variables: Vec<(&str, String)> =
        args.time.iter().map(|time| ("LAB_TIME", time.to_string())).collect();
    variables.extend(args.log.iter().map(|spec| ("LAB_LOG", spec.clone())));
    let suite = selection.suite(test);
    let recording = Recording { suite, test: &test.name, seed: *seed, build: build.as_deref(), variables };
    let recorded = recording.make(workspace.rules())?;
    println!("{}\n\n{}", recorded.shown, recorded.places().trim_end());
    Ok(match recorded.verdict {
        Verdict::Passed => ExitCode::SUCCESS,
        Verdict::Failed(_) => ExitCode::from(exit::FAILED),
        Verdict::Unknown(why) => {
            eprintln!("error: {why}");
            ExitCode::from(exit::UNKNOWN)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::seed;

    #[test]
    fn a_seed_may_come_with_its_build() {
        assert_eq!(seed("7"), Ok((7, None)));
        assert_eq!(seed("7@ab"), Ok((7, Some("ab".into()))));
        assert!(
            seed("x").unwrap_err().contains("whole number") && seed("-1").is_err() && seed("@ab").is_err()
        );
    }
}

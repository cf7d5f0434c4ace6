//! `labgrade batch` grades a class, one submission after the other, and `labgrade merge` puts together what several machines
//! have graded.
//!
//! Each submission gets a directory in the output, with what `labgrade grade` writes for it alone. `grade.json` in it says with
//! which course, policy and compiler what was graded: whatever has a result by the same is not graded again. So a batch
//! that was interrupted goes on where it was, and a late submission costs no more than itself.
//!
//! More machines share a class by `--shard`: the first of four takes the first, fifth, ninth of the submissions by name. Each
//! leaves a [`Plan`], by which `merge` knows what there should be. Who starts them is none of our business: `labgrade/cluster`
//! has scripts for Slurm and Kubernetes.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::class::{Class, Member};
use super::formats::{self, Format};
use super::results::{Results, State, number};
use super::session::{Session, Watch};
use super::{INCOMPLETE, Place, policy_of};
use crate::files::write_whole;
use crate::labs::Lab;
use crate::progress::Progress;

/// Grades a class of submissions
///
/// Writes a directory for each, and for the staff class.md and class.csv. Started again, it grades what has no result yet, or
/// has changed.
///
/// Exit code: 0 if each has a result; 2 if grading could not begin; 3 if some tests or submissions could not be judged; 130
/// after Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo lab batch submissions --policy course/policy.toml --out results
  cargo lab batch submissions --policy course/policy.toml --out results-2 --shard 2/4    on the second of four machines
  cargo lab merge results-1 results-2 results-3 results-4 --out results")]
pub(crate) struct Args {
    /// A directory that holds a directory or a ZIP archive for each submission
    #[arg(value_name = "DIR")]
    class: PathBuf,
    /// Only these labs of the policy's
    #[arg(long, value_name = "LABS", value_delimiter = ',')]
    labs: Vec<Lab>,
    /// What is graded and how; without it all labs, with published seeds only
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// For each submission, beside grade.json; may be given several times
    #[arg(long, value_name = "FORMAT", value_delimiter = ',', default_values = ["markdown"])]
    format: Vec<Format>,
    /// Where results go, and are looked for
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only the I-th of N parts of the class, for the I-th of N machines
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    shard: Shard,
    /// Real time for each submission, after which what is left of it is not judged
    #[arg(long, value_name = "SECONDS")]
    within: Option<u64>,
    #[command(flatten)]
    place: Place,
}

/// Puts together what the shards of a batch have graded
///
/// Exit code: 0 if each submission has a result; 2 if the parts do not belong together; 3 if something is missing or was not judged.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo lab merge results-1 results-2 results-3 results-4 --out results
  cargo lab merge results --out results    where all parts were written into one directory")]
pub(crate) struct MergeArgs {
    /// What the shards were given as --out; one directory, if they shared it
    #[arg(value_name = "DIR", required = true)]
    from: Vec<PathBuf>,
    /// Where all of it goes; may be one of the directories
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// One of several parts of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Shard {
    /// From 1 on.
    number: usize,
    of: usize,
}

/// What a shard was to do: it is written before the first submission is graded.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    shard: Shard,
    graded_with: String,
    /// The names of all submissions, of all shards.
    class: Vec<String>,
}

/// A plan, and the file that it was found in.
struct Found {
    at: PathBuf,
    plan: Plan,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((number, of)) if 1 <= number && number <= of => Ok(Shard { number, of }),
            _ => Err(format!("{text:?} is no part of a whole: the parts of four are 1/4, 2/4, 3/4 and 4/4")),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl Shard {
    fn has(self, place: usize) -> bool {
        place % self.of == self.number - 1
    }
}

impl Plan {
    fn write(&self, out: &Path) -> io::Result<()> {
        let name = format!("shard-{}-of-{}.json", self.shard.number, self.shard.of);
        write_whole(&out.join(name), serde_json::to_string_pretty(self)?)
    }

    /// In what another plan is one of something else, if it is.
    fn differs_from(&self, other: &Plan) -> Option<String> {
        if self.shard.of != other.shard.of {
            return Some(format!("the one is a part of {}, the other of {}", self.shard.of, other.shard.of));
        }
        if self.graded_with != other.graded_with {
            return Some("they graded with different courses, policies or compilers".to_owned());
        }
        let only =
            |one: &Plan, other: &Plan| one.class.iter().find(|name| !other.class.contains(name)).cloned();
        let only = only(self, other).or_else(|| only(other, self))?;
        Some(format!("they saw different submissions, {only:?} being known to one of them only"))
    }

    /// All plans in a directory.
    fn read(from: &Path) -> io::Result<Vec<Found>> {
        let mut plans = Vec::new();
        for entry in fs::read_dir(from).map_err(|error| naming(from, error))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("shard-") && name.ends_with(".json") {
                let text = fs::read(&path).map_err(|error| naming(&path, error))?;
                let plan = serde_json::from_slice(&text).map_err(|error| naming(&path, error.into()))?;
                plans.push(Found { at: path, plan });
            }
        }
        Ok(plans)
    }
}

/// Runs `labgrade batch`. The error is one that kept it from beginning.
pub(crate) fn run(args: &Args) -> io::Result<ExitCode> {
    let names = submissions(&args.class, &args.out)?;
    let mut session = args.place.open(policy_of(args.policy.as_deref(), &args.labs)?)?;
    args.policy.iter().try_for_each(|file| session.heed_check(file))?;
    if let Some(seconds) = args.within {
        session.within(Duration::from_secs(seconds));
    }
    let mut formats = args.format.clone();
    formats.retain(|format| *format != Format::Json);
    // The one by which it is known what has been graded.
    formats.push(Format::Json);
    let graded_with = session.graded_with().to_owned();
    Plan { shard: args.shard, graded_with, class: names.clone() }.write(&args.out)?;
    let mine: Vec<&String> =
        names.iter().enumerate().filter(|(place, _)| args.shard.has(*place)).map(|(_, name)| name).collect();
    let progress = Progress::new(mine.len());
    let mut complete = true;
    for name in mine {
        let (from, to) = (args.class.join(name), args.out.join(name));
        let told = match earlier(&session, &from, &to) {
            Some(results) => {
                formats::write(&results, &formats, &to)?;
                format!("{} (as before)", line(&results))
            }
            None => {
                let watch =
                    Watch { doing: &|what| progress.doing(&format!("{name}: {what}")), done: &|_| {} };
                match session.grade(&from, &formats, &to, &watch) {
                    Ok(results) => {
                        complete &= worth(&results.state) == 2;
                        line(&results)
                    }
                    Err(error) => {
                        complete = false;
                        format!("the grader failed: {error}")
                    }
                }
            }
        };
        progress.done(&format!("{name:<32} {told}"));
    }
    drop(progress);
    if args.shard.of > 1 {
        println!("Part {} is done. When all are: cargo lab merge DIR... --out DIR", args.shard);
        return Ok(exit_code(complete));
    }
    conclude(&names, &args.out)
}

/// Runs `labgrade merge`. The error says why the parts do not belong together.
pub(crate) fn run_merge(args: &MergeArgs) -> io::Result<ExitCode> {
    let mut plans = Vec::new();
    for from in &args.from {
        plans.extend(Plan::read(from)?);
    }
    let first = plans.first().ok_or_else(|| {
        io::Error::other(format!(
            "there is nothing to merge: no shard-I-of-N.json, as batch leaves them, in {}",
            args.from.iter().map(|from| from.display().to_string()).collect::<Vec<_>>().join(", ")
        ))
    })?;
    if let Some((other, what)) =
        plans.iter().find_map(|other| Some((other, first.plan.differs_from(&other.plan)?)))
    {
        return Err(io::Error::other(format!(
            "{} and {} do not belong together: {what}; run batch again where it was not as it should be",
            first.at.display(),
            other.at.display()
        )));
    }
    let first = &first.plan;
    for number in 1..=first.shard.of {
        if !plans.iter().any(|found| found.plan.shard.number == number) {
            println!("Part {number}/{} is missing.", first.shard.of);
        }
    }
    for name in &first.class {
        let graded = |from: &&PathBuf| {
            let results = read(&from.join(name)).filter(|results| results.graded_with == first.graded_with);
            results.map(|results| worth(&results.state))
        };
        let best = args.from.iter().filter(|from| graded(from).is_some()).max_by_key(|from| graded(from));
        if let Some(best) = best {
            copy(&best.join(name), &args.out.join(name))?;
        }
    }
    conclude(&first.class, &args.out)
}

/// The names of what there is to be graded, in order; whatever else there is gets named.
fn submissions(class: &Path, out: &Path) -> io::Result<Vec<String>> {
    let class_is_at = class.canonicalize().map_err(|error| naming(class, error))?;
    // Before it is made: what was made there would be a submission the next time.
    let made_in = std::path::absolute(out)?.ancestors().find_map(|path| path.canonicalize().ok());
    if made_in.is_some_and(|path| path.starts_with(class_is_at)) {
        return Err(io::Error::other(format!(
            "{} is among the submissions, and would be taken for one: let --out be elsewhere",
            out.display()
        )));
    }
    fs::create_dir_all(out).map_err(|error| naming(out, error))?;
    let mut names = Vec::new();
    for entry in fs::read_dir(class).map_err(|error| naming(class, error))? {
        let entry = entry?;
        let is_directory = entry.path().is_dir();
        match entry.file_name().into_string() {
            Ok(name) if name.starts_with('.') => {}
            Ok(name) if is_directory || name.ends_with(".zip") => names.push(name),
            Ok(name) => eprintln!("{name} is no directory and no ZIP archive, and is left aside"),
            Err(name) => eprintln!("{name:?} is no text in UTF-8, and is left aside: give it another name"),
        }
    }
    if names.is_empty() {
        return Err(io::Error::other(format!("{} holds no directories or ZIP archives", class.display())));
    }
    names.sort();
    Ok(names)
}

fn read(at: &Path) -> Option<Results> {
    serde_json::from_slice(&fs::read(at.join("grade.json")).ok()?).ok()
}

/// A result that stands: of the same work, by the same rules, and to be had again.
fn earlier(session: &Session, from: &Path, to: &Path) -> Option<Results> {
    let mut results = read(to).filter(|results| {
        worth(&results.state) == 2
            && results.graded_with == session.graded_with()
            && results.handed_in == session.handed_in(from)
    })?;
    session.remind(&mut results);
    Some(results)
}

/// Which of two results is to be kept: the higher one.
fn worth(state: &State) -> u8 {
    match state {
        State::Unfinished => 0,
        State::Incomplete => 1,
        State::Graded | State::Refused(_) => 2,
    }
}

fn line(results: &Results) -> String {
    let points = format!("{} of {} points", number(results.final_points()), number(results.points_max()));
    match &results.state {
        State::Graded => points,
        State::Refused(why) => format!("refused: {}", first_line(why)),
        State::Incomplete => format!("{points}; some tests were not judged"),
        State::Unfinished => "the grader did not finish".to_owned(),
    }
}

/// Why a submission was refused, in short.
pub(super) fn first_line(why: &str) -> &str {
    why.lines().next().unwrap_or_default().trim_end_matches(':')
}

fn naming(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Copies the files of a directory, unless it is the same.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to).map_err(|error| naming(to, error))?;
    if from.canonicalize()? == to.canonicalize()? {
        return Ok(());
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            write_whole(&to.join(entry.file_name()), fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

/// Writes what is to be said of the whole class, from what is there.
fn conclude(names: &[String], out: &Path) -> io::Result<ExitCode> {
    let members = names.iter().map(|name| Member { name: name.clone(), results: read(&out.join(name)) });
    let class = Class { members: members.collect() };
    write_whole(&out.join("class.csv"), class.csv())?;
    write_whole(&out.join("class.md"), class.markdown())?;
    println!("{}", class.summary());
    println!("{0}/class.md and {0}/class.csv are for the staff only: they name hidden tests.", out.display());
    Ok(exit_code(class.is_complete()))
}

fn exit_code(complete: bool) -> ExitCode {
    if complete { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shards_of_a_class_are_all_of_it_and_share_nothing() {
        let shards: Vec<Shard> = ["1/3", "2/3", "3/3"].map(|text| text.parse().unwrap()).into();
        for place in 0..10 {
            assert_eq!(shards.iter().filter(|shard| shard.has(place)).count(), 1, "{place}");
        }
        assert!(shards.iter().all(|shard| (0..3).filter(|place| shard.has(*place)).count() == 1));
        for wrong in ["0/3", "4/3", "1", "1/0", "a/b", "-1/2", "1/2/3"] {
            assert!(wrong.parse::<Shard>().unwrap_err().contains("is no part of a whole"), "{wrong}");
        }
    }

    #[test]
    fn the_output_is_no_submission() {
        let place = tempfile::tempdir().unwrap();
        let class = place.path().join("class");
        for name in ["bob", "alice.zip", ".git", "notes.txt"] {
            fs::create_dir_all(&class).unwrap();
            let path = class.join(name);
            if name.contains("b") { fs::create_dir(path).unwrap() } else { fs::write(path, "").unwrap() }
        }
        assert_eq!(submissions(&class, &place.path().join("out")).unwrap(), ["alice.zip", "bob"]);
        let error = submissions(&class, &class.join("out")).unwrap_err().to_string();
        assert!(error.contains("let --out be elsewhere") && !class.join("out").exists(), "{error}");
        let error = submissions(&place.path().join("none"), &place.path().join("out")).unwrap_err();
        assert!(error.to_string().contains("none: No such file"), "{error}");
    }
}

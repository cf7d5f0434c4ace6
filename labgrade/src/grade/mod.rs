//! `labgrade grade`: from what a student handed in to a score, though the student's code may be hostile.
//!
//! # Who trusts whom
//!
//! | what | where it runs | what it may do |
//! |---|---|---|
//! | the grader, this program | outside | reads policy, secret and hidden tests; writes the results |
//! | cargo and the compiler, on the student's sources | the build's jail | read the toolchain, the crates and one workspace; write one build directory |
//! | the suite's own process | the run's jail | read itself and the C library; answer the grader |
//! | a run: the harness *and the student's code* | a child of that, in the same jail | the same, but it cannot answer the grader |
//!
//! The student's code shares a process with the harness of its run, and with nothing else. It is safe Rust, by the
//! compiler's word, so within that process it has to find a hole in the compiler or the libraries before it can forge what
//! the harness sees; `docs/staff/threat-model.md` says what that leaves. Everything else it may try ends at the jail.
//!
//! # What happens, in order
//!
//! 1. [`submission`]: the student's Rust files are read into memory, within limits, and nothing else of the submission.
//! 2. [`source`]: what may not be in them is looked for, token by token.
//! 3. [`course`]: they are laid into a pristine copy of the course's workspace, without the course's own solution.
//!    There the crates forbid unsafe code whatever the sources say.
//! 4. [`build`]: the suites are built in a jail: offline, locked, without the policy or hidden tests in reach. Suites with
//!    hidden tests are built after that, into binaries of their own, from which only hidden tests are run.
//! 5. [`crate::judge`]: each test runs in a jail over its seeds, each seed in a process of its own. Verdicts come
//!    back over a socket that no student's code holds, marked with a number drawn for this test; without the
//!    record for the end, nothing counts. Standard output is never read.
//! 6. [`score`]: a test scores if all its runs pass. A run on which nothing can be said, because the system killed it or
//!    gave it no process, is tried again; a test with runs that remain so is *not judged*, which is no zero but a
//!    state of its own, and makes the result incomplete.
//! 7. [`formats`]: the results are written anew after every test, each file in one piece, beginning with a zero that
//!    says that grading did not finish: whoever kills the grader finds neither full marks nor nothing.
//!
//! # States of a result
//!
//! `unfinished` (the grader was killed) -> `refused` (submission not taken, or it does not compile: zero) or `graded` or
//! `incomplete` (some tests were not judged; the staff has to look).
//!
//! # The jail
//!
//! This program runs itself again, as `labgrade jail`, which nobody else calls. See [`jail`].

pub(crate) mod batch;
mod build;
mod checked;
mod class;
pub(crate) mod course;
mod formats;
pub(crate) mod jail;
pub(crate) mod policy;
mod results;
mod score;
mod session;
mod source;
mod submission;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use checked::Checked;
use formats::Format;
use policy::Policy;
use results::{Results, State, Status, number};
use session::{Session, Watch};

use crate::labs::Lab;
use crate::progress::Progress;
use crate::signals;
use crate::tree::Scratch;

/// Exit code for results in which some tests were not judged.
const INCOMPLETE: u8 = 3;

/// Grades a submission, which may be hostile
///
/// Takes the Rust files of raft/src and kvraft/src from a directory or ZIP archive, builds the course's own suites around them and
/// runs each test over the seeds of a policy, all of it jailed. Writes results in any of several formats, anew after every test.
///
/// Exit code: 0 if there is a result, be it a zero; 2 if grading could not begin; 3 if some tests could not be judged through
/// no fault of the submission's; 130 after Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo lab grade --submission alice.zip --format markdown --out results
  cargo lab grade --submission ../my-raft --labs 2A,2B --format json --format html --out results
  cargo lab grade --submission alice.zip --policy course/policy.toml --format gradescope --out /autograder/results
  cargo lab grade --prepare --policy course/policy.toml     build what all submissions share")]
pub(crate) struct Args {
    /// The student's directory or ZIP archive
    #[arg(long, value_name = "DIR-or-ZIP", required_unless_present = "prepare")]
    submission: Option<PathBuf>,
    /// Only these labs of the policy's
    #[arg(long, value_name = "LABS", value_delimiter = ',')]
    labs: Vec<Lab>,
    /// What is graded and how; without it all labs, with published seeds only
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// May be given several times
    #[arg(long, value_name = "FORMAT", value_delimiter = ',', default_values = ["json", "markdown"])]
    format: Vec<Format>,
    /// Where results go
    #[arg(long, value_name = "DIR", default_value = "lab-output/grade")]
    out: PathBuf,
    /// Real time for everything, after which what is left is not judged: less than what a platform gives before it kills
    #[arg(long, value_name = "SECONDS")]
    within: Option<u64>,
    /// Build what all submissions share, and grade nothing
    #[arg(long, conflicts_with = "submission")]
    prepare: bool,
    #[command(flatten)]
    place: Place,
}

/// Where the grader finds the course, and works.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The course's workspace [default: the one that this program was built in]
    #[arg(long, value_name = "DIR")]
    course: Option<PathBuf>,
    /// Where suites are built; what submissions share stays there [default: target/grade in the course]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Do without namespaces, as where the system refuses them: then the code under test is held back by limits only, and by
    /// being another user if the grader is root
    #[arg(long)]
    without_namespaces: bool,
}

/// Checks policies
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo lab policy check course/policy.toml
  cargo lab policy check course/policy.toml --variants
  cargo lab policy check course/policy.toml --solution ../my-solution --solution ../another
  cargo lab policy student course/policy.toml > student.toml")]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PolicyCommand {
    /// See that correct solutions get full marks: a seed on which one fails would fail students
    ///
    /// What is found is kept beside the policy, in policy.checked for policy.toml: `grade` and `batch` refuse a policy with
    /// which a correct solution fails, and say so if nothing is known of it as it now is.
    ///
    /// Exit code: 0 if they do, 1 if not, 2 if that could not be found out; 130 after Ctrl-C.
    Check {
        policy: PathBuf,
        /// A directory with raft/src and kvraft/src; may be given several times [default: the course's own solution]
        #[arg(long, value_name = "DIR")]
        solution: Vec<PathBuf>,
        /// The course's correct variants of its solution too, as mutants/correct has them: some minutes for each
        #[arg(long)]
        variants: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Print what students may have of a policy: published seeds, visible tests, limits
    Student { policy: PathBuf },
}

impl Place {
    fn open(&self, policy: Policy) -> io::Result<Session> {
        // What is jailed without namespaces does not die with this process.
        signals::end_at_once(|| drop(jail::kill_all()))?;
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let course = self.course.as_ref().unwrap_or(&built_in);
        see(course)?;
        let course = course.canonicalize()?;
        let work = self.work.clone().unwrap_or_else(|| course.join("target/grade"));
        Session::open(policy, &course, &work, self.without_namespaces)
    }
}

/// Runs `labgrade grade`. The error is one that kept it from beginning.
pub(crate) fn run(args: &Args) -> io::Result<ExitCode> {
    // First of all, so that whatever goes wrong there is a result, and it is a zero.
    if let Some(submission) = &args.submission {
        let name = submission.to_string_lossy();
        formats::write(&Results::unfinished("", &name), &args.format, &args.out)?;
        see(submission)?;
    }
    let mut session = args.place.open(policy_of(args.policy.as_deref(), &args.labs)?)?;
    args.policy.iter().try_for_each(|file| session.heed_check(file))?;
    let Some(submission) = &args.submission else { return Ok(ExitCode::SUCCESS) };
    if let Some(seconds) = args.within {
        session.within(Duration::from_secs(seconds));
    }
    let results = grade_and_tell(&mut session, submission, &args.format, &args.out)?;
    println!("{}", results.summary());
    Ok(if results.state == State::Incomplete { ExitCode::from(INCOMPLETE) } else { ExitCode::SUCCESS })
}

/// Sees that there is such a file or directory, before what takes minutes.
fn see(path: &Path) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    fs::metadata(path).map(drop).map_err(named)
}

/// The policy in a file, or the one that holds without; for these labs only, if any are named.
fn policy_of(file: Option<&Path>, labs: &[Lab]) -> io::Result<Policy> {
    let mut policy = match file {
        Some(path) => Policy::read(path).map_err(io::Error::other)?,
        None => Policy::without_secret(),
    };
    if !labs.is_empty() {
        if let Some(lab) = labs.iter().find(|lab| !policy.labs.contains(lab)) {
            return Err(io::Error::other(format!("lab {lab} is not in the policy")));
        }
        policy.labs.retain(|lab| labs.contains(lab));
    }
    Ok(policy)
}

/// Grades with a line for each test.
fn grade_and_tell(
    session: &mut Session,
    submission: &Path,
    formats: &[Format],
    out: &Path,
) -> io::Result<Results> {
    let progress = Progress::new(session.test_count());
    let watch = Watch {
        doing: &|what| progress.doing(what),
        done: &|test| progress.done(&format!("{:<32} {}", test.short_name(), test.line())),
    };
    session.grade(submission, formats, out, &watch)
}

/// Runs `labgrade policy`.
pub(crate) fn run_policy(args: &PolicyArgs) -> io::Result<ExitCode> {
    match &args.command {
        PolicyCommand::Student { policy } => {
            let theirs = Policy::read(policy).map_err(io::Error::other)?.for_students();
            print!("{}", toml::to_string(&theirs).map_err(io::Error::other)?);
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Check { policy, solution, variants, place } => {
            check(policy, solution, *variants, place)
        }
    }
}

/// Runs `labgrade policy check`.
fn check(file: &Path, solutions: &[PathBuf], variants: bool, place: &Place) -> io::Result<ExitCode> {
    solutions.iter().try_for_each(|solution| see(solution))?;
    let policy = Policy::read(file).map_err(io::Error::other)?;
    let graded = policy.labs.clone();
    let mut session = place.open(policy)?;
    let own = tempfile::tempdir()?;
    let mut correct: Vec<(PathBuf, Vec<Lab>)> =
        solutions.iter().map(|solution| (solution.clone(), Lab::all().collect())).collect();
    let course = session.course();
    let mut ours = Vec::new();
    if solutions.is_empty() {
        if course.solution() == course.starter() {
            return Err(io::Error::other("this course is without its solution: give one by --solution"));
        }
        ours.push(("the course's own solution".to_owned(), course.solution(), Lab::all().collect()));
    }
    if variants {
        ours.extend(course.variants()?);
    }
    ours.retain(|(.., labs)| graded.iter().any(|lab| labs.contains(lab)));
    for (name, rooms, labs) in ours {
        let at = own.path().join(name);
        Scratch::open(&at)?.hold(&rooms)?;
        correct.push((at, labs));
    }
    let mut checked = Checked::read(file);
    let mut worst = 0;
    for (solution, labs) in correct {
        let mut results = grade_and_tell(&mut session, &solution, &[], Path::new("."))?;
        results.tests.retain(|test| labs.contains(&test.lab));
        worst = worst.max(complain(&results));
        session.add_to(&mut checked, &labs, &results)?;
        // After each, so that what was found stays if the rest is interrupted.
        checked.write(file)?;
    }
    Ok(ExitCode::from(worst))
}

/// Says on which seeds a correct solution fails, and gives the exit code.
fn complain(results: &Results) -> u8 {
    let refused: Vec<_> = results.tests.iter().filter(|test| test.status != Status::Passed).collect();
    if refused.is_empty() {
        println!("{}: {} points, as it should be", results.submission, number(results.points()));
        return 0;
    }
    for test in &refused {
        println!("{}: {}: {}", results.submission, test.short_name(), test.line());
    }
    if let State::Refused(why) = &results.state {
        println!("{why}");
    }
    if results.state == State::Incomplete {
        results.staff_notes.iter().for_each(|note| println!("{note}"));
        return 2;
    }
    println!("A correct solution must get full marks: change these seeds, or mend what is wrong with them.");
    1
}

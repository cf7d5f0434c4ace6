//! Builds solutions and runs the suites on them.
//!
//! One thread builds, in one scratch copy: cargo and the compiler then do little more than
//! what a patch changes, some seconds each. The others run what is built. Results are kept one by one, so that a
//! matrix that was interrupted goes on where it was.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use serde::{Deserialize, Serialize};

use super::Args;
use super::catalogue::{About, Kind, Mutant, Variant};
use super::matrix::{CorrectRow, Matrix, MutantRow, Tried, VERSION};
use super::trial::{self, CorrectTrial, MutantTrial, Pursuit, Runnable, WITHOUT};
use crate::builder::{self, BuildError, build_suite, cargo};
use crate::files::write_whole;
use crate::labs::{Lab, Package};
use crate::progress::Progress;
use crate::runner::{Manner, Suite};
use crate::tree::{Scratch, Tree, fingerprint};

/// Where the rules are that no oracle watches over.
const CHECKS: &str = "labtest/src/rules.rs";

/// The name of the solution among the correct ones.
pub(super) const REFERENCE: &str = "reference";

/// A solution to be tried.
pub(super) struct Work {
    name: String,
    /// The error says why the patch does not apply.
    tree: Result<Tree, String>,
    /// The labs that are tried. Never empty.
    labs: Vec<Lab>,
    /// In what a correct one differs from the solution.
    differs_in: String,
    /// What is tried if it is wrong; `None` if it is correct.
    mutant: Option<Mutant>,
}

impl Work {
    pub(super) fn mutant(mutant: Mutant, solution: &Tree, variants: &[Variant]) -> Work {
        let tree = mutant.tree(solution, variants).map_err(|error| error.to_string());
        let (name, labs) = (mutant.id.clone(), mutant.header.labs.clone());
        Work { name, tree, labs, differs_in: String::new(), mutant: Some(mutant) }
    }

    pub(super) fn correct(variant: Variant) -> Work {
        let About { differs_in, labs, .. } = variant.about;
        Work { name: variant.name, tree: Ok(variant.tree), labs, differs_in, mutant: None }
    }

    /// The correct solution that it is, or is a mutant of; `None`: the solution.
    fn base(&self) -> Option<&str> {
        match &self.mutant {
            Some(mutant) => mutant.variant.as_deref(),
            None => Some(&self.name).filter(|name| *name != REFERENCE).map(String::as_str),
        }
    }

    /// The crates whose suites it needs.
    fn packages(&self) -> BTreeSet<Package> {
        self.labs.iter().map(|lab| lab.package()).collect()
    }
}

/// What was found out about a work.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Found {
    Mutant(Tried<MutantTrial>),
    Correct(Tried<CorrectTrial>),
}

/// A result as it is kept for the next time.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Of the sources, and of how they were tried.
    key: u64,
    found: Found,
}

/// What is known of a work before it is tried.
struct Known {
    found: Found,
    /// The sources, or how it would be tried, have changed since.
    earlier: bool,
}

/// A work with its built suites.
struct Built {
    place: usize,
    build_s: f64,
    suites: Vec<Suite>,
}

/// Where the command works, and how.
pub(super) struct Bench<'a> {
    args: &'a Args,
    root: PathBuf,
    out: PathBuf,
    /// Cargo's build directory. Not the workspace's own: Cargo does not tell the crates of two copies of a workspace apart, and
    /// would take what was built of the scratch copy for the workspace's, whatever has changed there.
    build: PathBuf,
    solution: Tree,
    compiler: String,
    manner: Manner,
    /// The rules that oracles watch over; the others are checks of single tests.
    oracles: Vec<String>,
    /// Held as long as this lives: two of them in one directory would build each other's mutants.
    _lock: File,
}

impl<'a> Bench<'a> {
    pub(super) fn set_up(args: &'a Args) -> io::Result<Bench<'a>> {
        let root = PathBuf::from(said_by(Command::new(cargo()).args([
            "locate-project",
            "--workspace",
            "--message-format=plain",
        ]))?);
        let root = root.parent().unwrap_or(Path::new("/")).to_owned();
        let out = args.out.clone().unwrap_or_else(|| root.join("target/mutants"));
        fs::create_dir_all(&out)?;
        let out = out.canonicalize()?;
        let lock = File::create(out.join("lock"))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::other(format!("another run is at work in {}", out.display())))?;
        // Of a run that was ended in the midst of things.
        fs::remove_dir_all(out.join("binaries")).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        let mut solution = Tree::of_workspace(&root)?;
        solution.files.retain(|name, _| !name.starts_with("mutants/"));
        let page = |name: &String| Some(name.strip_prefix("docs/rules/")?.strip_suffix(".md")?.to_owned());
        let rules: Vec<String> = solution.files.keys().filter_map(page).collect();
        let checks = solution.files.get(CHECKS).map_or("".into(), |text| String::from_utf8_lossy(text));
        let of_oracle = |rule: &&String| !checks.contains(&format!("id: \"{rule}\""));
        let oracles: Vec<String> = rules.iter().filter(of_oracle).cloned().collect();
        if let Some(rule) = args.without.as_ref().filter(|rule| *rule != "all" && !oracles.contains(rule)) {
            let known = oracles.join(", ");
            return Err(io::Error::other(format!(
                "{rule:?} is neither `all` nor a rule that an oracle watches over; these are {known}"
            )));
        }
        let variables = args.without.iter().map(|rule| (WITHOUT.to_owned(), rule.clone())).collect();
        let manner = Manner { limit: Duration::from_secs(args.limit), variables, rules };
        let compiler = said_by(Command::new("rustc").arg("--version"))?;
        let build = out.join("build");
        Ok(Bench { args, root, out, build, solution, compiler, manner, oracles, _lock: lock })
    }

    /// The workspace's directory.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where scratch files and results go.
    pub(super) fn out(&self) -> &Path {
        &self.out
    }

    /// The workspace's sources, without `mutants`.
    pub(super) fn solution(&self) -> &Tree {
        &self.solution
    }

    /// The rules that have a page.
    pub(super) fn rules(&self) -> &[String] {
        &self.manner.rules
    }

    /// Compiles all works, and tries nothing. Whether all could be compiled.
    pub(super) fn check(&self, works: &[Work]) -> io::Result<bool> {
        let mut scratch = self.scratch()?;
        let progress = Progress::new(works.len());
        let mut wrong = 0;
        for work in works {
            progress.doing(&work.name);
            match self.compile(work, &mut scratch)? {
                Ok(()) => progress.done(&format!("ok        {}", work.name)),
                Err(why) => {
                    wrong += 1;
                    progress.done(&format!("BROKEN    {}: {why}", work.name));
                }
            }
        }
        drop(progress);
        println!("{} of {} apply and compile", works.len() - wrong, works.len());
        Ok(wrong == 0)
    }

    /// Tries all works of which nothing is known yet. `unfit` is for the page.
    pub(super) fn try_all(&self, works: &[Work], unfit: Vec<String>) -> io::Result<Matrix> {
        let keys: Vec<u64> = works.iter().map(|work| self.key(work)).collect();
        let mut found: Vec<Option<Known>> =
            works.iter().zip(&keys).map(|(work, key)| self.kept(work, *key)).collect();
        let mut waiting: Vec<usize> = (0..works.len()).filter(|place| found[*place].is_none()).collect();
        // What differs little is built one after the other: a build after another variant's takes several times as long.
        waiting.sort_by_key(|place| works[*place].base());
        if waiting.len() < works.len() {
            let known = works.len() - waiting.len();
            eprintln!("{known} of {} are known already; --fresh tries them again", works.len());
        }
        let progress = Progress::new(waiting.len());
        let jobs = self.args.jobs.map(usize::from);
        let jobs = jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into));
        // One waits while as many as there are runners are tried: binaries do not pile up.
        let (to_runners, built) = crossbeam_channel::bounded::<Built>(1);
        let (to_keeper, results) = crossbeam_channel::unbounded::<(usize, Found)>();
        thread::scope(|scope| {
            for _ in 0..jobs {
                let (built, to_keeper) = (built.clone(), to_keeper.clone());
                scope.spawn(move || self.run_what_is_built(works, &built, &to_keeper));
            }
            drop(built);
            let (progress, waiting) = (&progress, &waiting);
            let builder = scope
                .spawn(move || self.build_what_is_waiting(works, waiting, progress, &to_runners, &to_keeper));
            for (place, result) in results {
                self.keep(&works[place], keys[place], &result)?;
                progress.done(&line(&works[place], &result));
                found[place] = Some(Known { found: result, earlier: false });
            }
            builder.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
        })?;
        drop(progress);
        self.matrix(works, found, unfit)
    }

    fn matrix(&self, works: &[Work], found: Vec<Option<Known>>, unfit: Vec<String>) -> io::Result<Matrix> {
        let mut matrix = Matrix {
            version: VERSION,
            pursuit: self.pursuit(Kind::Safety),
            others: self.args.others,
            without: self.args.without.clone(),
            compiler: self.compiler.clone(),
            mutants: Vec::new(),
            unfit,
            correct: Vec::new(),
            earlier: Vec::new(),
        };
        for (work, known) in works.iter().zip(found) {
            if known.as_ref().is_some_and(|known| known.earlier) {
                matrix.earlier.push(work.name.clone());
            }
            match (&work.mutant, known.map(|known| known.found)) {
                (Some(mutant), Some(Found::Mutant(result))) => {
                    matrix.mutants.push(MutantRow::new(mutant, result));
                }
                (None, Some(Found::Correct(result))) => {
                    let (name, differs_in) = (work.name.clone(), work.differs_in.clone());
                    matrix.correct.push(CorrectRow { name, differs_in, result });
                }
                _ => return Err(io::Error::other(format!("{} was not tried", work.name))),
            }
        }
        Ok(matrix)
    }

    fn scratch(&self) -> io::Result<Scratch> {
        Scratch::open(&self.out.join("tree"))
    }

    /// The builder's thread.
    fn build_what_is_waiting(
        &self,
        works: &[Work],
        waiting: &[usize],
        progress: &Progress,
        to_runners: &Sender<Built>,
        to_keeper: &Sender<(usize, Found)>,
    ) -> io::Result<()> {
        let mut scratch = self.scratch()?;
        for &place in waiting {
            let work = &works[place];
            progress.doing(&format!("building {}", work.name));
            let sent = match self.build(work, &mut scratch)? {
                Ok((build_s, suites)) => to_runners.send(Built { place, build_s, suites }).is_ok(),
                Err(why) => to_keeper.send((place, broken(work, why))).is_ok(),
            };
            if !sent {
                // Something went wrong there, which is told there.
                break;
            }
        }
        Ok(())
    }

    /// Compiles a work's suites; the inner error is the work's own fault.
    fn compile(&self, work: &Work, scratch: &mut Scratch) -> io::Result<Result<(), String>> {
        let tree = match &work.tree {
            Ok(tree) => tree,
            Err(why) => return Ok(Err(why.clone())),
        };
        scratch.hold(tree)?;
        // A mutant changes what is inside; a correct variant may have given the suites what they do not expect.
        let suites = work.mutant.is_none();
        for package in work.packages() {
            if let Err(error) = builder::check(scratch.directory(), &self.build, package, suites) {
                return own_fault(error).map(Err);
            }
        }
        Ok(Ok(()))
    }

    /// Builds a work's suites, and says in how many seconds; the inner error is the work's own fault.
    fn build(&self, work: &Work, scratch: &mut Scratch) -> io::Result<Result<(f64, Vec<Suite>), String>> {
        let tree = match &work.tree {
            Ok(tree) => tree,
            Err(why) => return Ok(Err(why.clone())),
        };
        let begin = Instant::now();
        scratch.hold(tree)?;
        let mut suites = Vec::new();
        for package in work.packages() {
            let binary = match build_suite(scratch.directory(), &self.build, package) {
                Ok(binary) => binary,
                Err(error) => return own_fault(error).map(Err),
            };
            // Out of the way of the next build. Moved and not copied: a file that was just written cannot be run as
            // long as another process, started in that moment, still has it open.
            let binaries = self.out.join("binaries");
            fs::create_dir_all(&binaries)?;
            let own = binaries.join(format!("{}-{}", work.name, package.name()));
            fs::rename(binary, &own)?;
            suites.push(Suite::open(own, package, scratch.directory())?);
        }
        Ok(Ok((begin.elapsed().as_secs_f64(), suites)))
    }

    /// A runner's thread.
    fn run_what_is_built(&self, works: &[Work], built: &Receiver<Built>, to_keeper: &Sender<(usize, Found)>) {
        for Built { place, build_s, suites } in built {
            let work = &works[place];
            let runnable = Runnable { suites, manner: self.manner.clone(), oracles: &self.oracles };
            let found = self
                .run(work, build_s, &runnable)
                .unwrap_or_else(|error| broken(work, format!("its tests cannot be run: {error}")));
            runnable.suites.iter().for_each(Suite::remove);
            if to_keeper.send((place, found)).is_err() {
                break;
            }
        }
    }

    fn run(&self, work: &Work, build_s: f64, runnable: &Runnable<'_>) -> io::Result<Found> {
        Ok(match &work.mutant {
            Some(mutant) => {
                let trial = trial::pursue(runnable, &work.labs, self.pursuit_of(mutant))?;
                Found::Mutant(Tried::Done { build_s, trial })
            }
            None => {
                let trial = trial::acquit(runnable, &work.labs, self.args.first_seed, self.control_seeds())?;
                Found::Correct(Tried::Done { build_s, trial })
            }
        })
    }

    /// How far a mutant of a kind is pursued. One that breaks no rule for good may outlast any number of seeds, and they
    /// cost most where nothing is found.
    fn pursuit(&self, kind: Kind) -> Pursuit {
        let Args { first_seed, above, every_test, turns, .. } = *self.args;
        let seeds = self.args.seeds.unwrap_or(100);
        let seeds = if kind == Kind::Safety { seeds } else { seeds.min(self.args.others) };
        // With one rule off for all, the question is another.
        let turns = if self.args.without.is_some() { 0 } else { turns };
        Pursuit { first_seed, seeds, above, every_test, turns }
    }

    /// The same for this one. Mutants of a variant ask whether its own lab's suite was made for one solution only.
    fn pursuit_of(&self, mutant: &Mutant) -> Pursuit {
        let pursuit = self.pursuit(mutant.header.kind);
        if mutant.variant.is_some() { Pursuit { above: 0, ..pursuit } } else { pursuit }
    }

    /// How many seeds a correct solution gets in each lab of a crate.
    fn control_seeds(&self) -> impl Fn(Package) -> u32 {
        let Args { correct, seeds, control, kv_seeds, .. } = *self.args;
        let seeds = if correct { seeds.unwrap_or(1000) } else { control };
        let kv_seeds = kv_seeds.unwrap_or(seeds.min(5));
        move |package| match package {
            Package::Raft => seeds,
            Package::KvRaft => kv_seeds,
        }
    }

    /// Changes when a result would have to be found out anew.
    fn key(&self, work: &Work) -> u64 {
        let mut tree = work.tree.clone().unwrap_or_default();
        // What no test depends on.
        tree.files.retain(|name, _| !name.starts_with("labgrade/") && !name.ends_with(".md"));
        let how = match &work.mutant {
            Some(mutant) => format!("{:?}", self.pursuit_of(mutant)),
            None => self.args.first_seed.to_string(),
        };
        let Args { without, .. } = self.args;
        let how =
            format!("{VERSION} {how} {:?} {:?} {without:?} {}", work.labs, self.manner.limit, self.compiler);
        fingerprint([&tree.fingerprint().to_le_bytes()[..], how.as_bytes()])
    }

    /// How the files are called: a matrix without a rule does not take the place of the whole one.
    pub(super) fn label(&self) -> String {
        self.args.without.as_ref().map_or_else(|| "matrix".into(), |rule| format!("without-{rule}"))
    }

    fn kept_at(&self, work: &Work) -> PathBuf {
        self.out.join(self.label()).join(format!("{}.json", work.name))
    }

    /// What an earlier run has found out; nothing if it was another mutant, or tried in another way.
    fn kept(&self, work: &Work, key: u64) -> Option<Known> {
        if self.args.fresh {
            return None;
        }
        // What cannot be read is found out anew.
        let kept: Kept = serde_json::from_slice(&fs::read(self.kept_at(work)).ok()?).ok()?;
        let enough = match &kept.found {
            Found::Correct(result) => {
                let asked = self.control_seeds();
                result.trial()?.labs.iter().all(|lab| lab.seeds >= asked(lab.lab.package()))
            }
            Found::Mutant(_) => true,
        };
        let earlier = kept.key != key;
        (enough && (self.args.known || !earlier)).then_some(Known { found: kept.found, earlier })
    }

    /// Keeps a result, and what the first test to object printed.
    fn keep(&self, work: &Work, key: u64, found: &Found) -> io::Result<()> {
        let (tried, report) = match found {
            Found::Mutant(result) => {
                (result.trial().is_some(), result.trial().and_then(|it| it.report.as_ref()))
            }
            Found::Correct(result) => {
                (result.trial().is_some(), result.trial().and_then(|it| it.report.as_ref()))
            }
        };
        if let Some(report) = report {
            write_whole(&self.out.join(self.label()).join(format!("{}.txt", work.name)), report)?;
        }
        if tried {
            let kept = Kept { key, found: found.clone() };
            write_whole(&self.kept_at(work), serde_json::to_string_pretty(&kept)?)?;
        }
        Ok(())
    }
}

/// What a work is told that does not compile; any other error is not its fault.
fn own_fault(error: BuildError) -> io::Result<String> {
    match error {
        BuildError::Failed(said) => Ok(format!("it does not compile:\n{said}")),
        other => Err(io::Error::other(other)),
    }
}

fn broken(work: &Work, why: String) -> Found {
    match work.mutant {
        Some(_) => Found::Mutant(Tried::Broken(why)),
        None => Found::Correct(Tried::Broken(why)),
    }
}

/// What is printed when a work is done.
fn line(work: &Work, found: &Found) -> String {
    match (&work.mutant, found.clone()) {
        (Some(mutant), Found::Mutant(result)) => MutantRow::new(mutant, result).to_string(),
        (_, Found::Correct(result)) => {
            let (name, differs_in) = (work.name.clone(), work.differs_in.clone());
            CorrectRow { name, differs_in, result }.to_string()
        }
        (None, Found::Mutant(_)) => unreachable!("a correct solution is not tried as a mutant"),
    }
}

/// What a command prints, if it ends well.
fn said_by(command: &mut Command) -> io::Result<String> {
    let output = command.output().map_err(|error| {
        io::Error::other(format!("{} cannot be run: {error}", command.get_program().to_string_lossy()))
    })?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(io::Error::other(format!("{}: {why}", command.get_program().to_string_lossy())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

//! One grading, from a submission to results.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::build::{self, BuildError, Builder, Suite};
use super::checked::Checked;
use super::course::{self, Course};
use super::formats::{self, Format};
use super::jail::{self, Jail, Strength};
use super::policy::{self, Policy, last_part};
use super::results::{Results, State, Status, TestResult};
use super::score::{self, Batch};
use super::source;
use super::submission::{self, Refusal};
use crate::files::write_whole;
use crate::judge;
use crate::labs::{Lab, Package};
use crate::progress::Progress;
use crate::tree::{Scratch, Tree, fingerprint};

/// What was found when the suites were built without a student's code.
#[derive(Serialize, Deserialize)]
struct Prepared {
    /// Of everything that was built, and with what.
    key: u64,
    tests: Vec<(String, Lab, bool)>,
}

/// Beyond its limit, what a run may take to be ended by the suite's own process.
const GRACE: Duration = Duration::from_secs(15);

/// How the staff is told that nobody knows what seeds are worth.
const UNCHECKED: &str = "policy not checked";

/// Of a test that cannot be built.
const NOT_COMPILED: &str = "the code does not compile";

/// Who is told how grading goes on: what begins, and each test that is done.
pub(crate) struct Watch<'a> {
    pub(crate) doing: &'a dyn Fn(&str),
    pub(crate) done: &'a dyn Fn(&TestResult),
}

/// Grades submissions, one after the other, in one working directory.
pub(crate) struct Session {
    policy: Policy,
    course: Course,
    builder: Builder,
    strength: Strength,
    /// Why it is not the best.
    weakness: Option<String>,
    /// What the staff is to know of the policy.
    caution: Option<String>,
    scratch: Scratch,
    /// With their packages, in order; hidden ones with true.
    tests: Vec<(String, Lab, bool)>,
    /// Of course, policy and compiler.
    graded_with: String,
    /// Real time for a whole grading.
    within: Option<Duration>,
    /// Nobody else works in the directory as long as it is held.
    _lock: File,
}

impl Session {
    /// Builds the suites with what students start from: that shows that the grader works, tells which tests there are, and leaves
    /// little to build for each submission. Blocks for minutes the first time. Every error is the grader's own.
    pub(crate) fn open(policy: Policy, course: &Path, work: &Path, weak: bool) -> io::Result<Session> {
        let course = Course::open(course)?;
        fs::create_dir_all(work)?;
        let lock = File::create(work.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            io::Error::other(format!(
                "another grader works in {}: wait for it, or give this one a directory of its own by --work",
                work.display()
            ))
        })?;
        let work = work.canonicalize()?;
        let (strength, weakness) = Strength::find(weak)?;
        let limit = Duration::from_secs(policy.limits.build_s);
        // What is built here for the first time is everything.
        let patient = Builder::new(&course.root, &work, strength, limit.max(Duration::from_secs(1800)))?;
        let scratch = Scratch::open(&patient.course())?;
        let builder = Builder::new(&course.root, &work, strength, limit)?;
        let mut session = Session {
            policy,
            course,
            builder,
            strength,
            weakness,
            caution: None,
            scratch,
            tests: Vec::new(),
            graded_with: String::new(),
            within: None,
            _lock: lock,
        };
        let starter = session.course.starter();
        let rooms = if starter.files.is_empty() { session.course.solution() } else { starter };
        session.tests = session.prepared(&patient, &rooms, &work.join("prepared.json"))?;
        session
            .policy
            .check_tests(session.tests.iter().map(|(test, ..)| test.as_str()))
            .map_err(io::Error::other)?;
        let Session { policy, tests, .. } = &mut session;
        tests.retain(|(test, ..)| policy.grades(test));
        session.graded_with = session.digest_of_rules(&session.policy.labs)?;
        Ok(session)
    }

    /// Heeds what `policy check` has found of this policy, which is in `file`. The error: with its seeds a correct solution
    /// fails. Where nothing is known, says so, now and to the staff in all results.
    pub(crate) fn heed_check(&mut self, file: &Path) -> io::Result<()> {
        let checked = Checked::read(file);
        let mut unknown = Vec::new();
        let check = format!("cargo lab policy check {}", file.display());
        for lab in &self.policy.labs {
            match checked.failing(*lab, &self.digest_of_rules(&[*lab])?) {
                None => unknown.push(lab.name()),
                Some(failing) if failing.is_empty() => {}
                Some(failing) => {
                    return Err(io::Error::other(format!(
                        "{} is refused: with its seeds a correct solution fails in lab {lab} ({}). Change them, or mend what \
                         is wrong, and see by `{check}` that all is well",
                        file.display(),
                        failing.join(", ")
                    )));
                }
            }
        }
        self.caution = (!unknown.is_empty()).then(|| {
            format!(
                "{UNCHECKED}: whether a correct solution gets full marks in {} is not known, as policy, course and \
                 compiler now are; run: {check}",
                unknown.join(", ")
            )
        });
        self.caution.iter().for_each(|caution| eprintln!("{caution}"));
        Ok(())
    }

    /// Adds to the findings on the policy what a correct solution of `labs` got.
    pub(crate) fn add_to(&self, checked: &mut Checked, labs: &[Lab], results: &Results) -> io::Result<()> {
        for lab in self.policy.labs.iter().filter(|lab| labs.contains(lab)) {
            checked.add(*lab, self.digest_of_rules(&[*lab])?, results);
        }
        Ok(())
    }

    /// Lets results say to the staff what is to be known of the policy by now.
    pub(crate) fn remind(&self, results: &mut Results) {
        results.staff_notes.retain(|note| !note.starts_with(UNCHECKED));
        results.staff_notes.extend(self.caution.clone());
    }

    /// Limits every grading to so much real time. Tests for which there is none left are not judged.
    pub(crate) fn within(&mut self, limit: Duration) {
        self.within = Some(limit);
    }

    /// How many tests there are.
    pub(crate) fn test_count(&self) -> usize {
        self.tests.len()
    }

    /// What grading depends on beside the submission.
    pub(crate) fn graded_with(&self) -> &str {
        &self.graded_with
    }

    /// What grading depends on of the submission: what is taken of it, or why nothing is; nothing if it cannot be read.
    pub(crate) fn handed_in(&self, from: &Path) -> String {
        match self.take(from) {
            Ok(Ok((rooms, notes))) => digest(tree_parts(&rooms).chain(notes.iter().map(String::as_bytes))),
            Ok(Err(why)) => digest([why.as_bytes()]),
            Err(_) => String::new(),
        }
    }

    /// Of everything that grading these labs depends on beside the submission.
    fn digest_of_rules(&self, labs: &[Lab]) -> io::Result<String> {
        // Where hidden tests lie makes no difference; what is in them does.
        let mut policy = self.policy.clone();
        (policy.labs, policy.hidden) = (labs.to_owned(), None);
        let policy = toml::to_string(&policy).map_err(io::Error::other)?;
        let none = Tree::default();
        let trees = [self.tree(&none, false)?, self.tree(&none, true)?];
        let parts = trees.iter().flatten().flat_map(tree_parts);
        Ok(digest(parts.chain([policy.as_bytes(), self.builder.compiler().as_bytes()])))
    }

    /// The tests around `rooms`: as they were found the last time, kept in `at`, if nothing has changed since.
    fn prepared(
        &mut self,
        builder: &Builder,
        rooms: &Tree,
        at: &Path,
    ) -> io::Result<Vec<(String, Lab, bool)>> {
        let trees = [self.tree(rooms, false)?, self.tree(rooms, true)?];
        let mut parts: Vec<_> =
            trees.iter().flatten().map(|tree| tree.fingerprint().to_le_bytes().to_vec()).collect();
        parts.push(format!("{:?} {}", self.policy.labs, builder.compiler()).into_bytes());
        let key = fingerprint(parts.iter().map(Vec::as_slice));
        let known = fs::read(at).ok().and_then(|text| serde_json::from_slice::<Prepared>(&text).ok());
        if let Some(known) = known.filter(|known| known.key == key) {
            return Ok(known.tests);
        }
        let tests = self.prepare(builder, rooms)?;
        write_whole(at, serde_json::to_string(&Prepared { key, tests: tests.clone() })?)?;
        Ok(tests)
    }

    /// Builds what is graded around `rooms`, and lists its tests.
    fn prepare(&mut self, builder: &Builder, rooms: &Tree) -> io::Result<Vec<(String, Lab, bool)>> {
        let failed =
            |error: BuildError| io::Error::other(format!("the course's own suites do not build:\n{error}"));
        let mut tests: Vec<(String, Lab, bool)> = Vec::new();
        eprintln!("Building what all submissions share: some minutes the first time.");
        let kinds = if self.policy.hidden.is_some() { 2 } else { 1 };
        let progress = Progress::new(kinds * self.packages().len());
        for hidden in [false, true] {
            let Some(tree) = self.tree(rooms, hidden)? else { continue };
            self.scratch.hold(&tree)?;
            for package in self.packages() {
                let with = if hidden { ", with hidden tests" } else { "" };
                let what = format!("the suite of {}{with}", package.name());
                progress.doing(&format!("building {what}"));
                let begun = Instant::now();
                let suite = builder.build(package, "prepared", false, None).map_err(failed)?;
                for test in self.list(&suite)? {
                    let lab = self.policy.labs.iter().find(|lab| lab.package() == package && lab.has(&test));
                    let known = tests.iter().any(|(known, ..)| *known == test);
                    if let (Some(lab), false) = (lab, known) {
                        tests.push((test, *lab, hidden));
                    }
                }
                progress.done(&format!("built {what} in {:.0} s", begun.elapsed().as_secs_f64()));
            }
        }
        tests.sort_by_key(|(_, lab, hidden)| (*lab, *hidden));
        Ok(tests)
    }

    /// The workspace with `rooms`; with hidden tests, if there are any.
    fn tree(&self, rooms: &Tree, hidden: bool) -> io::Result<Option<Tree>> {
        let mut tree = self.course.with(rooms);
        if !hidden {
            return Ok(Some(tree));
        }
        let Some(directory) = &self.policy.hidden else { return Ok(None) };
        let overlay = Tree::of_directory(directory)?;
        let allowed = ["raft/tests/", "kvraft/tests/"];
        if let Some(other) =
            overlay.files.keys().find(|name| !allowed.iter().any(|room| name.starts_with(room)))
        {
            return Err(io::Error::other(format!(
                "hidden tests lie in {}; {other} does not",
                allowed.join(" and ")
            )));
        }
        tree.files.extend(overlay.files);
        Ok(Some(tree))
    }

    /// The packages of the graded labs.
    fn packages(&self) -> Vec<Package> {
        let mut packages: Vec<_> = self.policy.labs.iter().map(|lab| lab.package()).collect();
        packages.sort();
        packages.dedup();
        packages
    }

    /// Grades a submission, and writes the results after every step. Returns them. The error is the grader's own; then the
    /// results are unfinished, and tell the staff of it.
    pub(crate) fn grade(
        &mut self,
        from: &Path,
        formats: &[Format],
        out: &Path,
        watch: &Watch<'_>,
    ) -> io::Result<Results> {
        let mut results = self.waiting(from);
        formats::write(&results, formats, out)?;
        if let Err(error) = self.grade_into(&mut results, from, formats, out, watch) {
            results.state = State::Unfinished;
            results.staff_notes.push(format!("the grader failed: {error}"));
            // Where even that cannot be written, it did not write results before either.
            let _ = formats::write(&results, formats, out);
            return Err(error);
        }
        Ok(results)
    }

    fn grade_into(
        &mut self,
        results: &mut Results,
        from: &Path,
        formats: &[Format],
        out: &Path,
        watch: &Watch<'_>,
    ) -> io::Result<()> {
        let begun = Instant::now();
        match self.take(from)? {
            Ok((rooms, notes)) => {
                results.notes.extend(notes);
                let until = self.within.map(|within| begun + within);
                self.run_all(&rooms, results, until, watch, |results| {
                    results.seconds = begun.elapsed().as_secs_f64();
                    formats::write(results, formats, out)
                })?;
            }
            Err(why) => {
                results.state = State::Refused(why.clone());
                for test in &mut results.tests {
                    fail(test, "the submission was not graded");
                }
            }
        }
        results.seconds = begun.elapsed().as_secs_f64();
        formats::write(results, formats, out)
    }

    fn waiting(&self, from: &Path) -> Results {
        let name = from.file_name().unwrap_or(from.as_os_str()).to_string_lossy();
        let mut results = Results::unfinished(&self.policy.assignment, &name);
        results.jail = Some(self.strength);
        results.graded_with.clone_from(&self.graded_with);
        results.handed_in = self.handed_in(from);
        results.staff_notes.extend(self.weakness.as_ref().map(|why| {
            format!("without namespaces ({why}), files, network and processes were held back by user and limits only")
        }));
        self.remind(&mut results);
        results.tests = self
            .tests
            .iter()
            .map(|(name, lab, hidden)| {
                let visibility = self.policy.visibility_of(name, *hidden);
                let wanted = self.policy.seeds_of(name).len() as u32;
                TestResult::waiting(name, *lab, visibility, self.policy.points_of(name), wanted)
            })
            .collect();
        results
    }

    /// What is to be built, and what the student is to be told; or why nothing is taken, which is for the student too. The
    /// outer error is that it could not be read, which is nobody's zero.
    fn take(&self, from: &Path) -> io::Result<Result<(Tree, Vec<String>), String>> {
        let taken = match submission::take(from, &self.course.handed_out()) {
            Ok(taken) => taken,
            Err(Refusal::Unreadable(why)) => return Err(io::Error::other(why)),
            Err(refusal) => return Ok(Err(refusal.to_string())),
        };
        let findings = source::check(&taken.files);
        if !findings.is_empty() {
            let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
            return Ok(Err(format!("It holds what a submission may not hold:\n{}", lines.join("\n"))));
        }
        let ignored = taken.ignored.iter().map(|name| {
            format!("{name} was ignored: only the Rust files in raft/src and kvraft/src are yours, the rest is the course's")
        });
        Ok(Ok((taken.files, ignored.collect())))
    }

    fn run_all(
        &mut self,
        rooms: &Tree,
        results: &mut Results,
        until: Option<Instant>,
        watch: &Watch<'_>,
        write: impl Fn(&mut Results) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut built = 0;
        let mut not_compiled = Vec::new();
        for hidden in [false, true] {
            let of_this = |test: &TestResult, tests: &[(String, Lab, bool)]| {
                tests.iter().any(|(name, _, is_hidden)| *name == test.name && *is_hidden == hidden)
            };
            let Some(tree) = self.tree(rooms, hidden)? else { continue };
            self.scratch.hold(&tree)?;
            for package in self.packages() {
                let tests = self.tests.clone();
                let mut mine: Vec<&mut TestResult> = results
                    .tests
                    .iter_mut()
                    .filter(|test| test.lab.package() == package && of_this(test, &tests))
                    .collect();
                if mine.is_empty() {
                    continue;
                }
                if !course::has_room(rooms, package) {
                    let why = format!("{}/src/lib.rs was not handed in", package.name());
                    mine.iter_mut().for_each(|test| fail(test, &why));
                    continue;
                }
                if not_compiled.contains(&package) {
                    mine.iter_mut().for_each(|test| fail(test, NOT_COMPILED));
                    continue;
                }
                if self.is_over(until) {
                    mine.iter_mut().for_each(|test| self.too_late(test));
                    continue;
                }
                (watch.doing)(&format!("building {}", package.name()));
                let name = if hidden { "hidden" } else { "graded" };
                // The student's code was compiled before hidden tests came near it. If it is only with them that it does not
                // compile, the tests ask for what was never promised.
                let suite = match self.builder.build(package, name, !hidden, until) {
                    Ok(suite) => suite,
                    Err(BuildError::Code(messages)) => {
                        not_compiled.push(package);
                        mine.iter_mut().for_each(|test| fail(test, NOT_COMPILED));
                        results
                            .notes
                            .push(format!("The code of {} does not compile:\n{messages}", package.name()));
                        continue;
                    }
                    Err(BuildError::Grader(messages)) => {
                        mine.iter_mut().for_each(|test| {
                            test.status = Status::NotJudged;
                            test.headline = "the grader could not build it".into();
                        });
                        results
                            .staff_notes
                            .push(format!("{} could not be built:\n{messages}", package.name()));
                        continue;
                    }
                };
                built += 1;
                for place in 0..results.tests.len() {
                    let test = &mut results.tests[place];
                    if test.lab.package() != package || !of_this(test, &tests) {
                        continue;
                    }
                    if self.is_over(until) {
                        self.too_late(test);
                        continue;
                    }
                    (watch.doing)(last_part(&test.name));
                    let seeds = self.policy.seeds_of(&test.name);
                    let published = self.policy.seeds.published.count as usize;
                    let name = test.name.clone();
                    let cpu_max = Duration::from_secs(self.policy.limits.test_s);
                    score::judge(test, &seeds, published, cpu_max, |seeds| {
                        self.run(&suite, &name, seeds, until)
                    })?;
                    (watch.done)(test);
                    write(results)?;
                }
            }
        }
        let not_judged = results.tests.iter().any(|test| test.status == Status::NotJudged);
        results.state = if not_judged {
            State::Incomplete
        } else if built == 0 {
            let why = results.notes.drain(..).collect::<Vec<_>>().join("\n");
            State::Refused(why)
        } else {
            State::Graded
        };
        Ok(())
    }

    /// The tests of a suite, as it says itself: that is not yet a student's.
    fn list(&self, suite: &Suite) -> io::Result<Vec<String>> {
        let mut jail = self.jail(suite);
        jail.command.extend(["--list", "--format", "terse"].map(str::to_owned));
        let ended = jail.run(self.strength, Stdio::null(), Duration::from_secs(60))?;
        let tests: Vec<String> =
            ended.stdout.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect();
        if !ended.success || tests.is_empty() {
            return Err(io::Error::other(format!(
                "{} lists no tests: {}",
                suite.binary.display(),
                ended.stderr
            )));
        }
        Ok(tests)
    }

    fn is_over(&self, until: Option<Instant>) -> bool {
        until.is_some_and(|until| Instant::now() >= until)
    }

    /// There was no time left for this test.
    fn too_late(&self, test: &mut TestResult) {
        test.status = Status::NotJudged;
        test.headline =
            format!("the {} s for all of it were over", self.within.unwrap_or_default().as_secs());
    }

    /// Runs a test over seeds, until `until` at most.
    fn run(&self, suite: &Suite, test: &str, seeds: &[u64], until: Option<Instant>) -> io::Result<Batch> {
        if !suite.is_intact() {
            return Err(io::Error::other(format!("{} is not what was built", suite.binary.display())));
        }
        let limits = self.policy.limits;
        let mut jail = self.jail(suite);
        jail.command.extend(["--exact", test, "--nocapture", "--test-threads=2"].map(str::to_owned));
        let package = suite.package.name();
        jail.environment = [
            ("LABSIM_JUDGE", "1".to_owned()),
            ("LABSIM_REVIEW", "1".to_owned()),
            ("LABSIM_SLOTS", build::at_once().to_string()),
            ("LAB_TIMELINE", "never".to_owned()),
            // Taking one for each failure takes its time, and changes no verdict.
            ("RUST_BACKTRACE", "0".to_owned()),
            ("CARGO_PKG_NAME", package.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        jail.environment.extend(limits.environment());
        // Of each process. A run ends itself before; this one looks at what all have recorded.
        jail.limits.cpu_s = limits.run_s.saturating_mul(2).saturating_add(60);
        jail.limits.processes = limits.processes;
        let nonce = judge::nonce()?;
        let (mut ours, theirs) = UnixStream::pair()?;
        let running = jail.start(self.strength, Stdio::from(OwnedFd::from(theirs)))?;
        // Whoever does not read it says nothing either, and that is told below.
        let _ = judge::order(&mut ours, nonce, seeds);
        thread::scope(|scope| {
            let hearing = scope.spawn(|| judge::hear(&mut ours, nonce, seeds));
            let limit = Duration::from_secs(limits.test_s.saturating_mul(policy::SLOWEST)) + GRACE;
            let left = until.map_or(limit, |until| until.saturating_duration_since(Instant::now()));
            let ended = running.wait(limit.min(left));
            let told = hearing.join().map_err(|_| io::Error::other("hearing a suite failed"))?;
            let ended = ended?;
            let broken = told.broken.map(|broken| match ended.late {
                true if self.is_over(until) => "the time for all of it was over".to_owned(),
                true => format!("its runs took more than {} s of real time together", limit.as_secs()),
                false => {
                    let last =
                        ended.stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
                    format!("the test's own process is not to be understood: {broken}. {last}")
                }
            });
            Ok(Batch { runs: told.runs, broken, cpu: ended.cpu })
        })
    }

    fn jail(&self, suite: &Suite) -> Jail {
        let binary = suite.binary.to_string_lossy();
        let mut jail = Jail::of(&[&*binary], Path::new("/tmp"));
        jail.readable = jail::system_libraries();
        jail.readable.push(suite.binary.clone());
        jail
    }

    /// The course that is graded by.
    pub(crate) fn course(&self) -> &Course {
        &self.course
    }
}

fn tree_parts(tree: &Tree) -> impl Iterator<Item = &[u8]> {
    tree.files.iter().flat_map(|(name, contents)| [name.as_bytes(), &contents[..]])
}

/// SHA-256 over the parts and their lengths, half of it.
fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_le_bytes());
        sha.update(part);
    }
    sha.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn fail(test: &mut TestResult, why: &str) {
    test.status = Status::Failed;
    test.known = 0;
    test.headline = why.to_owned();
}

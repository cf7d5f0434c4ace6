//! What a `#[test]` function calls: seeds, child processes, and one readable result.

use std::any::type_name;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::resume_unwind;
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use crate::build_id::build_id;
use crate::env::Knobs;
#[cfg(target_os = "linux")]
use crate::judge::{Judge, Review, Terms, cpu_max};
use crate::options::{Options, Schedule};
use crate::report::{Failure, Report};
#[cfg(target_os = "linux")]
use crate::seeds::Seeds;
use crate::wire::Finished;
use crate::{real_time, sim};

/// One test: its body runs once for each seed, each time in a process of its own.
///
/// ```no_run
/// # fn body() {}
/// // In a #[test] function named `transfers`:
/// labsim::Test::new("transfers").runs(8).run(|run| {
///     // Threads, sleeps, locks: all in virtual time, in an order drawn from run.seed.
///     String::from("all transfers accounted for")
/// });
/// ```
pub struct Test {
    name: String,
    known: &'static [&'static str],
    runs: u32,
    options: Options,
    after: Option<After>,
    told: Vec<(&'static str, String)>,
    #[cfg(target_os = "linux")]
    review: Option<Review>,
}

type After = Box<dyn FnOnce(&mut Report<String>)>;

/// What the body is told about its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Decides everything that the test draws.
    pub seed: u64,
    /// Whether time is virtual.
    pub simulated: bool,
}

impl Test {
    /// `name` is the test's full name, as `cargo test -- --list` shows it; see also [`name_of`].
    pub fn new(name: &str) -> Test {
        Test {
            name: name.to_owned(),
            known: &[],
            runs: 1,
            options: Options::new(0),
            after: None,
            told: Vec::new(),
            #[cfg(target_os = "linux")]
            review: None,
        }
    }

    /// Names of environment variables, beginning with `LAB_`, that others read: not to be warned about.
    pub fn known(mut self, known: &'static [&'static str]) -> Test {
        self.known = known;
        self
    }

    /// How many seeds are tried where the environment does not say; 1 if not set, and in real time.
    pub fn runs(mut self, runs: u32) -> Test {
        self.runs = runs.max(1);
        self
    }

    /// Limits and schedule. Seed, hand-over and recording are decided by the environment.
    pub fn options(mut self, options: Options) -> Test {
        self.options = options;
        self
    }

    /// Called after the run, outside of it, in the run's process, whatever the outcome: to write files, or to judge
    /// what the run has left behind, which takes no time of the run. It may change the result.
    pub fn after(mut self, after: impl FnOnce(&mut Report<String>) + 'static) -> Test {
        self.after = Some(Box::new(after));
        self
    }

    /// Sets a variable in the environment of the runs' processes: for what only the process knows that the user has started,
    /// such as what its output goes to. The run must not depend on it.
    pub fn tell(mut self, name: &'static str, value: String) -> Test {
        self.told.push((name, value));
        self
    }

    /// Called with what a run that passed has left as [`Report::evidence`], if the grader that has started this process wants
    /// a second look ([`is_reviewed`](crate::is_reviewed)): in this process, which no code under test shares. The evidence
    /// was made in a process that it does share, so nothing in it may be relied on. The error says what is wrong with it.
    #[cfg_attr(not(target_os = "linux"), expect(unused_mut, unused_variables, reason = "there is no grader"))]
    pub fn review(mut self, review: impl Fn(&[u8]) -> Result<(), String> + Send + Sync + 'static) -> Test {
        #[cfg(target_os = "linux")]
        {
            self.review = Some(Box::new(review));
        }
        self
    }

    /// Runs the test. Returns if all seeds passed; else shows what went wrong and how to see it again, and
    /// unwinds without a further message. `body` returns a line about what it did.
    ///
    /// Call it once in a test function, and from nowhere else: in the child process it does not return.
    pub fn run(self, body: impl FnOnce(Run) -> String + Send + 'static) {
        if let Err(text) = self.try_run(body) {
            println!("{text}");
            fail("");
        }
    }

    /// As [`run`](Self::run), but returns what went wrong: for tests of tests, which must object.
    pub fn try_run(mut self, body: impl FnOnce(Run) -> String + Send + 'static) -> Result<(), String> {
        let (knobs, mut remarks) = match Knobs::read(self.known) {
            Ok(read) => read,
            Err(error) => fail(&error.to_string()),
        };
        self.options.handover = knobs.handover;
        self.options.schedule = Schedule::of_environment().unwrap_or(self.options.schedule);
        self.options.wall_max = knobs.timeout.unwrap_or(self.options.wall_max);
        self.options.memory_max = knobs.memory_max.unwrap_or(self.options.memory_max);
        #[cfg(target_os = "linux")]
        {
            self.options.cpu_max = cpu_max().unwrap_or(self.options.cpu_max);
        }
        let mut real = knobs.real_time;
        if let (false, Some(reason)) = (real, sim::unsupported()) {
            remarks.push(format!("note: runs take real time: {reason}"));
            real = true;
        }
        #[cfg(target_os = "linux")]
        {
            if let Some(order) = crate::child::Order::received().filter(|order| order.task.test == self.name)
            {
                order.take_output();
                self.options.seed = order.task.seed;
                self.options.record = order.task.record;
                let (finished, _) = self.run_here(real, &order.task.locks, body);
                order.answer(&finished);
            }
            if let Some(judge) = Judge::asked() {
                let terms =
                    Terms { wall_max: self.options.wall_max, cpu_max: cpu_max(), real, review: self.review };
                let judged = judge.and_then(|judge| judge.run(&self.name, &terms));
                return judged.map_err(|error| format!("{}: no word with the grader: {error}", self.name));
            }
            // Said by the process that the user started, and once.
            say_once(&remarks);
            if !knobs.in_process && !sim::debugged() {
                return in_children(&self, &knobs, real);
            }
        }
        #[cfg(not(target_os = "linux"))]
        say_once(&remarks);
        self.options.seed = knobs.seed.map_or_else(fresh_seed, |(seed, _)| seed);
        let seed = self.options.seed;
        let name = self.name.clone();
        let (finished, process_ended) = self.run_here(real, &[], body);
        if !finished.ok {
            let text = failure(&name, seed, real, &finished.text);
            if process_ended {
                // As the standard library sees it the process is at its end: other threads that end, or call `exit`, wait for ever.
                show(&text);
                std::process::abort();
            }
            return Err(text);
        }
        println!("{}", success(&name, seed, 1, &finished));
        Ok(())
    }

    /// The run itself, on this process; and whether a thread of it would have ended the process.
    fn run_here(
        self,
        real: bool,
        locks: &[u64],
        body: impl FnOnce(Run) -> String + Send + 'static,
    ) -> (Finished, bool) {
        let options = self.options;
        let run = Run { seed: options.seed, simulated: !real };
        let mut report = if real {
            real_time::run(&options, move || body(run))
        } else {
            sim::run(&options, locks, move || body(run))
        };
        let process_ended = matches!(report.result, Err(Failure::ProcessEnded(..)));
        if let Some(after) = self.after {
            after(&mut report);
        }
        (finished(report), process_ended)
    }
}

fn say_once(remarks: &[String]) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| remarks.iter().for_each(|remark| show(remark)));
}

/// Every seed in a process of its own; shows the output of the first, or of the smallest that failed.
#[cfg(target_os = "linux")]
fn in_children(test: &Test, knobs: &Knobs, real: bool) -> Result<(), String> {
    let Test { name, runs, told, .. } = test;
    let wall_max = test.options.wall_max;
    only_once(name);
    let (first, runs) = match &knobs.seed {
        Some((seed, build)) => {
            if let Some(build) = build.as_ref().filter(|build| *build != build_id()) {
                let this = build_id();
                println!(
                    "note: seed {seed} was found with build {build}; this is build {this}: the run may differ"
                );
            }
            (*seed, knobs.runs.unwrap_or(1))
        }
        None => (fresh_seed(), knobs.runs.unwrap_or(if real { 1 } else { *runs })),
    };
    let seeds = Seeds { test: name, first, runs: u64::from(runs), wall_max, real, check: knobs.check, told };
    let outcomes = seeds.try_all();
    let failed = outcomes.iter().find(|outcome| outcome.result.is_err());
    let Some(shown) = failed.or(outcomes.first()) else { return Ok(()) };
    print!("{}", shown.output);
    match &shown.result {
        Ok(finished) => {
            println!("{}", success(name, shown.seed, runs, finished));
            show_warnings(outcomes.iter().map(|outcome| outcome.output.as_str()));
            Ok(())
        }
        Err(text) => Err(failure(name, shown.seed, real, text)),
    }
}

/// Shows the lines that begin with `warning: `, each once.
#[cfg(target_os = "linux")]
fn show_warnings<'a>(outputs: impl Iterator<Item = &'a str>) {
    let warnings: BTreeSet<&str> =
        outputs.flat_map(str::lines).filter(|line| line.starts_with("warning: ")).collect();
    warnings.into_iter().for_each(show);
}

/// Past the test harness, which shows what a passing test prints to nobody.
fn show(line: &str) {
    // Nobody is left to be told of an error here.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Two calls under one name would both end in the first one's body.
#[cfg(target_os = "linux")]
fn only_once(name: &str) {
    static CALLED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let new = CALLED.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
    assert!(new, "labsim::Test::run was called twice under the name {name:?}");
}

fn finished(report: Report<String>) -> Finished {
    let mut text = String::new();
    let ok = report.result.is_ok();
    match &report.result {
        Ok(summary) => text += summary,
        Err(failure) => {
            // A panic that came first is the likelier cause.
            let told = matches!(failure, Failure::Reported(_));
            if let Some(first) = report.panics.first().filter(|_| !told) {
                if !failure.to_string().starts_with(&first.to_string()) {
                    let _ = writeln!(text, "first, {first}\nthen, ");
                }
            }
            let _ = write!(text, "{failure}");
            if !report.stuck.is_empty() {
                let _ = writeln!(text, "\nthreads that have waited long for a lock:");
                report.stuck.iter().for_each(|thread| text += &thread.to_string());
            }
        }
    }
    Finished {
        ok,
        text,
        simulated: report.simulated,
        // In real time whoever waits for ever is as late as whoever computes.
        starved: report.simulated && matches!(report.result, Err(Failure::WallLimit(..))),
        elapsed_ns: report.elapsed.as_nanos() as u64,
        trace: report.trace,
        switches: report.switches,
        threads: report.threads as u64,
        names: report.names.join("\n"),
        locks: report.locks,
        steps: report.steps.iter().map(|s| [u64::from(s.thread), s.now, s.hash]).collect(),
        evidence: if ok { report.evidence } else { Vec::new() },
    }
}

fn success(name: &str, seed: u64, runs: u32, finished: &Finished) -> String {
    let more = if runs > 1 { format!(" (and {} more)", runs - 1) } else { String::new() };
    let summary = if finished.text.is_empty() { String::new() } else { format!(" {};", finished.text) };
    let seconds = Duration::from_nanos(finished.elapsed_ns).as_secs_f64();
    if finished.simulated {
        let Finished { switches, threads, trace, .. } = finished;
        format!(
            "{name}: ok;{summary} {seconds:.3} s, {threads} threads, seed={seed}{more} switches={switches} trace={trace:016x}"
        )
    } else {
        format!("{name}: ok;{summary} {seconds:.3} s of real time, seed={seed}{more}")
    }
}

fn failure(name: &str, seed: u64, real: bool, text: &str) -> String {
    let doubt = if real { " (in real time the system orders the threads: it may not come back)" } else { "" };
    let command = replay_command(name, seed, real);
    format!("{name}: FAILED with seed {seed}\n{}\nto see it again{doubt}:\n  {command}\n", text.trim_end())
}

/// The command that runs a test again, with this seed and in this kind of time.
pub fn replay_command(name: &str, seed: u64, real: bool) -> String {
    let package = std::env::var("CARGO_PKG_NAME").map(|name| format!(" -p {name}")).unwrap_or_default();
    let time = if real { "LAB_TIME=real " } else { "" };
    let schedule = std::env::var(Schedule::VARIABLE).map(|value| format!("{}={value} ", Schedule::VARIABLE));
    let schedule = schedule.unwrap_or_default();
    format!("{time}{schedule}LAB_SEED={seed}@{} cargo test{package} -- --exact {name}", build_id())
}

/// Fails the test without the panic message that would say where in this file.
fn fail(message: &str) -> ! {
    if !message.is_empty() {
        eprintln!("{message}");
    }
    resume_unwind(Box::new(message.to_owned()))
}

/// A seed that was not tried before, likely; short enough to be typed.
fn fresh_seed() -> u64 {
    static DRAWN: Mutex<u64> = Mutex::new(0);
    let mut drawn = DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    *drawn += 1;
    let hasher = std::hash::RandomState::new();
    let draw = std::hash::BuildHasher::hash_one(&hasher, (*drawn, Instant::now()));
    draw >> 33
}

/// The name that the test harness gives to the function in which `body`, a closure, was written:
/// `module::function`, without the crate.
pub fn name_of<F>(_body: &F) -> String {
    let path = type_name::<F>();
    let path = path.split("::{{closure}}").next().unwrap_or(path);
    path.split_once("::").map_or(path, |(_, rest)| rest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_names_its_function() {
        assert_eq!(name_of(&|| ()), "test::tests::a_closure_names_its_function");
        let nested = || name_of(&|| ());
        assert_eq!(nested(), "test::tests::a_closure_names_its_function");
    }
}

//! The entry of every test: runs its body, waits for the end, the first failure or the time limit, and says
//! what happened.

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::eventlog::Knob;
use crate::evidence::{self, Review};
use crate::failure::{self, Failure};
use crate::name::TestName;
use crate::oracles::Rule;
use crate::report::Told;
use crate::report::style::{self, Style};
use crate::run::{Limits, Over, Progress, Run};
use crate::{eventlog, logger, oracles, report, rules, threads};

/// The labs' limit for one test; and for a call, so long that whoever still holds a lock then will not let go.
pub(crate) const LIMITS: Limits = Limits { test: Duration::from_secs(120), call: Duration::from_secs(10) };

/// Real time for one run, unless `LAB_TIMEOUT` says otherwise: in real time the lab's own limit is to pass first.
const WALL_MAX: Duration = Duration::from_secs(150);

/// Seeds per test in virtual time, unless `LAB_RUNS` or `LAB_SEED` say otherwise: as many as let lab 2B pass in a
/// second or so.
const RUNS: u32 = 20;

/// The variables that the simulation does not read itself.
const VARIABLES: [&str; 3] = [logger::VARIABLE, oracles::VARIABLE, eventlog::VARIABLE];

/// How long a failed test's body may take to unwind, and its servers to be killed, before they are abandoned.
const MOMENT: Duration = Duration::from_secs(1);

/// The run whose threads' panics are failures.
static ACTIVE: Mutex<Option<Run>> = Mutex::new(None);

/// Runs a test: `body`, once for each seed, in the function whose name the test bears.
///
/// ```no_run
/// # #![allow(non_snake_case)]
/// // #[test]
/// fn clocks_go_forward_2A() {
///     labtest::run(|run| {
///         run.phase("wait a little");
///         let before = run.elapsed();
///         run.sleep(std::time::Duration::from_millis(5));
///         assert!(run.elapsed() > before);
///     });
/// }
/// ```
///
/// # Panics
///
/// If a check of the body fails, if any thread of the run panics, or if a limit passes; after printing a full
/// report.
pub fn run<F: FnOnce(&Run) + Send + 'static>(body: F) {
    run_named(TestName::of::<F>(), body);
}

/// As [`run`], for a wrapper whose closure is not the test's own.
pub fn run_named(name: TestName, body: impl FnOnce(&Run) + Send + 'static) {
    run_seeds(name, RUNS, body);
}

/// As [`run_named`], for tests so long that another number of `seeds` suits them, where the environment does not say.
pub fn run_seeds(name: TestName, seeds: u32, body: impl FnOnce(&Run) + Send + 'static) {
    run_reviewed(name, seeds, None, body);
}

/// As [`run_seeds`], with a `review` of what the run has left by [`Run::leave_evidence`], which a grader may ask for: in
/// a process of its own, after the oracles there have seen what happened.
pub fn run_reviewed(
    name: TestName,
    seeds: u32,
    review: Option<Review>,
    body: impl FnOnce(&Run) + Send + 'static,
) {
    let (test, body) = prepare(name, seeds, Style::of_output(), None, body);
    test.review(move |evidence| evidence::review(evidence, review)).run(body);
}

/// The report of a test that must fail, with one seed; `None` if it passes. For tests of a harness, which show it
/// what is wrong. Its files go into the directory `files`; there are none without it.
pub fn objection(
    name: TestName,
    files: Option<PathBuf>,
    body: impl FnOnce(&Run) + Send + 'static,
) -> Option<String> {
    let files = files.map_or(Knob::Never, |files| Knob::Always(Some(files)));
    let (test, body) = prepare(name, 1, Style::default(), Some(files), body);
    test.try_run(body).err()
}

fn prepare(
    name: TestName,
    seeds: u32,
    style: Style,
    files: Option<Knob>,
    body: impl FnOnce(&Run) + Send + 'static,
) -> (labsim::Test, impl FnOnce(labsim::Run) -> String + Send + 'static) {
    let read = || {
        logger::install(style)?;
        oracles::Off::read()?;
        Knob::read()
    };
    let asked = read().unwrap_or_else(|malformed| {
        eprintln!("{malformed}");
        panic::resume_unwind(Box::new(malformed))
    });
    let files = files.unwrap_or(asked);
    failure::install_hook();
    let options = labsim::Options {
        wall_max: WALL_MAX,
        // A killed server may have such threads; of a living one the harness notices by itself.
        stuck_max: Duration::MAX,
        ..labsim::Options::new(0)
    };
    let the_run: Arc<OnceLock<Run>> = Arc::default();
    let begun = the_run.clone();
    let test = labsim::Test::new(name.full()).known(&VARIABLES).runs(seeds).options(options);
    let test =
        test.tell(style::VARIABLE, style.encode()).after(move |report: &mut labsim::Report<String>| {
            if let Some(run) = the_run.get() {
                afterwards(run, style, report);
            }
        });
    let body = move |run: labsim::Run| {
        let run = begun.get_or_init(|| Run::new(name, run.seed, LIMITS, files));
        match run_once(run, style, body) {
            Ok(summary) => summary,
            Err(told) => {
                // As an observer, as the report was made.
                let text = labsim::observe(|| {
                    let text = told.to_string();
                    run.shared.progress.lock().told = Some(told);
                    text
                });
                labsim::fail(text)
            }
        }
    };
    (test, body)
}

/// What there is to do when a run is over, outside of it: those who have something to say of it are asked, its log is
/// written, and the report is made whole.
fn afterwards(run: &Run, style: Style, report: &mut labsim::Report<String>) {
    let files = judge(run, style, report);
    let overdue = run.shared.progress.try_lock().map_or_else(Vec::new, |progress| progress.overdue.clone());
    let stuck = report::stuck(report, &overdue);
    let written = match eventlog::write(run, report, &stuck.all()) {
        Some(Ok(eventlog::Written { page, log })) => format!(
            "what happened, as a page for a browser: {}\n{files}event by event: {}\n",
            page.display(),
            log.display()
        ),
        Some(Err(error)) => format!("{files}the log of events was not written: {error}\n"),
        None => files,
    };
    let of_run = || run.shared.progress.try_lock().and_then(|mut progress| progress.told.take());
    let told = match &mut report.result {
        Ok(_) => {
            eprint!("{written}");
            if labsim::is_reviewed() {
                report.evidence = run.evidence();
            }
            return;
        }
        Err(labsim::Failure::Reported(text)) => {
            of_run().map_or_else(|| Told::of_text(std::mem::take(text)), |told| *told)
        }
        Err(_) => match (report::of_ended(run, report, style), &report.result) {
            (Some(told), _) => told,
            (None, Err(ended)) if !written.is_empty() => {
                Told::of_text(format!("{}\n", ended.to_string().trim_end()))
            }
            // All that there is to say labsim says itself.
            _ => return,
        },
    };
    let mut told = report::afterwards(told, run, &stuck, style);
    report.stuck.clear();
    if !written.is_empty() {
        told += &format!("\n{written}");
    }
    report.result = Err(labsim::Failure::Reported(style.paint(&told)));
}

/// Asks those who have something to say of a run that is over, and gives back a line for each file that they have written.
/// A run that was ended from outside was stopped in the midst of things, and nobody is asked.
fn judge(run: &Run, style: Style, report: &mut labsim::Report<String>) -> String {
    let mut files = String::new();
    if !matches!(report.result, Ok(_) | Err(labsim::Failure::Reported(_))) {
        return files;
    }
    for judge in run.progress(|progress| std::mem::take(&mut progress.judges)) {
        let Err(finding) = judge() else { continue };
        files.extend(finding.file.iter().map(|file| format!("{file}\n")));
        let elapsed = report.elapsed;
        run.progress(|progress| {
            let failure = progress.failure.get_or_insert_with(|| Failure::new(String::new(), elapsed));
            failure.add(&finding);
            let told = progress.told.get_or_insert_with(|| Box::new(Told::when_over(run)));
            told.add(&finding, failure, run, style);
            report.result = Err(labsim::Failure::Reported(told.to_string()));
        });
    }
    files
}

/// The run that is going on, if any.
pub(crate) fn active() -> Option<Run> {
    labsim::no_preempt(|| ACTIVE.lock().clone())
}

fn set_active(run: Option<Run>) {
    labsim::no_preempt(|| *ACTIVE.lock() = run);
}

/// One run; what it did if it passes, its report if not.
fn run_once(run: &Run, style: Style, body: impl FnOnce(&Run) + Send + 'static) -> Result<String, Box<Told>> {
    set_active(Some(run.clone()));
    let the_run = run.clone();
    threads::spawn("test".to_string(), run.clone(), None, move || run_body(&the_run, body));
    let outcome = if wait_for_end(run) {
        Ok(report::summary(run))
    } else {
        // The state of the servers, and of their threads, is looked at before anything is ended.
        let report = report::failure(run, style);
        labsim::diagnose();
        abandon(run);
        Err(report)
    };
    set_active(None);
    // The subjects and incarnations know the run and the run them: part them, so that all are freed.
    let parted = run.progress(|progress| {
        use std::mem::take;
        (take(&mut progress.subjects), take(&mut progress.incarnations), take(&mut progress.births))
    });
    // Threads that outlive their server's death may be calling in a loop, and calls on a network that is gone take no
    // time: its end would have to wait for its turn.
    parted.1.iter().for_each(|incarnation| incarnation.node().crash_hard());
    drop(parted);
    outcome
}

/// The body's own thread.
fn run_body(run: &Run, body: impl FnOnce(&Run)) {
    if let Some(number) = threads::current_number() {
        run.shared.first_thread.get_or_init(|| number);
    }
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        body(run);
        let overdue = run.overdue_threads();
        if !overdue.is_empty() {
            log::warn!("{}", overdue.join("; "));
            run.warn("servers killed 10 s ago, or longer, still have threads: does kill() end them all?");
        }
        let subjects = run.progress(|progress| progress.subjects.clone());
        let summary = subjects.iter().map(|subject| subject.summary()).collect();
        subjects.iter().for_each(|subject| subject.shut_down());
        run.progress(|progress| progress.summary = summary);
    }));
    if let Err(payload) = result {
        // The hook has recorded a panic already; it is not told of an unwinding that is resumed.
        if !payload.is::<Over>() {
            run.record(Failure {
                thread: Some(threads::current_name()),
                ..Failure::new(failure::text_of(&*payload), run.elapsed())
            });
        }
    }
    run.progress(|progress| {
        progress.body_ended = true;
        run.end(progress);
    });
}

/// Waits for the end of the body, or the first failure. Whether the run has passed.
fn wait_for_end(run: &Run) -> bool {
    let limits = run.shared.limits;
    let deadline = run.shared.started + limits.test;
    let mut progress = run.shared.progress.lock();
    while !progress.over {
        // A call into a server's code announces itself without waking this thread, so look again in time
        // to find one that was made just now.
        let now = run.elapsed();
        let oldest_call = run.shared.started + progress.calls.first().map_or(now, |call| call.since);
        if let Some((message, rule)) = limit_passed(run, &progress, now) {
            progress.failure = Some(Failure { rule, ..Failure::new(message, run.elapsed()) });
            run.end(&mut progress);
        } else {
            run.shared.news.wait_until(&mut progress, deadline.min(oldest_call + limits.call));
        }
    }
    progress.failure.is_none()
}

/// Says which limit has passed, if one has, and which rule names it.
fn limit_passed(run: &Run, progress: &Progress, now: Duration) -> Option<(String, Option<&'static Rule>)> {
    let limits = run.shared.limits;
    if let Some(call) = progress.calls.first().filter(|call| now >= call.since + limits.call) {
        return Some((call.overdue(limits.call), Some(&rules::CALLS_RETURN)));
    }
    (now >= limits.test).then(|| (format!("the test has not ended within its {:?}", limits.test), None))
}

/// Gives a failed test's body a moment to unwind and its servers a moment to die; then leaves them.
fn abandon(run: &Run) {
    let mut progress = run.shared.progress.lock();
    let deadline = Instant::now() + MOMENT;
    while !progress.body_ended && !run.shared.news.wait_until(&mut progress, deadline).timed_out() {}
    let subjects = progress.subjects.clone();
    drop(progress);
    let (done, ended) = crossbeam_channel::bounded(1);
    threads::spawn("end of the test".to_string(), run.clone(), None, move || {
        subjects.iter().for_each(|subject| subject.shut_down());
        // The receiver may have gone: then nobody waits any more.
        let _ = done.send(());
    });
    if ended.recv_timeout(MOMENT).is_err() {
        labsim::eprint(&format!("{}: some servers could not be ended and are abandoned\n", run.shared.name));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use rand::RngExt;

    use super::*;
    use crate::incarnation::Incarnation;

    /// Long enough for a loaded machine to do next to nothing, much shorter than what tests here pretend to wait.
    const SOON: Duration = Duration::from_secs(20);
    const NEVER: Duration = Duration::from_secs(3600);

    /// Set in the environment of a test that is alone in its process.
    const ALONE: &str = "LABTEST_ALONE";

    /// Runs a test, that in which the closure was written, in a process of its own. Beside a run there must be nobody with
    /// whom its threads share a lock, such as the one under which the standard library makes backtraces or those of
    /// `parking_lot`'s table: no thread of the run would hear that somebody outside has given it back.
    pub(crate) fn alone<F: FnOnce()>(test: F) {
        alone_as(TestName::of::<F>(), test);
    }

    fn alone_as(name: TestName, test: impl FnOnce()) {
        if std::env::var_os(ALONE).is_some() {
            return test();
        }
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let output = again.args(["--exact", name.full(), "--nocapture"]).env(ALONE, "1").output().unwrap();
        let [said, complained] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(output.status.success() && said.contains("1 passed"), "{said}{complained}");
    }

    /// Runs in one process share what the process has once.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    /// The outcome of a run with seed 7, which must come soon.
    pub(crate) fn in_real_time(
        limits: Limits,
        body: impl FnOnce(&Run) + Send + 'static,
    ) -> Result<String, String> {
        let _one = ONE_AT_A_TIME.lock();
        failure::install_hook();
        let begun = Instant::now();
        let outcome =
            run_once(&Run::new(TestName::of::<fn()>(), 7, limits, Knob::Never), Style::default(), body);
        assert!(begun.elapsed() < SOON, "took {:?}", begun.elapsed());
        outcome.map_err(|told| told.to_string())
    }

    /// The same in virtual time, [alone](alone).
    fn in_virtual_time(limits: Limits, body: impl FnOnce(&Run) + Send + 'static) -> Result<String, String> {
        assert!(std::env::var_os(ALONE).is_some(), "there are others beside the run");
        failure::install_hook();
        let options = labsim::Options::new(7);
        let report = labsim::run(options, move || {
            run_once(&Run::new(TestName::of::<fn()>(), 7, limits, Knob::Never), Style::default(), body)
        });
        report.result.expect("it comes to an end").map_err(|told| told.to_string())
    }

    /// Both outcomes, [alone](alone).
    fn outcomes(
        limits: Limits,
        body: impl Fn(&Run) + Send + Sync + 'static,
    ) -> [(&'static str, Result<String, String>); 2] {
        let body = Arc::new(body);
        let its = body.clone();
        [
            ("virtual", in_virtual_time(limits, move |run| its(run))),
            ("real", in_real_time(limits, move |run| body(run))),
        ]
    }

    #[track_caller]
    fn assert_passes<B: Fn(&Run) + Send + Sync + 'static>(limits: Limits, body: B) {
        alone_as(TestName::of::<B>(), || {
            for (time, outcome) in outcomes(limits, body) {
                assert!(outcome.is_ok(), "in {time} time: {}", outcome.unwrap_err());
            }
        });
    }

    #[track_caller]
    fn assert_fails<B: Fn(&Run) + Send + Sync + 'static>(limits: Limits, parts: &[&str], body: B) {
        alone_as(TestName::of::<B>(), || {
            for (time, outcome) in outcomes(limits, body) {
                let report = outcome.expect_err("the run passed");
                for part in parts {
                    assert!(report.contains(part), "{part:?} is missing in {time} time: {report}");
                }
            }
        });
    }

    #[test]
    fn a_body_that_ends_passes() {
        assert_passes(LIMITS, |run| run.sleep(Duration::from_millis(1)));
    }

    #[test]
    fn a_failed_check_is_reported_with_its_place_and_phase() {
        let here = concat!("at ", file!(), ":");
        let parts = ["in phase \"second\"", "it is wrong\n", here, "thread `test`", " s  first"];
        assert_fails(LIMITS, &parts, |run| {
            run.phase("first");
            run.phase("second");
            run.fail("it is wrong");
        });
    }

    #[test]
    fn a_panic_in_another_thread_ends_the_body_at_once() {
        assert_fails(LIMITS, &["helpless", "thread `helper`"], |run| {
            let helper = run.spawn("helper", || panic!("helpless"));
            let _waits_for_ever: () = helper.join();
        });
        // A thread that the harness did not start.
        assert_fails(LIMITS, &["alone", "thread `other`"], |run| {
            thread::Builder::new().name("other".into()).spawn(|| panic!("alone")).unwrap();
            run.sleep(NEVER);
        });
    }

    #[test]
    fn the_first_failure_wins() {
        assert_fails(LIMITS, &["the cause"], |_| {
            let helper = thread::spawn(|| panic!("the cause"));
            let _ = helper.join();
            panic!("a symptom");
        });
    }

    #[test]
    fn the_time_limit_ends_a_body_that_waits() {
        let limits = Limits { test: Duration::from_millis(50), ..LIMITS };
        let parts = ["has not ended within its 50ms", "in phase \"wait\""];
        assert_fails(limits, &parts, |run| {
            run.phase("wait");
            run.sleep(NEVER);
        });
        // A body that waits for something else is left behind.
        assert_fails(limits, &parts, |run| {
            run.phase("wait");
            thread::park_timeout(NEVER);
        });
    }

    #[test]
    fn a_call_that_does_not_return_is_named() {
        let limits = Limits { call: Duration::from_millis(50), ..LIMITS };
        let parts = ["start() of server 2 has not returned within 50ms", "start() of server 2, since 0."];
        assert_fails(limits, &parts, |run| {
            let server = Incarnation::new(run, 2);
            run.calling(&server, "start()", || thread::park_timeout(NEVER));
        });
    }

    #[test]
    fn a_panic_is_attributed_to_its_server() {
        // In a call of the harness.
        assert_fails(LIMITS, &["no idea", "thread `test` of server 2"], |run| {
            run.calling(&Incarnation::new(run, 2), "start()", || panic!("no idea"));
        });
        // In a thread of the network.
        assert_fails(LIMITS, &["no idea", "thread `handler` of server 1"], |run| {
            Incarnation::new(run, 1).spawn("handler".to_string(), || panic!("no idea"));
            run.sleep(NEVER);
        });
        // In a thread that the server started while it was made.
        assert_fails(LIMITS, &["no idea", "thread `unnamed` of server 3"], |run| {
            let server = Incarnation::new(run, 3);
            let thread = threads::born_during(run, &server, || {
                run.calling(&server, "new()", || {
                    thread::spawn(|| {
                        thread::park_timeout(NEVER);
                        panic!("no idea")
                    })
                })
            });
            thread.unwrap().thread().unpark();
            run.sleep(NEVER);
        });
        // In such a thread, while the server is still being made.
        assert_fails(LIMITS, &["no idea", "thread `unnamed` of server 4"], |run| {
            let server = Incarnation::new(run, 4);
            threads::born_during(run, &server, || {
                run.calling(&server, "new()", || {
                    let _ = thread::spawn(|| panic!("no idea")).join();
                });
            });
        });
    }

    /// In virtual time a thread is its server's whenever it was started.
    #[test]
    fn a_panic_of_a_thread_started_late_is_attributed_in_virtual_time() {
        alone(|| {
            let outcome = in_virtual_time(LIMITS, |run| {
                let (first, second) = (Incarnation::new(run, 1), Incarnation::new(run, 1));
                first.die();
                first.spawn("of a killed one".to_string(), || {
                    let _ = thread::spawn(|| panic!("nobody listens")).join();
                });
                run.sleep(Duration::from_millis(1));
                second.spawn("ticker".to_string(), || {
                    thread::sleep(Duration::from_millis(1));
                    let _ = thread::spawn(|| panic!("no idea")).join();
                });
                run.sleep(Duration::from_secs(1));
            });
            let report = outcome.unwrap_err();
            assert!(
                report.contains("no idea") && report.contains("thread `unnamed` of server 1"),
                "{report}"
            );
        });
    }

    #[test]
    fn threads_that_stay_after_the_death_of_their_server_are_named_in_virtual_time() {
        alone(|| {
            let named = Arc::new(Mutex::new(Vec::new()));
            let seen = named.clone();
            let outcome = in_virtual_time(LIMITS, move |run| {
                let server = Incarnation::new(run, 1);
                let lasts = |seconds| move || thread::sleep(Duration::from_secs(seconds));
                server.spawn("short".to_string(), lasts(3));
                server.spawn("long".to_string(), lasts(60));
                server.die();
                for _ in 0..2 {
                    run.sleep(Duration::from_secs(9));
                    seen.lock().push(run.overdue_threads());
                }
            });
            outcome.unwrap();
            let expected = ["server 1, killed at 0.000 s, still has 1 thread: long".to_string()];
            assert_eq!(*named.lock(), [vec![], expected.to_vec()]);
        });
    }

    #[test]
    fn a_panic_of_a_killed_server_is_no_failure() {
        assert_passes(LIMITS, |run| {
            let server = Incarnation::new(run, 0);
            server.die();
            let (done, ended) = crossbeam_channel::bounded::<()>(0);
            server.spawn("late".to_string(), move || {
                let _ends_with_the_thread = done;
                panic!("nobody listens");
            });
            let _ = ended.recv();
        });
    }

    #[test]
    fn what_a_server_did_fails_the_run_only_while_it_lives() {
        let body = |dies: bool| {
            move |run: &Run| {
                let server = Incarnation::new(run, 4);
                if dies {
                    server.die();
                }
                run.fail_server(
                    &server,
                    *crate::rules::APPLIED_IN_ORDER.broken::<()>("wrong".to_string(), []).unwrap_err(),
                );
            }
        };
        assert_fails(LIMITS, &["wrong", "of server 4"], body(false));
        assert_passes(LIMITS, body(true));
    }

    #[test]
    fn what_a_slow_machine_may_cause_fails_in_virtual_time_only() {
        alone(|| {
            let [(_, simulated), (_, real)] =
                outcomes(LIMITS, |run| run.fail_if_virtual(&rules::RPC_BUDGET, "too slow"));
            assert!(simulated.unwrap_err().contains("too slow"));
            real.unwrap();
        });
    }

    fn name_of<F: FnOnce(&Run)>(_: &F) -> TestName {
        TestName::of::<F>()
    }

    #[test]
    fn what_a_judge_objects_to_fails_a_run_that_passed() {
        let body = |run: &Run| {
            let run_is_over = run.clone();
            run.judge_afterwards(move || {
                assert!(run_is_over.progress(|progress| progress.over) && !labsim::is_simulated());
                Err("one too many".to_string().into())
            });
            run.judge_afterwards(|| Err("and another".to_string().into()));
            run.judge_afterwards(|| Ok(()));
        };
        let report = objection(name_of(&body), None, body).expect("the test passed");
        for part in ["failed when it was over:\n\none too many\n\nand another\n", "to see it again"] {
            assert!(report.contains(part), "{part:?} is missing in: {report}");
        }
    }

    #[test]
    fn a_judge_adds_to_the_report_of_a_run_that_failed() {
        let body = |run: &Run| {
            run.judge_afterwards(|| Err("the consequence".to_string().into()));
            run.fail("the cause");
        };
        let report = objection(name_of(&body), None, body).expect("the test passed");
        let (cause, consequence) = (report.find("the cause"), report.find("\n\nthe consequence\n"));
        assert!(cause.is_some() && cause < consequence, "{report}");
        assert!(!report.contains("when it was over"), "{report}");
    }

    #[test]
    fn there_is_no_objection_to_a_run_that_passed_and_that_nobody_objects_to() {
        let body = |run: &Run| run.judge_afterwards(|| Ok(()));
        assert_eq!(objection(name_of(&body), None, body), None);
    }

    #[test]
    fn an_expected_panic_is_no_failure() {
        assert_passes(LIMITS, |_| {
            assert_eq!(failure::panic_message(|| panic!("as promised")).as_deref(), Some("as promised"));
            assert_eq!(failure::panic_message(|| ()), None);
        });
    }

    #[test]
    fn a_wait_ends_when_its_condition_holds_or_its_time_is_up() {
        assert_passes(LIMITS, |run| {
            let counter = Arc::new(AtomicU64::new(0));
            let (other, its) = (run.clone(), counter.clone());
            let helper = run.spawn("helper", move || {
                for _ in 0..100 {
                    its.fetch_add(1, Ordering::SeqCst);
                    other.notify();
                }
                "done"
            });
            let full = || (counter.load(Ordering::SeqCst) == 100).then_some("full");
            assert_eq!(run.wait_until(SOON, full), Some("full"));
            assert!(helper.is_done_within(SOON));
            assert_eq!(helper.join(), "done");
            assert!(
                !run.spawn("waits", || thread::park_timeout(NEVER)).is_done_within(Duration::from_millis(1))
            );
            assert_eq!(run.wait_until(Duration::from_millis(1), || None::<()>), None);
        });
    }

    #[test]
    fn random_streams_depend_on_seed_and_purpose_alone() {
        let draw = |seed, purpose| {
            Run::new(TestName::of::<fn()>(), seed, LIMITS, Knob::Never).rng(purpose).random::<u64>()
        };
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
    }

    #[test]
    fn the_subjects_speak_in_summary_and_report_and_are_shut_down() {
        alone(|| {
            struct Cat(AtomicU64);
            impl crate::run::Subject for Cat {
                fn report(&self, _broken: Option<&'static Rule>) -> String {
                    "the cat sleeps\n".to_string()
                }
                fn summary(&self) -> String {
                    "1 cat".to_string()
                }
                fn shut_down(&self) {
                    self.0.fetch_add(1, Ordering::SeqCst);
                }
            }
            for fails in [false, true] {
                let cats = Arc::new(Mutex::new(Vec::new()));
                let its = cats.clone();
                let outcomes = outcomes(LIMITS, move |run| {
                    let cat = Arc::new(Cat(AtomicU64::new(0)));
                    its.lock().push(cat.clone());
                    run.attach(cat);
                    assert!(!fails);
                });
                for (_, outcome) in outcomes {
                    match outcome {
                        Ok(summary) => assert_eq!((summary.as_str(), fails), ("1 cat", false)),
                        Err(report) => assert!(fails && report.contains("the cat sleeps"), "{report}"),
                    }
                }
                assert!(cats.lock().iter().all(|cat| cat.0.load(Ordering::SeqCst) == 1));
            }
        });
    }
}

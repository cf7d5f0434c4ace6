//! The entry of every test: runs its body, waits for the end, the first failure or the time limit, and says
//! what happened.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::env::{self, Options};
use crate::failure::{self, Failure};
use crate::name::TestName;
use crate::run::{self, Limits, Over, Progress, Run};
use crate::{logger, report, threads};

/// The labs' limit for one test; and for a call, so long that whoever still holds a lock then will not let go.
const LIMITS: Limits = Limits { test: Duration::from_secs(120), call: Duration::from_secs(10) };

/// How long a failed test's body may take to unwind, and its servers to be killed, before they are abandoned.
const MOMENT: Duration = Duration::from_secs(1);

/// Tests in real time run one at a time, so that they do not take each other's processor time. (The lock of
/// parking_lot is not poisoned by a test that fails.)
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

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
/// If a check of the body fails, if any thread of the run panics, or if the time limit passes; with a full
/// report as the message.
pub fn run<F: Fn(&Run) + Send + Sync + 'static>(body: F) {
    run_named(TestName::of::<F>(), body);
}

/// As [`run`], for a wrapper whose closure is not the test's own.
pub fn run_named(name: TestName, body: impl Fn(&Run) + Send + Sync + 'static) {
    static WARNED: Once = Once::new();
    let (options, warnings) = env::read().unwrap_or_else(|malformed| panic!("{malformed}"));
    WARNED.call_once(|| warnings.iter().for_each(run::warn));
    if let Err(report) = run_with(name, &options, body) {
        eprintln!("\n{report}");
        // The report is printed: unwind without the hook's second message.
        panic::resume_unwind(Box::new(report));
    }
}

/// Runs `body` as the options ask; the error is the report of the first run that failed.
pub(crate) fn run_with(
    name: TestName,
    options: &Options,
    body: impl Fn(&Run) + Send + Sync + 'static,
) -> Result<(), String> {
    logger::show(options.log);
    let limits = Limits { test: options.timeout.unwrap_or(LIMITS.test), ..LIMITS };
    let body = Arc::new(body);
    // 32 bits are seeds enough, and short to type.
    let first_seed = options.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    for i in 0..options.runs {
        println!("{}", run_once(name, first_seed.wrapping_add(u64::from(i)), limits, body.clone())?);
    }
    Ok(())
}

/// The run that is going on, if any.
pub(crate) fn active() -> Option<Run> {
    ACTIVE.lock().clone()
}

/// One run; its line if it passes, its report if not.
fn run_once(
    name: TestName,
    seed: u64,
    limits: Limits,
    body: Arc<impl Fn(&Run) + Send + Sync + 'static>,
) -> Result<String, String> {
    let _one = ONE_AT_A_TIME.lock();
    failure::install_hook();
    let run = &Run::new(name, seed, limits);
    *ACTIVE.lock() = Some(run.clone());
    let the_run = run.clone();
    threads::spawn("test".to_string(), run.clone(), None, move || run_body(&the_run, &*body));
    let passed = wait_for_end(run);
    let outcome = if passed {
        let progress = run.shared.progress.lock();
        Ok(report::success(run, &progress))
    } else {
        // The state of the servers is looked at before anything is ended.
        let report = report::failure(run);
        abandon(run);
        Err(report)
    };
    *ACTIVE.lock() = None;
    // The subjects know the run and the run them: part them, so that both are freed.
    let subjects = std::mem::take(&mut run.shared.progress.lock().subjects);
    drop(subjects);
    outcome
}

/// The body's own thread.
fn run_body(run: &Run, body: &(impl Fn(&Run) + Send + Sync + 'static)) {
    if let Some(number) = threads::current_number() {
        run.shared.first_thread.get_or_init(|| number);
    }
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        body(run);
        let subjects = run.shared.progress.lock().subjects.clone();
        let summary = subjects.iter().map(|subject| subject.summary()).collect();
        let took = run.elapsed();
        subjects.iter().for_each(|subject| subject.shut_down());
        let mut progress = run.shared.progress.lock();
        (progress.summary, progress.took) = (summary, took);
    }));
    if let Err(payload) = result {
        // The hook has recorded a panic already; it is not told of an unwinding that is resumed.
        if !payload.is::<Over>() {
            run.record(Failure {
                message: failure::text_of(&*payload),
                location: None,
                thread: Some(threads::current_name()),
                server: None,
                at: run.elapsed(),
                backtrace: None,
            });
        }
    }
    let mut progress = run.shared.progress.lock();
    progress.body_ended = true;
    run.end(&mut progress);
}

/// Waits for the end of the body, or the first failure. Whether the run has passed.
fn wait_for_end(run: &Run) -> bool {
    let limits = run.shared.limits;
    let deadline = run.shared.started + limits.test;
    let mut progress = run.shared.progress.lock();
    while !progress.over {
        // A call into a server's code announces itself without waking this thread, so look again in time
        // to find one that was made just now.
        let now = Instant::now();
        let oldest_call = progress.calls.first().map_or(now, |call| call.since);
        if let Some(message) = limit_passed(run, &progress, now) {
            progress.failure = Some(Failure {
                message,
                location: None,
                thread: None,
                server: None,
                at: run.elapsed(),
                backtrace: None,
            });
            run.end(&mut progress);
        } else {
            run.shared.news.wait_until(&mut progress, deadline.min(oldest_call + limits.call));
        }
    }
    progress.failure.is_none()
}

/// Says which limit has passed, if one has.
fn limit_passed(run: &Run, progress: &Progress, now: Instant) -> Option<String> {
    let limits = run.shared.limits;
    if let Some(call) = progress.calls.first().filter(|call| now >= call.since + limits.call) {
        return Some(call.overdue(limits.call));
    }
    (now >= run.shared.started + limits.test)
        .then(|| format!("the test has not ended within its {:?}", limits.test))
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
        eprintln!("{}: some servers could not be ended and are abandoned", run.shared.name);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use rand::RngExt;

    use super::*;
    use crate::incarnation::Incarnation;

    /// Long enough for a loaded machine to do next to nothing, much shorter than what tests here pretend to wait.
    const SOON: Duration = Duration::from_secs(20);
    const NEVER: Duration = Duration::from_secs(3600);

    /// The outcome of a run with seed 7, which must come soon.
    fn outcome(limits: Limits, body: impl Fn(&Run) + Send + Sync + 'static) -> Result<String, String> {
        let begun = Instant::now();
        let outcome = run_once(TestName::of::<fn()>(), 7, limits, Arc::new(body));
        // Other tests of this file may have the turn first.
        assert!(begun.elapsed() < 4 * SOON, "took {:?}", begun.elapsed());
        outcome
    }

    #[track_caller]
    fn assert_fails(outcome: Result<String, String>, parts: &[&str]) {
        let report = outcome.expect_err("the run passed");
        for part in parts {
            assert!(report.contains(part), "{part:?} is missing in: {report}");
        }
    }

    #[test]
    fn a_body_that_ends_passes() {
        let line = outcome(LIMITS, |run| run.sleep(Duration::from_millis(1))).unwrap();
        assert!(line.contains(" passed: 0.") && line.ends_with(", seed=7"), "{line}");
    }

    #[test]
    fn each_run_has_the_next_seed_and_ends_at_the_first_failure() {
        let options = Options { seed: Some(5), runs: 4, ..Options::default() };
        let seeds = Arc::new(Mutex::new(Vec::new()));
        let seen = seeds.clone();
        let result = run_with(TestName::of::<fn()>(), &options, move |run| {
            seen.lock().push(run.seed());
            assert_ne!(run.seed(), 7, "seven is unlucky");
        });
        assert_fails(result.map(|()| String::new()), &["seven is unlucky", "LAB_SEED=7 "]);
        assert_eq!(*seeds.lock(), [5, 6, 7]);
    }

    #[test]
    fn a_failed_check_is_reported_with_its_place_phase_and_seed() {
        let outcome = outcome(LIMITS, |run| {
            run.phase("first");
            run.phase("second");
            run.fail("it is wrong");
        });
        let here = concat!("at ", file!(), ":");
        let parts = [
            "in phase \"second\"",
            "it is wrong\n",
            here,
            "thread `test`",
            " s  first",
            "LAB_SEED=7 cargo test",
        ];
        assert_fails(outcome, &parts);
    }

    #[test]
    fn a_panic_in_another_thread_ends_the_body_at_once() {
        assert_fails(
            outcome(LIMITS, |run| {
                let helper = run.spawn("helper", || panic!("helpless"));
                let _waits_for_ever: () = helper.join();
            }),
            &["helpless", "thread `helper`"],
        );
        // A thread that the harness did not start.
        assert_fails(
            outcome(LIMITS, |run| {
                thread::Builder::new().name("other".into()).spawn(|| panic!("alone")).unwrap();
                run.sleep(NEVER);
            }),
            &["alone", "thread `other`"],
        );
    }

    #[test]
    fn the_first_failure_wins() {
        assert_fails(
            outcome(LIMITS, |_| {
                let helper = thread::spawn(|| panic!("the cause"));
                let _ = helper.join();
                panic!("a symptom");
            }),
            &["the cause"],
        );
    }

    #[test]
    fn the_time_limit_ends_a_body_that_waits() {
        let limits = Limits { test: Duration::from_millis(50), ..LIMITS };
        let parts = ["has not ended within its 50ms", "in phase \"wait\""];
        assert_fails(
            outcome(limits, |run| {
                run.phase("wait");
                run.sleep(NEVER);
            }),
            &parts,
        );
        // A body that waits for something else is left behind.
        assert_fails(
            outcome(limits, |run| {
                run.phase("wait");
                thread::park_timeout(NEVER);
            }),
            &parts,
        );
    }

    #[test]
    fn a_call_that_does_not_return_is_named() {
        let limits = Limits { call: Duration::from_millis(50), ..LIMITS };
        assert_fails(
            outcome(limits, |run| {
                let server = Incarnation::new(run, 2);
                run.calling(&server, "start()", || thread::park_timeout(NEVER));
            }),
            &["start() of server 2 has not returned within 50ms", "start() of server 2, for 0."],
        );
    }

    #[test]
    fn a_panic_is_attributed_to_its_server() {
        // In a call of the harness.
        assert_fails(
            outcome(LIMITS, |run| run.calling(&Incarnation::new(run, 2), "start()", || panic!("no idea"))),
            &["no idea", "thread `test` of server 2"],
        );
        // In a thread of the network.
        assert_fails(
            outcome(LIMITS, |run| {
                Incarnation::new(run, 1).spawn("handler".to_string(), || panic!("no idea"));
                run.sleep(NEVER);
            }),
            &["no idea", "thread `handler` of server 1"],
        );
        // In a thread that the server started while it was made.
        assert_fails(
            outcome(LIMITS, |run| {
                let server = Incarnation::new(run, 3);
                let thread = threads::born_during(run, &server, || {
                    thread::spawn(|| {
                        thread::park_timeout(NEVER);
                        panic!("no idea")
                    })
                });
                thread.thread().unpark();
                run.sleep(NEVER);
            }),
            &["no idea", "thread `unnamed` of server 3"],
        );
        // In such a thread, while the server is still being made.
        assert_fails(
            outcome(LIMITS, |run| {
                threads::born_during(run, &Incarnation::new(run, 4), || {
                    let _ = thread::spawn(|| panic!("no idea")).join();
                });
            }),
            &["no idea", "thread `unnamed` of server 4"],
        );
    }

    #[test]
    fn a_panic_of_a_killed_server_is_no_failure() {
        let passed = outcome(LIMITS, |run| {
            let server = Incarnation::new(run, 0);
            server.die();
            let (done, ended) = crossbeam_channel::bounded::<()>(0);
            server.spawn("late".to_string(), move || {
                let _ends_with_the_thread = done;
                panic!("nobody listens");
            });
            let _ = ended.recv();
        });
        passed.unwrap();
    }

    #[test]
    fn what_a_server_did_fails_the_run_only_while_it_lives() {
        let body = |dies: bool| {
            move |run: &Run| {
                let server = Incarnation::new(run, 4);
                if dies {
                    server.die();
                }
                run.fail_server(&server, "wrong".to_string());
            }
        };
        assert_fails(outcome(LIMITS, body(false)), &["wrong", "of server 4"]);
        outcome(LIMITS, body(true)).unwrap();
    }

    #[test]
    fn an_expected_panic_is_no_failure() {
        let passed = outcome(LIMITS, |_| {
            assert_eq!(failure::panic_message(|| panic!("as promised")).as_deref(), Some("as promised"));
            assert_eq!(failure::panic_message(|| ()), None);
        });
        passed.unwrap();
    }

    #[test]
    fn a_wait_ends_when_its_condition_holds_or_its_time_is_up() {
        let passed = outcome(LIMITS, |run| {
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
            assert_eq!(helper.join(), "done");
            assert_eq!(run.wait_until(Duration::from_millis(1), || None::<()>), None);
        });
        passed.unwrap();
    }

    #[test]
    fn random_streams_depend_on_seed_and_purpose_alone() {
        let draw =
            |seed, purpose| Run::new(TestName::of::<fn()>(), seed, LIMITS).rng(purpose).random::<u64>();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
    }

    #[test]
    fn the_subjects_speak_in_summary_and_report_and_are_shut_down() {
        struct Cat(AtomicU64);
        impl crate::run::Subject for Cat {
            fn report(&self) -> String {
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
            let cat = Arc::new(Cat(AtomicU64::new(0)));
            let its = cat.clone();
            let outcome = outcome(LIMITS, move |run| {
                run.attach(its.clone());
                assert!(!fails);
            });
            let text = outcome.unwrap_or_else(|report| report);
            assert!(text.contains(if fails { "the cat sleeps" } else { " s, 1 cat, seed" }), "{text}");
            assert_eq!(cat.0.load(Ordering::SeqCst), 1);
        }
    }
}

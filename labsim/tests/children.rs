//! Each run in a process: how it can end, what is shown of it, and that nothing is left behind.
//!
//! The tests named `bad_...` go wrong when an outer test, below them, runs them; otherwise they do nothing.

mod common;

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{again, fails_saying, inner, is_inner};
use labsim::{Options, Run, Test};

#[global_allocator]
static ALLOC: labsim::Alloc = labsim::Alloc;

fn bad(name: &str, body: impl FnOnce(Run) + Send + 'static) {
    if is_inner() {
        Test::new(name).run(move |run| {
            body(run);
            String::new()
        });
    }
}

#[test]
fn bad_abort() {
    bad("bad_abort", |_| std::process::abort());
}

#[test]
fn bad_exit() {
    bad("bad_exit", |_| std::process::exit(7));
}

#[test]
fn bad_exit_zero() {
    bad("bad_exit_zero", |_| std::process::exit(0));
}

#[expect(unconditional_recursion, reason = "that is the point")]
fn deeper(n: &mut [u64; 64]) -> u64 {
    let mut next = [n[0] + 1; 64];
    deeper(&mut next) + std::hint::black_box(&next)[1]
}

#[test]
fn bad_overflow() {
    bad("bad_overflow", |_| {
        thread::Builder::new().name("deep".into()).spawn(|| deeper(&mut [0; 64])).unwrap().join().unwrap();
    });
}

/// Other threads have come and gone since the thread began, and with them what the standard library prepares for such cases.
#[test]
fn bad_old_overflow() {
    bad("bad_old_overflow", |_| {
        let deep = || {
            thread::sleep(Duration::from_millis(2));
            deeper(&mut [0; 64])
        };
        let deep = thread::Builder::new().name("deep".into()).spawn(deep).unwrap();
        (0..3).for_each(|_| thread::spawn(|| ()).join().unwrap());
        deep.join().unwrap();
    });
}

#[test]
fn bad_panic() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("the second");
        }
    }
    bad("bad_panic", |_| {
        let _panics = Panics;
        panic!("the first");
    });
}

#[test]
fn bad_memory() {
    if is_inner() {
        let options = Options { memory_max: 64 << 20, ..Options::new(0) };
        Test::new("bad_memory").options(options).run(|_| {
            let hoard: Vec<Vec<u8>> = (0..1000).map(|_| hoard_one()).collect();
            hoard.len().to_string()
        });
    }
}

#[inline(never)]
fn hoard_one() -> Vec<u8> {
    vec![1; 1 << 20]
}

#[test]
fn bad_allocation() {
    bad("bad_allocation", |_| drop(std::hint::black_box(Vec::<u8>::with_capacity(1 << 45))));
}

#[test]
fn bad_signal() {
    // SAFETY: none. That is the point.
    bad("bad_signal", |_| assert_ne!(unsafe { std::ptr::without_provenance::<u8>(64).read_volatile() }, 1));
}

#[test]
fn every_way_to_die_is_named() {
    for handover in ["fast", "futex"] {
        for (name, says) in [
            ("bad_abort", "the process aborted: a thread called `process::abort`\n  thread 'main': runs\n"),
            (
                "bad_exit",
                "ended before the test: a thread called `process::exit(7)`\n  thread 'main': runs\n",
            ),
            (
                "bad_exit_zero",
                "ended before the test: a thread called `process::exit(0)`\n  thread 'main': runs\n",
            ),
            ("bad_overflow", "stack overflow: a thread's calls go too deep"),
            ("bad_old_overflow", "stack overflow: a thread's calls go too deep"),
            ("bad_memory", "memory limit: the run asked for more than 64 MiB\n  thread 'main': runs\n"),
            (
                "bad_allocation",
                "out of memory: a thread asked for more at once than there is\n  thread 'main': runs\n",
            ),
            (
                "bad_panic",
                "the process aborted: a thread panicked again while it was dealing with a panic\n  thread 'main'",
            ),
            ("bad_signal", "invalid memory access (SIGSEGV)"),
        ] {
            let environment = [("LAB_SEED", "4"), ("LAB_HANDOVER", handover)];
            fails_saying(
                name,
                &environment,
                &[&format!("{name}: FAILED with seed 4\n"), says, "LAB_SEED=4@"],
            );
        }
        for name in ["bad_overflow", "bad_old_overflow"] {
            let says = [
                "thread 'deep'",
                "has overflowed its stack",
                "thread 'deep': runs\n      ",
                "deeper at ",
                " times)\n",
            ];
            fails_saying(name, &[("LAB_HANDOVER", handover)], &says);
        }
        let says = ["first, thread 'main' panicked", "the first", "the process aborted", "panic_in_cleanup"];
        fails_saying("bad_panic", &[("LAB_HANDOVER", handover)], &says);
        fails_saying("bad_memory", &[("LAB_HANDOVER", handover)], &["hoard_one at "]);
    }
}

#[test]
fn bad_told() {
    bad("bad_told", |run| {
        let _ = thread::spawn(|| panic!("a symptom")).join();
        labsim::fail(format!("the whole report; simulated: {}", run.simulated))
    });
}

#[test]
fn a_run_that_is_told_to_fail_is_shown_in_those_words() {
    let says =
        ["bad_told: FAILED with seed 3\nthe whole report; simulated: true\nto see it again:\n  LAB_SEED=3@"];
    fails_saying("bad_told", &[("LAB_SEED", "3")], &says);
    let says =
        ["simulated: false\nto see it again (in real time", "not come back):\n  LAB_TIME=real LAB_SEED=3@"];
    fails_saying("bad_told", &[("LAB_SEED", "3"), ("LAB_TIME", "real")], &says);
}

/// Prints a line from within another line, which a lock would not allow.
#[test]
fn bad_warns_in_the_midst_of_printing() {
    struct Nested;
    impl std::fmt::Display for Nested {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let observer = thread::spawn(|| labsim::observe(|| labsim::eprint("warning: careful\n")));
            observer.join().map_err(|_| std::fmt::Error)?;
            f.write_str("hidden")
        }
    }
    bad("bad_warns_in_the_midst_of_printing", |_| eprintln!("{Nested}"));
}

#[test]
fn warnings_are_shown_though_the_test_passes() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "bad_warns_in_the_midst_of_printing"])
        .env("LABSIM_INNER", "1")
        .output()
        .unwrap();
    let (passed, text) = (output.status.success(), String::from_utf8_lossy(&output.stderr));
    assert!(passed && text == "warning: careful\n", "{text}");
}

#[test]
fn bad_above_ten() {
    bad("bad_above_ten", |run| assert!(run.seed <= 110, "seed {} is above 110", run.seed));
}

#[test]
fn the_smallest_failing_seed_is_reported() {
    let environment = [("LAB_SEED", "100"), ("LAB_RUNS", "40")];
    let says = ["seed 111 is above 110", "FAILED with seed 111\n", "LAB_SEED=111@"];
    let again = fails_saying("bad_above_ten", &environment, &says);
    assert!(!again.text.contains("seed 112"), "{}", again.text);
}

#[test]
fn a_replay_with_another_build_says_so() {
    let failed = fails_saying("bad_above_ten", &[("LAB_SEED", "200")], &[]);
    let (_, rest) = failed.text.split_once("LAB_SEED=").expect("a replay command");
    let (seed, rest) = rest.split_once(' ').expect("a command after the seed");
    assert!(rest.starts_with("cargo test -p labsim -- --exact bad_above_ten\n"), "{rest}");
    let same = fails_saying("bad_above_ten", &[("LAB_SEED", seed)], &["FAILED with seed 200\n"]);
    assert!(!same.text.contains("was found with"), "{}", same.text);
    let says = ["seed 200 was found with build 12345678; this is build ", "FAILED with seed 200\n"];
    fails_saying("bad_above_ten", &[("LAB_SEED", "200@12345678")], &says);
}

#[test]
fn bad_knob() {
    bad("bad_knob", |_| ());
}

#[test]
fn knobs_are_checked() {
    fails_saying("bad_knob", &[("LAB_RUNS", "many")], &["LAB_RUNS=\"many\": it takes a whole number"]);
    let warned = inner("bad_knob", &[("LAB_SEDE", "1")]);
    assert!(warned.passed && warned.text.contains("LAB_SEDE is set") && warned.text.contains("LAB_SEED?"));
}

/// The warning was printed where the test harness hid it.
#[test]
fn an_unknown_knob_is_warned_about_though_the_test_passes() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "talks"])
        .env("LAB_SEDE", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.starts_with("warning: LAB_SEDE is set"), "{text}");
}

/// These were added to the present time, and to each other.
#[test]
fn very_long_time_limits_are_taken() {
    for seconds in ["3000000", "1e19"] {
        let again = again("talks", &[("LAB_TIMEOUT", seconds)]);
        assert!(again.passed, "{}", again.text);
    }
}

/// The lock of standard output is held by a thread that never runs again. The process waited for it.
#[test]
fn a_run_may_end_while_a_thread_prints() {
    struct Slow;
    impl std::fmt::Display for Slow {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            thread::sleep(Duration::from_secs(1));
            f.write_str("slow")
        }
    }
    Test::new("a_run_may_end_while_a_thread_prints").run(|_| {
        println!("before");
        thread::spawn(|| println!("{Slow}"));
        thread::sleep(Duration::from_millis(10));
        String::from("did not wait")
    });
}

/// What the run has started went on to write into the pipe, and was read as long as it did.
#[test]
fn what_a_run_has_started_writes_no_more() {
    Test::new("what_a_run_has_started_writes_no_more").runs(4).run(|_| {
        let output = Command::new("yes").spawn();
        String::from(if output.is_ok() { "yes" } else { "no" })
    });
}

#[test]
fn talks() {
    Test::new("talks").run(|_| {
        println!("to standard output");
        eprintln!("to standard error");
        String::from("said two things")
    });
}

#[test]
fn output_is_captured_and_passed_on() {
    let shown = again("talks", &[]);
    let order = ["to standard output\nto standard error\ntalks: ok; said two things; ", "seed=", "trace="];
    let mut rest = shown.text.as_str();
    for part in order {
        rest = rest.split_once(part).unwrap_or_else(|| panic!("no {part:?} in {}", shown.text)).1;
    }
    let captured =
        Command::new(std::env::current_exe().unwrap()).args(["--exact", "talks"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&captured.stdout).contains("to standard output"));
    assert!(captured.stderr.is_empty(), "{}", String::from_utf8_lossy(&captured.stderr));
}

#[test]
fn in_process_and_in_real_time_the_same_test_passes() {
    let here = again("talks", &[("LAB_INPROCESS", "1"), ("LAB_SEED", "9")]);
    let there = again("talks", &[("LAB_SEED", "9")]);
    assert!(here.passed && there.passed);
    assert_eq!(here.value("seed"), "9");
    let real = again("talks", &[("LAB_TIME", "real"), ("LAB_SEED", "9")]);
    assert!(real.passed && real.text.contains("s of real time, seed=9"), "{}", real.text);
}

#[test]
fn checks() {
    Test::new("checks").run(|_| {
        thread::scope(|scope| (0..5).for_each(|_| drop(scope.spawn(thread::yield_now))));
        String::new()
    });
}

#[test]
fn bad_check() {
    // The one thing that differs from process to process: the process itself.
    bad("bad_check", |_| {
        for _ in 0..std::process::id() % 8 {
            thread::yield_now();
        }
        labsim::trace_event(u64::from(std::process::id()));
    });
}

#[test]
fn a_check_finds_what_is_not_deterministic() {
    assert!(again("checks", &[("LAB_CHECK", "1"), ("LAB_RUNS", "5")]).passed);
    fails_saying(
        "bad_check",
        &[("LAB_CHECK", "1")],
        &["not deterministic: the same seed gave traces", "first difference at switch "],
    );
}

#[test]
fn many_test_threads_and_all_flags() {
    for arguments in [vec!["--test-threads=1"], vec!["--test-threads=16"], vec!["--include-ignored"]] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["talks", "checks", "ignored_at_first", "bad_knob"])
            .args(&arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn bad_orphan() {
    bad("bad_orphan", |_| {
        // A child of the child, and a child that sleeps in the kernel, both longer than anyone will wait.
        let sleeper = Command::new("sleep").arg("1000").spawn().unwrap();
        println!("pids {} {}", std::process::id(), sleeper.id());
        std::process::abort();
    });
}

#[test]
fn bad_hang() {
    // Its only line goes past the capture, since the test never ends by itself.
    bad("bad_hang", |_| {
        let path = std::env::var("LABSIM_TEST_PID_TO").unwrap();
        std::fs::write(path, std::process::id().to_string()).unwrap();
        loop {
            std::hint::spin_loop();
        }
    });
}

/// So does a copy of the run, which then nobody limits.
#[test]
fn bad_copy_hang() {
    bad("bad_copy_hang", |_| {
        let path = std::env::var("LABSIM_TEST_PID_TO").unwrap();
        labsim::what_if(|| {
            std::fs::write(path, std::process::id().to_string()).unwrap();
            loop {
                std::hint::spin_loop();
            }
        });
    });
}

fn gone(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.is_empty() || status.contains("State:\tZ") || status.contains("State:\tX")
}

fn eventually(condition: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > Duration::from_secs(20) {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

#[test]
fn nothing_outlives_the_test() {
    let failed = fails_saying("bad_orphan", &[], &["pids ", "the process aborted"]);
    let line = failed.text.lines().find(|line| line.starts_with("pids ")).unwrap();
    for pid in line.split(' ').skip(1) {
        assert!(eventually(|| gone(pid)), "process {pid} is still there");
    }

    for hangs in ["bad_hang", "bad_copy_hang"] {
        let file = std::env::temp_dir().join(format!("labsim-test-{}-{hangs}", std::process::id()));
        let mut test = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", hangs])
            .env("LABSIM_INNER", "1")
            .env("LABSIM_TEST_PID_TO", &file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = || std::fs::read_to_string(&file).unwrap_or_default();
        assert!(eventually(|| !pid().is_empty()), "{hangs} did not start");
        let pid = pid();
        std::fs::remove_file(&file).unwrap();
        assert!(!gone(&pid));
        test.kill().unwrap();
        test.wait().unwrap();
        assert!(eventually(|| gone(&pid)), "{hangs} outlived the test that was killed");
    }
}

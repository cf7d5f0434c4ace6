//! What a user sees of virtual time: a seed is a run, whatever is shown of it, and a failure comes back.
//!
//! The tests below run other tests of this binary, as a user would, and read what they print. Where there is no
//! virtual time they have nothing to say.

use std::collections::HashSet;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

#[global_allocator]
static ALLOC: labtest::Alloc = labtest::Alloc;

/// Set where tests that otherwise do nothing are to fail, or to talk.
const INNER: &str = "LABTEST_INNER";

/// Runs the test `name` again; whether it passed, and what it printed. It leaves no files unless it is asked to.
fn again(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> (bool, String) {
    let output = Command::new(std::env::current_exe().expect("this executable"))
        .args(["--exact", name])
        .args(arguments)
        .envs([("LAB_SEED", "7"), (INNER, "1"), ("RUST_BACKTRACE", "0"), ("LAB_TIMELINE", "never")])
        .envs(environment.iter().copied())
        .output()
        .expect("the test binary runs again");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Threads that log at every level, print, and contend for a lock.
#[test]
fn chatter() {
    if std::env::var_os(INNER).is_none() {
        return;
    }
    labtest::run(|run| {
        let said = Arc::new(Mutex::new(Vec::new()));
        let talk = |me: u32| {
            let (said, run) = (said.clone(), run.clone());
            move || {
                for round in 0..20 {
                    let mut said = said.lock();
                    said.push(format!("{me} in round {round}"));
                    // Taken for the log alone, and yet part of every run.
                    log::trace!("{} says {:?} of {}", me, said.last(), said.clone().len());
                    drop(said);
                    log::warn!("{me} has spoken");
                    if round == me {
                        run.warn(format_args!("{me} talks too much"));
                    }
                    eprintln!("{}", vec![me.to_string(); 3].join(" "));
                    thread::sleep(Duration::from_micros(u64::from(me)));
                }
            }
        };
        run.phase("talk");
        let threads: Vec<_> = (0..4).map(|me| run.spawn(format!("talker {me}"), talk(me))).collect();
        threads.into_iter().for_each(|thread| thread.join());
        run.warn("there was talk");
    });
}

#[test]
fn a_run_is_the_same_whatever_is_shown_of_it() {
    if labsim::unsupported().is_some() {
        return;
    }
    let trace = |seed: &str, arguments: &[&str], environment: &[(&str, &str)]| {
        let environment = [&[("LAB_SEED", seed)], environment].concat();
        let (passed, text) = again("chatter", arguments, &environment);
        let (_, trace) = text.rsplit_once(" trace=").unwrap_or_else(|| panic!("no trace in: {text}"));
        assert!(passed && text.contains("warning: chatter: there was talk\n"), "{text}");
        (trace[..16].to_string(), text.contains("has spoken"))
    };
    let directory = std::env::temp_dir().join(format!("chatter-{}", std::process::id()));
    let files = format!("{}/", directory.display());
    // Several, as not every seed's schedule preempts threads where they allocate.
    let seeds = ["1", "2", "3", "4", "5", "6", "7", "8"];
    let mut traces = HashSet::new();
    for seed in seeds {
        let (plain, shown) = trace(seed, &["--nocapture"], &[]);
        assert!(!shown);
        for (arguments, environment, shows) in [
            (["--nocapture"], [("LAB_LOG", "trace")], true),
            (["--show-output"], [("LAB_LOG", "warn")], true),
            (["--show-output"], [("LAB_LOG", "error")], false),
            (["--nocapture"], [("LAB_LOG", "trace,test")], true),
            (["--nocapture"], [("LAB_TIMELINE", files.as_str())], false),
            (["--nocapture"], [("CLICOLOR_FORCE", "1")], false),
            (["--nocapture"], [("RUST_BACKTRACE", "full")], false),
            (["--nocapture"], [("LAB_HANDOVER", "futex")], false),
        ] {
            let again = trace(seed, &arguments, &environment);
            assert_eq!(again, (plain.clone(), shows), "seed {seed}, {environment:?}");
        }
        traces.insert(plain);
    }
    assert_eq!(traces.len(), seeds.len(), "each seed is a run of its own");
    let written = std::fs::read_dir(&directory).expect("they were asked for").count();
    assert_eq!(written, 2 * seeds.len(), "a log and a page for each seed");
    std::fs::remove_dir_all(directory).expect("they can be removed");
}

/// Fails at a time that the order of threads decides.
#[test]
fn bad_race() {
    if std::env::var_os(INNER).is_none() {
        return;
    }
    labtest::run(|run| {
        let sum = Arc::new(Mutex::new(0));
        let add = |me: u64| {
            let (sum, run) = (sum.clone(), run.clone());
            move || {
                for round in 0..100 {
                    *sum.lock() += rand::random_range(0..=me);
                    run.sleep(Duration::from_millis(rand::random_range(0..=me)));
                    let now = *sum.lock();
                    assert!(now < 100, "{now} after round {round} of {me}");
                }
            }
        };
        let threads: Vec<_> = (1..4).map(|me| run.spawn(format!("adder {me}"), add(me))).collect();
        threads.into_iter().for_each(|thread| thread.join());
    });
}

#[test]
fn a_failure_comes_back_with_the_command_it_ends_with() {
    if labsim::unsupported().is_some() {
        return;
    }
    let (passed, report) = again("bad_race", &["--nocapture"], &[]);
    assert!(!passed && report.contains("bad_race failed after 0."), "{report}");
    let (_, command) = report.rsplit_once("LAB_SEED=").expect("a command");
    let (seed, command) = command.split_once(' ').expect("a seed");
    assert!(command.starts_with("cargo test -p labtest -- --exact bad_race\n"), "{command}");
    for backtrace in ["0", "1"] {
        let environment = [("LAB_SEED", seed), ("LAB_LOG", "trace"), ("RUST_BACKTRACE", backtrace)];
        let (_, replayed) = again("bad_race", &["--nocapture"], &environment);
        let head = |report: &str| -> Vec<String> {
            let lines = report.lines().skip_while(|line| !line.starts_with("bad_race failed after"));
            lines.take(4).map(str::to_string).collect()
        };
        assert_eq!(head(&replayed), head(&report));
    }
}

#[test]
fn a_malformed_variable_is_an_error_that_says_what_it_takes() {
    for (name, value, takes) in [
        ("LAB_LOG", "loud", "one of off, error, warn, info, debug, trace; with commas also `topic=level`, "),
        ("LAB_RUNS", "0", "a whole number of at least 1"),
        ("LAB_TIME", "virtual", "`sim` or `real`"),
    ] {
        let (passed, text) = again("chatter", &[], &[(name, value)]);
        let expected = format!("{name}={value:?}: it takes {takes}");
        assert!(!passed && text.contains(&expected) && !text.contains("panicked"), "{text}");
    }
}

//! `labgrade run` and its kin as a student uses them, in a tree of two tiny crates whose suites speak as the labs' suites do.

#[path = "stand_in/mod.rs"]
mod stand_in;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use stand_in::{GOOD, put, suite};

/// `b_2B` fails with every seed from 5 on, for one of two reasons.
const BAD: &str = r#"
pub fn behave(test: &str, seed: u64) -> (u64, String) {
    if !test.ends_with("b_2B") || seed < 5 {
        return (0, String::new());
    }
    let why = if seed % 10 == 0 { "server 1 voted twice\nrule one-vote: x".into() } else { format!("index {seed} is lost") };
    (1, format!("b_2B failed after 1.5 s:\n\n{why}\n\nphases:\n  1 s  first\n"))
}
"#;

fn tree(raft: &str) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    put(root, "Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"raft\", \"kvraft\"]\n");
    for (name, tests) in [("raft", &["lab::a_2A", "lab::b_2B"][..]), ("kvraft", &["lab::c_3A"])] {
        let target = "[[test]]\nname = \"suite\"\npath = \"tests/suite.rs\"\nharness = false\n";
        let manifest =
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{target}");
        put(root, &format!("{name}/Cargo.toml"), &manifest);
        put(root, &format!("{name}/src/lib.rs"), if name == "raft" { raft } else { GOOD });
        put(root, &format!("{name}/tests/suite.rs"), &suite(name, tests));
    }
    put(root, "docs/rules/one-vote.md", "# one vote\n");
    place
}

/// The command's standard output and standard error together, and its exit code.
fn lab(place: &Path, arguments: &[&str]) -> (String, Option<i32>) {
    lab_with(&[], place, arguments)
}

/// The same with these variables.
fn lab_with(variables: &[(&str, &str)], place: &Path, arguments: &[&str]) -> (String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_labgrade"));
    command.args(arguments).current_dir(place);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LAB_")) {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    // The tree's own, whatever this test's build uses.
    let Output { status, stdout, stderr } = command.env_remove("CARGO_TARGET_DIR").output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (text(&stdout) + &text(&stderr), status.code())
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[test]
fn what_passes_is_listed_and_counted() {
    let place = tree(GOOD);
    let (said, code) = lab(place.path(), &["run"]);
    assert_eq!(code, Some(0), "{said}");
    assert_says(&said, &["ok      a_2A", "20 seeds", "ok      c_3A", "5 seeds"]);
    assert_says(
        &said,
        &["2A        1       1       0        0       20", "3A        1       1       0        0        5"],
    );
}

#[test]
fn a_failure_is_recorded_and_can_be_replayed() {
    let place = tree(BAD);
    // Fewer fail than make a test hopeless: with more, which are tried depends on whether the first pass is heard in time.
    let (said, code) = lab(place.path(), &["run", "b_2B", "a_2A", "--first-seed", "1", "--seeds", "11"]);
    assert_eq!(code, Some(1), "{said}");
    assert_says(&said, &["ok      a_2A", "FAILED  b_2B", "7 of 11 seeds failed", "seed 5: index 5 is lost"]);
    assert_says(&said, &["---- b_2B with seed 5 ----", "replay  cargo lab replay b_2B 5@ab12"]);
    let reports = place.path().join("target/lab-reports");
    let page = reports.join("lab.b_2B-seed-5.timeline.html");
    assert_says(&said, &[&format!("page    {}", page.display())]);
    assert!(page.is_file() && !reports.join("lab.b_2B-seed-6.ndjson").exists());

    let (said, code) = lab(place.path(), &["replay", "b_2B", "7@ab12", "--log", "debug"]);
    assert_eq!(code, Some(1), "{said}");
    assert_says(&said, &["logged at Ok(\"debug\")", "index 7 is lost", "report  ", "log     ", "page    "]);
    assert!(!said.contains("running 1 test") && !said.contains("... FAILED"), "{said}");
    let report = fs::read_to_string(reports.join("lab.b_2B-seed-7.txt")).unwrap();
    assert!(report.contains("index 7 is lost"), "{report}");
    let (said, code) = lab(place.path(), &["replay", "b_2B", "4"]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn nothing_is_said_of_runs_that_the_system_ends() {
    let place =
        tree("pub fn behave(_: &str, seed: u64) -> (u64, String) { (2 * (seed % 2), \"killed\".into()) }\n");
    let (said, code) = lab(place.path(), &["run", "2A", "--first-seed", "1", "--seeds", "2"]);
    assert_eq!(code, Some(3), "{said}");
    assert_says(&said, &["unknown a_2A", "seed 1: killed", "2A        1       0       0        1        1"]);
}

#[test]
fn a_published_policy_says_what_is_run_and_what_it_scores() {
    let place = tree(BAD);
    let policy =
        "labs = [\"2A\", \"2B\"]\npoints = 2.0\n[seeds]\npublished = { first = 3, count = 4 }\nderived = 0\n";
    put(place.path(), "student.toml", policy);
    let (said, code) = lab(place.path(), &["run", "--policy", "student.toml"]);
    assert_eq!(code, Some(1), "{said}");
    assert_says(&said, &["2 of 4 seeds failed", "seed 5:", "2 of 4 points"]);
    assert!(!said.contains("c_3A"), "{said}");
}

#[test]
fn what_is_wrong_with_the_command_line_is_said() {
    let place = tree(GOOD);
    for (arguments, hint) in [
        (&["run", "2b"][..], "lab names are upper case, 2B"),
        (&["run", "b_2B", "nothing_like_it"], "no test has \"nothing_like_it\" in its name"),
        (&["run", "--seeds", "0"], "0 is not in 1..=1000000"),
        (&["replay", "a_2A", "seven"], "a seed is a whole number"),
        (&["replay", "_2", "7"], "may be any of a_2A, b_2B: say which"),
        (&["run", "--policy", "nowhere.toml"], "nowhere.toml"),
    ] {
        let (said, code) = lab(place.path(), arguments);
        assert_eq!(code, Some(2), "{said}");
        assert_says(&said, &[hint]);
    }
    let (said, code) = lab(Path::new("/"), &["run"]);
    assert_eq!(code, Some(2));
    assert_says(&said, &["this is not a tree of the labs: change into the directory"]);
    put(place.path(), "raft/src/lib.rs", "no Rust");
    let (said, code) = lab(place.path(), &["run", "2A"]);
    assert_eq!(code, Some(2));
    assert_says(&said, &["raft/src/lib.rs", "error: the tests of raft do not compile; see above"]);
}

#[test]
fn variables_are_obeyed_or_talked_about() {
    let place = tree(GOOD);
    for arguments in [&["run", "2A"][..], &["stress", "2A"], &["replay", "a_2A", "7"]] {
        let (said, code) = lab_with(&[("LAB_TIMEOUT", "never")], place.path(), arguments);
        assert_eq!(code, Some(2), "{said}");
        assert_says(&said, &["error: LAB_TIMEOUT=\"never\": it takes seconds, more than 0"]);
    }
    let set = [("LAB_SEED", "7"), ("LAB_RUNS", "3"), ("LAB_TMIE", "real")];
    let (said, code) = lab_with(&set, place.path(), &["run", "2A", "--seeds", "4"]);
    assert_eq!(code, Some(0), "{said}");
    assert_says(
        &said,
        &["note: LAB_SEED=7 has no say here: use --first-seed", "note: LAB_RUNS=3 has no say"],
    );
    assert_says(
        &said,
        &["warning: LAB_TMIE is set, but nothing reads it; did you mean LAB_TIME?", "4 seeds"],
    );
    let (said, code) = lab_with(&[("LAB_LOG", "trace")], place.path(), &["replay", "a_2A", "7"]);
    assert_eq!(code, Some(0), "{said}");
    assert_says(&said, &["logged at Ok(\"trace\")"]);
    assert!(!said.contains("note:"), "{said}");
}

#[test]
fn shells_learn_the_command_line() {
    for shell in ["bash", "zsh", "fish"] {
        let (said, code) = lab(Path::new("/"), &["completions", shell]);
        assert_eq!(code, Some(0));
        assert_says(&said, &["replay", "policy"]);
    }
}

#[test]
fn stress_groups_failures_by_cause_and_goes_on_where_it_was() {
    let place = tree(BAD);
    let (said, code) = lab(place.path(), &["stress", "2B", "2A", "--seeds", "20"]);
    assert_eq!(code, Some(1), "{said}");
    let causes = "FAILED  b_2B: 16 of 20 seeds
      14 x  index N is lost
            seeds 5, 6, 7, 8, 9, ..
            index 5 is lost
            cargo lab replay b_2B 5
       2 x  rule one-vote
            seeds 10, 20
            server 1 voted twice
            cargo lab replay b_2B 10
";
    assert_says(&said, &[causes, "40 seeds were tried in all, 16 of them failed", "40 runs in "]);
    let (said, code) = lab(place.path(), &["stress", "2B", "2A", "--seeds", "25"]);
    assert_eq!(code, Some(1), "{said}");
    assert_says(&said, &["40 runs of this build are known already", "10 runs in ", "b_2B: 21 of 25 seeds"]);
    let (said, _) = lab(place.path(), &["stress", "2B", "2A", "--seeds", "4", "--fresh"]);
    assert_says(&said, &["8 runs in ", "8 seeds were tried in all, 0 of them failed"]);
    // Another build is another matter.
    put(place.path(), "raft/src/lib.rs", GOOD);
    let (said, code) = lab(place.path(), &["stress", "2B", "2A", "--seeds", "3"]);
    assert_eq!(code, Some(0), "{said}");
    assert_says(&said, &["6 runs in "]);
}

#[test]
fn stress_ends_with_the_first_failure_if_asked() {
    // One seed only: others are tried at the same time, and may fail first.
    let place = tree(&BAD.replace("seed < 5", "seed != 5"));
    let (said, code) = lab(place.path(), &["stress", "2B", "--until-fail"]);
    assert_eq!(code, Some(1), "{said}");
    // It has no other end. What was heard until all is over counts too.
    assert_says(&said, &["            seeds 5", "cargo lab replay b_2B 5"]);
}

/// Sleeping suites must be killed, and what they have said must not be lost.
#[test]
fn ctrl_c_ends_stress_with_a_summary() {
    let slow = "pub fn behave(_: &str, seed: u64) -> (u64, String) {
        if seed > 3 { std::thread::sleep(std::time::Duration::from_secs(1000)) }
        (1, format!(\"index {seed} is lost\"))
    }\n";
    let place = tree(slow);
    // Built before, so that what is interrupted is not cargo.
    assert_eq!(lab(place.path(), &["replay", "a_2A", "1"]).1, Some(1));
    let mut command = Command::new(env!("CARGO_BIN_EXE_labgrade"));
    command.args(["stress", "2A"]).current_dir(place.path()).env_remove("CARGO_TARGET_DIR");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(errors.by_ref().any(|line| line.starts_with("FAILED  a_2A with seed 1: index N is lost")));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    let said = String::from_utf8(stdout).unwrap();
    assert_eq!(status.code(), Some(130), "{said}");
    assert_says(
        &said,
        &["index N is lost\n            seeds 1", "interrupted; the same command goes on from here"],
    );
}

/// Who goes on working while seeds are tried builds other binaries of the same names: with those a seed means another run.
#[test]
fn stress_goes_on_with_the_build_that_it_began_with() {
    let waits = "pub fn behave(_: &str, seed: u64) -> (u64, String) {
        while seed > 1 && !std::path::Path::new(\"built-anew\").exists() {
            std::thread::sleep(std::time::Duration::from_millis(5))
        }
        (1, format!(\"index {seed} is lost\"))
    }\n";
    let place = tree(waits);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec $0 stress 2A --seeds 200", env!("CARGO_BIN_EXE_labgrade")]);
    command.current_dir(place.path()).env_remove("CARGO_TARGET_DIR");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(errors.by_ref().any(|line| line.starts_with("FAILED  a_2A with seed 1: ")));
    let built =
        fs::read_dir(place.path().join("target/debug/deps")).unwrap().map(|entry| entry.unwrap().path());
    let suites: Vec<_> = built.filter(|path| path.to_string_lossy().contains("/suite-")).collect();
    assert!(!suites.is_empty());
    for suite in suites {
        fs::remove_file(&suite).unwrap();
        fs::write(&suite, "another build").unwrap();
    }
    // Who is told to ignore hangups goes on after one, too.
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    fs::write(place.path().join("raft/built-anew"), "").unwrap();
    let more: Vec<String> = errors.collect();
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    let said = String::from_utf8(stdout).unwrap();
    assert_eq!(status.code(), Some(1), "{said}\n{more:?}");
    assert_says(&said, &["FAILED  a_2A: 200 of 200 seeds"]);
}

//! Hostile submissions, each of which must get the right verdict within its time. Slow, since it builds the labs' real
//! suites: `make check_attacks`.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

const ATTACK: &str = include_str!("attacks/attack.rs");

struct Grader {
    place: tempfile::TempDir,
    root: PathBuf,
    weak: bool,
}

impl Grader {
    fn new(weak: bool) -> Grader {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
        Grader { place: tempfile::tempdir().unwrap(), root, weak }
    }

    /// The course's solution, with `attack` as a module that each server starts.
    fn submission(&self, attack: &str) {
        let to = self.place.path().join("submission/raft/src");
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(self.root.join("raft/src")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        let attack = attack
            .replace("COURSE", &self.root.to_string_lossy())
            .replace("POLICY", &self.place.path().join("policy.toml").to_string_lossy());
        fs::write(to.join("attack.rs"), attack).unwrap();
        let change = |name: &str, from: &str, to_: &str| {
            let text = fs::read_to_string(to.join(name)).unwrap();
            assert!(text.contains(from), "{name}");
            fs::write(to.join(name), text.replacen(from, to_, 1)).unwrap();
        };
        change("lib.rs", "mod apply;", "mod apply;\nmod attack;");
        change(
            "raft.rs",
            "assert!(!peers.is_empty()",
            "crate::attack::now();\n        assert!(!peers.is_empty()",
        );
    }

    /// Grades one test with `count` seeds from `first` on; the whole result, and how long it took.
    fn grade(&self, first: u64, count: u32) -> (Value, Duration) {
        let at = |name: &str| self.place.path().join(name).to_string_lossy().into_owned();
        let policy = format!(
            "labs = [\"2A\"]\nonly = [\"initial_election_2A\"]\n[seeds]\npublished = {{ first = {first}, count = {count} }}\nderived = 0\n\
             [limits]\nrun_s = 30\ntest_s = 90\nbuild_s = 1800\nmemory_mib = 512\nprocesses = 300\n"
        );
        fs::write(at("policy.toml"), policy).unwrap();
        let begun = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_labgrade"));
        command.args(["grade", "--format", "json", "--policy", &at("policy.toml"), "--out", &at("out")]);
        command.args(["--submission", &at("submission")]);
        if self.weak {
            command.arg("--without-namespaces");
        }
        let output = command.output().unwrap();
        let text = fs::read_to_string(at("out/grade.json")).unwrap();
        assert_ne!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        (serde_json::from_str(&text).unwrap(), begun.elapsed())
    }
}

/// What computes without going on, or goes on for ever.
const LOOP: [&str; 2] = ["busy loop", "CPU limit"];

/// What the first test became, in a line.
fn verdict(results: &Value) -> String {
    let test = &results["tests"][0];
    format!("{}: {}", test["status"].as_str().unwrap(), test["headline"].as_str().unwrap())
}

#[test]
fn every_attack_ends_in_the_right_verdict() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let grader = Grader::new(false);
    grader.submission(&ATTACK.replace("PORT", &port.to_string()));
    // Without an attack it is a right solution: 18 and above.
    let (results, _) = grader.grade(100, 3);
    assert_eq!(results["tests"][0]["status"], "passed", "{results}");
    assert_eq!(
        results["jail"], "Namespaces",
        "this system has no namespaces; most of this cannot be tried here"
    );
    let mut wrong = Vec::new();
    for (seed, expected) in [
        (1, "the test's process ended before the test"),
        (2, "the test's process ended before the test"),
        (3, "reached: []"),
        (4, "reached: []"),
        (5, "reached: []"),
        (6, "reached: []"),
        (7, "reached: []"),
        (8, "memory limit"),
        (9, "loop"),
        (10, ""),
        (11, "loop"),
        (12, "reached: []"),
        (13, "the test's process ended before the test"),
        (14, "the process aborted"),
        (15, ""),
        (16, "reached: []"),
        (17, "outside wait"),
    ] {
        let (results, took) = grader.grade(seed, 1);
        let verdict = verdict(&results);
        println!("attack {seed:2}: {verdict} ({:.1} s)", took.as_secs_f64());
        // A panic that nobody hears is no failure, if all goes well without that thread; it is no forgery either.
        let right = seed == 15
            || verdict.starts_with("failed: ")
                && (verdict.contains(expected)
                    || expected == "loop" && LOOP.iter().any(|it| verdict.contains(it)));
        // With what a fresh look at the build takes.
        if !right || took > Duration::from_secs(150) {
            wrong.push(format!("attack {seed}: {verdict}, after {took:?}"));
        }
        if let Some(stray) = stray() {
            wrong.push(format!("attack {seed} leaves something running: {stray}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where there are no namespaces, verdicts cannot be forged all the same.
#[test]
fn verdicts_are_the_graders_without_namespaces_too() {
    if rustix::process::geteuid().is_root() && !others_can_read_the_toolchain() {
        println!("not tried: the toolchain lies where only root can read it");
        return;
    }
    let grader = Grader::new(true);
    grader.submission(&ATTACK.replace("PORT", "9"));
    let (results, _) = grader.grade(100, 3);
    assert_eq!(
        (&results["tests"][0]["status"], &results["jail"]),
        (&"passed".into(), &"Limits".into()),
        "{results}"
    );
    for seed in [1, 2, 7, 13, 14, 16] {
        let (results, _) = grader.grade(seed, 1);
        let verdict = verdict(&results);
        println!("attack {seed:2}: {verdict}");
        assert!(verdict.starts_with("failed: "), "attack {seed}: {verdict}");
        assert_eq!(stray(), None, "attack {seed}");
    }
}

/// The code under test is built and run by another user.
fn others_can_read_the_toolchain() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(rustc).args(["--print", "sysroot"]).output().unwrap();
    let toolchain = PathBuf::from(String::from_utf8(asked.stdout).unwrap().trim());
    let open = |path: &Path| fs::metadata(path).is_ok_and(|it| it.permissions().mode() & 0o5 == 0o5);
    toolchain.ancestors().all(open)
}

/// A process that runs a graded suite.
fn stray() -> Option<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut names = processes.filter_map(|process| fs::read_link(process.path().join("exe")).ok());
    names
        .find(|name| name.to_string_lossy().contains("target/grade/suites"))
        .map(|name| name.display().to_string())
}

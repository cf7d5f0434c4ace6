//! `labgrade grade` and `labgrade policy`, as the staff runs them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::course::{GOOD, command_of, copy_of_program, course, labgrade, put};

/// The whole JSON of a grading, and the exit code.
fn grade(place: &Path, submission: &str) -> (Value, Option<i32>) {
    let output = labgrade(
        place,
        &[
            "grade",
            "--policy",
            "policy.toml",
            "--submission",
            submission,
            "--out",
            "out",
            "--format",
            "json,gradescope,junit",
        ],
    );
    let text = fs::read_to_string(place.join("out/grade.json")).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_ne!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    (value, output.status.code())
}

fn test<'a>(results: &'a Value, name: &str) -> &'a Value {
    results["tests"].as_array().unwrap().iter().find(|test| test["name"] == name).unwrap()
}

/// One test for all of this: what it builds is shared.
#[test]
fn a_submission_becomes_a_score() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    course(place);

    // All is well: full marks, and what is not the student's is ignored and named.
    put(place, "good/raft/src/lib.rs", GOOD);
    put(place, "good/kvraft/src/lib.rs", GOOD);
    put(place, "good/raft/tests/suite.rs", "fn main() {}");
    put(place, "good/raft/build.rs", "fn main() { panic!() }");
    put(place, "good/.cargo/config.toml", "[build]\nrustc-wrapper = \"/bin/false\"\n");
    let (results, code) = grade(place, "good");
    assert_eq!((&results["state"], code), (&Value::from("graded"), Some(0)), "{results}");
    for (name, points, runs) in
        [("lab::a_2A", 1.0, 6), ("lab::b_2B", 2.0, 6), ("extra::h_2B", 1.0, 6), ("lab::c_3A", 1.0, 6)]
    {
        let test = test(&results, name);
        assert_eq!(
            (test["points"].as_f64(), test["passed"].as_u64()),
            (Some(points), Some(runs)),
            "{results}"
        );
    }
    assert_eq!(test(&results, "extra::h_2B")["visibility"], "hidden");
    let notes = results["notes"].to_string();
    for name in ["raft/tests/suite.rs", "raft/build.rs", ".cargo/config.toml"] {
        assert!(notes.contains(&format!("{name} was ignored")), "{notes}");
    }
    let shown: Value =
        serde_json::from_str(&fs::read_to_string(place.join("out/results.json")).unwrap()).unwrap();
    assert_eq!(
        (shown["score"].as_f64(), shown["tests"][2]["visibility"].as_str()),
        (Some(5.0), Some("hidden"))
    );

    // Nobody has seen whether a correct solution passes: the staff is told, and no student.
    let notes = results["staff_notes"].to_string();
    let caution = "policy not checked: whether a correct solution gets full marks in 2A, 2B, 3A is not known";
    assert!(notes.contains(caution) && notes.contains("policy check policy.toml"), "{notes}");
    assert!(!shown["output"].as_str().unwrap().contains("not checked"), "{shown}");

    // One seed fails: no points, 5 of 6. What is unknown is no zero. A suite that ends early says nothing.
    put(
        place,
        "mixed/raft/src/lib.rs",
        "pub fn behave(_: &str, seed: u64) -> (u64, &'static str) {\n\
         if std::env::args().any(|it| it.contains(\"a_2A\")) { if seed == 3 { (1, \"it does not hold\") } else { (0, \"\") } }\n\
         else if std::env::args().any(|it| it.contains(\"b_2B\")) { if seed == 2 { (2, \"killed\") } else { (0, \"\") } }\n\
         else { println!(\"extra::h_2B: ok; test result: ok. 1 passed\"); std::process::exit(0) }\n}\n",
    );
    let (results, code) = grade(place, "mixed");
    assert_eq!((&results["state"], code), (&Value::from("incomplete"), Some(3)), "{results}");
    let failed = test(&results, "lab::a_2A");
    assert_eq!(
        (&failed["status"], &failed["seed"], failed["passed"].as_u64()),
        (&"failed".into(), &3.into(), Some(5))
    );
    assert_eq!(
        (&failed["headline"], failed["points"].as_f64()),
        (&Value::from("it does not hold"), Some(0.0))
    );
    assert_eq!(test(&results, "lab::b_2B")["status"], "not_judged");
    let early = test(&results, "extra::h_2B");
    assert_eq!((&early["status"], early["points"].as_f64()), (&Value::from("not_judged"), Some(0.0)));
    assert!(early["headline"].as_str().unwrap().contains("it ended before the tests did"), "{early}");
    let missing = test(&results, "lab::c_3A");
    assert_eq!(
        (&missing["status"], &missing["headline"]),
        (&"failed".into(), &"kvraft/src/lib.rs was not handed in".into())
    );

    // Nothing that compiles, nothing that may be there: a zero, with the reason.
    put(
        place,
        "broken/raft/src/lib.rs",
        "pub fn behave(_: &str, _: u64) -> (u64, &'static str) { nothing }\n",
    );
    let (results, code) = grade(place, "broken");
    assert_eq!(code, Some(0));
    assert!(
        results["state"]["refused"].as_str().unwrap().contains("cannot find value `nothing`"),
        "{results}"
    );
    put(
        place,
        "hostile/raft/src/lib.rs",
        "pub const SECRET: &str = include_str!(\"../../../policy.toml\");\n",
    );
    let (results, code) = grade(place, "hostile");
    assert_eq!(code, Some(0));
    let refused = results["state"]["refused"].as_str().unwrap();
    assert!(refused.contains("raft/src/lib.rs:1:26: `include_str`"), "{refused}");
    assert!(
        results["tests"]
            .as_array()
            .unwrap()
            .iter()
            .all(|test| test["points"] == 0.0 && test["status"] == "failed")
    );

    // A compiler that never ends is the student's doing, and known by its CPU time, not by how slow the machine is.
    put(
        place,
        "endless/raft/src/lib.rs",
        "#![allow(long_running_const_eval)]\npub const X: u64 = { let mut i = 0; while i < 1 << 40 { i += 1 } i };\n",
    );
    let policy = fs::read_to_string(place.join("policy.toml")).unwrap();
    put(place, "policy.toml", &format!("{policy}[limits]\nbuild_s = 5\n"));
    let (results, code) = grade(place, "endless");
    assert_eq!(code, Some(0), "{results}");
    let refused = results["state"]["refused"].as_str().unwrap_or_else(|| panic!("{results}"));
    assert!(refused.contains("was not done after 5 s of CPU time"), "{refused}");
    put(place, "policy.toml", &policy);

    // A policy whose seeds a correct solution fails is refused.
    let check = |solution: &str| {
        let output = labgrade(place, &["policy", "check", "policy.toml", "--solution", solution]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(check("good"), (Some(0), "good: 5 points, as it should be\n".into()));
    let graded = |arguments: &[&str]| {
        let all = ["grade", "--policy", "policy.toml", "--submission", "good", "--out", "out"];
        let output = labgrade(place, &[&all[..], arguments].concat());
        let staff = fs::read_to_string(place.join("out/grade.json")).unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap() + &staff)
    };
    let (code, said) = graded(&[]);
    assert!(code == Some(0) && !said.contains("policy not checked"), "{said}");
    let odd =
        "pub fn behave(_: &str, seed: u64) -> (u64, &'static str) { (u64::from(seed == 4), \"seed 4\") }\n";
    put(place, "course/mutants/correct/odd/raft/src/lib.rs", odd);
    let about = "Variant: odd\nWhy it is right: it is not\nDiffers in: one seed\n";
    put(place, "course/mutants/correct/odd/variant.txt", about);
    let output = labgrade(place, &["policy", "check", "policy.toml", "--variants"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the course's own solution: 5 points, as it should be"), "{said}");
    assert!(said.contains("odd: a_2A: 5 of 6 runs passed; seed 4: seed 4"), "{said}");
    for labs in [&[][..], &["--labs", "2A"]] {
        let (code, said) = graded(labs);
        assert_eq!(code, Some(2), "{said}");
        assert!(
            said.contains("policy.toml is refused: ") && said.contains("fails in lab 2A (odd)"),
            "{said}"
        );
    }
    // In 3A it passes, and that is known.
    let (code, said) = graded(&["--labs", "3A"]);
    assert!(code == Some(0) && !said.contains("policy not checked"), "{said}");
    // With another policy its seeds may be others.
    put(place, "policy.toml", &policy.replace("derived = 2", "derived = 1"));
    let (code, said) = graded(&["--labs", "2A"]);
    assert!(code == Some(0) && said.contains("in 2A is not known"), "{said}");
}

/// What the compiler keeps from build to build is wrong, sometimes, after a build that was stopped: whoever is graded next
/// must not have their code refused for it.
#[test]
fn what_a_stopped_build_has_left_is_not_built_upon() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    course(place);
    let graded = |name: &str, raft: &str| {
        put(place, &format!("{name}/raft/src/lib.rs"), raft);
        put(place, &format!("{name}/kvraft/src/lib.rs"), GOOD);
        let (results, _) = grade(place, name);
        assert_eq!(results["state"], "graded", "{results}");
        assert_eq!(test(&results, "lab::a_2A")["status"], "passed", "{results}");
    };
    graded("good", GOOD);
    let kept = place.join("work/target/debug/incremental");
    let unclean = place.join("work/unclean");
    assert!(kept.is_dir() && !unclean.exists());

    // The same code in the compiler's eyes, for which it takes the objects that it has: of nothing.
    let mut emptied = 0;
    for object in files_below(&kept).into_iter().filter(|file| file.extension().is_some_and(|it| it == "o")) {
        fs::write(object, "").unwrap();
        emptied += 1;
    }
    assert!(emptied > 0);
    graded("same", &format!("{GOOD}// The same.\n"));
    assert!(!unclean.exists());

    // Asked to end while the compiler is at work, for good.
    let endless = "#![allow(long_running_const_eval)]\npub const X: u64 = { let mut i = 0; while i < 1 << 40 { i += 1 } i };\n";
    put(place, "endless/raft/src/lib.rs", endless);
    let command =
        ["grade", "--policy", "policy.toml", "--submission", "endless", "--out", "out", "--format", "json"];
    let mut grader = command_of(place, &command).spawn().unwrap();
    let begun = Instant::now();
    while !unclean.exists() && begun.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&grader);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(grader.wait().unwrap().code(), Some(130));
    assert!(unclean.exists());
    fs::write(kept.join("left"), "").unwrap();
    graded("good", GOOD);
    assert!(!unclean.exists() && !kept.join("left").exists());
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn what_keeps_it_from_beginning_is_said_and_leaves_a_zero() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    course(place);
    put(place, "bad.toml", "labs = [\"9Z\"]\n");
    put(place, "good/raft/src/lib.rs", GOOD);
    let output = labgrade(
        place,
        &["grade", "--policy", "bad.toml", "--submission", "good", "--out", "out", "--format", "gradescope"],
    );
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("\"9Z\" is no lab; the labs are 2A"), "{said}");
    let shown: Value =
        serde_json::from_str(&fs::read_to_string(place.join("out/results.json")).unwrap()).unwrap();
    assert_eq!(shown["score"], 0.0);
    assert!(shown["output"].as_str().unwrap().contains("did not finish"), "{shown}");
    // Nothing is built for a submission that is not there.
    let output =
        labgrade(place, &["grade", "--policy", "policy.toml", "--submission", "none", "--out", "out"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("none: No such file") && !place.join("work").exists(), "{said}");
    let output = Command::new(env!("CARGO_BIN_EXE_labgrade"))
        .args(["policy", "student", "policy.toml"])
        .current_dir(place)
        .output();
    let theirs = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(theirs.contains("b_2B") && !theirs.contains("sixteen") && !theirs.contains("hidden"), "{theirs}");
}

/// Who is no root makes namespaces by way of a user namespace. Once that went wrong wherever there was no `/proc` in the jail, and
/// the grader took it for a system without namespaces.
#[test]
fn an_ordinary_user_gets_a_whole_jail() {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = copy_of_program(place.path());
    let as_user = |mut command: Command| {
        if rustix::process::geteuid().is_root() {
            command.uid(64_999).gid(64_999);
        }
        command.current_dir("/").output()
    };
    let mut allowed = Command::new("unshare");
    allowed.args(["--user", "--map-root-user", "--mount", "--net", "true"]);
    if !as_user(allowed).is_ok_and(|output| output.status.success()) {
        println!("not tried: this system gives ordinary users no namespaces");
        return;
    }
    let system = ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/bin"];
    let readable: Vec<&str> = system.into_iter().filter(|path| Path::new(path).exists()).collect();
    let jail = serde_json::json!({
        "readable": readable,
        "writable": [], "proc": { "Only": "/usr/bin/ls" }, "directory": "/tmp", "environment": [],
        "limits": { "cpu_s": 60, "address_space": 1_u64 << 34, "file_size": 1 << 20, "open_files": 64, "processes": 512, "scratch": 1 << 20 },
        "command": ["/usr/bin/ls", "/"],
    });
    let mut command = Command::new(&program);
    command.args(["jail", "\"Namespaces\"", &jail.to_string()]);
    let output = as_user(command).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(seen.contains("tmp") && !seen.contains("home") && !seen.contains("etc"), "{seen}");
}

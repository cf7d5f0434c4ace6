//! `labgrade batch` and `labgrade merge`, as the staff runs them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::course::{GOOD, copy_of_program, course, labgrade, put};

/// Fails `a_2A` with seed 3, and all seeds of `b_2B`, which has no points for that.
const WRONG: &str = "pub fn behave(_: &str, seed: u64) -> (u64, &'static str) {\n\
                     if std::env::args().any(|it| it.contains(\"b_2B\")) { (1, \"lost entry 7\") }\n\
                     else if std::env::args().any(|it| it.contains(\"c_3A\")) { (0, \"\") }\n\
                     else { (u64::from(seed == 3), \"stuck at 12\") }\n}\n";

fn batch(place: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut all = vec!["batch", "class", "--policy", "policy.toml"];
    all.extend(arguments);
    let output = labgrade(place, &all);
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap()).concat();
    (output.status.code(), said)
}

fn class(place: &Path) {
    for (name, raft) in [
        ("amy", GOOD),
        ("bob", WRONG),
        ("cat", &WRONG.replace("12", "77")),
        ("dan", "does not compile"),
        ("eve", &format!("{GOOD}pub const A: &str = env!(\"HOME\");\n")),
    ] {
        put(place, &format!("class/{name}/raft/src/lib.rs"), raft);
        put(place, &format!("class/{name}/kvraft/src/lib.rs"), GOOD);
    }
}

fn file(place: &Path, name: &str) -> String {
    fs::read_to_string(place.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_class_becomes_a_table() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    course(place);
    class(place);
    let (code, said) = batch(place, &["--out", "out"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("5 submissions: 4 graded, 1 refused. Median: 1 points."), "{said}");
    let csv = file(place, "out/class.csv");
    let line = |name: &str| csv.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let without_seconds = |name: &str| {
        let line = line(name);
        let fields: Vec<&str> = line.split(',').collect();
        [&fields[..4], &fields[5..]].concat().join(",")
    };
    assert_eq!(
        without_seconds("submission"),
        "submission,state,points,points_max,2A,2B,3A,a_2A,b_2B,h_2B,c_3A"
    );
    assert_eq!(without_seconds("amy"), "amy,graded,5,5,1,3,1,6 of 6,6 of 6,6 of 6,6 of 6");
    assert_eq!(without_seconds("bob"), "bob,graded,1,5,0,0,1,5 of 6,0 of 6,5 of 6,6 of 6");
    assert!(
        line("dan").starts_with("dan,graded,1,5,") && line("eve").starts_with("eve,refused,0,5,"),
        "{csv}"
    );
    let table = file(place, "out/class.md");
    assert!(table.contains("| 2 | lost entry N | b_2B | bob, cat |"), "{table}");
    assert!(table.contains("| bob | cat | 100 % | 3 | 3 |"), "{table}");
    assert!(!table.contains("| amy | bob |"), "{table}");
    assert!(file(place, "out/amy/grade.md").contains("5 of 5 points"));

    // Once more: only what has changed is graded, and the rest says the same.
    put(place, "class/bob/raft/src/lib.rs", GOOD);
    fs::remove_file(place.join("out/amy/grade.md")).unwrap();
    fs::write(place.join("out/cat/grade.json"), "{").unwrap();
    let (code, said) = batch(place, &["--out", "out"]);
    assert_eq!(code, Some(0), "{said}");
    let before =
        |name: &str| said.lines().any(|line| line.starts_with(name) && line.ends_with("(as before)"));
    let again: Vec<bool> = ["amy", "bob", "cat", "dan", "eve"].map(before).into();
    assert_eq!(again, [true, false, false, true, true], "{said}");
    assert!(said.contains("Median: 1 points.") && file(place, "out/class.csv").contains("\nbob,graded,5,5,"));
    assert!(file(place, "out/amy/grade.md").contains("5 of 5 points"));
    // Once the policy was checked, nobody is told any more that it was not: not of earlier results either.
    let caution = "policy not checked: ";
    assert!(said.contains(caution) && file(place, "out/class.md").contains(caution), "{said}");
    assert!(labgrade(place, &["policy", "check", "policy.toml"]).status.success());
    let (code, said) = batch(place, &["--out", "out"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("(as before)"), "{said}");
    assert!(!said.contains(caution) && !file(place, "out/class.md").contains(caution), "{said}");
    // What cannot be read is nobody's zero.
    symlink("nowhere", place.join("class/fay.zip")).unwrap();
    let (code, said) = batch(place, &["--out", "out"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("the grader failed: class/fay.zip: No such file"), "{said}");
    assert!(file(place, "out/class.csv").contains("\nfay.zip,unfinished,0,"), "{said}");
    assert!(file(place, "out/class.md").contains("- fay.zip: the grader failed: "), "{said}");
    fs::remove_file(place.join("class/fay.zip")).unwrap();
    // By another policy nothing of it holds.
    put(place, "policy.toml", &file(place, "policy.toml").replace("derived = 2", "derived = 3"));
    let (_, said) = batch(place, &["--out", "out", "--labs", "3A"]);
    assert!(!said.contains("(as before)") && said.contains("1 of 1 points"), "{said}");
}

/// The program makes jails by running itself. Once it looked for its own file to do so, and whoever built the workspace anew
/// in the meantime broke the rest of a batch.
#[test]
fn a_program_that_is_built_anew_meanwhile_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    course(place);
    for name in ["amy", "bob"] {
        put(place, &format!("class/{name}/raft/src/lib.rs"), GOOD);
    }
    let program = copy_of_program(place);
    let arguments =
        ["batch", "class", "--labs", "2A", "--out", "out", "--course", "course", "--work", "work"];
    let mut batch = Command::new(&program);
    let mut batch = batch
        .args(arguments)
        .current_dir(place)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(batch.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("\namy ") {
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "{line}");
    }
    fs::remove_file(&program).unwrap();
    fs::write(&program, "another").unwrap();
    said.read_to_string(&mut line).unwrap();
    assert!(batch.wait().unwrap().success(), "{line}");
    assert!(line.contains("\nbob ") && line.matches(" 1 of 1 points\n").count() == 2, "{line}");
}

#[test]
fn parts_of_a_class_are_put_together_and_gaps_are_named() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    course(place);
    class(place);
    let labs = ["--labs", "3A"];
    let (code, said) = batch(place, &[&labs[..], &["--out", "one", "--shard", "1/2"]].concat());
    assert_eq!(code, Some(0), "{said}");
    assert!(!place.join("one/bob").exists() && !place.join("one/class.csv").exists(), "{said}");
    let merge = |from: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_labgrade"));
        let output =
            command.arg("merge").args(from).args(["--out", "all"]).current_dir(place).output().unwrap();
        let said = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap()).concat();
        (output.status.code(), said)
    };
    let (code, said) = merge(&["one"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("Part 2/2 is missing.") && said.contains("2 missing"), "{said}");

    batch(place, &[&labs[..], &["--out", "two", "--shard", "2/2"]].concat());
    let (code, said) = merge(&["one", "two"]);
    assert_eq!(code, Some(0), "{said}");
    let csv = file(place, "all/class.csv");
    let names: Vec<&str> = csv.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    assert_eq!(names, ["amy", "bob", "cat", "dan", "eve"]);
    assert!(place.join("all/bob/grade.md").exists());
    // Into one of them, as where all wrote into one.
    assert!(fs::remove_dir_all(place.join("all")).is_ok());
    fs::rename(place.join("one"), place.join("all")).unwrap();
    assert_eq!(merge(&["all", "two"]).0, Some(0));
    assert_eq!(file(place, "all/class.csv"), csv);

    // Parts that do not belong together are not put together.
    put(place, "class/fay/raft/src/lib.rs", GOOD);
    batch(place, &[&labs[..], &["--out", "two", "--shard", "2/2"]].concat());
    let (code, said) = merge(&["all", "two"]);
    assert_eq!(code, Some(2), "{said}");
    for part in ["all/shard-1-of-2.json and two/shard-2-of-2.json", "\"fay\" being known to one of them only"]
    {
        assert!(said.contains(part), "{part:?} is missing in: {said}");
    }
    let said = merge(&["class"]).1;
    assert!(said.contains("there is nothing to merge") && said.ends_with(" in class\n"), "{said}");
    // An output that cannot be made is named.
    let (code, said) = batch(place, &["--out", "policy.toml/out"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("policy.toml/out: "), "{said}");
}

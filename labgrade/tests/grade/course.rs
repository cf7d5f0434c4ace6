//! A course to grade: a workspace of two tiny crates whose suites answer a grader as the labs' suites do.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::stand_in::suite;
pub(crate) use crate::stand_in::{GOOD, put};

/// A course: its root is `course`, a policy lies beside it.
pub(crate) fn course(place: &Path) {
    let root = &place.join("course");
    let manifest = "[workspace]\nresolver = \"3\"\nmembers = [\"raft\", \"kvraft\"]\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n";
    put(root, "Cargo.toml", manifest);
    let package = |name: &str| format!("\n[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\n");
    put(root, "Cargo.lock", &format!("version = 4\n{}{}", package("kvraft"), package("raft")));
    for (name, tests) in [("raft", &["lab::a_2A", "lab::b_2B"][..]), ("kvraft", &["lab::c_3A"])] {
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
             [lints]\nworkspace = true\n[[test]]\nname = \"suite\"\npath = \"tests/suite.rs\"\nharness = false\n"
        );
        put(root, &format!("{name}/Cargo.toml"), &manifest);
        put(root, &format!("{name}/src/lib.rs"), GOOD);
        put(root, &format!("{name}/tests/suite.rs"), &suite(name, tests));
    }
    let policy = "secret = \"sixteen bytes or more\"\nlabs = [\"2A\", \"2B\", \"3A\"]\nhidden = \"hidden\"\n\
                  [seeds]\npublished = { first = 1, count = 4 }\nderived = 2\n[test.b_2B]\npoints = 2.0\n";
    put(place, "policy.toml", policy);
    put(place, "hidden/raft/tests/suite.rs", &suite("raft", &["lab::a_2A", "lab::b_2B", "extra::h_2B"]));
}

/// The program on that course.
pub(crate) fn command_of(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_labgrade"));
    command.args(arguments).args(["--course", "course", "--work", "work"]).current_dir(place);
    command
}

/// Runs it.
pub(crate) fn labgrade(place: &Path, arguments: &[&str]) -> Output {
    command_of(place, arguments).output().unwrap()
}

/// A copy of the program. By another process: one of this process's threads may start a child at any moment, which holds
/// for a while what is open here, and a file that is open for writing cannot be run.
pub(crate) fn copy_of_program(place: &Path) -> PathBuf {
    let copy = place.join("labgrade");
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_labgrade")).arg(&copy).status().unwrap().success());
    copy
}

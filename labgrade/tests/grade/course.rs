//! A course to grade: a workspace of two tiny crates whose suites answer a grader as the labs' suites do.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// What a suite says, without the labs' runtime: the code under test decides what becomes of a seed.
const SUITE: &str = r#"
use std::io::{Read, Write};
use std::os::fd::AsFd as _;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|it| it == "--list") {
        TESTS.iter().for_each(|test| println!("{test}: test"));
        return;
    }
    let mut channel = std::fs::File::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let mut nonce = [0; 16];
    channel.read_exact(&mut nonce).unwrap();
    let mut number = || {
        let mut bytes = [0; 8];
        channel.read_exact(&mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    };
    let count = number();
    let seeds: Vec<u64> = (0..count).map(|_| number()).collect();
    for seed in &seeds {
        let (became, text) = PACKAGE::behave(*seed);
        say(&mut channel, nonce, [became, *seed, 7, text.len() as u64, 0], text);
    }
    say(&mut channel, nonce, [4, count, 0, 0, 0], "");
}

fn say(to: &mut std::fs::File, nonce: [u8; 16], numbers: [u64; 5], text: &str) {
    let mut message = nonce.to_vec();
    numbers.iter().for_each(|number| message.extend(number.to_le_bytes()));
    message.extend(text.as_bytes());
    to.write_all(&message).unwrap();
}
"#;

/// Passes every seed.
pub(crate) const GOOD: &str = "pub fn behave(_seed: u64) -> (u64, &'static str) { (0, \"\") }\n";

/// Writes a file under `root`.
pub(crate) fn put(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn suite(package: &str, tests: &str) -> String {
    SUITE.replace("TESTS", tests).replace("PACKAGE", package)
}

/// A course: its root is `course`, a policy lies beside it.
pub(crate) fn course(place: &Path) {
    let root = &place.join("course");
    let manifest = "[workspace]\nresolver = \"3\"\nmembers = [\"raft\", \"kvraft\"]\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n";
    put(root, "Cargo.toml", manifest);
    let package = |name: &str| format!("\n[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\n");
    put(root, "Cargo.lock", &format!("version = 4\n{}{}", package("kvraft"), package("raft")));
    for (name, tests) in [("raft", "[\"lab::a_2A\", \"lab::b_2B\"]"), ("kvraft", "[\"lab::c_3A\"]")] {
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
    put(
        place,
        "hidden/raft/tests/suite.rs",
        &suite("raft", "[\"lab::a_2A\", \"lab::b_2B\", \"extra::h_2B\"]"),
    );
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

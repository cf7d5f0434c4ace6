//! Each `cargo` and `make` command in the documentation is one that works: what it names is there.
//!
//! The commands themselves are run by `make check_docs`, since they build and test for minutes.

use std::process::Command;

use labdocs::markdown::is_assignment;
use labdocs::workspace::{lab_tests, packages, root};

use crate::{check, name, pages};

/// The objection to a command, if there is one.
fn objection(command: &str, tests: &[String]) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().skip_while(|word| is_assignment(word)).collect();
    match words[..] {
        ["make", ..] => make(&words[1..]),
        ["cargo", subcommand, ..] => cargo(subcommand, &words[2..], tests),
        _ => Some("it is no command for cargo or make".to_string()),
    }
}

/// `make -n` knows whether there is such a target, and runs nothing.
fn make(arguments: &[&str]) -> Option<String> {
    let made = Command::new("make").arg("-n").args(arguments).current_dir(root()).output().expect("make");
    (!made.status.success()).then(|| String::from_utf8_lossy(&made.stderr).into_owned())
}

fn cargo(subcommand: &str, arguments: &[&str], tests: &[String]) -> Option<String> {
    let (own, passed_on) = match arguments.iter().position(|&word| word == "--") {
        Some(at) => (&arguments[..at], &arguments[at + 1..]),
        None => (arguments, &[][..]),
    };
    match subcommand {
        "test" | "bench" | "nextest" | "run" | "doc" | "build" | "check" | "clean" | "clippy" | "fmt" => {}
        "lab" => return labgrade(own),
        _ => return Some(format!("is there a `cargo {subcommand}`?")),
    }
    let mut filters: Vec<&str> = Vec::new();
    let mut words = own.iter();
    while let Some(&word) = words.next() {
        match word {
            "-p" => {
                let package = *words.next()?;
                if !packages().iter().any(|it| it == package) {
                    return Some(format!("there is no package {package}"));
                }
            }
            "run" if subcommand == "nextest" => {}
            "--no-run" | "--workspace" | "--quiet" | "-q" | "--offline" | "--locked" | "--doc" => {}
            _ if word.starts_with('-') => return Some(format!("is there an option {word}?")),
            filter => filters.push(filter),
        }
    }
    filters.extend(
        passed_on
            .iter()
            .filter(|word| !word.starts_with('-'))
            .map(|name| name.rsplit("::").next().unwrap_or(name)),
    );
    let idle = filters.into_iter().find(|filter| !tests.iter().any(|test| test.contains(filter)))?;
    Some(format!("no test of the labs has {idle} in its name"))
}

/// A command of ours is one that the command line's main file lists.
fn labgrade(arguments: &[&str]) -> Option<String> {
    let main = std::fs::read_to_string(root().join("labgrade/src/main.rs")).expect("labgrade's main file");
    let (_, commands) = main.split_once("enum Command {").expect("its commands");
    let (commands, _) = commands.split_once("\n}").expect("their end");
    let first = arguments.first().copied().unwrap_or_default();
    let known = commands.lines().filter_map(|line| line.trim().split(['(', ',', ' ', '{']).next());
    (!known.into_iter().any(|command| command.to_lowercase() == first.replace('-', "")))
        .then(|| format!("there is no `cargo lab {first}`"))
}

fn tests() -> Vec<String> {
    lab_tests().into_iter().map(|(_, test)| test).collect()
}

#[test]
fn all_commands_are_known() {
    let (tests, mut objections, mut count) = (tests(), Vec::new(), 0);
    for page in pages() {
        for command in page.commands() {
            count += 1;
            // A word that stands for something else is no command to try.
            if !command.contains(['<', '$']) && !command.ends_with("...") {
                objections.extend(
                    objection(&command, &tests).map(|why| format!("{}: `{command}`: {why}", name(&page))),
                );
            }
        }
    }
    assert!(count > 30, "only {count} commands were read");
    check(objections);
}

#[test]
fn what_would_not_work_is_noticed() {
    let tests = tests();
    for right in [
        "cargo test 2B",
        "LAB_RUNS=5 cargo test basic_agree -- --nocapture",
        "make test_2b",
        "cargo lab mutants",
    ] {
        assert_eq!(objection(right, &tests), None, "{right}");
    }
    for wrong in [
        "cargo test 2b",
        "cargo test -p none",
        "cargo tset 2B",
        "make no_such",
        "cargo test 2B -- --exact no_such_2B",
        "cargo lab dance",
    ] {
        assert!(objection(wrong, &tests).is_some(), "{wrong}");
    }
}

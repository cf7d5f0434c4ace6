//! Runs single tests of this binary again, as a user would, and reads what they print.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::process::{Command, Stdio};

/// What `cargo test -- --exact NAME --nocapture` gives.
#[derive(Debug)]
pub(crate) struct Again {
    pub(crate) passed: bool,
    /// Standard output and standard error.
    pub(crate) text: String,
}

impl Again {
    /// The last word that starts with `key=`, without it.
    pub(crate) fn value(&self, key: &str) -> &str {
        let word =
            self.text.split_whitespace().rev().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        word.unwrap_or_else(|| panic!("no {key}= in: {}", self.text))
    }
}

/// Runs the test `name` in a process of its own, with the given environment added.
pub(crate) fn again(name: &str, environment: &[(&str, &str)]) -> Again {
    let output = Command::new(std::env::current_exe().expect("this executable"))
        .args(["--exact", name, "--nocapture"])
        .env_remove("LABSIM_CHILD")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the test binary runs again");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Again { passed: output.status.success(), text }
}

/// The trace of one passing run of `name` with `seed`.
pub(crate) fn trace(name: &str, seed: u64, environment: &[(&str, &str)]) -> String {
    let seed = seed.to_string();
    let mut all = vec![("LAB_SEED", seed.as_str())];
    all.extend(environment);
    let again = again(name, &all);
    assert!(again.passed, "{name} with seed {seed}: {}", again.text);
    again.value("trace").to_owned()
}

/// How often a determinism test repeats a run: `LABSIM_REPEAT`, or a number that keeps `cargo test` short.
pub(crate) fn repeats() -> usize {
    std::env::var("LABSIM_REPEAT").map_or(20, |n| n.parse().expect("LABSIM_REPEAT is a number"))
}

/// Whether this test binary was started by [`inner`]: tests that are to fail do so only then.
pub(crate) fn is_inner() -> bool {
    std::env::var_os("LABSIM_INNER").is_some()
}

/// Runs the test `name`, one of those that do nothing in an ordinary run, as [`again`] does.
pub(crate) fn inner(name: &str, environment: &[(&str, &str)]) -> Again {
    let mut all = vec![("LABSIM_INNER", "1")];
    all.extend(environment);
    again(name, &all)
}

/// Runs `name`, which must fail and say all of `says`, in this order.
#[track_caller]
pub(crate) fn fails_saying(name: &str, environment: &[(&str, &str)], says: &[&str]) -> Again {
    let again = inner(name, environment);
    assert!(!again.passed, "{name} passed: {}", again.text);
    let mut rest = again.text.as_str();
    for part in says {
        let at =
            rest.find(part).unwrap_or_else(|| panic!("{name} does not say {part:?} there: {}", again.text));
        rest = &rest[at + part.len()..];
    }
    again
}

//! The variables by which `cargo test` is told things, `LAB_SEED` and its kin, and what becomes of them in the commands for
//! students, which have options for most of it. None is passed over in silence: a bad value is an error, and of one that a
//! command does not take its user is told what to write instead.

use std::env;
use std::io;
use std::time::Duration;

use Use::{Instead, Taken};

/// A command that makes runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Run,
    /// With a policy, which sets limits.
    RunPolicy,
    Stress,
    Replay,
}

/// What a command does with a variable.
enum Use {
    Taken,
    /// Nothing; what to do.
    Instead(&'static str),
}

/// A variable: its name, whether a value is one, and what it takes.
type Knob = (&'static str, fn(&str) -> bool, &'static str);

const KNOBS: [Knob; 11] = [
    ("LAB_SEED", is_seed, "a whole number from 0 to 2^64 - 1"),
    ("LAB_RUNS", |value| value.parse::<u32>().is_ok_and(|runs| runs > 0), "a whole number of at least 1"),
    ("LAB_TIME", |value| ["sim", "real"].contains(&value), "`sim` or `real`"),
    ("LAB_TIMEOUT", is_time, "seconds, more than 0"),
    ("LAB_MEMORY", is_memory, "MiB, a whole number of at least 1"),
    ("LAB_INPROCESS", is_switch, "0 or 1"),
    ("LAB_HANDOVER", |value| ["fast", "futex"].contains(&value), "`fast` or `futex`"),
    ("LAB_CHECK", is_switch, "0 or 1"),
    // These have a language of their own, and are read where they are used.
    ("LAB_LOG", |_| true, ""),
    ("LAB_TIMELINE", |_| true, ""),
    ("LAB_WITHOUT", |_| true, ""),
];

fn is_seed(value: &str) -> bool {
    value.split('@').next().is_some_and(|number| number.parse::<u64>().is_ok())
}

fn is_time(value: &str) -> bool {
    let time = value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.is_some_and(|time| !time.is_zero())
}

fn is_memory(value: &str) -> bool {
    value.parse().ok().and_then(|mib: usize| mib.checked_mul(1 << 20)).is_some_and(|bytes| bytes > 0)
}

fn is_switch(value: &str) -> bool {
    ["0", "1"].contains(&value)
}

/// Looks at the environment, and tells on standard error of what has no say. The error is a bad value.
pub(crate) fn look(command: Command) -> io::Result<()> {
    let text = |part: std::ffi::OsString| part.to_string_lossy().into_owned();
    let set = env::vars_os().map(|(name, value)| (text(name), text(value)));
    notes(set, command)?.iter().for_each(|note| eprintln!("{note}"));
    Ok(())
}

fn notes(set: impl Iterator<Item = (String, String)>, command: Command) -> io::Result<Vec<String>> {
    let mut set: Vec<_> = set.filter(|(name, _)| name.starts_with("LAB_")).collect();
    set.sort();
    let mut notes = Vec::new();
    for (name, value) in set {
        let Some((name, is_good, takes)) = KNOBS.iter().find(|(known, ..)| *known == name) else {
            let likeness = |knob: &&Knob| (1e6 * strsim::jaro_winkler(&name, knob.0)) as u64;
            let nearest = KNOBS.iter().max_by_key(likeness).map_or("", |knob| knob.0);
            notes.push(format!("warning: {name} is set, but nothing reads it; did you mean {nearest}?"));
            continue;
        };
        if !is_good(&value) {
            return Err(io::Error::other(format!("{name}={value:?}: it takes {takes}")));
        }
        if let Instead(what) = command.uses(name) {
            notes.push(format!("note: {name}={value} has no say here: {what}"));
        }
    }
    Ok(notes)
}

impl Command {
    fn uses(self, knob: &str) -> Use {
        use Command::{Replay, Run, RunPolicy, Stress};
        const BY_POLICY: Use = Instead("the policy says it");
        match (self, knob) {
            (RunPolicy, "LAB_SEED" | "LAB_RUNS" | "LAB_TIMEOUT" | "LAB_MEMORY") => BY_POLICY,
            (_, "LAB_TIME" | "LAB_TIMEOUT" | "LAB_MEMORY" | "LAB_HANDOVER") => Taken,
            (Run, "LAB_SEED") => Instead("use --first-seed, and --seeds 1 for this one alone"),
            (Stress, "LAB_SEED") => Instead("it begins with seed 1; `run --first-seed` begins elsewhere"),
            (Replay, "LAB_SEED") => Instead("the seed is the second argument"),
            (Run | Stress, "LAB_RUNS") => Instead("use --seeds"),
            (Replay, "LAB_RUNS") => Instead("it makes one run; `run --seeds` makes more"),
            (Replay, "LAB_LOG" | "LAB_WITHOUT") => Taken,
            (_, "LAB_LOG") => Instead("lines are shown by `replay TEST SEED --log ...`, or by cargo test"),
            (Replay, "LAB_TIMELINE") => Instead("the page is always written"),
            (Run | RunPolicy, "LAB_TIMELINE") => {
                Instead("pages are written of failures; `replay` writes one of any run")
            }
            (Stress, "LAB_TIMELINE") => Instead("`replay` writes the page of a run"),
            (_, _) => Instead("only cargo test takes it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_at(set: &[(&str, &str)], command: Command) -> io::Result<Vec<String>> {
        notes(set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())), command)
    }

    const ALL: [Command; 4] = [Command::Run, Command::RunPolicy, Command::Stress, Command::Replay];

    #[test]
    fn bad_values_are_errors_in_the_words_of_the_suites() {
        for (name, value, takes) in [
            ("LAB_SEED", "x", "a whole number from 0"),
            ("LAB_SEED", "-1@ab", "a whole number from 0"),
            ("LAB_RUNS", "0", "at least 1"),
            ("LAB_TIME", "virtual", "`sim` or `real`"),
            ("LAB_TIMEOUT", "inf", "seconds"),
            ("LAB_MEMORY", "1G", "MiB"),
            ("LAB_INPROCESS", "yes", "0 or 1"),
            ("LAB_HANDOVER", "slow", "`fast` or `futex`"),
            ("LAB_CHECK", "", "0 or 1"),
        ] {
            for command in ALL {
                let error = look_at(&[(name, value)], command).unwrap_err().to_string();
                assert!(error.starts_with(&format!("{name}={value:?}: it takes ")), "{error}");
                assert!(error.contains(takes), "{error}");
            }
        }
    }

    #[test]
    fn what_is_not_taken_is_told_with_what_to_do() {
        let good = ["1", "1", "sim", "1", "1", "1", "fast", "1", "debug", "never", "all"];
        for command in ALL {
            for ((name, ..), value) in KNOBS.iter().zip(good) {
                let notes = look_at(&[(name, value), ("PATH", "/")], command).unwrap();
                let taken = matches!(command.uses(name), Taken);
                assert_eq!(notes.is_empty(), taken, "{command:?} {notes:?}");
            }
        }
        let notes = look_at(&[("LAB_SEED", "7"), ("LAB_LOG", "debug")], Command::Run).unwrap();
        assert!(notes[1].ends_with("use --first-seed, and --seeds 1 for this one alone"), "{notes:?}");
        assert!(notes[0].starts_with("note: LAB_LOG=debug has no say here: "), "{notes:?}");
        assert!(look_at(&[("LAB_LOG", "debug")], Command::Replay).unwrap().is_empty());
    }

    #[test]
    fn a_misspelt_name_gets_the_nearest() {
        let notes = look_at(&[("LAB_SEDE", "7")], Command::Stress).unwrap();
        assert!(notes[0].ends_with("nothing reads it; did you mean LAB_SEED?"), "{notes:?}");
    }
}

//! What a user sets in the environment: `LAB_SEED` and its kin.
//!
//! A malformed value is an error that names the variable and says what it takes. An unknown `LAB_` name is
//! warned about once, with the nearest known one: a misspelt knob that does nothing costs an afternoon.

use std::fmt;
use std::time::Duration;

use crate::options::Handover;

/// The variables this crate reads.
const OWN: [&str; 8] = [
    "LAB_SEED",
    "LAB_RUNS",
    "LAB_TIME",
    "LAB_TIMEOUT",
    "LAB_MEMORY",
    "LAB_INPROCESS",
    "LAB_HANDOVER",
    "LAB_CHECK",
];

/// The values of the variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knobs {
    /// `LAB_SEED=<number>[@<build>]`: replay this seed; the build that found it, if given.
    pub seed: Option<(u64, Option<String>)>,
    /// `LAB_RUNS=<number>`: seeds per test.
    pub runs: Option<u32>,
    /// `LAB_TIME=sim` or `real`.
    pub real_time: bool,
    /// `LAB_TIMEOUT=<seconds>` of real time for one run.
    pub timeout: Option<Duration>,
    /// `LAB_MEMORY=<MiB>` for one run, in bytes.
    pub memory_max: Option<usize>,
    /// `LAB_INPROCESS=1`: no child process.
    pub in_process: bool,
    /// `LAB_HANDOVER=fast` or `futex`.
    pub handover: Handover,
    /// `LAB_CHECK=1`: run every seed twice and compare.
    pub check: bool,
}

/// A variable whose value is not what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnobError {
    name: String,
    value: String,
    takes: &'static str,
}

impl fmt::Display for KnobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}: it takes {}", self.name, self.value, self.takes)
    }
}

impl std::error::Error for KnobError {}

impl Knobs {
    /// Reads the environment. `known` are the names that others read; for the rest, see the second result:
    /// warnings, one a line.
    pub fn read(known: &[&str]) -> Result<(Knobs, Vec<String>), KnobError> {
        let variables = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        Self::parse(variables, known)
    }

    fn parse(
        variables: impl Iterator<Item = (String, String)>,
        known: &[&str],
    ) -> Result<(Knobs, Vec<String>), KnobError> {
        let mut knobs = Knobs {
            seed: None,
            runs: None,
            real_time: false,
            timeout: None,
            memory_max: None,
            in_process: false,
            handover: Handover::Auto,
            check: false,
        };
        let mut warnings = Vec::new();
        for (name, value) in variables.filter(|(name, _)| name.starts_with("LAB_")) {
            if let Err(takes) = knobs.set(&name, &value) {
                return Err(KnobError { name, value, takes });
            }
            if !OWN.contains(&name.as_str()) && !known.contains(&name.as_str()) {
                let nearest = OWN.iter().chain(known).min_by_key(|other| distance(&name, other));
                let hint = nearest.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
                warnings.push(format!("warning: {name} is set, but nothing reads it{hint}"));
            }
        }
        Ok((knobs, warnings))
    }

    /// Takes one variable; unknown ones are none of its business.
    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "LAB_SEED" => {
                let (number, build) = value.split_once('@').map_or((value, None), |(n, b)| (n, Some(b)));
                let seed = number.parse().map_err(|_| "a whole number from 0 to 2^64 - 1")?;
                self.seed = Some((seed, build.map(str::to_owned)));
            }
            "LAB_RUNS" => {
                let runs: u32 = value.parse().unwrap_or(0);
                self.runs = Some(Some(runs).filter(|n| *n > 0).ok_or("a whole number of at least 1")?);
            }
            "LAB_TIME" => self.real_time = choice(value, "sim", "real").ok_or("`sim` or `real`")?,
            "LAB_TIMEOUT" => {
                let seconds = value.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
                self.timeout = Some(seconds.filter(|t| !t.is_zero()).ok_or("seconds, more than 0")?);
            }
            "LAB_MEMORY" => {
                let bytes = value.parse().ok().and_then(|mib: usize| mib.checked_mul(1 << 20));
                self.memory_max =
                    Some(bytes.filter(|bytes| *bytes > 0).ok_or("MiB, a whole number of at least 1")?);
            }
            "LAB_INPROCESS" => self.in_process = choice(value, "0", "1").ok_or("0 or 1")?,
            "LAB_HANDOVER" => {
                let futex = choice(value, "fast", "futex").ok_or("`fast` or `futex`")?;
                self.handover = if futex { Handover::Futex } else { Handover::Fast };
            }
            "LAB_CHECK" => self.check = choice(value, "0", "1").ok_or("0 or 1")?,
            _ => {}
        }
        Ok(())
    }
}

/// Whether `value` is the second of two words; `None` if it is neither.
fn choice(value: &str, no: &str, yes: &str) -> Option<bool> {
    (value == yes || value == no).then_some(value == yes)
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<(Knobs, Vec<String>), KnobError> {
        let owned = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        Knobs::parse(owned, &["LAB_LOG"])
    }

    #[test]
    fn good_values_are_taken() {
        let (knobs, warnings) = parse(&[
            ("LAB_SEED", "17@ab12"),
            ("LAB_RUNS", "8"),
            ("LAB_TIME", "real"),
            ("LAB_TIMEOUT", "2.5"),
            ("LAB_MEMORY", "512"),
            ("LAB_INPROCESS", "1"),
            ("LAB_HANDOVER", "futex"),
            ("LAB_CHECK", "1"),
            ("LAB_LOG", "debug"),
            ("PATH", "/"),
        ])
        .expect("all good");
        assert_eq!(knobs.seed, Some((17, Some("ab12".into()))));
        assert_eq!((knobs.runs, knobs.real_time, knobs.in_process, knobs.check), (Some(8), true, true, true));
        assert_eq!(knobs.timeout, Some(Duration::from_millis(2500)));
        assert_eq!((knobs.memory_max, knobs.handover), (Some(512 << 20), Handover::Futex));
        assert_eq!(warnings, [""; 0]);
    }

    #[test]
    fn bad_values_are_errors_that_say_what_is_taken() {
        for (name, value) in [
            ("LAB_SEED", "x"),
            ("LAB_SEED", "-1"),
            ("LAB_RUNS", "0"),
            ("LAB_TIME", "virtual"),
            ("LAB_TIMEOUT", "0"),
            ("LAB_TIMEOUT", "inf"),
            ("LAB_MEMORY", "0"),
            ("LAB_MEMORY", "1G"),
            ("LAB_INPROCESS", "yes"),
            ("LAB_HANDOVER", "slow"),
            ("LAB_CHECK", ""),
        ] {
            let error = parse(&[(name, value)]).expect_err(name).to_string();
            assert!(error.starts_with(&format!("{name}={value:?}: it takes ")), "{error}");
        }
    }

    #[test]
    fn unknown_names_are_warned_about_with_the_nearest() {
        let (_, warnings) = parse(&[("LAB_SEDE", "1"), ("LAB_LOGS", "x")]).expect("only warnings");
        assert!(warnings[0].contains("LAB_SEDE") && warnings[0].ends_with("LAB_SEED?"), "{warnings:?}");
        assert!(warnings[1].ends_with("LAB_LOG?"), "{warnings:?}");
    }
}

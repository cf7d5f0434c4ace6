//! The `LAB_` environment variables: what a student may set, read once per test.
//!
//! Parsing is a pure function over name-value pairs, so that each mistake can be tested. A malformed value is
//! an error, never a silent default: a run with a seed other than the one asked for would prove nothing.

use std::fmt;
use std::time::Duration;

use log::LevelFilter;

/// Every variable the labs know. Some concern what this build does not have; naming them is no mistake.
const KNOWN: [&str; 9] = [
    "LAB_SEED",
    "LAB_RUNS",
    "LAB_TIME",
    "LAB_LOG",
    "LAB_TIMELINE",
    "LAB_TIMEOUT",
    "LAB_INPROCESS",
    "LAB_HANDOVER",
    "LAB_CHECK",
];

/// What the environment asks of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// `LAB_SEED`: the first run's seed; drawn afresh if absent.
    pub(crate) seed: Option<u64>,
    /// `LAB_RUNS`: how many seeds each test runs.
    pub(crate) runs: u32,
    /// `LAB_TIMEOUT`: the real time a run may take, instead of the labs' own limit.
    pub(crate) timeout: Option<Duration>,
    /// `LAB_LOG`: the most detailed level shown.
    pub(crate) log: LevelFilter,
}

impl Default for Options {
    fn default() -> Options {
        Options { seed: None, runs: 1, timeout: None, log: LevelFilter::Off }
    }
}

/// A variable whose value means nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    name: String,
    value: String,
    takes: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}: {} takes {}", self.name, self.value, self.name, self.takes)
    }
}

/// Reads the process's environment; the strings are warnings.
pub(crate) fn read() -> Result<(Options, Vec<String>), Malformed> {
    parse(
        std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())),
    )
}

/// Reads name-value pairs, of which those not starting with `LAB_` are none of ours. The strings are
/// warnings about unknown names.
fn parse(vars: impl IntoIterator<Item = (String, String)>) -> Result<(Options, Vec<String>), Malformed> {
    let mut options = Options::default();
    let mut warnings = Vec::new();
    for (name, value) in vars {
        if !name.starts_with("LAB_") {
            continue;
        }
        let malformed = |takes| Malformed { name: name.clone(), value: value.clone(), takes };
        match name.as_str() {
            "LAB_SEED" => {
                let takes = "a whole number from 0 to 18446744073709551615";
                options.seed = Some(value.parse().map_err(|_| malformed(takes))?);
            }
            "LAB_RUNS" => {
                let takes = "a number of runs from 1 to 4294967295";
                options.runs = value.parse().ok().filter(|&n| n > 0).ok_or_else(|| malformed(takes))?;
            }
            "LAB_TIMEOUT" => {
                let takes = "a whole number of seconds from 1 to 86400";
                let seconds = value.parse().ok().filter(|n| (1..=86_400).contains(n));
                options.timeout = Some(Duration::from_secs(seconds.ok_or_else(|| malformed(takes))?));
            }
            "LAB_LOG" => {
                let takes = "one of off, error, warn, info, debug, trace";
                options.log = value.parse().map_err(|_| malformed(takes))?;
            }
            "LAB_TIME" => match value.as_str() {
                "real" => {}
                "sim" => return Err(malformed("real: this build has only real time")),
                _ => return Err(malformed("sim or real")),
            },
            known if KNOWN.contains(&known) => {}
            unknown => {
                let nearest =
                    KNOWN.iter().min_by_key(|known| distance(known, unknown)).expect("KNOWN is not empty");
                warnings.push(format!("{unknown} is not a variable of the labs; did you mean {nearest}?"));
            }
        }
    }
    Ok((options, warnings))
}

/// The edit distance of two names: how many letters to insert, delete or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(vars: &[(&str, &str)]) -> Result<(Options, Vec<String>), String> {
        parse(vars.iter().map(|&(name, value)| (name.to_string(), value.to_string())))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn an_empty_environment_asks_for_nothing() {
        assert_eq!(parsed(&[("PATH", "/bin"), ("LABEL", "x")]), Ok((Options::default(), vec![])));
    }

    #[test]
    fn values_are_read() {
        let vars = [
            ("LAB_SEED", "7"),
            ("LAB_RUNS", "3"),
            ("LAB_TIMEOUT", "30"),
            ("LAB_LOG", "debug"),
            ("LAB_TIME", "real"),
        ];
        let options = Options {
            seed: Some(7),
            runs: 3,
            timeout: Some(Duration::from_secs(30)),
            log: LevelFilter::Debug,
        };
        assert_eq!(parsed(&vars), Ok((options, vec![])));
    }

    #[test]
    fn a_malformed_value_names_the_variable_and_what_it_takes() {
        let malformed = [
            ("LAB_SEED", "-1", "a whole number from 0"),
            ("LAB_SEED", "", "a whole number from 0"),
            ("LAB_SEED", "18446744073709551616", "a whole number from 0"),
            ("LAB_RUNS", "0", "a number of runs from 1"),
            ("LAB_TIMEOUT", "2m", "a whole number of seconds"),
            ("LAB_TIMEOUT", "0", "a whole number of seconds"),
            ("LAB_LOG", "loud", "one of off, error"),
            ("LAB_TIME", "virtual", "sim or real"),
            ("LAB_TIME", "sim", "only real time"),
        ];
        for (name, value, takes) in malformed {
            let error = parsed(&[(name, value)]).unwrap_err();
            assert!(error.starts_with(&format!("{name}={value:?}: {name} takes ")), "{error}");
            assert!(error.contains(takes), "{error}");
        }
    }

    #[test]
    fn an_unknown_name_is_a_warning_with_the_nearest_known_one() {
        let (options, warnings) = parsed(&[("LAB_SED", "7")]).unwrap();
        assert_eq!(options, Options::default());
        assert_eq!(warnings, ["LAB_SED is not a variable of the labs; did you mean LAB_SEED?"]);
        assert!(parsed(&[("LAB_LOGS", "x")]).unwrap().1[0].ends_with("LAB_LOG?"));
    }

    #[test]
    fn names_of_other_builds_are_no_mistake() {
        let vars =
            [("LAB_TIMELINE", "x"), ("LAB_INPROCESS", "1"), ("LAB_HANDOVER", "fast"), ("LAB_CHECK", "1")];
        assert_eq!(parsed(&vars), Ok((Options::default(), vec![])));
    }
}

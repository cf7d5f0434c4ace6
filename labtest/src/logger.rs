//! Shows log records with the run's time and the server that wrote them (`LAB_LOG`).
//!
//! Records are always made and here thrown away or shown: what a program computes for its log, and any lock that it
//! takes for that, is part of every run, so that a run with more logging is the same run.

use std::env;
use std::sync::OnceLock;

use log::{LevelFilter, Log, Metadata, Record};

use crate::eventlog::{self, Line};
use crate::{runner, text, threads};

/// The environment variable that says which records are shown.
pub(crate) const VARIABLE: &str = "LAB_LOG";

static LEVEL: OnceLock<LevelFilter> = OnceLock::new();

struct Logger;

/// Shows records from now on, up to the level that the environment asks for. The error says what it takes.
pub(crate) fn install() -> Result<(), String> {
    let level = parse(env::var_os(VARIABLE).map(|value| value.to_string_lossy().into_owned()))?;
    let level = *LEVEL.get_or_init(|| level);
    // An error means that a logger is there already: ours from the test before, or the test's own.
    let _ = log::set_logger(&Logger);
    log::set_max_level(if labsim::unsupported().is_none() { LevelFilter::Trace } else { level });
    Ok(())
}

fn parse(value: Option<String>) -> Result<LevelFilter, String> {
    let Some(value) = value else { return Ok(LevelFilter::Off) };
    let takes = "one of off, error, warn, info, debug, trace";
    value.parse().map_err(|_| format!("{VARIABLE}={value:?}: it takes {takes}"))
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        labsim::observe(|| {
            let run = runner::active();
            let who = threads::current();
            let is_ours = record.target().starts_with("labtest::");
            if let Some(run) = run.as_ref().filter(|_| !is_ours) {
                run.keep_line(|before, at| Line {
                    before,
                    at,
                    server: threads::current_server(),
                    who: who.clone(),
                    level: record.level(),
                    target: record.target().to_string(),
                    text: eventlog::cut(*record.args()),
                });
            }
            if LEVEL.get().is_none_or(|level| record.level() > *level) {
                return;
            }
            let time = run.map_or_else(String::new, |run| text::seconds(run.elapsed()));
            let (level, target, args) = (record.level(), record.target(), record.args());
            labsim::eprint(&format!("{time:>10} {level:5} {who:10} {target}: {args}\n"));
        });
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_read_and_a_word_that_is_none_is_refused() {
        let parsed = |value: &str| parse(Some(value.to_string()));
        assert_eq!(parse(None), Ok(LevelFilter::Off));
        assert_eq!((parsed("debug"), parsed("off")), (Ok(LevelFilter::Debug), Ok(LevelFilter::Off)));
        for malformed in ["", "loud", "5"] {
            let error = parsed(malformed).unwrap_err();
            let expected = format!("LAB_LOG={malformed:?}: it takes one of off, error");
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}

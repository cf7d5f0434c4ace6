//! Keeps log records for the run's event log, and shows those that are asked for (`LAB_LOG`), with the run's time and
//! the server that wrote them.
//!
//! Records are always made, and here thrown away or shown: what a program computes for its log, and any lock that it
//! takes for that, is part of every run, so that a run with more logging is the same run.

mod filter;
mod live;

use std::env;
use std::sync::OnceLock;

use log::{LevelFilter, Log, Metadata, Record};

use crate::eventlog::{self, Line};
use crate::report::style::Style;
use crate::{runner, threads};
use filter::Filter;
pub(crate) use filter::VARIABLE;
use live::Live;

static SHOWN: OnceLock<(Filter, Style)> = OnceLock::new();

struct Logger;

/// Shows records from now on, those that the environment asks for. The error says what it takes.
pub(crate) fn install(style: Style) -> Result<(), String> {
    let value = env::var_os(VARIABLE).map(|value| value.to_string_lossy().into_owned());
    let filter = value.map_or(Ok(Filter::OFF), |value| Filter::parse(&value))?;
    SHOWN.get_or_init(|| (filter, style));
    // An error means that a logger is there already: ours from the test before, or the test's own.
    let _ = log::set_logger(&Logger);
    log::set_max_level(LevelFilter::Trace);
    Ok(())
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        labsim::observe(|| {
            let run = runner::active();
            let (level, target, server) = (record.level(), record.target(), threads::current_server());
            let is_ours = target.starts_with("labtest::");
            if let Some(run) = run.as_ref().filter(|_| !is_ours) {
                run.keep_line(|before, at| Line {
                    before,
                    at,
                    server,
                    who: threads::current(),
                    level,
                    target: target.to_string(),
                    text: eventlog::cut(*record.args()),
                });
            }
            let Some((_, style)) = SHOWN.get().filter(|(filter, _)| filter.shows(level, target, server))
            else {
                return;
            };
            let (who, text) = (threads::current(), record.args().to_string());
            let at = run.as_ref().map(|run| run.elapsed());
            let servers = run.map_or(0, |run| run.servers_seen());
            labsim::eprint(&Live { at, server, who: &who, level, target, text: &text }.show(*style, servers));
        });
    }

    fn flush(&self) {}
}

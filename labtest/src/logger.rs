//! Shows log records with the run's time and the server that wrote them (`LAB_LOG`).

use log::{LevelFilter, Log, Metadata, Record};

use crate::{runner, text, threads};

struct Logger;

/// Shows records up to `level` from now on.
pub(crate) fn show(level: LevelFilter) {
    // An error means that a logger is there already: ours from the test before, or the test's own.
    let _ = log::set_logger(&Logger);
    log::set_max_level(level);
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let time = runner::active().map_or_else(String::new, |run| text::seconds(run.elapsed()));
        let who = match threads::current_server() {
            Some(server) => format!("server {server}"),
            None => threads::current_name(),
        };
        eprintln!("{time:>10} {:5} {who:10} {}: {}", record.level(), record.target(), record.args());
    }

    fn flush(&self) {}
}

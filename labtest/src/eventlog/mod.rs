//! The event log of a run, as `docs/event-log.md` defines it: all that happened, for programs that show it.
//!
//! **How it is recorded.** The stream of events that the oracles watch keeps its last events as they are, in memory; so
//! does [`Lines`] with what is logged. Only when a run has failed, or is asked for, are they written as text, when the
//! run is over, outside of its time. Nothing of it is derived while the run goes on: how servers stand is drawn from the
//! events afterwards, and in a long run from those that are about to be forgotten.
//!
//! **Why like this**, and not by recording little and replaying a run that failed with more: what fails in real time
//! does not come back; a run that has used up its time or memory should not be run again; and it costs little enough
//! (a few percent, see `docs/event-log.md`), since the events are made for the oracles anyway. Memory is bounded by the
//! number of events, of entries in them, and of lines.
//!
//! | type | what it is |
//! |---|---|
//! | [`Knob`] | `LAB_TIMELINE`: when it is written, and where |
//! | [`Lines`] | the last log lines |
//! | `writer` | turns both into text |

mod json;
mod knob;
mod lines;
mod writer;

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use labsim::ThreadDump;

pub(crate) use knob::{Knob, VARIABLE};
pub(crate) use lines::{Line, Lines, cut};
use writer::Header;

use crate::page::timeline_page;
use crate::report;
use crate::run::Run;

/// What was written of a run.
pub(crate) struct Written {
    /// The event log itself.
    pub(crate) log: PathBuf,
    /// The page that shows it.
    pub(crate) page: PathBuf,
}

/// Writes the log of a run that is over, and its page, if they are to be written, and says where. `None` also if the
/// run was ended from outside in the midst of recording.
/// `stuck` are the threads that hang.
pub(crate) fn write(
    run: &Run,
    report: &labsim::Report<String>,
    stuck: &[ThreadDump],
) -> Option<io::Result<Written>> {
    // Threads of the run may still hold these, and never let go.
    let progress = run.shared.progress.try_lock()?;
    let events = run.shared.events.try_lock()?;
    let lines = run.shared.lines.try_lock()?;
    let directory = run.shared.files.directory(report.result.is_err())?;
    // A run that was ended from outside has no failure of its own.
    let ended = report.result.as_ref().err().map(|why| report::of_end(why, report.elapsed));
    let failure = progress.failure.as_ref().or(ended.as_ref());
    let (name, seed, simulated) = (run.shared.name.full(), run.seed(), report.simulated);
    let header = Header {
        test: name.to_string(),
        seed,
        build: labsim::build_id().to_string(),
        simulated,
        servers: events.servers(),
        replay: labsim::replay_command(name, seed, !simulated),
        written: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs()),
    };
    let text = writer::render(&header, &events, &lines, failure, stuck);
    Some(directory.and_then(|directory| {
        let log = run.keep(&directory, ".ndjson", &text)?;
        let page = timeline_page(&format!("{name}, seed {seed}"), &text);
        Ok(Written { log, page: run.keep(&directory, ".timeline.html", &page)? })
    }))
}

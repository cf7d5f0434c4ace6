//! What a test says at its end: one line if it passed, a report if it failed.

use std::fmt::Write;
use std::time::Instant;

use crate::run::{Progress, Run};
use crate::text::seconds;

/// `basic_agree_2B passed: 0.9 s, 3 peers, 84 RPCs, 9,120 bytes, index 3, seed=7`
pub(crate) fn success(run: &Run, progress: &Progress) -> String {
    let mut line = format!("{} passed: {:.1} s", run.shared.name, progress.took.as_secs_f64());
    for summary in &progress.summary {
        write!(line, ", {summary}").expect("writing to a string");
    }
    write!(line, ", seed={}", run.shared.seed).expect("writing to a string");
    line
}

/// The report of a failed run: the failure first, then what led to it.
pub(crate) fn failure(run: &Run) -> String {
    let subjects = run.shared.progress.lock().subjects.clone();
    // Asked without the lock: a subject may look at the run.
    let about: Vec<String> = subjects.iter().map(|subject| subject.report()).collect();
    let progress = run.shared.progress.lock();
    render(run, &progress, &about).expect("writing to a string")
}

fn render(run: &Run, progress: &Progress, about: &[String]) -> Result<String, std::fmt::Error> {
    let (name, seed) = (run.shared.name, run.shared.seed);
    let mut out = String::new();
    let failure = progress.failure.as_ref();
    let at = failure.map_or_else(|| run.elapsed(), |failure| failure.at);
    write!(out, "{name} failed after {}", seconds(at))?;
    if let Some(phase) = progress.phases.iter().rev().find(|phase| phase.at <= at) {
        write!(out, ", in phase \"{}\"", phase.title)?;
    }
    writeln!(out, ":\n")?;
    if let Some(failure) = failure {
        writeln!(out, "{failure}")?;
    }
    if !progress.phases.is_empty() {
        writeln!(out, "\nphases:")?;
        // Of a long test the last phases tell the most.
        const SHOWN: usize = 20;
        let hidden = progress.phases.len().saturating_sub(SHOWN);
        if hidden > 0 {
            writeln!(out, "  ({hidden} earlier ones are not shown)")?;
        }
        for phase in &progress.phases[hidden..] {
            writeln!(out, "  {:>9}  {}", seconds(phase.at), phase.title)?;
        }
    }
    for about in about {
        write!(out, "\n{about}")?;
    }
    if !progress.calls.is_empty() {
        writeln!(out, "\ncalls into servers that have not returned:")?;
        let now = Instant::now();
        for call in &progress.calls {
            writeln!(out, "  {} of server {}, for {}", call.what, call.server, seconds(now - call.since))?;
        }
    }
    if let Some(backtrace) = failure.and_then(|failure| failure.backtrace.as_ref()) {
        writeln!(out, "\nbacktrace:\n{backtrace}")?;
    }
    writeln!(
        out,
        "\nTo run it with the same seed (in real time the threads' order is the system's, so it may not"
    )?;
    writeln!(out, "reproduce):\n  LAB_SEED={seed} cargo test {name}")?;
    Ok(out)
}

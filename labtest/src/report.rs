//! What a test says at its end: a few words if it passed, a report if it failed.

use std::fmt::Write;

use crate::events::Events;
use crate::run::{Phase, Progress, Run};
use crate::text::seconds;

/// What a run that passed is said to have done: `3 peers, 84 RPCs, 9,120 bytes, index 3`.
pub(crate) fn summary(run: &Run) -> String {
    run.progress(|progress| progress.summary.join(", "))
}

/// What is known of a run that was ended from outside, without waiting for anything of it.
pub(crate) fn remains(run: &Run) -> Option<String> {
    let progress = run.shared.progress.try_lock()?;
    let mut out = String::new();
    write_phases(&mut out, &progress.phases.iter().collect::<Vec<_>>()).ok()?;
    write_calls(&mut out, &progress).ok()?;
    Some(out)
}

/// The report of a failed run: the failure first, then what led to it.
pub(crate) fn failure(run: &Run) -> String {
    let subjects = run.shared.progress.lock().subjects.clone();
    // Asked without the lock: a subject may look at the run.
    let about: Vec<String> = subjects.iter().map(|subject| subject.report()).collect();
    // As an observer: a backtrace makes the report longer, and must not make the run another.
    labsim::observe(|| render(run, &run.shared.progress.lock(), &run.shared.events.lock(), &about))
        .expect("writing to a string")
}

fn render(
    run: &Run,
    progress: &Progress,
    events: &Events,
    about: &[String],
) -> Result<String, std::fmt::Error> {
    let name = run.shared.name;
    let mut out = String::new();
    let failure = progress.failure.as_ref();
    let at = failure.map_or_else(|| run.elapsed(), |failure| failure.at);
    write!(out, "{name} failed after {}", seconds(at))?;
    // Some may have been entered between the failure and the end of the run.
    let phases: Vec<_> = progress.phases.iter().filter(|phase| phase.at <= at).collect();
    if let Some(phase) = phases.last() {
        write!(out, ", in phase \"{}\"", phase.title)?;
    }
    writeln!(out, ":\n")?;
    if let Some(failure) = failure {
        writeln!(out, "{failure}")?;
        if !failure.evidence.is_empty() {
            writeln!(out, "what led there:")?;
        }
        for event in failure.evidence.iter().filter_map(|&number| events.get(number)) {
            writeln!(out, "  {:>9}  {}", seconds(event.at), event.what)?;
        }
    }
    write_phases(&mut out, &phases)?;
    for about in about {
        write!(out, "\n{about}")?;
    }
    write_calls(&mut out, progress)?;
    if let Some(backtrace) = failure.and_then(|failure| failure.backtrace.as_ref()) {
        write!(out, "\nbacktrace:\n{}", trimmed(&backtrace.to_string()))?;
    }
    Ok(out)
}

fn write_phases(out: &mut String, phases: &[&Phase]) -> std::fmt::Result {
    if phases.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nphases:")?;
    // Of a long test the last phases tell the most.
    const SHOWN: usize = 20;
    let hidden = phases.len().saturating_sub(SHOWN);
    if hidden > 0 {
        writeln!(out, "  ({hidden} earlier ones are not shown)")?;
    }
    for phase in &phases[hidden..] {
        writeln!(out, "  {:>9}  {}", seconds(phase.at), phase.title)?;
    }
    Ok(())
}

fn write_calls(out: &mut String, progress: &Progress) -> std::fmt::Result {
    if progress.calls.is_empty() {
        return Ok(());
    }
    writeln!(out, "\ncalls into servers that have not returned:")?;
    for call in &progress.calls {
        writeln!(out, "  {} of server {}, since {}", call.what, call.server, seconds(call.since))?;
    }
    Ok(())
}

/// Of a backtrace as the standard library writes it, what a student may have written: between the marks that
/// the library sets where a panic begins and where a thread begins, and without the library's own functions.
fn trimmed(backtrace: &str) -> String {
    let mut shown: Vec<String> = Vec::new();
    let mut lines = backtrace.lines().peekable();
    while let Some(line) = lines.next() {
        // "  12: core::panicking::panic_fmt"; one that was inlined may lack the number.
        let name = line.split_once(": ").filter(|(n, _)| n.trim().parse::<u32>().is_ok());
        let name = name.map_or(line.trim(), |(_, name)| name);
        let place = lines.next_if(|line| line.trim_start().starts_with("at ")).map(str::trim);
        if name.contains("__rust_end_short_backtrace") {
            shown.clear();
        } else if name.contains("__rust_begin_short_backtrace") {
            break;
        } else if !place.is_some_and(|place| place.contains("/rustc/") || place.contains("/rustlib/src/")) {
            let place = place.map_or(String::new(), |place| format!("           {place}\n"));
            shown.push(format!("{name}\n{place}"));
        }
    }
    shown.iter().enumerate().map(|(i, function)| format!("{i:>4}: {function}")).collect()
}

#[cfg(test)]
mod tests {
    use std::backtrace::Backtrace;
    use std::time::Duration;

    use super::*;
    use crate::failure::Failure;
    use crate::name::TestName;
    use crate::run::Limits;

    #[test]
    fn phases_after_the_failure_are_not_shown() {
        let limits = Limits { test: Duration::MAX, call: Duration::MAX };
        let run = Run::new(TestName::of::<fn()>(), 7, limits);
        run.phase("before");
        let at = run.elapsed();
        std::thread::sleep(Duration::from_millis(1));
        run.phase("after");
        run.record(Failure::new("it is wrong".to_string(), at));
        let report = failure(&run);
        assert!(report.contains("in phase \"before\"") && !report.contains("after\n"), "{report}");
    }

    #[test]
    fn a_backtrace_shows_the_functions_between_the_panic_and_the_start_of_the_thread() {
        let backtrace = "   0: caught
             at ./src/failure.rs:77:21
   1: std::sys::backtrace::__rust_end_short_backtrace::<std::panicking::panic_handler::{closure#0}, !>
             at /rustc/59807616/library/std/src/sys/backtrace.rs:182:18
   2: core::panicking::panic_fmt
             at /rustc/59807616/library/core/src/panicking.rs:80:14
   3: raft::election::run
      raft::inlined
             at ./src/election.rs:12:3
   4: core::ops::function::FnOnce::call_once
             at /home/me/.rustup/toolchains/stable/lib/rustlib/src/rust/library/core/src/ops/function.rs:250:5
   5: raft::raft::spawn
             at ./src/raft.rs:7:9
   6: __rust_begin_short_backtrace<raft::spawn::{closure#0}, ()>
             at /rustc/59807616/library/std/src/sys/backtrace.rs:166:18
   7: start_thread
             at ./nptl/pthread_create.c:442:8
";
        let shown = "   0: raft::election::run
   1: raft::inlined
           at ./src/election.rs:12:3
   2: raft::raft::spawn
           at ./src/raft.rs:7:9
";
        assert_eq!(trimmed(backtrace), shown);
    }

    /// Should the standard library ever write its backtraces in another way.
    #[test]
    fn a_real_backtrace_is_trimmed() {
        let thread = std::thread::spawn(|| Backtrace::force_capture().to_string());
        let (whole, here) = (thread.join().unwrap(), "report.rs:");
        assert!(whole.contains("__rust_begin_short_backtrace") && whole.contains(here), "{whole}");
        let shown = trimmed(&whole);
        assert!(shown.contains(here) && shown.lines().count() <= 4, "{shown} is left of {whole}");
    }
}

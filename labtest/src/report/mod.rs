//! What a test says at its end: a few words if it passed, a report if it failed.
//!
//! A report ([`Told`]) says, on one screen: what was expected and what was seen; how every server stood at that moment; what
//! led there; which calls have not returned and which threads wait; what the rule that was broken has its reader look at.
//! Its first parts are made within the run, where servers can be asked; the rest when the run is over.

mod backtrace;
mod elections;
mod pages;
pub(crate) mod servers;
mod story;
pub(crate) mod style;

use std::fmt::{self, Write};
use std::time::Duration;

use labsim::ThreadDump;

use crate::about::About;
use crate::events::Events;
use crate::failure::{Failure, Finding};
use crate::rules;
use crate::run::{Phase, Progress, Run};
use crate::text::{count, seconds};
use style::Style;

/// Of a long test the last phases tell the most.
const PHASES: usize = 4;
/// Threads that wait, and calls of each: more than that helps nobody.
const THREADS: usize = 5;
const FRAMES: usize = 5;
/// Threads that ask servers for their state for the report.
const OWN: &str = "report";

/// What a run that passed is said to have done: `3 peers, 84 RPCs, 9,120 bytes, index 3`.
pub(crate) fn summary(run: &Run) -> String {
    run.progress(|progress| progress.summary.join(", "))
}

/// A report in its parts, in this order. Each ends with a line feed, if it is not empty.
#[derive(Clone, Default)]
pub(crate) struct Told {
    /// What failed, and in which phase.
    head: String,
    /// What was found wrong when the run was over.
    found: String,
    /// How the servers, and what else there is, stood.
    about: String,
    /// Threads that keep others waiting, where that may be the cause.
    keepers: String,
    /// What led there.
    story: String,
    phases: String,
    /// Calls that have not returned, and the backtrace.
    rest: String,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { head, found, about, keepers, story, phases, rest } = self;
        [head, found, about, keepers, story, phases, rest].into_iter().try_for_each(|part| f.write_str(part))
    }
}

impl Told {
    /// A report of which no more is known.
    pub(crate) fn of_text(text: String) -> Told {
        Told { head: text, ..Told::default() }
    }

    /// That a run, which had not failed before, was found wrong when it was over.
    pub(crate) fn when_over(run: &Run) -> Told {
        Told { head: format!("{} failed when it was over:\n", run.shared.name), ..Told::default() }
    }

    /// Adds what was found; `failure` is the run's, which knows of it already.
    pub(crate) fn add(&mut self, finding: &Finding, failure: &Failure, run: &Run, style: Style) {
        let is_told = |rule: &str| self.head.contains(rule) || self.found.contains(rule);
        let rule = finding.rule.filter(|rule| !is_told(&style.wrap_prose(&rule.to_string())));
        let text = Finding { text: finding.text.clone(), rule, ..Finding::default() };
        self.found += &format!("\n{}", style.wrap_prose(&text.to_string()));
        if finding.core.is_empty() {
            return;
        }
        // Now it is known which operations it is about. Of a story that may have begun long before, the phase of its end is
        // told.
        self.story.clear();
        told(&mut self.story, failure, &run.shared.events.lock(), style);
        self.phases.clear();
    }
}

/// The report of a failed run, within it: the failure, how the servers stand, and what led there.
pub(crate) fn failure(run: &Run, style: Style) -> Box<Told> {
    let (subjects, rule) = {
        let progress = run.shared.progress.lock();
        (progress.subjects.clone(), progress.failure.as_ref().and_then(|failure| failure.rule))
    };
    // Asked without the lock: a subject may look at the run.
    let about: Vec<String> = subjects.iter().map(|subject| subject.report(rule)).collect();
    // As an observer: a backtrace makes the report longer, and must not make the run another.
    labsim::observe(|| {
        let progress = run.shared.progress.lock();
        let events = run.shared.events.lock();
        let mut out = Box::<Told>::default();
        head(&mut out.head, run, &progress, style);
        let about = about.iter().filter(|about| !about.is_empty());
        about.for_each(|about| out.about += &format!("\n{}", style.wrap_prose(about)));
        if let Some(failure) = &progress.failure {
            told(&mut out.story, failure, &events, style);
        }
        phases(&mut out.phases, &progress, style);
        calls(&mut out.rest, &progress);
        if let Some(backtrace) = progress.failure.as_ref().and_then(|failure| failure.backtrace.as_ref()) {
            out.rest += &format!("\nbacktrace:\n{}", backtrace::trimmed(&backtrace.to_string()));
        }
        out
    })
}

/// The same of a run that was ended from outside, as far as it can be had without waiting for anything of it.
pub(crate) fn of_ended(run: &Run, why: &labsim::Report<String>, style: Style) -> Option<Told> {
    let labsim::Report { result: Err(ended), panics, elapsed, .. } = why else { return None };
    // Whoever held a lock was stopped for good: then there is nothing to say.
    let progress = run.shared.progress.try_lock()?;
    let events = run.shared.events.try_lock()?;
    let mut out = format!("{} failed after {}", run.shared.name, seconds(*elapsed));
    if let Some(phase) = progress.phases.last() {
        out += &format!(", in phase \"{}\"", phase.title);
    }
    let failure = of_end(ended, *elapsed);
    let ended = &failure.message;
    out += ":\n\n";
    // A panic that came first is the likelier cause.
    if let Some(first) = panics.first().filter(|first| !ended.starts_with(&first.to_string())) {
        out += &format!("first, {first}\nthen, ");
    }
    out += ended.trim_end();
    out += "\n(docs/troubleshooting.md, \"A run does not end as it should\", tells what this means)\n";
    let mut out = Told { head: style.wrap_prose(&out), ..Told::default() };
    let picture = events.picture();
    if !picture.servers.is_empty() {
        out.about = format!("\n{}", style.wrap_prose(&servers::table(&picture, &[])));
    }
    told(&mut out.story, &failure, &events, style);
    phases(&mut out.phases, &progress, style);
    calls(&mut out.rest, &progress);
    Some(out)
}

/// The failure of a run that was ended from outside.
pub(crate) fn of_end(ended: &labsim::Failure, at: Duration) -> Failure {
    let server = ran_last(ended).and_then(|thread| thread.node.strip_prefix("server ")?.parse().ok());
    Failure { server, ..Failure::new(backtrace::of_failure(ended).to_string(), at) }
}

/// The one thread that a failure is about.
fn ran_last(ended: &labsim::Failure) -> Option<&ThreadDump> {
    match ended {
        labsim::Failure::BusyLoop(thread)
        | labsim::Failure::WallLimit(_, thread)
        | labsim::Failure::CpuLimit(_, thread)
        | labsim::Failure::OutsideWait(thread)
        | labsim::Failure::MemoryLimit(_, thread)
        | labsim::Failure::ProcessEnded(_, thread) => Some(thread),
        _ => None,
    }
}

/// Of the threads of a run that is over, those that hang, and where they do; and of those that `overdue` names, by node
/// and thread, what each waits for.
pub(crate) fn stuck(report: &labsim::Report<String>, overdue: &[(String, String)]) -> Stuck {
    let hanging = hanging(&report.stuck, &report.waiting);
    let is_overdue = |thread: &ThreadDump| {
        overdue.iter().any(|(node, name)| (node, name) == (&thread.node, &thread.name))
            && !hanging.all().iter().any(|shown| is_same(shown, thread))
    };
    let waits_for_ever = |thread: &ThreadDump| report.waiting.iter().any(|waits| is_same(waits, thread));
    let others = report.alive.iter().filter(|thread| !waits_for_ever(thread));
    let overdue = report.waiting.iter().chain(others).filter(|thread| is_overdue(thread));
    Stuck { overdue: overdue.map(backtrace::of_thread).collect(), ..hanging }
}

/// Of threads that have waited for long, for a lock and for something else, those that hang.
fn hanging(at_lock: &[ThreadDump], waiting: &[ThreadDump]) -> Stuck {
    // The harness's own, which tell of a failed run, wait because others do.
    let (own, others): (Vec<_>, Vec<_>) = at_lock.iter().partition(|thread| thread.name == OWN);
    let at_lock = if others.is_empty() { own } else { others };
    // Most that wait for something else wait for work, as they should; but not those that keep others waiting, nor
    // those that are to return at once.
    let holds = |thread: &ThreadDump| at_lock.iter().any(|waits| is_kept_by(waits, thread));
    let (holders, others): (Vec<_>, Vec<_>) = waiting.iter().partition(|&thread| holds(thread));
    let in_calls = others.into_iter().filter(|thread| is_within_a_call(thread));
    // Where the holder is shown, the harness's own question adds nothing.
    let is_explained = |thread: &ThreadDump| holders.iter().any(|holder| is_kept_by(thread, holder));
    let at_lock = at_lock.iter().filter(|thread| thread.name != OWN || !is_explained(thread));
    Stuck {
        at_lock: at_lock.copied().map(backtrace::of_thread).collect(),
        holders: holders.iter().copied().map(backtrace::of_thread).collect(),
        in_calls: in_calls.map(backtrace::of_thread).collect(),
        overdue: Vec::new(),
    }
}

/// Threads that hang.
pub(crate) struct Stuck {
    /// They wait for a lock.
    at_lock: Vec<ThreadDump>,
    /// They hold a lock that others wait for, and wait for something else.
    holders: Vec<ThreadDump>,
    /// They have called into a server's code, and wait for something else.
    in_calls: Vec<ThreadDump>,
    /// Their server was killed long ago, and they should have ended; without those that wait for a lock.
    overdue: Vec<ThreadDump>,
}

impl Stuck {
    pub(crate) fn all(&self) -> Vec<ThreadDump> {
        [&self.at_lock[..], &self.holders, &self.in_calls, &self.overdue].concat()
    }
}

/// The whole report when the run is over: with threads that wait, and the page of the rule.
pub(crate) fn afterwards(mut told: Told, run: &Run, stuck: &Stuck, style: Style) -> String {
    let (rule, is_safety) = run.shared.progress.try_lock().map_or((None, false), |progress| {
        let Some(failure) = &progress.failure else { return (None, false) };
        let rule = failure.rule.map(|rule| rule.id).or_else(|| pages::named_in(&failure.message));
        (rule, failure.rule.is_some_and(rules::is_of_safety))
    });
    let keepers = threads("threads that wait while they hold a lock that others want", &stuck.holders, style);
    // Where too little happened that is the cause, and comes before what happened.
    if is_safety {
        told.rest += &keepers;
    } else {
        told.keepers = keepers;
    }
    let Told { rest, .. } = &mut told;
    *rest += &threads("threads that have waited long for a lock", &stuck.at_lock, style);
    let title = "calls that have waited long for something other than a lock";
    *rest += &threads(title, &stuck.in_calls, style);
    *rest += &threads("threads of killed servers, and what they wait for", &stuck.overdue, style);
    if let Some(heart) = rule.and_then(pages::heart) {
        *rest += &format!("\n{}\n", style.wrap(heart.trim_end(), 4));
    }
    told.to_string()
}

fn threads(title: &str, threads: &[ThreadDump], style: Style) -> String {
    if threads.is_empty() {
        return String::new();
    }
    // Those of one server that stand in one place are told of once.
    let mut places: Vec<(ThreadDump, usize)> = Vec::new();
    for thread in threads {
        let mut thread = thread.clone();
        thread.stack.truncate(FRAMES);
        let is_there = |other: &ThreadDump| other.node == thread.node && other.stack == thread.stack;
        match places.iter_mut().find(|(first, _)| is_there(first)) {
            Some((_, more)) => *more += 1,
            None => places.push((thread, 0)),
        }
    }
    let mut out = format!("\n{title}:\n");
    for (thread, more) in places.iter().take(THREADS) {
        thread.to_string().lines().for_each(|line| out += &format!("{}\n", style.wrap(line, 8)));
        if *more > 0 {
            out += &format!(
                "      (so {} {} more)\n",
                if *more == 1 { "does" } else { "do" },
                count(*more, "thread")
            );
        }
    }
    let left: usize = places.iter().skip(THREADS).map(|(_, more)| more + 1).sum();
    if left > 0 {
        out += &format!("  ({} more)\n", count(left, "thread"));
    }
    out
}

/// Whether both are of the same thread, as far as names tell.
fn is_same(one: &ThreadDump, other: &ThreadDump) -> bool {
    (&one.node, &one.name) == (&other.node, &other.name)
}

/// Whether one thread waits for a lock that another one holds, as its state says.
fn is_kept_by(waits: &ThreadDump, holder: &ThreadDump) -> bool {
    waits.node == holder.node && waits.state.ends_with(&format!("; thread '{}' holds that lock", holder.name))
}

/// Whether a thread has called into a server's code.
fn is_within_a_call(thread: &ThreadDump) -> bool {
    thread.stack.iter().any(|frame| frame.contains("acting_for") && frame.contains("labtest/src/threads.rs"))
}

/// The failure itself.
fn head(out: &mut String, run: &Run, progress: &Progress, style: Style) {
    let failure = progress.failure.as_ref();
    let at = failure.map_or_else(|| run.elapsed(), |failure| failure.at);
    let mut title = format!("{} failed after {}", run.shared.name, seconds(at));
    // Some may have been entered between the failure and the end of the run.
    if let Some(phase) = progress.phases.iter().rfind(|phase| phase.at <= at) {
        title += &format!(", in phase \"{}\"", phase.title);
    }
    *out += &format!("{}:\n\n", style.wrap(&title, 2));
    if let Some(failure) = failure {
        *out += &format!("{}\n", style.wrap(&failure.to_string(), 2));
    }
}

/// What led there.
fn told(out: &mut String, failure: &Failure, events: &Events, style: Style) {
    let about = About::of(failure, events);
    let lines = story::events_of(failure, &about, events);
    if !lines.is_empty() {
        let proven = !failure.evidence.is_empty() || !about.answers.is_empty();
        let legend = if proven { " (* shows the failure)" } else { "" };
        *out += &format!("\nwhat led there{legend}:\n");
        lines.iter().for_each(|line| *out += &format!("{}\n", style.wrap(line, 13)));
    }
    // No event shows the failure, no server's thread has failed, no rule of safety was broken: too little happened, perhaps.
    let is_safety = failure.rule.is_some_and(rules::is_of_safety);
    if failure.evidence.is_empty() && failure.server.is_none() && !is_safety {
        let lines = story::traffic(failure, events);
        if !lines.is_empty() {
            *out += "\nmessages of the last 2 s:\n";
            lines.iter().for_each(|line| *out += &format!("{}\n", style.wrap(line, 6)));
        }
    }
}

fn phases(out: &mut String, progress: &Progress, style: Style) {
    let at = progress.failure.as_ref().map(|failure| failure.at);
    let phases: Vec<&Phase> =
        progress.phases.iter().filter(|phase| at.is_none_or(|at| phase.at <= at)).collect();
    if phases.is_empty() {
        return;
    }
    *out += "\nphases:\n";
    let hidden = phases.len().saturating_sub(PHASES);
    if hidden > 0 {
        let _ = writeln!(out, "  ({hidden} earlier not shown)");
    }
    for phase in &phases[hidden..] {
        let line = format!("  {:>9}  {}", seconds(phase.at), phase.title);
        let _ = writeln!(out, "{}", style.wrap(&line, 13));
    }
}

fn calls(out: &mut String, progress: &Progress) {
    if progress.calls.is_empty() {
        return;
    }
    *out += "\ncalls into servers that have not returned:\n";
    for call in &progress.calls {
        let _ = writeln!(out, "  {} of server {}, since {}", call.what, call.server, seconds(call.since));
    }
}

#[cfg(test)]
mod tests {
    use labsim::node::Node;

    use super::*;
    use crate::eventlog::Knob;
    use crate::name::TestName;
    use crate::run::Limits;

    /// Where the one that waits stands says little: the mistake is where the other one does.
    #[test]
    fn whoever_holds_a_lock_and_waits_is_shown() {
        let thread = |name: &str, node: &str, state: &str| ThreadDump {
            name: name.to_string(),
            node: node.to_string(),
            state: state.to_string(),
            stack: vec!["wait at /home/s/raft/src/raft.rs:1:2".to_string()],
        };
        let waits =
            thread("test", "server 1", "waits for a lock or a signal; thread 'election' holds that lock");
        let holder = thread("election", "server 1", "waits for a lock or a signal since 3.000000 s");
        let of_another_node = ThreadDump { node: "server 2".to_string(), ..holder.clone() };
        let works = thread("rpc", "server 1", "waits for a lock or a signal");
        let stuck = hanging(std::slice::from_ref(&waits), &[of_another_node, works, holder.clone()]);
        assert_eq!(stuck.all(), [waits.clone(), holder.clone()]);
        // The harness's own question tells nothing then.
        let own = ThreadDump { name: OWN.to_string(), ..waits };
        assert_eq!(hanging(std::slice::from_ref(&own), std::slice::from_ref(&holder)).all(), [holder]);
        assert_eq!(hanging(std::slice::from_ref(&own), &[]).all(), [own]);
    }

    /// One waits for ever, one again and again, and one has every right to.
    #[test]
    fn threads_of_killed_servers_are_shown_with_what_they_wait_for() {
        crate::runner::tests::alone(|| {
            let report = labsim::run(labsim::Options::new(1), || -> String {
                let (sends, receives) = std::sync::mpsc::channel::<()>();
                let killed = Node::new("server 1");
                let _reads = killed.spawn("reads".to_string(), move || receives.recv());
                let _loops = killed.spawn("loops".to_string(), || {
                    loop {
                        std::thread::sleep(Duration::from_millis(100));
                    }
                });
                let other = Node::new("server 2");
                let _sleeps =
                    other.spawn("loops".to_string(), || std::thread::sleep(Duration::from_secs(60)));
                std::thread::sleep(Duration::from_secs(10));
                std::mem::forget(sends);
                panic!("threads are still there")
            });
            let overdue = ["reads", "loops"].map(|thread| ("server 1".to_string(), thread.to_string()));
            let shown = stuck(&report, &overdue).all();
            let [reads, loops] = &shown[..] else { panic!("{shown:?}") };
            assert!(
                reads.name == "reads" && reads.stack.iter().any(|frame| frame.contains("recv")),
                "{reads:?}"
            );
            assert!(loops.name == "loops" && loops.node == "server 1", "{loops:?}");
            assert!(loops.state.starts_with("sleeps since 9.9"), "{loops:?}");
            assert!(stuck(&report, &[]).all().is_empty());
        });
    }

    #[test]
    fn threads_that_stand_in_one_place_are_told_of_once() {
        let thread = |name: String, node: &str, frame: &str| ThreadDump {
            name,
            node: node.to_string(),
            state: "sleeps".to_string(),
            stack: vec![frame.to_string()],
        };
        let of_node = |node: &'static str| (0..3).map(move |i| thread(format!("t{i}"), node, "wait"));
        let mut all: Vec<_> = of_node("a").chain(of_node("b").take(2)).collect();
        all.extend((0..6).map(|i| thread("u".to_string(), "c", &format!("f{i}"))));
        let text = threads("they wait", &all, Style::default());
        let begin = "\nthey wait:\n  thread 't0' of node 'a': sleeps\n      wait\n      (so do 2 threads more)\n  \
                     thread 't0' of node 'b': sleeps\n      wait\n      (so does 1 thread more)\n  thread 'u'";
        assert!(text.starts_with(begin) && text.ends_with("      f2\n  (3 threads more)\n"), "{text}");
    }

    #[test]
    fn phases_after_the_failure_are_not_shown() {
        let limits = Limits { test: Duration::MAX, call: Duration::MAX };
        let run = Run::new(TestName::of::<fn()>(), 7, limits, Knob::Never);
        run.phase("before");
        let at = run.elapsed();
        std::thread::sleep(Duration::from_millis(1));
        run.phase("after");
        run.record(Failure::new("it is wrong".to_string(), at));
        let report = failure(&run, Style::default()).to_string();
        assert!(report.contains("in phase \"before\"") && !report.contains("after\n"), "{report}");
    }
}

//! Tries tests with seeds: several processes of their suites at a time, each with a few seeds of one test, each of which it
//! runs in a process of its own. As many runs go on at a time as there are processors, over all suites of a user; see
//! `labsim`'s slots.
//!
//! What is tried next is decided by a [`Plan`], which hears of each run as soon as it is over. [`carry_out`] does
//! what it says, up to the end, an interruption, or the time that is given.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, after, never, select, unbounded};
use rustix::process::{Pid, Signal, kill_process};
use wait4::Wait4 as _;

use crate::judge::{self, Run};
use crate::runner::read_at_most;
use crate::workspace::Selection;

/// Variables of the user's that runs keep; the others are for single runs, or are said otherwise here.
const KEPT: [&str; 4] = ["LAB_TIME", "LAB_TIMEOUT", "LAB_MEMORY", "LAB_HANDOVER"];
/// Of what a suite's process says beside its answers.
const OUTPUT_MAX: usize = 64 << 10;

/// Seeds of one test, for one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// The test's place in the selection.
    pub(crate) test: usize,
    pub(crate) seeds: Vec<u64>,
}

/// What a plan hears.
#[derive(Debug)]
pub(crate) enum News {
    Ran {
        test: usize,
        seed: u64,
        run: Run,
    },
    /// A unit is over.
    Ended {
        test: usize,
        /// User and system time of all its processes.
        cpu: Duration,
        /// Seeds of which nothing was heard.
        untried: Vec<u64>,
        /// Why, unless it was interrupted.
        broken: Option<String>,
    },
}

/// Decides what is tried.
pub(crate) trait Plan {
    /// What to try now. `None` if there is nothing; it is asked again with each news.
    fn next(&mut self) -> Option<Unit>;
    /// Takes what has come.
    fn hear(&mut self, news: News) -> io::Result<()>;
    /// Whether all is to end, as by an interruption. Asked after each news.
    fn has_enough(&self) -> bool {
        false
    }
}

/// How runs are made.
pub(crate) struct Manner {
    /// Of the environment of all processes.
    pub(crate) variables: Vec<(String, String)>,
    /// Whether runs take real time: then there is but one at a time.
    pub(crate) real: bool,
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// The plan has nothing left.
    Done,
    /// The plan has enough, or the time is up.
    Enough,
    Interrupted,
}

/// Tries what `plan` says. Blocks to the end; when interrupted, or at `until`, kills what still runs, tells the plan,
/// and returns.
pub(crate) fn carry_out(
    selection: &Selection,
    manner: &Manner,
    interrupts: &Receiver<()>,
    until: Option<Instant>,
    plan: &mut impl Plan,
) -> io::Result<Over> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    // One more than can run: while one comes to its end, the next is ready.
    let at_a_time = if manner.real { 1 } else { processors + 1 };
    let running = Running::default();
    let (sender, news) = unbounded();
    let time_up = until.map_or_else(never, |until| after(until.saturating_duration_since(Instant::now())));
    thread::scope(|scope| {
        let (mut units, mut over, mut failed) = (0, None, None);
        loop {
            while over.is_none() && units < at_a_time {
                let Some(unit) = plan.next() else { break };
                let (sender, running) = (sender.clone(), &running);
                scope.spawn(move || try_unit(selection, manner, running, &unit, &sender));
                units += 1;
            }
            if units == 0 {
                return match failed {
                    Some(error) => Err(error),
                    None => Ok(over.unwrap_or(Over::Done)),
                };
            }
            let mut end = None;
            if over.is_none() {
                select! {
                    recv(news) -> said => end = heard(said, plan, &mut units, &mut failed),
                    recv(interrupts) -> _ => end = Some(Over::Interrupted),
                    recv(time_up) -> _ => end = Some(Over::Enough),
                }
            } else {
                heard(news.recv(), plan, &mut units, &mut failed);
            }
            if let (None, Some(end)) = (over, end) {
                over = Some(end);
                running.kill_all();
            }
        }
    })
}

/// Gives the plan what was received; whether that ends all.
fn heard(
    said: Result<News, crossbeam_channel::RecvError>,
    plan: &mut impl Plan,
    units: &mut usize,
    failed: &mut Option<io::Error>,
) -> Option<Over> {
    // The loop keeps a sender.
    let Ok(news) = said else { return Some(Over::Enough) };
    *units -= usize::from(matches!(news, News::Ended { .. }));
    match plan.hear(news) {
        Ok(()) => plan.has_enough().then_some(Over::Enough),
        Err(error) => {
            failed.get_or_insert(error);
            Some(Over::Enough)
        }
    }
}

/// The processes that go on.
#[derive(Default)]
struct Running {
    processes: Mutex<Processes>,
}

#[derive(Default)]
struct Processes {
    pids: BTreeSet<i32>,
    /// No more are started.
    stopped: bool,
}

impl Running {
    /// Starts a process, unless all is over.
    fn start(&self, command: &mut Command) -> io::Result<Option<Child>> {
        let mut processes = self.lock();
        if processes.stopped {
            return Ok(None);
        }
        let child = command.spawn()?;
        processes.pids.insert(Pid::from_child(&child).as_raw_nonzero().get());
        Ok(Some(child))
    }

    /// To be called before a process is waited for: then its number may be another's.
    fn forget(&self, child: &Child) {
        self.lock().pids.remove(&Pid::from_child(child).as_raw_nonzero().get());
    }

    /// Kills all, and lets nothing start. The runs die with the suites' processes; `labsim` sees to that.
    fn kill_all(&self) {
        let mut processes = self.lock();
        processes.stopped = true;
        for pid in processes.pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Processes> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tries a unit, and tells all that is to be told of it.
fn try_unit(selection: &Selection, manner: &Manner, running: &Running, unit: &Unit, news: &Sender<News>) {
    let mut untried: BTreeSet<u64> = unit.seeds.iter().copied().collect();
    let test = unit.test;
    // The plan is gone only when all is over.
    let tell = |said| drop(news.send(said));
    let tried = run_unit(selection, manner, running, unit, |seed, run| {
        untried.remove(&seed);
        tell(News::Ran { test, seed, run });
    });
    let (cpu, broken) = tried.unwrap_or_else(|error| (Duration::ZERO, Some(error.to_string())));
    let broken = broken.filter(|_| !running.is_stopped());
    tell(News::Ended { test, cpu, untried: untried.into_iter().collect(), broken });
}

/// What it took, and what was wrong with the suite's process.
fn run_unit(
    selection: &Selection,
    manner: &Manner,
    running: &Running,
    unit: &Unit,
    each: impl FnMut(u64, Run),
) -> io::Result<(Duration, Option<String>)> {
    let test = &selection.tests[unit.test];
    let nonce = judge::nonce()?;
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut command = selection.suite(test).command(&test.name, |name| KEPT.contains(&name));
    command
        .env("LABSIM_JUDGE", "1")
        .env("LAB_TIMELINE", "never")
        // Taking one for each of thousands of failures takes its time, and changes no verdict.
        .env("RUST_BACKTRACE", "0")
        .envs(manner.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // A terminal's Ctrl-C is for this program, which will see to the others.
        .process_group(0);
    let Some(mut child) = running.start(&mut command)? else { return Ok((Duration::ZERO, None)) };
    // It holds the suite's end of the channel: the other end would never be read to its end.
    drop(command);
    let errors = child.stderr.take();
    let broken = thread::scope(|scope| {
        let errors = scope.spawn(|| errors.map(|errors| read_at_most(errors, OUTPUT_MAX)));
        // Whoever does not read it says nothing either, and that is told below.
        let _ = judge::order(&mut ours, nonce, &unit.seeds);
        let broken = judge::hear_each(&mut ours, nonce, &unit.seeds, each)?;
        // It may be waiting to be heard; and it may have ended.
        let _ = child.kill();
        let errors = errors.join().ok().flatten().and_then(Result::ok).unwrap_or_default();
        let errors = String::from_utf8_lossy(&errors);
        let last = errors.lines().rev().find(|line| !line.trim().is_empty());
        Some(last.map_or(broken.clone(), |last| format!("{broken}: {last}")))
    });
    running.forget(&child);
    let ended = child.wait4()?;
    Ok((ended.rusage.utime + ended.rusage.stime, broken))
}

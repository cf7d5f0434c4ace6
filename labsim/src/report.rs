//! What a run gives back.

use std::any::Any;
use std::fmt;
use std::time::Duration;

/// The outcome of one run and what can be said about it.
#[derive(Debug)]
pub struct Report<R> {
    /// What the closure returned, or why the run ended without.
    pub result: Result<R, Failure>,
    /// The seed it was run with.
    pub seed: u64,
    /// Whether time was virtual; if not, `trace` is 0 and the seed does not replay the schedule.
    pub simulated: bool,
    /// Time the run took on its own clock.
    pub elapsed: Duration,
    /// Hash over all switches and events.
    pub trace: u64,
    /// How often a thread was resumed.
    pub switches: u64,
    /// Threads started, the first one included.
    pub threads: usize,
    /// The most bytes the run's heap held; 0 without [`Alloc`](crate::Alloc).
    pub memory_peak: usize,
    /// Threads that had not ended when the run did, without their stacks. Those of crashed nodes do not count.
    pub alive: Vec<ThreadDump>,
    /// If the run failed by a panic: threads that had waited for a lock for a virtual second or more.
    pub stuck: Vec<ThreadDump>,
    /// In the same case: threads that had waited that long for anything else, without a time limit.
    pub waiting: Vec<ThreadDump>,
    /// Panics in the order they happened, caught ones included.
    pub panics: Vec<PanicNote>,
    /// What the run leaves for its review, if it passed: empty, but for what [`Test::after`](crate::Test::after) puts there.
    pub evidence: Vec<u8>,
    /// With `record`: every switch, and the names of the threads.
    pub(crate) steps: Vec<RecordedStep>,
    pub(crate) names: Vec<String>,
    /// Mutexes that threads waited for when the run failed, in no words: to learn from another run who holds them.
    pub(crate) locks: Vec<u64>,
}

impl<R> Report<R> {
    /// The same report with another result.
    pub fn map<S>(self, f: impl FnOnce(R) -> S) -> Report<S> {
        let Report { result, seed, simulated, elapsed, trace, switches, threads, memory_peak, .. } = self;
        Report {
            result: result.map(f),
            seed,
            simulated,
            elapsed,
            trace,
            switches,
            threads,
            memory_peak,
            alive: self.alive,
            stuck: self.stuck,
            waiting: self.waiting,
            panics: self.panics,
            steps: self.steps,
            names: self.names,
            locks: self.locks,
            evidence: self.evidence,
        }
    }
}

/// A recorded switch: who ran next, when, and the trace hash up to there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedStep {
    pub(crate) thread: u32,
    pub(crate) now: u64,
    pub(crate) hash: u64,
}

/// With what [`fail`](crate::fail) unwinds.
pub(crate) struct Told(pub(crate) String);

/// The failure of a first thread that unwound with this payload, if it was told.
pub(crate) fn told(payload: &(dyn Any + Send)) -> Option<Failure> {
    payload.downcast_ref::<Told>().map(|told| Failure::Reported(told.0.clone()))
}

/// Why a run ended before its closure returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The first thread called [`fail`](crate::fail) with this text.
    Reported(String),
    /// The first thread panicked, or, with `end_on_panic`, any thread.
    Panicked(PanicNote),
    /// Every thread waits and no timer is armed.
    Deadlock(Vec<ThreadDump>),
    /// `livelock_switches` switches in a row without a timer firing.
    Livelock(Vec<ThreadDump>),
    /// Threads that waited for a lock for `stuck_max`; and all others, one of which may hold it.
    Stuck(Vec<ThreadDump>, Vec<ThreadDump>),
    /// A thread used `busy_max` of CPU time without giving way.
    BusyLoop(ThreadDump),
    /// The run used `wall_max` of real time; what ran last.
    WallLimit(Duration, ThreadDump),
    /// The run's process used `cpu_max` of CPU time; what ran last.
    CpuLimit(Duration, ThreadDump),
    /// A thread waits for something that is not in virtual time, such as another process or another process: for half a minute the run
    /// has neither gone on nor computed.
    OutsideWait(ThreadDump),
    /// The run's heap reached `memory_max`; which thread asked for more.
    MemoryLimit(usize, ThreadDump),
    /// A thread ended the process, or would have: by what, and which.
    ProcessEnded(ProcessEnd, ThreadDump),
}

/// What ends a process before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEnd {
    /// `std::process::exit` with this code.
    Exit(i32),
    /// `std::process::abort`.
    Abort,
    /// A panic that cannot be unwound, such as one in a destructor that runs because of another.
    Panic,
    /// More calls within calls than the thread has stack for.
    StackOverflow,
    /// An allocation that the system refused.
    OutOfMemory,
}

impl fmt::Display for ProcessEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProcessEnd::Exit(code) => {
                write!(f, "the test's process ended before the test: a thread called `process::exit({code})`")
            }
            ProcessEnd::Abort => f.write_str("the process aborted: a thread called `process::abort`"),
            ProcessEnd::Panic => {
                f.write_str("the process aborted: a thread panicked again while it was dealing with a panic")
            }
            ProcessEnd::StackOverflow => f.write_str(
                "stack overflow: a thread's calls go too deep, most likely a recursion without end",
            ),
            ProcessEnd::OutOfMemory => {
                f.write_str("out of memory: a thread asked for more at once than there is")
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Reported(text) => f.write_str(text),
            Failure::Panicked(note) => write!(f, "{note}"),
            Failure::Deadlock(threads) => {
                writeln!(f, "deadlock: every thread waits and no timer is armed")?;
                threads.iter().try_for_each(|thread| write!(f, "{thread}"))
            }
            Failure::Livelock(threads) => {
                writeln!(f, "livelock: threads take turns, but none of them ever sleeps")?;
                threads.iter().try_for_each(|thread| write!(f, "{thread}"))
            }
            Failure::Stuck(stuck, others) => {
                writeln!(f, "stuck: a thread does not get a lock, while others go on")?;
                stuck.iter().try_for_each(|thread| write!(f, "{thread}"))?;
                writeln!(f, "  the others:")?;
                others.iter().try_for_each(|thread| write!(f, "{thread}"))
            }
            Failure::BusyLoop(thread) => {
                writeln!(f, "busy loop: a thread computes without ever waiting or yielding")?;
                write!(f, "{thread}")
            }
            Failure::WallLimit(limit, thread) => {
                writeln!(f, "the run did not end within {limit:?} of real time; what ran last:")?;
                write!(f, "{thread}")
            }
            Failure::CpuLimit(limit, thread) => {
                writeln!(f, "CPU limit: the run used more than {limit:?} of CPU time; what ran last:")?;
                write!(f, "{thread}")
            }
            Failure::OutsideWait(thread) => {
                writeln!(
                    f,
                    "outside wait: a thread waits for something that is not in virtual time, such as another process"
                )?;
                write!(f, "{thread}")
            }
            Failure::MemoryLimit(limit, thread) => {
                writeln!(f, "memory limit: the run asked for more than {} MiB", limit >> 20)?;
                write!(f, "{thread}")
            }
            Failure::ProcessEnded(end, thread) => write!(f, "{end}\n{thread}"),
        }
    }
}

/// Why a copy of a run gave no answer: see [`what_if`](crate::what_if).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// A thread of the copy panicked: which, where, and what it said.
    Panicked(String),
    /// The copy ended as a run may end, in a deadlock for one: a [`Failure`] in words.
    Failed(String),
    /// There was no copy, it died, or it took 20 s of real time.
    Died(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (NoAnswer::Panicked(why) | NoAnswer::Failed(why) | NoAnswer::Died(why)) = self;
        f.write_str(why)
    }
}

/// One thread as a diagnosis shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadDump {
    /// The thread's name, or its number in the run.
    pub name: String,
    /// The node it belongs to; empty if none.
    pub node: String,
    /// What it does or waits for.
    pub state: String,
    /// Innermost first, without the frames of the runtime and the standard library beneath the call that waits.
    pub stack: Vec<String>,
}

impl fmt::Display for ThreadDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  thread '{}'", self.name)?;
        if !self.node.is_empty() {
            write!(f, " of node '{}'", self.node)?;
        }
        writeln!(f, ": {}", self.state)?;
        self.stack.iter().try_for_each(|frame| writeln!(f, "      {frame}"))
    }
}

/// One panic: where, when, what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanicNote {
    /// The thread's name, or its number in the run.
    pub thread: String,
    /// The node it belongs to; empty if none.
    pub node: String,
    /// Time of the run.
    pub at: Duration,
    /// What the panic said.
    pub message: String,
    /// `file:line:column`.
    pub location: String,
}

impl fmt::Display for PanicNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = if self.node.is_empty() { String::new() } else { format!(" of node '{}'", self.node) };
        write!(
            f,
            "thread '{}'{node} panicked {:.6} s into the run, at {}:\n{}",
            self.thread,
            self.at.as_secs_f64(),
            self.location,
            self.message
        )
    }
}

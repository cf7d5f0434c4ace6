//! Plain threads in deterministic virtual time, with exact replay.

#[cfg(not(simulated))]
#[path = "real.rs"]
mod sim;
#[cfg(simulated)]
mod sim;

mod build_id;
#[cfg(target_os = "linux")]
mod child;
mod env;
pub mod node;
mod options;
mod real_time;
mod report;
#[cfg(target_os = "linux")]
mod seeds;
#[cfg(target_os = "linux")]
mod slots;
mod test;
mod wire;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use env::{KnobError, Knobs};
pub use options::{Handover, Options, Schedule};
pub use report::{Failure, PanicNote, Report, ThreadDump};
pub use sim::Alloc;
pub use test::{Run, Test, name_of};

/// Runs `f` as the first thread of a simulated run, on this process, and waits for its end.
///
/// The run ends when `f` returns; threads that are still there then never run again. Only the first run of a
/// process replays exactly: libraries keep state between runs. [`Test`] therefore gives each run a process.
pub fn run<R, F>(options: Options, f: F) -> Report<R>
where
    R: Send + 'static,
    F: FnOnce() -> R + Send + 'static,
{
    sim::run(&options, f)
}

/// Why this build or process cannot simulate; `None` if it can.
pub fn unsupported() -> Option<&'static str> {
    sim::unsupported()
}

/// Whether the calling thread belongs to a simulated run.
pub fn is_simulated() -> bool {
    sim::is_simulated()
}

/// Time since the start of the run; outside one, since the first call in the process. Reading it costs nothing.
pub fn now() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    sim::now().unwrap_or_else(|| START.get_or_init(Instant::now).elapsed())
}

/// Adds `value` to the run's trace hash.
pub fn trace_event(value: u64) {
    sim::trace_event(value);
}

/// A point at which the schedule may prefer another thread: for operations that the simulation cannot see, such
/// as taking a lock nobody holds.
pub fn preemption_point() {
    sim::preemption_point();
}

/// Calls `f` without preemption, and without a crash or freeze of the thread's node taking effect. For code that
/// holds what others share. If `f` waits, others run as usual.
pub fn no_preempt<T>(f: impl FnOnce() -> T) -> T {
    let _scope = sim::Scope::shield();
    f()
}

/// Calls `f` so that the run does not notice: as [`no_preempt`], clock reads are free, random bytes come from a
/// stream of their own, allocations from outside the run's heap. For recorders, loggers and output.
pub fn observe<T>(f: impl FnOnce() -> T) -> T {
    let _scope = sim::Scope::observe();
    f()
}

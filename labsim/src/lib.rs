//! Plain threads in deterministic virtual time, with exact replay.
//!
//! A test of a threaded program - `std::thread`, `std::sync`, `std::time`, `parking_lot`, `crossbeam-channel`,
//! `rand::rng()`, `HashMap`, `futures`, a `tokio` runtime with time - runs with its threads one at a time, in an
//! order drawn from a seed, on a clock that jumps to the next timer instead of waiting. An hour of sleeping takes
//! microseconds; a seed replays a failure exactly; many seeds try many schedules. The program under test is not
//! changed and does not know.
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! let report = labsim::run(labsim::Options::new(7), || {
//!     let start = Instant::now();
//!     let sleeper = std::thread::spawn(|| std::thread::sleep(Duration::from_secs(3600)));
//!     sleeper.join().unwrap();
//!     start.elapsed()
//! });
//! assert_eq!(report.result.unwrap().as_secs(), 3600);
//! ```
//!
//! # In a test
//!
//! ```no_run
//! // tests/bank.rs
//! #[global_allocator]
//! static ALLOC: labsim::Alloc = labsim::Alloc;
//!
//! #[test]
//! fn transfers() {
//!     labsim::Test::new("transfers").runs(8).run(|run| {
//!         // run.seed decides whatever the test itself draws
//!         String::from("what it did, in a line")
//!     });
//! }
//! ```
//!
//! [`Test`] runs the body once for each of so many fresh seeds, in parallel, each in a child process; a failure
//! ends with the command that shows it again. The environment decides the rest:
//!
//! | variable | meaning |
//! |---|---|
//! | `LAB_SEED=<n>[@<build>]` | this seed; says so if it was found with another build |
//! | `LAB_RUNS=<n>` | how many seeds |
//! | `LAB_TIME=sim` or `real` | real: nothing is simulated |
//! | `LAB_TIMEOUT=<seconds>` | real time for one run |
//! | `LAB_MEMORY=<MiB>` | memory for one run |
//! | `LAB_INPROCESS=1` | no child process; also when a debugger is attached. May not replay exactly |
//! | `LAB_HANDOVER=fast` or `futex` | how threads take turns; the schedule is the same |
//! | `LAB_CHECK=1` | every seed twice; the first difference is pointed at |
//!
//! # How it works
//!
//! **Interposition.** Programs reach the kernel through functions of the C library, and a definition in the
//! executable hides libc's. This crate defines `syscall` (futexes, random bytes), `clock_gettime`, `nanosleep`,
//! `clock_nanosleep`, `sched_yield`, `getrandom`, `pthread_create`, `pthread_join`, `pthread_detach`,
//! `pthread_setname_np`, `pthread_getattr_np`, `pthread_key_create`, `pthread_key_delete`, `sigaltstack`,
//! `__cxa_thread_atexit_impl`, `dl_iterate_phdr`,
//! `sched_getaffinity`, `socket`, `socketpair`, `epoll_create1`, `read`, `exit` and `abort`. For threads of a run each does the virtual thing; for
//! all others, and in programs that never start a run, what libc does. Nothing is linked into a program that does
//! not use the crate.
//!
//! **Threads of control.** Each thread of a run is a real thread that the C library has set up, with its own stack
//! and thread-locals. When it has ended and was joined or detached, the next thread with a stack of that size gets its
//! kernel thread and stack, and thread-locals made new. At most one executes; it holds the *baton*. Where it waits, sleeps, yields or ends - and,
//! if the schedule says so, where it allocates, wakes another or starts one - the scheduler picks who is next.
//! The thread that called [`run`] waits outside, and watches.
//!
//! **Hand-over.** *Fast*: one kernel thread executes all of them, by exchanging registers, stack pointer and FS
//! base; it needs x86_64 with FSGSBASE. *Futex*: each sleeps in the kernel until its turn. Same schedule.
//!
//! **Clock.** Virtual time stands still while anything can run; when nothing can, it jumps to the next timer.
//! Computing costs nothing. Reading the clock costs nothing either, but a thread that reads it or yields again and
//! again without waiting pays a microsecond each time, then more, so that a loop until some time ends.
//!
//! **Futexes.** Locks, condition variables, channels, parking: in Rust all of it comes down to futex waits and
//! wakes, which here are queues of the scheduler. Which of several waiters wakes is drawn.
//!
//! **Schedules.** Each seed draws a kind of schedule: uniform choice with more or less frequent preemption, no
//! preemption, or [PCT](Schedule::Pct) with its bound. How many seeds it takes on average until a bug of threads
//! strikes (`cargo test -p labsim --test bugs -- --nocapture`; 400 seeds for the mix, 100 for each other way):
//!
//! | bug | switching where threads block only | preempting 1 in 8 | PCT, 2 of 64 | PCT, 3 of 64 | the mix |
//! |---|---|---|---|---|---|
//! | lost update between two holds of a lock | not found | 1.9 | 6.7 | 3.0 | 4.1 |
//! | two locks in two orders | not found | 6.3 | 11 | 7.1 | 6.2 |
//! | wake-up missed | not found | 11 | 50 | 50 | 25 |
//! | check, then act, over a channel | not found | 13 | not found | not found | 57 |
//!
//! Bugs of protocols, on the other hand, strike as the network draws: three known-wrong variants of a Raft server failed
//! in as many of 15 to 20 seeds whatever the way, but for one seed of one test. `LABSIM_SCHEDULE=uniform:8:8` or
//! `pct:3:64` is for such comparisons.
//!
//! A thread that is preempted goes on at the same virtual time, so that what it has looked at before is seldom out of date. Where
//! that is what matters, a node can have [stalls](node::Node::set_stalls): then it goes on later.
//!
//! **Memory.** Addresses decide orders: `parking_lot` queues locks by address, maps may be keyed by pointers. Heap
//! ([`Alloc`]), stacks and thread-locals of a run lie at fixed addresses. Statics lie where the executable does: the
//! child process runs without address randomisation where `personality()` is allowed; where it is not, link the test
//! binary with `-no-pie` (a build script's `cargo::rustc-link-arg-tests=-no-pie`).
//!
//! **Processes.** Libraries keep state for the life of a process, so only the first run of a process replays. The
//! child is the same test binary, told to run one test. Its output is passed on through the test harness's
//! capture. It dies with the test, and its children with it. Slots shared by all processes of a user keep as many
//! simulated runs going as there are processors.
//!
//! **Nodes.** See [`node`].
//!
//! **Questions.** [`what_if`] forks the process and lets the copy answer: what would this server do, were it
//! restarted now?
//!
//! # What it promises
//!
//! - The same executable, seed, schedule and environment of the run give the same run: every switch, every clock
//!   reading, every random byte, every address - in a child process, whatever the load, the hand-over, the number of
//!   test threads, `--nocapture` or `RUST_BACKTRACE`. [`Report::trace`] tells.
//! - [`observe`] leaves no trace: logging more does not change the run.
//! - A run that deadlocks, livelocks, spins, starves a thread at a lock, panics, exhausts its memory or its time ends with a [`Failure`] that
//!   names the thread and shows its stack; so does one whose thread calls `exit` or `abort`, overflows its stack or panics within a
//!   panic, which would end the process. A process that dies some other way is a failure that says how, and no more.
//! - A failure says who holds the mutexes of `std` and `parking_lot` that threads wait for. That takes a second run of
//!   the seed, and so a child process, and addresses of statics that are the same in both.
//!
//! # What it does not
//!
//! - Lock-free code is preempted only where it allocates, waits or yields: a race between two plain atomic
//!   operations is not explored. Nor is the memory model: every execution is sequentially consistent.
//! - All locks of `parking_lot` share one table. No thread stalls while that grows, but one may while it wakes more than eight at
//!   once, as a writer may do with readers; who uses the same part of the table waits for it, whatever node that belongs to.
//! - A lock that nobody holds is taken without the scheduler seeing it; a harness may put a [`preemption_point`]
//!   before it.
//! - What a program reads from the real world is not replayed: files that change, `rdtsc`, the process id, its
//!   environment, the quota of a cgroup (which limits `available_parallelism`, otherwise 4). Sockets, `epoll` and
//!   standard input are refused.
//! - A loop that waits for another thread, and neither yields nor allocates nor wakes, hangs; the watchdog says where. A
//!   wake from a thread outside the run does not reach a thread inside: beside [`run`] in a process with others, these must not
//!   share a lock with it, such as the one under which the standard library makes backtraces. [`Test`] runs alone in its process,
//!   unless `LAB_INPROCESS` or a debugger keeps it in the one that it was started in: then run one test, with `--exact`.
//! - Who makes system calls without the C library, as `rustix` may, or sleeps and waits by other functions than those
//!   above (`poll`, `usleep`, semaphores), does so in real time, and all others wait.
//! - `pthread_cancel`, `pthread_exit`, signals handled by the program, `fork` in a run, requeueing and
//!   priority-inheriting futexes (none of which Rust's libraries use), and blocking C code are not simulated.
//! - What a thread changes about its kernel thread (signal mask, priority, processors) and in the C library's own
//!   thread-locals, the next one on the same kernel thread finds changed.
//! - glibc's own locks are real. Rust code meets them in `dl_iterate_phdr`, where it is not preempted.
//! - Elsewhere than on x86_64 Linux with a shared glibc, and under Miri and sanitizers, runs take real time, and
//!   say so once.
//!
//! # What it costs
//!
//! CPU time on a small virtual machine, release build: a switch 0.11 to 0.15 us (sleep, park, condition variable), 0.18 us
//! (rendezvous channel); with futexes 3 to 4 us. Starting and joining a thread 1.6 us when an earlier one's kernel thread
//! is free, 0.1 ms when not. A process with an empty run 1.3 ms (real time). An allocation with its
//! release 13 ns. `cargo bench -p labsim` measures all of it.
//!
//! Memory: a thread that a crash of its node has stopped keeps its stack, its thread-locals and its kernel thread until
//! the process ends, for others may refer to them (locks queue who waits for them by records that lie there). That is
//! 10 KiB each, as far as it is used: a test with 100 crashes and 1,000 threads came to 16 MiB, one with 1,000 and 10,000
//! to 110 MiB (`labtest/tests/crash.rs`).
//!
//! # Not yet
//!
//! - Who holds a lock for readers and writers is not known. Nor who holds any, where the run has no process of its own.
//! - Preemption at the taking of a free lock: only where the program or its harness calls [`preemption_point`].
//! - aarch64 (the futex hand-over would do; the system calls are written for x86_64).
#![warn(missing_docs)]

#[cfg(not(simulated))]
#[path = "real.rs"]
mod sim;
#[cfg(simulated)]
mod sim;

mod build_id;
#[cfg(target_os = "linux")]
mod child;
mod env;
#[cfg(target_os = "linux")]
mod judge;
pub mod node;
mod options;
mod real_time;
mod report;
#[cfg(target_os = "linux")]
mod seeds;
#[cfg(target_os = "linux")]
mod slots;
mod terminal;
mod test;
mod wire;

use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use build_id::build_id;
pub use env::{KnobError, Knobs};
pub use options::{Handover, Options, Schedule};
pub use report::{Failure, NoAnswer, PanicNote, ProcessEnd, Report, ThreadDump};
pub use sim::Alloc;
pub use terminal::terminal_width;
pub use test::{Run, Test, name_of, replay_command};

/// Whether a grader wants runs that pass to leave evidence, for [`Test::review`].
pub fn is_reviewed() -> bool {
    #[cfg(target_os = "linux")]
    return judge::is_reviewed();
    #[cfg(not(target_os = "linux"))]
    false
}

/// Runs `f` as the first thread of a simulated run, on this process, and waits for its end.
///
/// Blocks in real time. The run ends when `f` returns; threads that are still there then never run again. Only the first run of a
/// process replays exactly: libraries keep state between runs. [`Test`] therefore gives each run a process.
pub fn run<R, F>(options: Options, f: F) -> Report<R>
where
    R: Send + 'static,
    F: FnOnce() -> R + Send + 'static,
{
    sim::run(&options, &[], f)
}

/// Why this build or process cannot simulate; `None` if it can.
pub fn unsupported() -> Option<&'static str> {
    sim::unsupported()
}

/// Whether the calling thread belongs to a simulated run.
pub fn is_simulated() -> bool {
    sim::is_simulated()
}

/// Takes down which threads have waited for long, and where, and who holds what they wait for: for a run that is about to
/// [`fail`], before anything is done to end it. Once is enough; later calls, and those outside a simulated run, do nothing.
/// Takes no time of the run.
pub fn diagnose() {
    sim::diagnose();
}

/// Ends the run as a failure that is shown in the words of `report` and no others. To be called on the first thread.
pub fn fail(report: String) -> ! {
    std::panic::resume_unwind(Box::new(report::Told(report)))
}

/// Prints `text` to standard error as an observer does: whatever lock a thread of the run holds in the midst of
/// printing, this does not wait for it. Outside a run as `eprint!`.
pub fn eprint(text: &str) {
    sim::eprint(text);
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

/// A point at which the schedule may prefer another thread, and a crash or freeze of the thread's node take effect:
/// for operations that the simulation cannot see, such as taking a lock nobody holds.
pub fn preemption_point() {
    sim::preemption_point();
}

/// Calls `f` without preemption, and without a crash or freeze of the thread's node taking effect. For code that
/// holds what others share. If `f` waits, others run as usual.
pub fn no_preempt<T>(f: impl FnOnce() -> T) -> T {
    let _scope = sim::Scope::shield();
    f()
}

/// Asks what would happen: calls `f` in a copy of the whole run, made here and now, and gives back what it
/// answers. In the copy the calling thread goes on alone, outside all nodes and scopes; every other thread is
/// stopped for good where it stands, and whatever locks it holds stay locked. `f` may start threads and let
/// virtual time pass; what it prints is lost. The run itself stands still and does not notice: its time, its
/// schedule and its trace are what they would be without.
///
/// `None` outside a simulated run. Costs a `fork` of the process, about a millisecond and what `f` takes.
pub fn what_if(f: impl FnOnce() -> Vec<u8>) -> Option<Result<Vec<u8>, NoAnswer>> {
    sim::what_if(f)
}

/// Has memory put behind a buffer that is about to be filled: one call, where each page would cost a page fault of its
/// own, and a run is a process in which every page is new. Where the system knows no such call nothing happens.
pub fn populate<T>(buffer: &mut [MaybeUninit<T>]) {
    sim::populate(buffer.as_mut_ptr() as usize, size_of_val(buffer));
}

/// Calls `f` so that the run does not notice: as [`no_preempt`], clock reads are free, random bytes come from a
/// stream of their own, allocations from outside the run's heap. For recorders, loggers and output.
pub fn observe<T>(f: impl FnOnce() -> T) -> T {
    let _scope = sim::Scope::observe();
    f()
}

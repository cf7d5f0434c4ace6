//! One run from outside: start the first thread, watch, gather the report.

use std::backtrace::Backtrace;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread;
use std::time::Duration;

use super::alloc;
use super::diagnosis::{self, Waits};
use super::handover::Kind;
use super::interpose;
use super::lifecycle;
use super::locks::{Lock, Watched};
use super::runtime::{Ending, Inside, Runtime};
use super::scheduler::{FIRST, State, ThreadId};
use super::scope::Scope;
use super::thread::Thread;
use super::watchdog::{Watch, watch};
use crate::options::{Handover, Options};
use crate::report::{Failure, PanicNote, ProcessEnd, RecordedStep, Report, ThreadDump, told};

/// Why this process cannot simulate, if it cannot.
pub(crate) fn unsupported() -> Option<&'static str> {
    (!interpose::is_in_place()).then_some("the C library's functions are not those of this executable")
}

/// See [`crate::run`]. `locks` are those of an earlier run's report, to learn who holds them.
pub(crate) fn run<R, F>(options: &Options, locks: &[u64], f: F) -> Report<R>
where
    R: Send + 'static,
    F: FnOnce() -> R + Send + 'static,
{
    // One run at a time: runs share the allocator's region. Each clears up behind the one before it; a process that has
    // but one run ends before that.
    static EARLIER: Mutex<Option<&Runtime>> = Mutex::new(None);
    let mut earlier = EARLIER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(earlier) = *earlier {
        earlier.idle.borrow_mut().dismiss();
    }
    install_panic_hook();
    // SAFETY: no memory is passed. One thread of a run executes at a time, so none needs a heap of its own in libc, which
    // would cost each new one a mapping.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    alloc::set_limit(options.memory_max);

    let runtime = Runtime::new(options, choose(options.handover), Watched::new(locks));
    *earlier = Some(runtime);
    let returned = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&returned);
    lifecycle::adopt_next(runtime);
    let one_processor = OneProcessor::enter();
    let first = thread::Builder::new().name("main".into()).spawn(move || {
        let result = panic::catch_unwind(AssertUnwindSafe(f));
        if let Some(inside) = Inside::enter() {
            let returned = result.is_ok();
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            if !returned {
                inside.end_in_panic();
            }
            inside.end(Ending::Returned);
        }
    });
    drop(one_processor);
    if let Err(error) = first {
        panic!("labsim: no thread for the run: {error}");
    }
    let watch = watch(runtime, options);
    let value = match watch {
        Watch::Over => returned.lock().unwrap_or_else(PoisonError::into_inner).take(),
        Watch::Busy(..) | Watch::OutOfTime(..) | Watch::OutOfCpu(..) | Watch::Still(..) => None,
    };
    let result = match value {
        Some(Ok(value)) => Ok(value),
        Some(Err(payload)) => Err(told(&*payload).unwrap_or_else(|| failure(runtime, options, watch))),
        None => Err(failure(runtime, options, watch)),
    };
    report(runtime, options, result)
}

fn choose(wanted: Handover) -> Kind {
    let fast = match wanted {
        Handover::Futex => false,
        Handover::Fast => Kind::fast_is_possible(),
        Handover::Auto => Kind::fast_is_possible() && !debugged(),
    };
    if fast { Kind::Fast } else { Kind::Futex }
}

/// The processor that a run's threads keep to: threads that run one at a time wake each other, and start new ones, at less cost
/// on one processor than across several (a fifth of the CPU time of the labs' tests, two fifths of their wall time with as
/// many runs at once as processors). It is the one on which the system has put the starter, as free as any just then, and
/// not one of a fixed number: those would be the same in all containers that share a machine.
///
/// The calling thread gets its own set back when this is dropped; what it has started keeps to the one.
struct OneProcessor(Option<libc::cpu_set_t>);

impl OneProcessor {
    fn enter() -> Self {
        // SAFETY: zeroed sets are valid, and of the size that is said. For speed only, so a refusal is no matter.
        unsafe {
            let mut own: libc::cpu_set_t = std::mem::zeroed();
            if libc::sched_getaffinity(0, size_of_val(&own), &mut own) != 0 {
                return OneProcessor(None);
            }
            let mut one: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(libc::sched_getcpu().max(0) as usize, &mut one);
            OneProcessor((libc::sched_setaffinity(0, size_of_val(&one), &one) == 0).then_some(own))
        }
    }
}

impl Drop for OneProcessor {
    fn drop(&mut self) {
        if let Some(own) = &self.0 {
            // SAFETY: a valid set of the size that is said.
            unsafe { libc::sched_setaffinity(0, size_of_val(own), own) };
        }
    }
}

/// Whether a debugger is attached: exchanged FS bases confuse it.
pub(crate) fn debugged() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() != "0"))
}

fn failure(runtime: &Runtime, options: &Options, watch: Watch) -> Failure {
    match watch {
        Watch::Busy(id, stack) => return Failure::BusyLoop(running(runtime, id, stack)),
        Watch::OutOfTime(after, id, stack) => {
            return Failure::WallLimit(after, running(runtime, id, stack));
        }
        Watch::OutOfCpu(id, stack) => {
            return Failure::CpuLimit(options.cpu_max, running(runtime, id, stack));
        }
        Watch::Still(id, stack) => return Failure::OutsideWait(running(runtime, id, stack)),
        Watch::Over => {}
    }
    ended(runtime, runtime.ending.take().unwrap_or(Ending::Panicked))
}

fn running(runtime: &Runtime, id: ThreadId, stack: Option<Backtrace>) -> ThreadDump {
    ThreadDump { state: "runs".into(), ..diagnosis::dump(runtime, id, stack.as_ref()) }
}

/// The failure of a run that ended so.
pub(super) fn ended(runtime: &Runtime, ending: Ending) -> Failure {
    match ending {
        Ending::Returned | Ending::Panicked => Failure::Panicked(last_panic(runtime)),
        Ending::Deadlock => Failure::Deadlock(all(runtime)),
        Ending::Livelock => Failure::Livelock(all(runtime)),
        Ending::Stuck => {
            let stuck = diagnosis::waits(runtime, &runtime.stacks_shown.borrow()).at_lock;
            let others = all(runtime).into_iter().filter(|thread| !stuck.contains(thread)).collect();
            Failure::Stuck(stuck, others)
        }
        Ending::Memory => Failure::MemoryLimit(alloc::limit(), ended_here(runtime).0),
        Ending::Exit(code) => Failure::ProcessEnded(ProcessEnd::Exit(code), ended_here(runtime).0),
        Ending::Abort => {
            let (thread, stack) = ended_here(runtime);
            let end = stack.map_or(ProcessEnd::Abort, |stack| diagnosis::why_aborted(&stack));
            Failure::ProcessEnded(end, thread)
        }
    }
}

/// The thread that ended the run, and its stack.
fn ended_here(runtime: &Runtime) -> (ThreadDump, Option<Backtrace>) {
    let (id, stack) = runtime.stacks_shown.borrow_mut().pop().unzip();
    let dump = diagnosis::dump(runtime, id.unwrap_or(FIRST), stack.as_ref());
    (ThreadDump { state: "runs".into(), ..dump }, stack)
}

/// The one that ended the run.
pub(super) fn last_panic(runtime: &Runtime) -> PanicNote {
    let note = runtime.panics.borrow().last().cloned();
    note.unwrap_or_else(|| PanicNote {
        thread: "main".into(),
        node: String::new(),
        at: Duration::ZERO,
        message: "a panic was raised without a message".into(),
        location: "unknown".into(),
    })
}

/// Every thread that might run again, with its stack if it has one.
fn all(runtime: &Runtime) -> Vec<ThreadDump> {
    let shown = runtime.stacks_shown.borrow();
    let stack = |id| shown.iter().find(|(shown, _)| *shown == id).map(|(_, stack)| stack);
    alive(runtime).into_iter().map(|id| diagnosis::dump(runtime, id, stack(id))).collect()
}

fn alive(runtime: &Runtime) -> Vec<ThreadId> {
    let scheduler = runtime.scheduler.borrow();
    let ids = (0..scheduler.threads().len() as u32).map(ThreadId);
    ids.filter(|id| scheduler.thread(*id).state != State::Finished && !scheduler.is_stopped(*id)).collect()
}

fn report<R>(runtime: &Runtime, options: &Options, result: Result<R, Failure>) -> Report<R> {
    // The first thread is alive by construction.
    let others = alive(runtime).into_iter().filter(|id| *id != ThreadId(0));
    let alive = others.map(|id| diagnosis::dump(runtime, id, None)).collect();
    let panicked = matches!(result, Err(Failure::Panicked(_) | Failure::Reported(_)));
    let of_end = diagnosis::waits(runtime, &runtime.stacks_shown.take());
    let Waits { at_lock, elsewhere, locks } = match runtime.waits.take() {
        Some(waits) if panicked => waits,
        _ => Waits { locks: of_end.locks, ..Waits::default() },
    };
    let locks = locks.into_iter().map(Lock::number).collect();
    let count = if options.record { runtime.threads.borrow().len() } else { 0 };
    let names = (0..count as u32).map(|id| runtime.name_of(ThreadId(id))).collect();
    let mut scheduler = runtime.scheduler.borrow_mut();
    let steps = scheduler.trace.take_steps();
    Report {
        result,
        seed: options.seed,
        simulated: true,
        elapsed: Duration::from_nanos(scheduler.now()),
        trace: scheduler.trace.hash(),
        switches: scheduler.switches,
        threads: scheduler.threads().len(),
        memory_peak: alloc::peak().unwrap_or(0),
        alive,
        stuck: at_lock,
        waiting: elsewhere,
        panics: runtime.panics.take(),
        steps: steps.iter().map(|s| RecordedStep { thread: s.thread, now: s.now, hash: s.hash }).collect(),
        names,
        locks,
        evidence: Vec::new(),
    }
}

/// Notes panics of run threads; whatever hook was there before still prints them, as an observer.
fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if Thread::current().is_none() {
                return previous(info);
            }
            let _scope = Scope::observe();
            note(info);
            previous(info);
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    let message = text.unwrap_or_else(|| "a value that is not text".to_owned());
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    if let Some(inside) = Inside::enter() {
        let runtime = inside.runtime();
        let thread = runtime.name_of(inside.thread.id);
        let (node, at) = {
            let scheduler = inside.scheduler();
            let node = scheduler.node(scheduler.thread(inside.thread.id).node);
            (node.name.clone(), Duration::from_nanos(scheduler.now()))
        };
        runtime.ends_by_panic.set(runtime.end_on_panic || runtime.copy_answers_to.get().is_some());
        runtime.panics.borrow_mut().push(PanicNote { thread, node, at, message, location });
    }
}

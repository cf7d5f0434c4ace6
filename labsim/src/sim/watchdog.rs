//! Whoever waits for a run watches it meanwhile: for its end, for the real-time limit, and for a thread that
//! computes without giving way. The last two end the run from outside; a signal makes the thread that runs show
//! its stack first.

use std::backtrace::Backtrace;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::runtime::Runtime;
use super::scheduler::ThreadId;
use super::thread::Thread;
use super::{alloc, raw};

/// How often to look. Ending does not wait for it.
const PERIOD: Duration = Duration::from_millis(100);
/// How long an interrupted thread has to show its stack.
const PATIENCE: Duration = Duration::from_secs(2);
/// Ignored by default, and used by hardly anyone.
const SIGNAL: c_int = libc::SIGURG;

/// How the watch ended.
#[derive(Debug)]
pub(super) enum Watch {
    Over,
    Busy(ThreadId, Option<Backtrace>),
    OutOfTime(ThreadId, Option<Backtrace>),
}

/// The interrupted thread was inside the runtime, and stops when it leaves.
static STOP: AtomicBool = AtomicBool::new(false);
static SHOWN: AtomicU32 = AtomicU32::new(0);
static STACK: Mutex<Option<Backtrace>> = Mutex::new(None);

/// Waits for the end of the run. `busy_max` is measured in CPU time, so a machine that gives us none accuses
/// nobody.
pub(super) fn watch(runtime: &'static Runtime, wall_max: Duration, busy_max: Duration) -> Watch {
    install();
    let start = Instant::now();
    let mut progress = 0;
    let mut cpu_at_progress = raw::process_cpu();
    loop {
        raw::futex_wait(&runtime.over, 0, Some(PERIOD));
        if runtime.over.load(Ordering::Acquire) != 0 {
            return Watch::Over;
        }
        let now = runtime.progress.load(Ordering::Relaxed);
        let cpu = raw::process_cpu();
        if now != progress {
            (progress, cpu_at_progress) = (now, cpu);
        } else if cpu - cpu_at_progress > busy_max {
            let (thread, stack) = interrupt(runtime);
            return Watch::Busy(thread, stack);
        }
        if start.elapsed() > wall_max {
            let (thread, stack) = interrupt(runtime);
            return Watch::OutOfTime(thread, stack);
        }
    }
}

/// Makes the thread that runs show its stack, and stops it for good.
fn interrupt(runtime: &'static Runtime) -> (ThreadId, Option<Backtrace>) {
    let id = ThreadId(runtime.running.load(Ordering::Relaxed));
    alloc::enter_signal();
    raw::signal_thread(runtime.kind.kernel_thread(runtime, runtime.thread(id)), SIGNAL);
    let start = Instant::now();
    while SHOWN.load(Ordering::Acquire) == 0 && start.elapsed() < PATIENCE {
        raw::futex_wait(&SHOWN, 0, Some(PERIOD));
    }
    alloc::leave_signal();
    SHOWN.store(0, Ordering::Relaxed);
    let stack = STACK.lock().ok().and_then(|mut stack| stack.take());
    (id, stack)
}

fn install() {
    // SAFETY: a zeroed sigaction is valid; the handler has the signature that SA_SIGINFO asks for. It runs on
    // the alternate stack, if there is one, since the thread may have little stack left.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction =
            handler as extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigaction(SIGNAL, &action, ptr::null_mut());
    }
}

extern "C" fn handler(_: c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    match Thread::current() {
        // The run's state must not be left half changed: its report is still to be written.
        Some(thread) if thread.inside.get() => STOP.store(true, Ordering::Relaxed),
        Some(thread) => stop_here(thread),
        None => {}
    }
}

pub(super) fn stop_is_asked() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Shows the stack and stops for good. What the thread was doing is left undone, so the capture need not be fit
/// for a signal handler; if it hangs, the report comes without a stack.
#[cold]
pub(super) fn stop_here(thread: &Thread) -> ! {
    STOP.store(false, Ordering::Relaxed);
    thread.inside.set(true);
    let stack = Backtrace::force_capture();
    if let Ok(mut slot) = STACK.try_lock() {
        *slot = Some(stack);
    }
    raw::futex_post(&SHOWN);
    raw::park_forever()
}

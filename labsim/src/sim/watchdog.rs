//! Whoever waits for a run watches it meanwhile: for its end, for the limits of real time and of CPU time, for a thread
//! that computes without giving way, and for one that waits where the runtime does not see it. All but the first end the
//! run from outside; a signal makes the thread that runs show its stack first.

use std::backtrace::Backtrace;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::runtime::Runtime;
use super::scheduler::ThreadId;
use super::thread::Thread;
use super::{alloc, raw};
use crate::options::Options;

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
    /// After so much real time.
    OutOfTime(Duration, ThreadId, Option<Backtrace>),
    OutOfCpu(ThreadId, Option<Backtrace>),
    Still(ThreadId, Option<Backtrace>),
}

/// The run whose running thread is to stop; null most of the time. The signal itself says nothing: others may send it.
static STOP: AtomicPtr<Runtime> = AtomicPtr::new(ptr::null_mut());
/// Also if it is an observer.
static AT_ANY_PRICE: AtomicBool = AtomicBool::new(false);
static SHOWN: AtomicU32 = AtomicU32::new(0);
static STACK: Mutex<Option<Backtrace>> = Mutex::new(None);

/// Waits for the end of the run. `busy_max` is measured in CPU time, so a machine that gives us none accuses
/// nobody.
pub(super) fn watch(runtime: &'static Runtime, options: &Options) -> Watch {
    let Options { wall_max, cpu_max, busy_max, still_max, .. } = *options;
    install();
    let start = Instant::now();
    let mut progress = 0;
    let mut cpu_at_progress = Duration::ZERO;
    let mut last_cpu = Duration::ZERO;
    let mut still = 0;
    loop {
        raw::futex_wait(&runtime.over, 0, Some(PERIOD));
        if runtime.over.load(Ordering::Acquire) != 0 {
            return Watch::Over;
        }
        let now = runtime.progress.load(Ordering::Relaxed);
        // Of the thread that runs: what others of the process compute is none of its doing.
        let cpu = raw::cpu_of(runtime.runner.load(Ordering::Relaxed));
        if now != progress {
            (progress, cpu_at_progress) = (now, cpu);
        } else if cpu.saturating_sub(cpu_at_progress) > busy_max {
            let (thread, stack) = interrupt(runtime);
            return Watch::Busy(thread, stack);
        }
        // Looks are counted, not time: where the machine stands still, or a debugger stops all, nobody looks either.
        still = if cpu == last_cpu { still + 1 } else { 0 };
        last_cpu = cpu;
        if PERIOD * still > still_max {
            let (thread, stack) = interrupt(runtime);
            // A thread that waits hears a signal at once. One that does not is kept from running by the machine.
            return match stack {
                Some(_) => Watch::Still(thread, stack),
                None => Watch::OutOfTime(start.elapsed(), thread, stack),
            };
        }
        if raw::cpu_of_process() > cpu_max {
            let (thread, stack) = interrupt(runtime);
            return Watch::OutOfCpu(thread, stack);
        }
        if start.elapsed() > wall_max {
            let (thread, stack) = interrupt(runtime);
            return Watch::OutOfTime(wall_max, thread, stack);
        }
    }
}

/// Makes the thread that runs show its stack, and stops it for good.
fn interrupt(runtime: &'static Runtime) -> (ThreadId, Option<Backtrace>) {
    alloc::enter_signal();
    STOP.store(ptr::from_ref(runtime).cast_mut(), Ordering::Relaxed);
    for at_any_price in [false, true] {
        AT_ANY_PRICE.store(at_any_price, Ordering::Relaxed);
        raw::signal_thread(runtime.runner.load(Ordering::Relaxed), SIGNAL);
        let start = Instant::now();
        while SHOWN.load(Ordering::Acquire) == 0 && start.elapsed() < PATIENCE {
            raw::futex_wait(&SHOWN, 0, Some(PERIOD));
        }
    }
    alloc::leave_signal();
    let id = ThreadId(runtime.running.load(Ordering::Relaxed));
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

extern "C" fn handler(_: c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if let Some(thread) = Thread::current() {
        // The run's state must not be left half changed: its report is still to be written. It stops when it leaves.
        if stop_is_asked(thread) && !thread.inside.get() {
            // SAFETY: SA_SIGINFO promises the kernel's context of this thread, which will not go on from it.
            unsafe { show_where_it_struck(&mut *context.cast::<libc::ucontext_t>()) };
            stop_here(thread);
        }
    }
}

/// Lets the stack name the function and the line that were interrupted. What a stack holds are addresses that calls return
/// to; one is taken from each to get at the call, also from the place where a signal struck. At the first instruction
/// of a function or of a loop this leads into the function or the padding before it. So one is added, with two exceptions. After
/// an instruction of a single byte that moves the stack pointer the stack is unwound in another way. And a thread that waits in
/// the kernel stands behind its system call, as if to return to there; what comes next may be another function's, the
/// call being inlined. Tried on x86-64 only, so elsewhere the place remains as it is.
///
/// # Safety
///
/// The context must be that of a thread that was about to execute an instruction, and will not go on.
unsafe fn show_where_it_struck(context: &mut libc::ucontext_t) {
    #[cfg(target_arch = "x86_64")]
    {
        let counter = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
        // SAFETY: what can be executed can be read.
        let instruction = unsafe { *(*counter as *const u8) };
        // push and pop, pushf, popf, ret, leave
        let moves_the_stack = matches!(instruction, 0x50..=0x5f | 0x9c | 0x9d | 0xc3 | 0xc9);
        let follows_a_system_call = raw::read_memory(*counter as usize - 2) == Some([0x0f, 0x05]);
        if !moves_the_stack && !follows_a_system_call {
            *counter += 1;
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = context;
}

/// Whether the thread, which runs, is to stop for good. An observer is not, as long as there is hope that it ends: it
/// allocates as whoever writes the report does, and may hold a lock of the C library.
#[inline]
pub(super) fn stop_is_asked(thread: &Thread) -> bool {
    ptr::eq(STOP.load(Ordering::Relaxed), thread.runtime)
        && (thread.quiet.get() == 0 || AT_ANY_PRICE.load(Ordering::Relaxed))
}

/// Shows the stack and stops for good. What the thread was doing is left undone, so the capture need not be fit
/// for a signal handler; if it hangs, the report comes without a stack.
#[cold]
pub(super) fn stop_here(thread: &Thread) -> ! {
    thread.inside.set(true);
    let stack = Backtrace::force_capture();
    if let Ok(mut slot) = STACK.try_lock() {
        *slot = Some(stack);
    }
    raw::futex_post(&SHOWN);
    raw::park_forever()
}

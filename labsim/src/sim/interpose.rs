//! The libc symbols that this crate defines in libc's place: a definition in the executable wins.
//!
//! Each does the virtual thing for a thread of a run, and what libc does for every other thread. Rust programs
//! reach the kernel through few of them: `std`, `parking_lot` and `crossbeam` wait by `syscall(SYS_futex)`.
//!
//! Invariant: no function here unwinds, and none allocates from the run's heap (they are inside the runtime).

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::sync::atomic::{AtomicU32, Ordering};

use super::diagnosis;
use super::handover::Kind;
use super::raw::{self, real, with_errno};
use super::runtime::{Ending, Inside};
use super::scheduler::{Nanos, Waiting};
use super::thread::Thread;
use crate::real_time;
use crate::report::ProcessEnd;

/// How many processors a run has: the same everywhere, or a thread pool's size would change the schedule.
const PROCESSORS: usize = 4;

/// Called from the crate's code, so that whoever uses the crate links this file; and to learn whether the
/// definitions here are those that the rest of the program sees.
pub(crate) fn is_in_place() -> bool {
    let ours = clock_gettime as unsafe extern "C" fn(c_int, *mut libc::timespec) -> c_int;
    let seen = libc::clock_gettime as unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int;
    ours as usize == seen as usize
}

/// # Safety
/// Null, or a valid `timespec`.
unsafe fn nanos(time: *const libc::timespec) -> Option<Nanos> {
    // SAFETY: the caller's promise.
    let time = unsafe { time.as_ref() }?;
    Some((time.tv_sec.max(0) as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64))
}

fn timespec(at: Nanos) -> libc::timespec {
    libc::timespec { tv_sec: (at / 1_000_000_000) as _, tv_nsec: (at % 1_000_000_000) as _ }
}

/// Futexes and random bytes are virtual, every other call is the kernel's. All seven words are taken whatever
/// the call: the registers and the stack slot of absent ones are readable, and ignored.
///
/// # Safety
/// As the system call.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    if number == libc::SYS_futex || number == libc::SYS_getrandom {
        if let Some(inside) = Inside::enter() {
            if number == libc::SYS_getrandom {
                // Whoever asks for nothing may pass no address either.
                if b > 0 {
                    // SAFETY: the caller's buffer.
                    inside.random(unsafe { std::slice::from_raw_parts_mut(a as *mut u8, b) });
                }
                return b as c_long;
            }
            // SAFETY: the caller's arguments, passed on.
            return unsafe { futex(&inside, [a, b, c, d, e, f]) };
        }
    }
    if number == libc::SYS_futex && ENDS.get() && is_wait(b as c_int) {
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) }
    }
    // SAFETY: the caller's arguments, passed on.
    with_errno(unsafe { raw::syscall(number, [a, b, c, d, e, f]) })
}

thread_local! {
    static ENDS: Cell<bool> = const { Cell::new(false) };
}

/// From here on the process ends where the calling thread, which is outside of any run, would have to wait for a lock:
/// the run is over, and whoever holds the lock never runs again.
pub(crate) fn end_rather_than_wait() {
    ENDS.set(true);
}

fn is_wait(op: c_int) -> bool {
    matches!(op & libc::FUTEX_CMD_MASK, libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET)
}

/// # Safety
/// As the system call.
unsafe fn futex(inside: &Inside, args: [usize; 6]) -> c_long {
    let [address, op, value, timeout, _, mask] = args;
    let op = op as c_int;
    let mask = |bitset: bool| if bitset { mask as u32 } else { !0 };
    match op & libc::FUTEX_CMD_MASK {
        cmd @ (libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET) => {
            // SAFETY: the caller's futex word.
            let word = unsafe { (*(address as *const AtomicU32)).load(Ordering::SeqCst) };
            if word != value as u32 {
                return with_errno(-libc::EAGAIN as isize);
            }
            let absolute = cmd == libc::FUTEX_WAIT_BITSET;
            let wall = op & libc::FUTEX_CLOCK_REALTIME != 0;
            // SAFETY: the caller's timeout.
            let time = unsafe { nanos(timeout as *const libc::timespec) };
            let deadline = time.map(|time| deadline(inside, time, absolute, wall));
            let futex = Some((address, mask(absolute)));
            if inside.wait(Waiting { futex, deadline, ..Waiting::default() }) {
                with_errno(-libc::ETIMEDOUT as isize)
            } else {
                0
            }
        }
        cmd @ (libc::FUTEX_WAKE | libc::FUTEX_WAKE_BITSET) => {
            let count = (value as u32 as usize).min(i32::MAX as usize);
            let mask = mask(cmd == libc::FUTEX_WAKE_BITSET);
            inside.runtime().watched.look_at_wake(inside.runtime(), inside.thread.id, address);
            let mut woken = inside.scheduler().wake_futex(address, mask, count);
            if woken < count {
                // A thread outside the run may wait for the same lock, stdout's for one.
                let rest = [address, args[1], count - woken, 0, 0, args[5]];
                // SAFETY: a wake reads nothing through the address.
                woken += unsafe { raw::syscall(libc::SYS_futex, rest) }.max(0) as usize;
            }
            inside.offer();
            woken as c_long
        }
        // Requeueing and priority inheritance: nothing in Rust's libraries uses them.
        _ => with_errno(-libc::ENOSYS as isize),
    }
}

/// The run's time at which the calling thread's clock has come to `time`.
fn deadline(inside: &Inside, time: Nanos, absolute: bool, wall: bool) -> Nanos {
    let node = inside.node();
    let scheduler = inside.scheduler();
    let clock = &scheduler.node(node).clock;
    match (absolute, wall) {
        (true, true) => clock.wall_deadline(time),
        (true, false) => clock.monotonic_deadline(time),
        (false, _) => clock.global(clock.local(scheduler.now()).saturating_add(time)),
    }
}

/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn clock_gettime(clock: c_int, out: *mut libc::timespec) -> c_int {
    let Some(inside) = Inside::enter() else {
        let real = real!(clock_gettime: unsafe extern "C" fn(c_int, *mut libc::timespec) -> c_int);
        // SAFETY: the caller's arguments, passed on.
        return unsafe { real(clock, out) };
    };
    inside.read_clock();
    let node = inside.node();
    let scheduler = inside.scheduler();
    let (clocks, now) = (&scheduler.node(node).clock, scheduler.now());
    let at = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => clocks.wall(now),
        libc::CLOCK_PROCESS_CPUTIME_ID | libc::CLOCK_THREAD_CPUTIME_ID => now,
        _ => clocks.monotonic(now),
    };
    // SAFETY: the caller's buffer.
    unsafe { *out = timespec(at) };
    0
}

/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn nanosleep(time: *const libc::timespec, rest: *mut libc::timespec) -> c_int {
    // SAFETY: the caller's arguments, passed on; `clock_nanosleep` returns the error instead of setting it.
    let error = unsafe { clock_nanosleep(libc::CLOCK_REALTIME, 0, time, rest) };
    if error == 0 {
        return 0;
    }
    raw::set_errno(error);
    -1
}

/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn clock_nanosleep(
    clock: c_int,
    flags: c_int,
    time: *const libc::timespec,
    rest: *mut libc::timespec,
) -> c_int {
    let Some(inside) = Inside::enter() else {
        let args = [clock as usize, flags as usize, time as usize, rest as usize, 0, 0];
        // SAFETY: the caller's arguments, passed on.
        return -unsafe { raw::syscall(libc::SYS_clock_nanosleep, args) } as c_int;
    };
    // SAFETY: the caller's time.
    let Some(time) = (unsafe { nanos(time) }) else { return libc::EFAULT };
    let absolute = flags & libc::TIMER_ABSTIME != 0;
    let deadline = deadline(&inside, time, absolute, clock == libc::CLOCK_REALTIME);
    inside.wait(Waiting { deadline: Some(deadline), ..Waiting::default() });
    0
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn sched_yield() -> c_int {
    match Inside::enter() {
        Some(inside) => {
            inside.give_way();
            0
        }
        // SAFETY: no arguments.
        None => unsafe { raw::syscall(libc::SYS_sched_yield, [0; 6]) as c_int },
    }
}

/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: u32) -> isize {
    // SAFETY: the caller's arguments, passed on.
    unsafe { syscall(libc::SYS_getrandom, buffer as usize, length, flags as usize, 0, 0, 0) as isize }
}

type PhdrCallback = unsafe extern "C" fn(*mut libc::dl_phdr_info, usize, *mut c_void) -> c_int;

/// Not preempted: libc calls back under a lock of its own, which no other thread of the run could wait for.
///
/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn dl_iterate_phdr(callback: PhdrCallback, data: *mut c_void) -> c_int {
    let _shield = Shield::raise();
    let real = real!(dl_iterate_phdr: unsafe extern "C" fn(PhdrCallback, *mut c_void) -> c_int);
    // SAFETY: the caller's arguments, passed on.
    unsafe { real(callback, data) }
}

struct Shield(Option<&'static Thread>);

impl Shield {
    fn raise() -> Self {
        let thread = Thread::current();
        if let Some(thread) = thread {
            thread.shield.set(thread.shield.get() + 1);
        }
        Shield(thread)
    }
}

impl Drop for Shield {
    fn drop(&mut self) {
        if let Some(thread) = self.0 {
            thread.shield.set(thread.shield.get() - 1);
        }
    }
}

/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sched_getaffinity(
    pid: libc::pid_t,
    size: usize,
    set: *mut libc::cpu_set_t,
) -> c_int {
    if Inside::enter().is_some() {
        // SAFETY: the caller's buffer of `size` bytes.
        let bytes = unsafe { std::slice::from_raw_parts_mut(set.cast::<u8>(), size) };
        bytes.fill(0);
        bytes[0] = (1 << PROCESSORS) - 1;
        return 0;
    }
    // SAFETY: the caller's arguments, passed on.
    let result =
        unsafe { raw::syscall(libc::SYS_sched_getaffinity, [pid as usize, size, set as usize, 0, 0, 0]) };
    if result < 0 {
        return with_errno(result) as c_int;
    }
    // The kernel fills as much as it has processors, libc clears the rest.
    // SAFETY: `result` bytes of the caller's `size` are filled.
    unsafe { set.cast::<u8>().add(result as usize).write_bytes(0, size - result as usize) };
    0
}

/// The outside world has its own time, so a run has no network. Refused rather than hung.
///
/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    if Inside::enter().is_some() {
        refuse(c"labsim: a simulated run cannot use the network: real sockets do not live in virtual time\n");
        return with_errno(-libc::EPERM as isize) as c_int;
    }
    let args = [domain as usize, kind as usize, protocol as usize, 0, 0, 0];
    // SAFETY: the caller's arguments, passed on.
    with_errno(unsafe { raw::syscall(libc::SYS_socket, args) }) as c_int
}

/// As [`socket`].
///
/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn socketpair(
    domain: c_int,
    kind: c_int,
    protocol: c_int,
    pair: *mut c_int,
) -> c_int {
    if Inside::enter().is_some() {
        refuse(c"labsim: a simulated run cannot use sockets: real ones do not live in virtual time\n");
        return with_errno(-libc::EPERM as isize) as c_int;
    }
    let args = [domain as usize, kind as usize, protocol as usize, pair as usize, 0, 0];
    // SAFETY: the caller's arguments, passed on.
    with_errno(unsafe { raw::syscall(libc::SYS_socketpair, args) }) as c_int
}

/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn epoll_create1(flags: c_int) -> c_int {
    if Inside::enter().is_some() {
        refuse(c"labsim: a simulated run cannot wait for real input or output (epoll)\n");
        return with_errno(-libc::EPERM as isize) as c_int;
    }
    // SAFETY: the caller's argument, passed on.
    with_errno(unsafe { raw::syscall(libc::SYS_epoll_create1, [flags as usize, 0, 0, 0, 0, 0]) }) as c_int
}

/// Only the terminal (or whatever stands for it) is refused; files are as they are.
///
/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn read(file: c_int, buffer: *mut c_void, count: usize) -> isize {
    if file == libc::STDIN_FILENO && Inside::enter().is_some() {
        refuse(c"labsim: a simulated run cannot read standard input\n");
        return with_errno(-libc::EPERM as isize) as isize;
    }
    let args = [file as usize, buffer as usize, count, 0, 0, 0];
    // SAFETY: the caller's arguments, passed on.
    with_errno(unsafe { raw::syscall(libc::SYS_read, args) }) as isize
}

/// Ends the run instead of the process, which still has to report it.
#[unsafe(no_mangle)]
pub(super) extern "C" fn exit(code: c_int) -> ! {
    end_run(Ending::Exit(code));
    let real = real!(exit: extern "C" fn(c_int) -> !);
    real(code)
}

/// As [`exit`]. The standard library calls it too: where a panic cannot be unwound, where the system refuses memory, and, in
/// the handler of the signal, where a stack overflows.
#[unsafe(no_mangle)]
pub(super) extern "C" fn abort() -> ! {
    end_run(Ending::Abort);
    let real = real!(abort: extern "C" fn() -> !);
    real()
}

/// Returns if there is no run to end, and if the runtime itself was interrupted: then its state cannot be relied on.
fn end_run(ending: Ending) {
    if let Some(inside) = Inside::enter() {
        inside.end_here(ending);
    }
    if Thread::current().is_none() {
        real_time_end(ending);
    }
}

/// The same in real time. A handler of a signal has too little stack for it there.
fn real_time_end(ending: Ending) {
    if !on_alternate_stack() {
        real_time::end(|| {
            let stack = Backtrace::force_capture();
            let end = match ending {
                Ending::Exit(code) => ProcessEnd::Exit(code),
                _ => diagnosis::why_aborted(&stack),
            };
            (end, diagnosis::user_frames(&stack))
        });
    }
}

fn on_alternate_stack() -> bool {
    // SAFETY: a zeroed record is valid, and is written to.
    unsafe {
        let mut stack: libc::stack_t = std::mem::zeroed();
        let args = [0, std::ptr::from_mut(&mut stack) as usize, 0, 0, 0, 0];
        raw::syscall(libc::SYS_sigaltstack, args);
        stack.ss_flags & libc::SS_ONSTACK != 0
    }
}

fn refuse(message: &CStr) {
    let args = [libc::STDERR_FILENO as usize, message.as_ptr() as usize, message.count_bytes(), 0, 0, 0];
    // SAFETY: reads the message.
    unsafe { raw::syscall(libc::SYS_write, args) };
}

/// The calling thread's name, of which `begin` is what Linux has room for: threads whose names begin alike are told apart by
/// the rest. The standard library knows it whole, since it names a thread for itself before it names it for the system.
fn in_full(begin: &CStr) -> Option<String> {
    const ROOM: usize = 15;
    if begin.count_bytes() < ROOM {
        return None;
    }
    let thread = std::thread::current();
    thread.name().filter(|name| name.as_bytes().starts_with(begin.to_bytes())).map(str::to_owned)
}

/// Remembers the name that the program gave the thread. Where each thread has a kernel thread of its own, that gets the
/// name too, for debuggers; else libc would name the one that runs them all.
///
/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_setname_np(pthread: libc::pthread_t, name: *const c_char) -> c_int {
    if let Some(inside) = Inside::enter() {
        if let Some(thread) = inside.runtime().by_handle(pthread) {
            // SAFETY: the caller's C string.
            let name = unsafe { CStr::from_ptr(name) };
            let own = thread.id == inside.thread.id;
            let full = own.then(|| in_full(name)).flatten();
            let name = full.unwrap_or_else(|| name.to_string_lossy().into_owned());
            inside.scheduler().set_name(thread.id, name);
            if inside.runtime().kind == Kind::Fast {
                return 0;
            }
        }
    }
    let real = real!(pthread_setname_np: unsafe extern "C" fn(libc::pthread_t, *const c_char) -> c_int);
    // SAFETY: the caller's arguments, passed on.
    unsafe { real(pthread, name) }
}

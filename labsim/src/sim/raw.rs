//! The kernel and the C library behind the symbols that this crate hides.
//!
//! Invariant: nothing here goes through an interposed symbol, so it may be used inside the runtime, for threads
//! outside any run, and before the first run starts.

use std::ffi::{CStr, c_int, c_long};
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

/// One system call; the result is the kernel's, errors as small negative numbers.
///
/// # Safety
/// As the call asks of its arguments.
#[inline]
pub(super) unsafe fn syscall(number: c_long, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the x86_64 system call convention; the caller answers for what the call does.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// The libc convention: -1 and `errno` instead of a negative result.
pub(super) fn with_errno(result: isize) -> c_long {
    if (-4095..0).contains(&result) {
        set_errno(-result as c_int);
        -1
    } else {
        result as c_long
    }
}

pub(super) fn set_errno(value: c_int) {
    // SAFETY: libc gives the address of the calling thread's own errno.
    unsafe { *libc::__errno_location() = value };
}

const PRIVATE_WAIT: usize = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize;
const PRIVATE_WAKE: usize = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as usize;

/// Blocks the kernel thread while `word` is `value`, at most for `timeout`; may return early.
pub(super) fn futex_wait(word: &AtomicU32, value: u32, timeout: Option<Duration>) {
    let timeout =
        timeout.map(|t| libc::timespec { tv_sec: t.as_secs() as _, tv_nsec: t.subsec_nanos() as _ });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the word and the timeout outlive the call.
    unsafe {
        let args = [word.as_ptr() as usize, PRIVATE_WAIT, value as usize, timeout as usize, 0, 0];
        syscall(libc::SYS_futex, args);
    }
}

/// Sets `word` and wakes the one kernel thread that may wait for it.
pub(super) fn futex_post(word: &AtomicU32) {
    word.store(1, Ordering::Release);
    // SAFETY: a wake reads nothing through the address.
    unsafe { syscall(libc::SYS_futex, [word.as_ptr() as usize, PRIVATE_WAKE, 1, 0, 0, 0]) };
}

/// Waits until `word` is not 0.
pub(super) fn futex_await(word: &AtomicU32) {
    while word.load(Ordering::Acquire) == 0 {
        futex_wait(word, 0, None);
    }
}

/// Never returns: this kernel thread has nothing to do until the process ends.
pub(super) fn park_forever() -> ! {
    let never = AtomicU32::new(0);
    loop {
        futex_wait(&never, 0, None);
    }
}

pub(super) fn thread_id() -> i32 {
    // SAFETY: no arguments.
    unsafe { syscall(libc::SYS_gettid, [0; 6]) as i32 }
}

/// Some bytes of this process, whether or not there is anything at `address`.
pub(super) fn read_memory<const N: usize>(address: usize) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let to = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: N };
    let from = libc::iovec { iov_base: address as *mut _, iov_len: N };
    // SAFETY: writes to `bytes`; what cannot be read is an error.
    let read = unsafe {
        let pid = syscall(libc::SYS_getpid, [0; 6]) as usize;
        let args = [pid, ptr::from_ref(&to) as usize, 1, ptr::from_ref(&from) as usize, 1, 0];
        syscall(libc::SYS_process_vm_readv, args)
    };
    (read == N as isize).then_some(bytes)
}

/// Sends `signal` to one kernel thread of this process.
pub(super) fn signal_thread(thread: i32, signal: c_int) {
    // SAFETY: the process id is our own; an unknown thread id is an error that is of no interest here.
    unsafe {
        let pid = syscall(libc::SYS_getpid, [0; 6]) as usize;
        syscall(libc::SYS_tgkill, [pid, thread as usize, signal as usize, 0, 0, 0]);
    }
}

/// Blocks every signal for the calling kernel thread.
pub(super) fn block_signals() {
    let all = !0u64;
    let args = [libc::SIG_SETMASK as usize, ptr::from_ref(&all) as usize, 0, 8, 0, 0];
    // SAFETY: reads the eight bytes of `all`.
    unsafe { syscall(libc::SYS_rt_sigprocmask, args) };
}

/// CPU time of one kernel thread of this process; nothing if it is not there.
pub(super) fn cpu_of(thread: i32) -> Duration {
    /// By the kernel's encoding of such clocks: of a thread, what the scheduler counts.
    const OF_THREAD: i32 = 4 | 2;
    clock((!thread << 3) | OF_THREAD)
}

/// CPU time of all threads of this process.
pub(super) fn cpu_of_process() -> Duration {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn clock(clock: i32) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let args = [clock as usize, ptr::from_mut(&mut time) as usize, 0, 0, 0, 0];
    // SAFETY: writes to `time`.
    unsafe { syscall(libc::SYS_clock_gettime, args) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The definition of `name` that the executable's own hides. A C library without it cannot be simulated on: panics.
pub(super) fn hidden(cache: &AtomicUsize, name: &CStr) -> usize {
    let mut address = cache.load(Ordering::Relaxed);
    if address == 0 {
        // SAFETY: `name` is a C string. RTLD_NEXT searches the objects after the executable, libc among them.
        address = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) } as usize;
        assert_ne!(address, 0, "the C library has no {name:?}");
        cache.store(address, Ordering::Relaxed);
    }
    address
}

/// libc's own definition of an interposed function: `real!(name: type)`.
macro_rules! real {
    ($name:ident: $type:ty) => {{
        static CACHE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        const NAME: &std::ffi::CStr =
            match std::ffi::CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => panic!(),
            };
        let address = $crate::sim::raw::hidden(&CACHE, NAME);
        // SAFETY: not null, and `type` is the function's type in libc's headers.
        unsafe { std::mem::transmute::<usize, $type>(address) }
    }};
}
pub(super) use real;

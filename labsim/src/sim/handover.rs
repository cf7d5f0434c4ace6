//! Handing the baton from one thread of a run to the next, in one of two ways with the same schedule.
//!
//! *Futex*: every thread is its own kernel thread and sleeps on its own word until it is its turn. Portable; a
//! debugger sees what it expects; 2 to 10 us.
//!
//! *Fast*: one kernel thread, the *runner*, runs all of them. A new kernel thread saves its registers, *lends* its
//! stack and its thread-local storage (the FS base), and waits in the kernel. The runner switches by exchanging
//! callee-saved registers, stack pointer and FS base. When the run is over, the kernel thread may *take back* what it
//! lent and exit in the ordinary way. 0.1 us.
//!
//! Invariant: between `lend` and `take_back` the kernel thread touches no memory but the word it waits on. So no
//! stack is in use by two kernel threads, and thread-locals are reached by one at a time.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU32, Ordering};

use super::raw;

/// How threads take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Fast,
    Futex,
}

impl Kind {
    /// Whether CPU and kernel let a program exchange the FS base itself: `AT_HWCAP2` tells, and `rdfsbase` traps
    /// where it is not so. And whether no shadow stack watches return addresses.
    pub(crate) fn fast_is_possible() -> bool {
        const HWCAP2_FSGSBASE: u64 = 1 << 1;
        const ARCH_SHSTK_STATUS: usize = 0x5005;
        let mut shadow_stack = 0u64;
        // SAFETY: getauxval reads the auxiliary vector; the status call writes to `shadow_stack` or fails.
        let fsgsbase = unsafe {
            let args = [ARCH_SHSTK_STATUS, &raw mut shadow_stack as usize, 0, 0, 0, 0];
            raw::syscall(libc::SYS_arch_prctl, args);
            libc::getauxval(libc::AT_HWCAP2) & HWCAP2_FSGSBASE != 0
        };
        fsgsbase && shadow_stack & 1 == 0
    }
}

/// What a thread that is not running keeps to be resumed by.
#[derive(Debug, Default)]
pub(crate) struct Baton {
    context: UnsafeCell<Context>,
    /// Futex: it is this thread's turn. Fast: the stack is lent, the runner may come.
    ready: AtomicU32,
    /// Fast: the runner is through with the stack, for good.
    returned: AtomicU32,
}

#[repr(C)]
#[derive(Debug, Default)]
struct Context {
    stack: usize,
    fs_base: usize,
}

// The frame on the stack of a thread that does not run, from the stack pointer up: control words of the floating
// point units (the ABI's callee-saved ones), r15, r14, r13, r12, rbx, rbp, return address.
std::arch::global_asm!(
    ".pushsection .text.labsim_handover,\"ax\",@progbits",
    ".macro labsim_save context",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    "stmxcsr [rsp]",
    "fnstcw [rsp + 4]",
    "rdfsbase rax",
    "mov [\\context], rsp",
    "mov [\\context + 8], rax",
    ".endm",
    ".macro labsim_restore",
    "ldmxcsr [rsp]",
    "fldcw [rsp + 4]",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    ".endm",
    // fn(save: rdi, load: rsi)
    ".globl labsim_exchange",
    ".hidden labsim_exchange",
    ".type labsim_exchange, @function",
    "labsim_exchange:",
    "labsim_save rdi",
    "mov rsp, [rsi]",
    "mov rax, [rsi + 8]",
    "wrfsbase rax",
    "labsim_restore",
    ".size labsim_exchange, . - labsim_exchange",
    // fn(save: rdi, ready: rsi, returned: rdx). From the store to `ready` on, registers only.
    ".globl labsim_lend",
    ".hidden labsim_lend",
    ".type labsim_lend, @function",
    "labsim_lend:",
    "labsim_save rdi",
    "mov r12, rdi",
    "mov r13, rdx",
    "mov rdi, rsi",
    "mov dword ptr [rdi], 1",
    "mov eax, {futex}",
    "mov esi, {wake}",
    "mov edx, 1",
    "syscall",
    "2:",
    "mov eax, [r13]",
    "test eax, eax",
    "jne 3f",
    "mov eax, {futex}",
    "mov rdi, r13",
    "mov esi, {wait}",
    "xor edx, edx",
    "xor r10d, r10d",
    "syscall",
    "jmp 2b",
    "3:",
    "mov rsp, [r12]",
    "labsim_restore",
    ".size labsim_lend, . - labsim_lend",
    ".purgem labsim_save",
    ".purgem labsim_restore",
    ".popsection",
    futex = const libc::SYS_futex,
    wake = const libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
    wait = const libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
);

unsafe extern "C" {
    fn labsim_exchange(save: *mut Context, load: *const Context);
    fn labsim_lend(save: *mut Context, ready: *const AtomicU32, returned: *const AtomicU32);
}

impl Baton {
    /// On a new kernel thread: waits for its first turn. Fast: returns on the runner.
    pub(super) fn first_turn(&self, kind: Kind) {
        match kind {
            Kind::Fast => {
                // A handler would run on the lent stack.
                raw::block_signals();
                // SAFETY: the context is this thread's own, written before `ready` says that others may read
                // it; both words live as long as the thread's record, which is never freed.
                unsafe { labsim_lend(self.context.get(), &self.ready, &self.returned) }
            }
            Kind::Futex => self.await_turn(),
        }
    }

    /// Resumes `next`; returns when somebody resumes `self`.
    pub(super) fn pass(&self, kind: Kind, next: &Baton) {
        match kind {
            Kind::Fast => self.exchange(next),
            Kind::Futex => {
                raw::futex_post(&next.ready);
                self.await_turn();
            }
        }
    }

    /// Lets the kernel thread go on to its end, without the baton. Fast: it takes back what it lent.
    pub(super) fn dismiss(&self, kind: Kind) {
        raw::futex_post(match kind {
            Kind::Fast => &self.returned,
            Kind::Futex => &self.ready,
        });
    }

    /// Gives the first thread of a run its turn, from outside.
    pub(super) fn start(&self) {
        raw::futex_post(&self.ready);
    }

    /// On the kernel thread of the first thread of a run. Fast: it is the runner and lends nothing, so others may come
    /// back to it at any time.
    pub(super) fn await_start(&self, kind: Kind) {
        match kind {
            Kind::Fast => raw::futex_await(&self.ready),
            Kind::Futex => self.await_turn(),
        }
    }

    fn exchange(&self, next: &Baton) {
        // A thread not yet started may still be on its way to lending its stack.
        raw::futex_await(&next.ready);
        // SAFETY: we run on the runner, on the stack and FS base of `self`, whose context nobody else uses
        // until we have left it. `next` does not run, so its context is complete: it was written by its own
        // exchange or, as `ready` shows, by `lend`.
        unsafe { labsim_exchange(self.context.get(), next.context.get()) }
    }

    fn await_turn(&self) {
        raw::futex_await(&self.ready);
        self.ready.store(0, Ordering::Relaxed);
    }
}

//! Carriers: the kernel threads on which the threads of a run live, one after the other, each with its stack.
//!
//! To make a kernel thread, with the C library's share of it, costs as much as hundreds of switches, so one whose
//! thread has ended is kept and carries another: same stack, same thread-locals, made new ([`locals::renew`]).
//!
//! Locks live on stacks, and a lock's address decides the queue it shares with others; thread-locals lie at the
//! top of a stack. So neither may be where the kernel's address randomisation puts it: stacks lie at addresses that
//! are the same in every run, in the order in which they are first needed.
//!
//! Invariant: an idle carrier's thread has ended, and was joined or detached: nobody knows its stack or its
//! `pthread_t` any more. So when a carrier is used again depends on the run alone.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use super::handover::{Baton, Kind};
use super::lifecycle::{Boot, live};
use super::locals;
use super::raw::{self, real};

/// Where the kernel checks access, and thus the size of what must lie between two stacks.
pub(super) const PAGE: usize = 4096;
/// Far from where the kernel puts executables (0x55..), libraries and stacks (0x7f..) on x86_64.
const BASE: usize = 0x1800_0000_0000;

pub(super) type Start = extern "C" fn(*mut c_void) -> *mut c_void;
pub(super) type Create =
    unsafe extern "C" fn(*mut libc::pthread_t, *const libc::pthread_attr_t, Start, *mut c_void) -> c_int;

/// One kernel thread; never freed.
pub(crate) struct Carrier {
    pub(super) baton: Baton,
    pub(super) stack: Stack,
    pub(super) pthread: Cell<libc::pthread_t>,
    pub(super) kernel_id: AtomicI32,
    kind: Kind,
    /// Carries the first thread of a run.
    is_first: bool,
    /// The thread that is to live on it, from its creation until it begins.
    boot: Cell<Option<Boot>>,
}

// SAFETY: the cells are used by the holder of a run's baton; before there is one, by who creates the carrier and
// then, ordered by its baton, by the carrier itself.
unsafe impl Sync for Carrier {}

impl Carrier {
    /// A new kernel thread, which waits for its first turn; the error is an `errno`.
    pub(super) fn create(kind: Kind, is_first: bool, stack_size: usize) -> Result<&'static Carrier, c_int> {
        let stack = Stack::map(stack_size).map_err(|_| libc::EAGAIN)?;
        let carrier: &'static Carrier = Box::leak(Box::new(Carrier {
            baton: Baton::default(),
            stack,
            pthread: Cell::new(0),
            kernel_id: AtomicI32::new(0),
            kind,
            is_first,
            boot: Cell::new(None),
        }));
        let real = real!(pthread_create: Create);
        let mut attributes = MaybeUninit::uninit();
        let mut pthread = 0;
        // SAFETY: the attributes are initialised before use; the stack is unused; the carrier lives for ever.
        let error = unsafe {
            libc::pthread_attr_init(attributes.as_mut_ptr());
            libc::pthread_attr_setstack(attributes.as_mut_ptr(), stack.start as *mut c_void, stack.size);
            let error =
                real(&mut pthread, attributes.as_ptr(), carry, ptr::from_ref(carrier).cast_mut().cast());
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            error
        };
        if error != 0 {
            // SAFETY: nobody uses it.
            unsafe { libc::munmap(stack.start as *mut c_void, stack.size) };
            return Err(error);
        }
        carrier.pthread.set(pthread);
        Ok(carrier)
    }

    /// Gives it a thread, which begins when the carrier has its turn.
    pub(super) fn load(&self, boot: Boot) {
        self.boot.set(Some(boot));
    }

    /// Lets the kernel thread of an idle carrier end, and everything with it but the stack. The run must be over.
    fn dismiss(&self) {
        let real = real!(pthread_detach: unsafe extern "C" fn(libc::pthread_t) -> c_int);
        // SAFETY: created joinable and never joined.
        unsafe { real(self.pthread.get()) };
        self.baton.dismiss(self.kind);
    }
}

/// The life of a kernel thread of a run, on its own stack.
extern "C" fn carry(carrier: *mut c_void) -> *mut c_void {
    // SAFETY: `create` passes a carrier.
    let carrier: &'static Carrier = unsafe { &*carrier.cast() };
    carrier.kernel_id.store(raw::thread_id(), Ordering::Relaxed);
    if carrier.is_first || carrier.kind == Kind::Futex {
        give_alternate_stack();
    }
    if carrier.is_first {
        carrier.baton.await_start(carrier.kind);
    } else {
        carrier.baton.first_turn(carrier.kind);
    }
    // Dismissed, it is resumed without a thread.
    while let Some(boot) = carrier.boot.take() {
        live(boot);
        locals::renew();
    }
    ptr::null_mut()
}

/// Gives the calling kernel thread, which executes threads of a run, a stack for handlers of signals: room enough to take
/// down the stack that has overflowed. The standard library sees that there is one and makes none for each thread, which
/// would be the kernel thread's only until the next thread, or its end.
fn give_alternate_stack() {
    const SIZE: usize = 64 << 10;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: new memory, never freed; below it lies a page that cannot be written to. Without it, or if the kernel
    // refuses, overflows end the process with a signal.
    unsafe {
        let start = libc::mmap(ptr::null_mut(), PAGE + SIZE, libc::PROT_NONE, flags, -1, 0);
        if start == libc::MAP_FAILED {
            return;
        }
        let start = start.add(PAGE);
        libc::mprotect(start, SIZE, libc::PROT_READ | libc::PROT_WRITE);
        let stack = libc::stack_t { ss_sp: start, ss_flags: 0, ss_size: SIZE };
        raw::syscall(libc::SYS_sigaltstack, [ptr::from_ref(&stack) as usize, 0, 0, 0, 0, 0]);
    }
}

/// The idle carriers of a run, by size of their stacks; the last that became idle is used first.
#[derive(Default)]
pub(super) struct Idle(BTreeMap<usize, Vec<&'static Carrier>>);

impl Idle {
    pub(super) fn take(&mut self, stack_size: usize) -> Option<&'static Carrier> {
        self.0.get_mut(&stack_size.next_multiple_of(PAGE)).and_then(Vec::pop)
    }

    pub(super) fn give_back(&mut self, carrier: &'static Carrier) {
        self.0.entry(carrier.stack.size).or_default().push(carrier);
    }

    /// Ends them all. The run must be over.
    pub(super) fn dismiss(&mut self) {
        mem::take(&mut self.0).into_values().flatten().for_each(Carrier::dismiss);
    }
}

/// One stack: `size` usable bytes from `start` up. Below lies a page where nothing is ever mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stack {
    pub(super) start: usize,
    pub(super) size: usize,
}

// A process runs one run at a time; a later one goes on above the stacks that an earlier one left.
static NEXT: AtomicUsize = AtomicUsize::new(BASE);

impl Stack {
    fn map(size: usize) -> io::Result<Stack> {
        let size = size.next_multiple_of(PAGE);
        let start = NEXT.fetch_add(PAGE + size, Ordering::Relaxed) + PAGE;
        let flags = libc::MAP_PRIVATE
            | libc::MAP_ANONYMOUS
            | libc::MAP_NORESERVE
            | libc::MAP_STACK
            | libc::MAP_FIXED_NOREPLACE;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: NOREPLACE: the kernel refuses an address where something lies already.
        let got = unsafe { libc::mmap(start as *mut _, size, access, flags, -1, 0) };
        if got as usize == start { Ok(Stack { start, size }) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_lie_side_by_side_with_a_page_between_them() {
        let a = Stack::map(10_000).expect("a stack");
        assert_eq!(a.size, 12_288);
        let b = Stack::map(10_000).expect("a stack");
        assert!(b.start >= a.start + a.size + PAGE, "{a:?} {b:?}");
        // SAFETY: asks about addresses.
        let mapped = |address: usize| unsafe {
            let mut resident = 0u8;
            libc::mincore(address as *mut _, PAGE, &mut resident) == 0
        };
        for stack in [a, b] {
            assert!(mapped(stack.start) && mapped(stack.start + stack.size - PAGE));
            assert!(!mapped(stack.start - PAGE), "what overflows must fault");
        }
    }
}

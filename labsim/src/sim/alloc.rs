//! The global allocator: threads of a run allocate from the run's arena, everything else from the system.
//!
//! Invariant: the arena is touched by the holder of the baton only. A block of the arena that is freed outside
//! the run is left where it is: the process that holds it is about to end.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::arena::{self, Arena, Full};
use super::runtime::{Ending, Inside};
use super::thread::Thread;

/// Makes the addresses of a run's heap the same in every process, keeps its memory limit, and lets the schedule
/// preempt threads where they allocate. Install it in the test binary:
///
/// ```
/// #[global_allocator]
/// static ALLOC: labsim::Alloc = labsim::Alloc;
/// ```
///
/// Without it everything works but these three. Threads outside a run get [`System`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Alloc;

struct Shared(UnsafeCell<Arena>);

// SAFETY: see the invariant at the head of this file.
unsafe impl Sync for Shared {}

static ARENA: Shared = Shared(UnsafeCell::new(Arena::new()));
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Sets the limit for the run that is about to start.
pub(crate) fn set_limit(bytes: usize) {
    // SAFETY: no run is under way, so nobody else uses the arena.
    unsafe { (*ARENA.0.get()).limit = bytes };
}

/// The limit of the present run.
pub(crate) fn limit() -> usize {
    // SAFETY: set before the run began, and not since.
    unsafe { (*ARENA.0.get()).limit }
}

/// The most bytes the heap of the run, which is over, held; `None` where the allocator is not installed.
pub(crate) fn peak() -> Option<usize> {
    // SAFETY: as above.
    INSTALLED.load(Ordering::Relaxed).then(|| unsafe { (*ARENA.0.get()).peak })
}

/// The calling thread, if its allocations are the run's: neither the runtime's nor an observer's.
#[inline]
fn in_run() -> Option<&'static Thread> {
    let thread = Thread::current()?;
    (!thread.inside.get() && thread.quiet.get() == 0).then_some(thread)
}

// SAFETY: blocks come from the arena or from the system, are told apart by address, and go back to where they
// came from, if anywhere.
unsafe impl GlobalAlloc for Alloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match in_run() {
            Some(thread) => allocate(thread, layout),
            // SAFETY: the caller's layout.
            None if !IN_SIGNAL.load(Ordering::Relaxed) => unsafe { System.alloc(layout) },
            None => emergency(layout),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if arena::contains(block as usize) {
            if Thread::current().is_some() {
                // SAFETY: the holder of the baton frees what the arena gave.
                unsafe { (*ARENA.0.get()).free(block, layout) };
            }
        } else if !is_emergency(block as usize) {
            // SAFETY: neither ours nor the emergency's, so the system's.
            unsafe { System.dealloc(block, layout) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's block and layout; a new block is at least `size` long.
        unsafe {
            let in_arena = arena::contains(block as usize);
            if in_arena && Arena::fits(layout, size) {
                return block;
            }
            let signal = IN_SIGNAL.load(Ordering::Relaxed);
            if !in_arena && in_run().is_none() && !signal && !is_emergency(block as usize) {
                return System.realloc(block, layout, size);
            }
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

fn allocate(thread: &'static Thread, layout: Layout) -> *mut u8 {
    INSTALLED.store(true, Ordering::Relaxed);
    let countdown = &thread.runtime.countdown;
    countdown.set(countdown.get() - 1);
    if countdown.get() == 0 {
        if let Some(inside) = Inside::enter() {
            inside.offer_at_allocation();
        }
    }
    // SAFETY: the calling thread holds the baton.
    match unsafe { (*ARENA.0.get()).allocate(layout) } {
        Ok(block) => block,
        Err(full) => exhausted(full),
    }
}

#[cold]
fn exhausted(full: Full) -> *mut u8 {
    if full == Full::Limit {
        if let Some(inside) = Inside::enter() {
            inside.end_here(Ending::Memory);
        }
    }
    // The standard library reports it and aborts.
    ptr::null_mut()
}

// A signal may interrupt the system's allocator, which then cannot be asked. What the handler needs, to show a
// stack before the process ends, comes from here and stays here.
static IN_SIGNAL: AtomicBool = AtomicBool::new(false);
const EMERGENCY_SIZE: usize = 1 << 20;
static EMERGENCY: Emergency = Emergency(UnsafeCell::new([0; EMERGENCY_SIZE]));
static EMERGENCY_USED: AtomicUsize = AtomicUsize::new(0);

#[repr(align(4096))]
struct Emergency(UnsafeCell<[u8; EMERGENCY_SIZE]>);

// SAFETY: parts of it are given out once.
unsafe impl Sync for Emergency {}

/// From here on allocations that are not the run's come from a reserve.
pub(super) fn enter_signal() {
    IN_SIGNAL.store(true, Ordering::Relaxed);
}

/// The handler is done.
pub(super) fn leave_signal() {
    IN_SIGNAL.store(false, Ordering::Relaxed);
}

fn emergency(layout: Layout) -> *mut u8 {
    let room = layout.size() + layout.align();
    let used = EMERGENCY_USED.fetch_add(room, Ordering::Relaxed);
    if used + room > EMERGENCY_SIZE {
        return ptr::null_mut();
    }
    (EMERGENCY.0.get() as usize + used).next_multiple_of(layout.align()) as *mut u8
}

fn is_emergency(address: usize) -> bool {
    let start = EMERGENCY.0.get() as usize;
    (start..start + EMERGENCY_SIZE).contains(&address)
}

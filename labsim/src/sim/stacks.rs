//! Stacks for the threads of a run, at addresses that are the same in every run.
//!
//! Locks live on stacks, and a lock's address decides the queue it shares with others; thread-locals lie at the
//! top of a stack. So neither may be where the kernel's address randomisation puts it.
//!
//! Invariant: a stack is in the free list only after the kernel thread that used it was joined.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) const PAGE: usize = 4096;
/// Far from where the kernel puts executables (0x55..), libraries and stacks (0x7f..) on x86_64.
const BASE: usize = 0x1800_0000_0000;

/// One stack: `size` usable bytes from `start` up, and an inaccessible page below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stack {
    pub(super) start: usize,
    pub(super) size: usize,
}

/// All stacks of a run.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    /// By size; the last freed is used first.
    free: BTreeMap<usize, Vec<Stack>>,
}

// A process runs one run at a time; a later one goes on above the stacks that an earlier one left in use.
static NEXT: AtomicUsize = AtomicUsize::new(BASE);

impl Stacks {
    pub(super) fn take(&mut self, size: usize) -> io::Result<Stack> {
        let size = size.next_multiple_of(PAGE);
        match self.free.get_mut(&size).and_then(Vec::pop) {
            Some(stack) => Ok(stack),
            None => map(size),
        }
    }

    pub(super) fn give_back(&mut self, stack: Stack) {
        self.free.entry(stack.size).or_default().push(stack);
    }
}

fn map(size: usize) -> io::Result<Stack> {
    let guard = NEXT.fetch_add(PAGE + size, Ordering::Relaxed);
    let flags = libc::MAP_PRIVATE
        | libc::MAP_ANONYMOUS
        | libc::MAP_NORESERVE
        | libc::MAP_STACK
        | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: NOREPLACE: the kernel refuses an address where something lies already.
    let got = unsafe { libc::mmap(guard as *mut _, PAGE + size, libc::PROT_NONE, flags, -1, 0) };
    if got as usize != guard {
        return Err(io::Error::last_os_error());
    }
    let start = guard + PAGE;
    // SAFETY: the part of the new mapping above its guard page.
    let usable = unsafe { libc::mprotect(start as *mut _, size, libc::PROT_READ | libc::PROT_WRITE) };
    if usable != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Stack { start, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_lie_side_by_side_and_come_back() {
        let mut stacks = Stacks::default();
        let a = stacks.take(10_000).expect("a stack");
        let b = stacks.take(10_000).expect("a stack");
        assert_eq!(a.size, 12_288);
        assert_eq!(b.start, a.start + a.size + PAGE, "a guard page between them");
        stacks.give_back(a);
        assert_ne!(stacks.take(50_000).expect("another size").start, a.start);
        assert_eq!(stacks.take(12_288).expect("the same size"), a);
    }
}

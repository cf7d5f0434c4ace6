//! The run's heap: size classes with free lists in one region of memory, at an address that never changes.
//!
//! Addresses decide which queue a lock shares and how a pointer-keyed map is laid out, so they must follow from
//! the run alone: the same calls in the same order give the same addresses. Freed blocks are reused last in,
//! first out.
//!
//! Invariant: only the holder of a run's baton calls in, and a process has one run at a time.

use std::alloc::Layout;
use std::ptr;

use super::carrier::PAGE;

/// Far from where the kernel puts executables (0x55..), libraries and stacks (0x7f..) on x86_64.
const BASE: usize = 0x1000_0000_0000;
/// Address space, not memory. Less is asked for where that is refused.
const SIZES: [usize; 5] = [64 << 30, 16 << 30, 4 << 30, 1 << 30, 256 << 20];

const SMALL_MAX: usize = 1024;
const SMALL_CLASSES: usize = SMALL_MAX / 16;
/// Above the small ones four classes to each doubling, up to 2^36.
const LARGE_CLASSES: usize = (36 - 10) * 4;
const ALIGNED_CLASSES: usize = 37;
const CLASSES: usize = SMALL_CLASSES + LARGE_CLASSES + ALIGNED_CLASSES;
/// Memory is asked for in pieces of this size: one call costs much less than a page fault for each page of it.
const PIECE: usize = 128 << 10;
/// Freed blocks from this size on give their memory back to the system.
const RETURNED_MIN: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Arena {
    start: usize,
    next: usize,
    /// Up to here the system has been asked for memory in advance.
    backed: usize,
    end: usize,
    free: [*mut Free; CLASSES],
    in_use: usize,
    pub(super) peak: usize,
    pub(super) limit: usize,
}

/// A free block holds the next one of its class.
struct Free {
    next: *mut Free,
}

/// Why an allocation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Beyond the limit set for the run.
    Limit,
    /// Beyond the region.
    Region,
}

/// Number of a size class, and how large and how aligned its blocks are.
fn class(layout: Layout) -> Option<(usize, usize, usize)> {
    let size = layout.size().max(1);
    if layout.align() > 16 {
        let size = size.max(layout.align()).next_power_of_two();
        let log = size.trailing_zeros() as usize;
        return (log < ALIGNED_CLASSES).then_some((
            SMALL_CLASSES + LARGE_CLASSES + log,
            size,
            layout.align(),
        ));
    }
    if size <= SMALL_MAX {
        let class = size.div_ceil(16) - 1;
        return Some((class, (class + 1) * 16, 16));
    }
    let log = (size - 1).ilog2() as usize;
    let quarter = 1 << (log - 2);
    let steps = (size - (1 << log)).div_ceil(quarter);
    let class = (log - 10) * 4 + steps - 1;
    (class < LARGE_CLASSES).then_some((SMALL_CLASSES + class, (1 << log) + steps * quarter, 16))
}

/// Has memory put behind the whole pages among these bytes, if the system knows how to.
pub(crate) fn populate(start: usize, bytes: usize) {
    let from = start.next_multiple_of(PAGE);
    let len = (start + bytes).saturating_sub(from) & !(PAGE - 1);
    if len > 0 {
        // SAFETY: changes nothing but which pages have memory, and where none can be the kernel refuses.
        unsafe { libc::madvise(from as *mut _, len, libc::MADV_POPULATE_WRITE) };
    }
}

impl Arena {
    pub(super) const fn new() -> Self {
        Arena {
            start: 0,
            next: 0,
            backed: 0,
            end: 0,
            free: [ptr::null_mut(); CLASSES],
            in_use: 0,
            peak: 0,
            limit: usize::MAX,
        }
    }

    pub(super) fn allocate(&mut self, layout: Layout) -> Result<*mut u8, Full> {
        let (class, size, align) = class(layout).ok_or(Full::Region)?;
        if self.in_use + size > self.limit {
            return Err(Full::Limit);
        }
        let head = self.free[class];
        // Blocks of an aligned class are aligned to their size, so any of the class will do.
        let block = if head.is_null() {
            self.carve(size, if align > 16 { size } else { 16 })?
        } else {
            // SAFETY: a block in a free list holds a `Free`, and nobody else uses it.
            self.free[class] = unsafe { (*head).next };
            head.cast()
        };
        self.in_use += size;
        self.peak = self.peak.max(self.in_use);
        Ok(block)
    }

    fn carve(&mut self, size: usize, align: usize) -> Result<*mut u8, Full> {
        if self.start == 0 {
            self.map()?;
        }
        let block = self.next.next_multiple_of(align);
        if block + size > self.end {
            return Err(Full::Region);
        }
        self.next = block + size;
        if self.next > self.backed {
            self.back();
        }
        Ok(block as *mut u8)
    }

    /// Has memory put behind the next piece, if `next` has but entered it: what is larger may never be touched. A system
    /// that knows no such call does it page by page, as it would anyway.
    #[cold]
    fn back(&mut self) {
        let piece = self.next & !(PIECE - 1);
        if piece >= self.backed {
            populate(piece, PIECE);
        }
        self.backed = piece + PIECE;
    }

    fn map(&mut self) -> Result<(), Full> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        for size in SIZES {
            // SAFETY: NOREPLACE: the kernel refuses an address where something lies already.
            let got = unsafe { libc::mmap(BASE as *mut _, size, access, flags, -1, 0) } as usize;
            if got == BASE {
                (self.start, self.next, self.backed, self.end) = (BASE, BASE, BASE, BASE + size);
                return Ok(());
            }
        }
        Err(Full::Region)
    }

    /// # Safety
    /// `block` came from [`allocate`](Self::allocate) with this layout and is not used any more.
    pub(super) unsafe fn free(&mut self, block: *mut u8, layout: Layout) {
        let Some((class, size, _)) = class(layout) else { return };
        self.in_use -= size;
        if size >= RETURNED_MIN {
            let page = (block as usize).next_multiple_of(4096);
            let length = (block as usize + size - page) & !4095;
            // SAFETY: whole pages of a block that is not used any more.
            unsafe { libc::madvise(page as *mut _, length, libc::MADV_DONTNEED) };
        }
        let free = block.cast::<Free>();
        // SAFETY: a block is at least 16 bytes, aligned to 16, and ours again.
        unsafe { free.write(Free { next: self.free[class] }) };
        self.free[class] = free;
    }

    /// Whether a block of `old` may stay where it is when it becomes `size` bytes long.
    pub(super) fn fits(old: Layout, size: usize) -> bool {
        let new = Layout::from_size_align(size, old.align());
        new.is_ok_and(|new| class(old) == class(new))
    }
}

/// Whether `address` lies in the region that the arena would use.
pub(super) fn contains(address: usize) -> bool {
    (BASE..BASE + SIZES[0]).contains(&address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("a layout")
    }

    #[test]
    fn every_class_holds_what_maps_to_it() {
        let sizes =
            (0..5_000).chain((12..36).flat_map(|log| [-1i64, 0, 1].map(|d| ((1i64 << log) + d) as usize)));
        let mut last = 0;
        for size in sizes.clone() {
            let (number, holds, _) = class(layout(size, 8)).expect("below the largest");
            assert!(holds >= size && holds % 16 == 0, "{size} in {holds}");
            assert!(size <= 64 || holds * 4 <= size * 5 + 64, "{size} wastes too much in {holds}");
            assert!(number < SMALL_CLASSES + LARGE_CLASSES);
            assert!(size < last || number >= class(layout(last, 8)).expect("checked").0);
            last = size;
        }
        for align in [32, 64, 4096, 1 << 20] {
            let (_, holds, _) = class(layout(100, align)).expect("below the largest");
            assert!(holds >= 100 && holds % align == 0);
        }
        assert_eq!(class(layout(1 << 37, 8)), None);
    }

    #[test]
    fn blocks_are_disjoint_aligned_reused_last_first_and_counted() {
        let mut arena = Arena::new();
        arena.limit = 11_000;
        let a = arena.allocate(layout(100, 8)).expect("room");
        let b = arena.allocate(layout(100, 8)).expect("room");
        assert_eq!(b as usize, a as usize + 112);
        let c = arena.allocate(layout(100, 256)).expect("room");
        assert_eq!(c as usize % 256, 0);
        assert_eq!(arena.in_use, 112 + 112 + 256);
        // SAFETY: allocated above, with this layout.
        unsafe {
            arena.free(a, layout(100, 8));
            arena.free(b, layout(97, 8));
        }
        assert_eq!(arena.allocate(layout(112, 16)), Ok(b));
        assert_eq!(arena.allocate(layout(98, 1)), Ok(a));
        assert_eq!(arena.allocate(layout(9_000, 8)).err(), None);
        assert_eq!(arena.allocate(layout(9_000, 8)), Err(Full::Limit));
        assert_eq!(arena.peak, arena.in_use);
    }
}

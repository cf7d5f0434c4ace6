//! What stands for the simulation where there is none: on other systems, with a static C library, under Miri and
//! the sanitizers. Runs take real time, nodes are names.

use std::alloc::{GlobalAlloc, Layout, System};
use std::time::Duration;

use crate::options::Options;
use crate::report::{NoAnswer, Report};

/// The system's allocator: there is no simulation here that could need another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alloc;

// SAFETY: passes everything on.
unsafe impl GlobalAlloc for Alloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's block and layout.
        unsafe { System.dealloc(block, layout) }
    }
}

#[derive(Debug)]
pub(crate) struct Scope;

impl Scope {
    pub(crate) fn shield() -> Self {
        Scope
    }

    pub(crate) fn observe() -> Self {
        Scope
    }
}

pub(crate) fn unsupported() -> Option<&'static str> {
    Some("threads are simulated on x86_64 Linux with a shared glibc only, and not under Miri or a sanitizer")
}

pub(crate) fn run<R, F>(options: &Options, _locks: &[u64], f: F) -> Report<R>
where
    R: Send + 'static,
    F: FnOnce() -> R + Send + 'static,
{
    crate::real_time::run(options, f)
}

pub(crate) fn end_rather_than_wait() {}

pub(crate) fn debugged() -> bool {
    false
}

pub(crate) fn is_simulated() -> bool {
    false
}

pub(crate) fn now() -> Option<Duration> {
    None
}

pub(crate) fn eprint(text: &str) {
    eprint!("{text}");
}

pub(crate) fn diagnose() {}

pub(crate) fn trace_event(_value: u64) {}

pub(crate) fn preemption_point() {}

pub(crate) fn populate(_start: usize, _bytes: usize) {}

pub(crate) fn what_if(_f: impl FnOnce() -> Vec<u8>) -> Option<Result<Vec<u8>, NoAnswer>> {
    None
}

pub(crate) fn add_node(_name: &str) -> Option<u32> {
    None
}

pub(crate) fn current_node() -> Option<(u32, String)> {
    None
}

pub(crate) fn visit<T>(_node: u32, f: impl FnOnce() -> T) -> T {
    f()
}

pub(crate) fn crash_node(_node: u32) {}

pub(crate) fn stop_here() {}

pub(crate) fn freeze_node(_node: u32) {}

pub(crate) fn thaw_node(_node: u32) {}

pub(crate) fn set_node_clock(_node: u32, _wall_offset: i64, _drift_ppm: i64) {}

pub(crate) fn set_node_stalls(_node: u32, _one_in: u32, _max: Duration) {}

pub(crate) fn alive_on(_node: u32) -> Vec<String> {
    Vec::new()
}

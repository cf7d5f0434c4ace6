//! What the runtime keeps for each thread of a run, and how the calling thread finds its own.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr;

use super::carrier::Carrier;
use super::runtime::Runtime;
use super::scheduler::ThreadId;

/// A thread-local destructor: function and argument.
pub(super) type ExitCall = (unsafe extern "C" fn(*mut c_void), *mut c_void);

/// The record of one thread of a run; never freed, since a diagnosis may ask for any of them until the process ends.
pub(crate) struct Thread {
    pub(crate) id: ThreadId,
    pub(crate) runtime: &'static Runtime,
    pub(super) carrier: &'static Carrier,
    /// In the runtime: interposed calls go to the system, allocations to the system's heap.
    pub(super) inside: Cell<bool>,
    /// Depth of scopes in which the thread is neither preempted nor stopped.
    pub(super) shield: Cell<u32>,
    /// Depth of scopes that only observe: see [`observe`](crate::observe).
    pub(super) quiet: Cell<u32>,
    /// Depth of visits to nodes; the thread is not stopped with the node it visits.
    pub(super) visits: Cell<u32>,
    /// The standard library is registering the thread's stack, under a spin lock: see `pthread_getattr_np`.
    pub(super) registering: Cell<bool>,
    /// Clock reads and yields since the thread last waited.
    pub(super) polls: Cell<u32>,
    pub(super) exit_calls: RefCell<Vec<ExitCall>>,
    /// What its closure returned, for whoever joins it.
    pub(super) result: Cell<*mut c_void>,
    /// No one will join it.
    pub(super) detached: Cell<bool>,
}

// SAFETY: the cells are used by the thread itself while it runs, and by others only while it does not: whoever
// uses them holds the run's baton, which orders their accesses (see `Runtime`).
unsafe impl Sync for Thread {}
// SAFETY: as above; nothing in it belongs to the kernel thread that made it.
unsafe impl Send for Thread {}

thread_local! {
    // Constant and without a destructor: readable from the first to the last instruction of a thread.
    static CURRENT: Cell<*const Thread> = const { Cell::new(ptr::null()) };
}

impl Thread {
    pub(super) fn new(id: ThreadId, runtime: &'static Runtime, carrier: &'static Carrier) -> &'static Thread {
        Box::leak(Box::new(Thread {
            id,
            runtime,
            carrier,
            inside: Cell::new(false),
            shield: Cell::new(0),
            quiet: Cell::new(0),
            visits: Cell::new(0),
            registering: Cell::new(false),
            polls: Cell::new(0),
            exit_calls: RefCell::new(Vec::new()),
            result: Cell::new(ptr::null_mut()),
            detached: Cell::new(false),
        }))
    }

    /// The calling thread's record; `None` outside a run.
    #[inline]
    pub(crate) fn current() -> Option<&'static Thread> {
        // SAFETY: null, or set by `set_current` to a record that is never freed.
        unsafe { CURRENT.get().as_ref() }
    }

    pub(super) fn set_current(thread: Option<&'static Thread>) {
        CURRENT.set(thread.map_or(ptr::null(), ptr::from_ref));
    }

    /// Whether the runtime may take the turn away at any point.
    pub(super) fn preemptible(&self) -> bool {
        self.shield.get() == 0
            && self.quiet.get() == 0
            && !self.registering.get()
            && !std::thread::panicking()
    }
}

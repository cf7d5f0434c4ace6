//! Birth and death of threads: `pthread_create`, `pthread_join` and what surrounds them.
//!
//! A thread of a run lives on a [`Carrier`], a real thread with the C library's own set-up. It is runnable from
//! `pthread_create` on and begins when the scheduler first picks it.
//!
//! Invariant: a thread's closure and its thread-local destructors run under the baton.

use std::cell::Cell;
use std::ffi::{c_int, c_void};

use parking_lot_core::DEFAULT_PARK_TOKEN;

use super::carrier::{Carrier, Create, PAGE, Start};
use super::locals::run_destructors;
use super::raw::{self, real};
use super::runtime::{Inside, Runtime};
use super::scheduler::{FIRST, State, ThreadId, Waiting};
use super::scope::Scope;
use super::thread::Thread;

/// Where a program names no size; what glibc takes from the usual limit.
const DEFAULT_STACK: usize = 8 << 20;

thread_local! {
    static FIRST_OF: Cell<Option<&'static Runtime>> = const { Cell::new(None) };
}

/// The next thread that the calling thread, outside any run, creates is the first of `runtime`.
pub(super) fn adopt_next(runtime: &'static Runtime) {
    FIRST_OF.set(Some(runtime));
}

/// What a carrier needs to begin a thread.
pub(super) struct Boot {
    thread: &'static Thread,
    start: Start,
    argument: *mut c_void,
}

/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_create(
    out: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    if let Some(inside) = Inside::enter() {
        let runtime = inside.runtime();
        // SAFETY: the caller's attributes.
        let size = unsafe { stack_size(attributes) };
        let idle = runtime.idle.borrow_mut().take(size);
        match idle.map_or_else(|| Carrier::create(runtime.kind, false, size), Ok) {
            // SAFETY: the caller's place for the handle.
            Ok(carrier) => unsafe { *out = runtime.begin(inside.spawn(), carrier, start, argument) },
            Err(error) => return error,
        }
        inside.offer();
        return 0;
    }
    if let Some(runtime) = FIRST_OF.take() {
        // SAFETY: as above.
        match Carrier::create(runtime.kind, true, unsafe { stack_size(attributes) }) {
            // SAFETY: as above.
            Ok(carrier) => unsafe {
                *out = runtime.begin(runtime.spawn_first(), carrier, start, argument);
                carrier.baton.start();
                return 0;
            },
            Err(error) => return error,
        }
    }
    let real = real!(pthread_create: Create);
    // SAFETY: the caller's arguments, passed on.
    unsafe { real(out, attributes, start, argument) }
}

/// # Safety
/// Null, or valid attributes.
unsafe fn stack_size(attributes: *const libc::pthread_attr_t) -> usize {
    let mut size = DEFAULT_STACK;
    if !attributes.is_null() {
        // SAFETY: the caller's promise.
        unsafe { libc::pthread_attr_getstacksize(attributes, &mut size) };
    }
    size
}

impl Runtime {
    /// Puts a thread on a carrier that has none; by what handle libc's functions know it.
    fn begin(
        &'static self,
        id: ThreadId,
        carrier: &'static Carrier,
        start: Start,
        argument: *mut c_void,
    ) -> libc::pthread_t {
        let thread = Thread::new(id, self, carrier);
        self.threads.borrow_mut().push(thread);
        let pthread = carrier.pthread.get();
        self.pthreads.borrow_mut().insert(pthread, id);
        carrier.load(Boot { thread, start, argument });
        pthread
    }

    /// Nobody will ask for the thread any more, which has ended: its carrier may have another.
    pub(super) fn forget(&self, thread: &Thread) {
        let carrier = thread.carrier;
        self.pthreads.borrow_mut().remove(&carrier.pthread.get());
        self.idle.borrow_mut().give_back(carrier);
    }

    /// The thread that libc's functions know by this handle.
    pub(super) fn by_handle(&self, pthread: libc::pthread_t) -> Option<&'static Thread> {
        let id = self.pthreads.borrow().get(&pthread).copied();
        id.map(|id| self.thread(id))
    }
}

/// The whole life of a thread of a run, on its carrier. Returns when the carrier has its turn again.
pub(super) fn live(boot: Boot) {
    let Boot { thread, start, argument } = boot;
    Thread::set_current(Some(thread));
    thread.inside.set(true);
    let inside = Inside { thread };
    if thread.id == FIRST {
        inside.first();
    } else {
        inside.resumed();
    }
    drop(inside);
    join_parking_lot();

    thread.result.set(start(argument));
    run_destructors(thread);

    thread.inside.set(true);
    Inside { thread }.finish();
}

/// Makes the calling thread known to `parking_lot`, which would else do it where the thread first waits for a lock. All locks
/// of a process share one table, and for more threads than it has room for it is made anew, while nobody can use it. A
/// thread that lost its processor there, because its node [stalls](crate::node::Node::set_stalls), would stop all nodes.
fn join_parking_lot() {
    static NOBODY_WAITS_HERE: u8 = 0;
    let key = (&raw const NOBODY_WAITS_HERE).addr();
    let _shield = Scope::shield();
    // SAFETY: the address is ours, and the closures neither panic nor park. The first has the thread not wait at all.
    unsafe { parking_lot_core::park(key, || false, || {}, |_, _| {}, DEFAULT_PARK_TOKEN, None) };
}

/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_join(pthread: libc::pthread_t, result: *mut *mut c_void) -> c_int {
    if let Some(inside) = Inside::enter() {
        if let Some(thread) = inside.runtime().by_handle(pthread) {
            let ended = inside.scheduler().thread(thread.id).state == State::Finished;
            if !ended {
                inside.wait(Waiting { join: Some(thread.id), ..Waiting::default() });
            }
            if !result.is_null() {
                // SAFETY: the caller's.
                unsafe { *result = thread.result.get() };
            }
            inside.runtime().forget(thread);
            return 0;
        }
    }
    let real = real!(pthread_join: unsafe extern "C" fn(libc::pthread_t, *mut *mut c_void) -> c_int);
    // SAFETY: the caller's arguments, passed on.
    unsafe { real(pthread, result) }
}

/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_detach(pthread: libc::pthread_t) -> c_int {
    if let Some(inside) = Inside::enter() {
        let runtime = inside.runtime();
        if let Some(thread) = runtime.by_handle(pthread) {
            thread.detached.set(true);
            if inside.scheduler().thread(thread.id).state == State::Finished {
                runtime.forget(thread);
            }
            return 0;
        }
    }
    let real = real!(pthread_detach: unsafe extern "C" fn(libc::pthread_t) -> c_int);
    // SAFETY: the caller's arguments, passed on.
    unsafe { real(pthread) }
}

/// The standard library asks for a new thread's stack and guard page, so that it can tell a stack overflow from
/// other faults, and panics where there is none. Our stacks have one, but libc knows nothing of it.
///
/// What it learns it then notes in a table under a *spin* lock, allocating: were the thread preempted there, the
/// next new thread would spin for ever. So it is not preempted from here to [`sigaltstack`], which comes next; or, if the
/// program is it that asks, to where the thread waits.
///
/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_getattr_np(
    pthread: libc::pthread_t,
    attributes: *mut libc::pthread_attr_t,
) -> c_int {
    type Function = unsafe extern "C" fn(libc::pthread_t, *mut libc::pthread_attr_t) -> c_int;
    if let Some(thread) = Thread::current().filter(|thread| thread.carrier.pthread.get() == pthread) {
        let stack = thread.carrier.stack;
        thread.registering.set(true);
        // SAFETY: the caller's attributes, to be initialised.
        return unsafe {
            libc::pthread_attr_init(attributes);
            libc::pthread_attr_setstack(attributes, stack.start as *mut c_void, stack.size);
            libc::pthread_attr_setguardsize(attributes, PAGE)
        };
    }
    let real = real!(pthread_getattr_np: Function);
    // SAFETY: the caller's arguments, passed on.
    unsafe { real(pthread, attributes) }
}

/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sigaltstack(new: *const libc::stack_t, old: *mut libc::stack_t) -> c_int {
    if let Some(thread) = Thread::current() {
        thread.registering.set(false);
    }
    // SAFETY: the caller's arguments, passed on.
    let result = unsafe { raw::syscall(libc::SYS_sigaltstack, [new as usize, old as usize, 0, 0, 0, 0]) };
    raw::with_errno(result) as c_int
}

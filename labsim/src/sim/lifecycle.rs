//! Birth and death of threads: `pthread_create`, `pthread_join` and what surrounds them.
//!
//! A thread of a run is a real thread with the C library's own set-up and tear-down, on a stack that we choose.
//! It is runnable from `pthread_create` on and begins when the scheduler first picks it.
//!
//! Invariants: a thread's closure and its thread-local destructors run under the baton; a stack is reused only
//! after its kernel thread was joined; when that happens depends on the run alone, not on the kernel's pace.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

use super::handover::Kind;
use super::locals::run_destructors;
use super::raw::{self, real};
use super::runtime::{Inside, Runtime};
use super::scheduler::{State, ThreadId, Waiting};
use super::thread::Thread;

type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type Create =
    unsafe extern "C" fn(*mut libc::pthread_t, *const libc::pthread_attr_t, Start, *mut c_void) -> c_int;

/// Where a program names no size; what glibc takes from the usual limit.
const DEFAULT_STACK: usize = 8 << 20;

thread_local! {
    static FIRST_OF: Cell<Option<&'static Runtime>> = const { Cell::new(None) };
}

/// The next thread that the calling thread, outside any run, creates is the first of `runtime`.
pub(super) fn adopt_next(runtime: &'static Runtime) {
    FIRST_OF.set(Some(runtime));
}

struct Boot {
    thread: &'static Thread,
    start: Start,
    argument: *mut c_void,
    first: bool,
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
    let real = real!(pthread_create: Create);
    // SAFETY: the caller's arguments, passed on.
    unsafe {
        match Inside::enter() {
            Some(inside) => {
                reap(inside.runtime());
                let id = inside.spawn();
                let error = create(inside.runtime(), id, false, out, attributes, start, argument);
                if error != 0 {
                    inside.scheduler().unspawn(id);
                }
                inside.offer();
                error
            }
            None => match FIRST_OF.take() {
                Some(runtime) => {
                    let id = runtime.spawn_first();
                    let error = create(runtime, id, true, out, attributes, start, argument);
                    raw::futex_post(&runtime.ready);
                    error
                }
                None => real(out, attributes, start, argument),
            },
        }
    }
}

/// # Safety
/// As `pthread_create`.
unsafe fn create(
    runtime: &'static Runtime,
    id: ThreadId,
    first: bool,
    out: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    let mut size = DEFAULT_STACK;
    if !attributes.is_null() {
        // SAFETY: the caller's attributes.
        unsafe { libc::pthread_attr_getstacksize(attributes, &mut size) };
    }
    let stack = runtime.stacks.borrow_mut().take(size).ok();
    let thread = Thread::new(id, runtime, stack);
    runtime.threads.borrow_mut().push(thread);
    let boot = Box::into_raw(Box::new(Boot { thread, start, argument, first }));
    let mut ours = MaybeUninit::uninit();
    let real = real!(pthread_create: Create);
    // SAFETY: `ours` is initialised before use; the stack is unused; `out` is the caller's; `boot` goes to the
    // new thread, or comes back where there is none.
    unsafe {
        libc::pthread_attr_init(ours.as_mut_ptr());
        let error = match stack {
            Some(stack) => {
                libc::pthread_attr_setstack(ours.as_mut_ptr(), stack.start as *mut c_void, stack.size);
                real(out, ours.as_ptr(), begin, boot.cast())
            }
            None => libc::EAGAIN,
        };
        libc::pthread_attr_destroy(ours.as_mut_ptr());
        if error == 0 {
            runtime.pthreads.borrow_mut().insert(*out, id);
        } else {
            drop(Box::from_raw(boot));
            if let Some(stack) = stack {
                runtime.stacks.borrow_mut().give_back(stack);
            }
        }
        error
    }
}

/// The whole life of a thread of a run, on its own stack.
extern "C" fn begin(boot: *mut c_void) -> *mut c_void {
    // SAFETY: `create` made it for this thread.
    let Boot { thread, start, argument, first } = *unsafe { Box::from_raw(boot.cast::<Boot>()) };
    let kind = thread.runtime.kind;
    Thread::set_current(Some(thread));
    thread.kernel_id.set(raw::thread_id());
    thread.inside.set(true);
    let inside = Inside { thread };
    if first {
        // Whoever created it holds no baton, and must be through with the run's state.
        raw::futex_await(&thread.runtime.ready);
        inside.first();
    } else {
        thread.baton.first_turn(kind);
        inside.resumed();
    }
    drop(inside);

    let result = start(argument);
    run_destructors(thread);

    thread.inside.set(true);
    let inside = Inside { thread };
    if thread.detached.get() {
        inside.runtime().to_reap.borrow_mut().push(pthread_self());
    }
    inside.finish();
    result
}

fn pthread_self() -> libc::pthread_t {
    // SAFETY: no arguments.
    unsafe { libc::pthread_self() }
}

/// Joins the detached threads that ended since the last call; short, since each is on its last instructions.
fn reap(runtime: &Runtime) {
    let ended = std::mem::take(&mut *runtime.to_reap.borrow_mut());
    for pthread in ended {
        let id = runtime.pthreads.borrow().get(&pthread).copied();
        if let Some(id) = id {
            // SAFETY: created joinable, detached only in name, so joined here and nowhere else.
            unsafe { join_ended(runtime, id, pthread, ptr::null_mut()) };
        }
    }
}

type Join = unsafe extern "C" fn(libc::pthread_t, *mut *mut c_void) -> c_int;

/// # Safety
/// As `pthread_join`; the thread has left the run.
unsafe fn join_ended(
    runtime: &Runtime,
    id: ThreadId,
    pthread: libc::pthread_t,
    result: *mut *mut c_void,
) -> c_int {
    let real = real!(pthread_join: Join);
    // SAFETY: the caller's arguments, passed on.
    let error = unsafe { real(pthread, result) };
    runtime.pthreads.borrow_mut().remove(&pthread);
    if let Some(stack) = runtime.thread(id).stack.take() {
        runtime.stacks.borrow_mut().give_back(stack);
    }
    error
}

/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_join(pthread: libc::pthread_t, result: *mut *mut c_void) -> c_int {
    if let Some(inside) = Inside::enter() {
        let id = inside.runtime().pthreads.borrow().get(&pthread).copied();
        if let Some(id) = id {
            let ended = inside.scheduler().thread(id).state == State::Finished;
            if !ended {
                inside.wait(Waiting { join: Some(id), ..Waiting::default() });
            }
            // SAFETY: the caller's arguments, passed on.
            return unsafe { join_ended(inside.runtime(), id, pthread, result) };
        }
    }
    let real = real!(pthread_join: Join);
    // SAFETY: the caller's arguments, passed on.
    unsafe { real(pthread, result) }
}

/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_detach(pthread: libc::pthread_t) -> c_int {
    if let Some(inside) = Inside::enter() {
        let runtime = inside.runtime();
        let id = runtime.pthreads.borrow().get(&pthread).copied();
        if let Some(id) = id {
            runtime.thread(id).detached.set(true);
            if inside.scheduler().thread(id).state == State::Finished {
                runtime.to_reap.borrow_mut().push(pthread);
            }
            return 0;
        }
    }
    let real = real!(pthread_detach: unsafe extern "C" fn(libc::pthread_t) -> c_int);
    // SAFETY: the caller's arguments, passed on.
    unsafe { real(pthread) }
}

/// The standard library asks for a new thread's guard page, so that it can tell a stack overflow from other
/// faults, and panics where there is none. Our stacks have one, but libc knows nothing of it.
///
/// What it learns it then notes in a table under a *spin* lock, allocating: were the thread preempted there, the
/// next new thread would spin for ever. So it is not preempted from here to [`sigaltstack`], which comes next.
///
/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_getattr_np(
    pthread: libc::pthread_t,
    attributes: *mut libc::pthread_attr_t,
) -> c_int {
    type Function = unsafe extern "C" fn(libc::pthread_t, *mut libc::pthread_attr_t) -> c_int;
    let real = real!(pthread_getattr_np: Function);
    // SAFETY: the caller's arguments, passed on; on success the attributes are initialised.
    unsafe {
        let error = real(pthread, attributes);
        if error == 0 && Thread::current().is_some_and(|thread| thread.stack.get().is_some()) {
            libc::pthread_attr_setguardsize(attributes, super::stacks::PAGE);
            note_registering(true);
        }
        error
    }
}

/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sigaltstack(new: *const libc::stack_t, old: *mut libc::stack_t) -> c_int {
    note_registering(false);
    // SAFETY: the caller's arguments, passed on.
    let result = unsafe { raw::syscall(libc::SYS_sigaltstack, [new as usize, old as usize, 0, 0, 0, 0]) };
    raw::with_errno(result) as c_int
}

fn note_registering(registering: bool) {
    if let Some(thread) = Thread::current() {
        thread.registering.set(registering);
    }
}

impl Kind {
    /// The kernel thread on which `thread` runs.
    pub(super) fn kernel_thread(self, runtime: &Runtime, thread: &Thread) -> i32 {
        match self {
            Kind::Fast => runtime.runner.load(std::sync::atomic::Ordering::Relaxed),
            Kind::Futex => thread.kernel_id.get(),
        }
    }
}

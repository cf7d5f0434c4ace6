//! Thread-local destructors, of both kinds that the C library knows: calls registered for a thread's end, and
//! destructors of keys. Rust uses the first for `thread_local!`, and the second to drop the thread's own handle.
//!
//! They are part of the program, so they run as part of the run: the runtime calls them before it calls the
//! thread ended. libc would call them when the run has gone on, beside whoever runs then; what they free would be
//! free sooner or later as the kernel has it, and every address after that would differ.
//!
//! The next thread on the same carrier then finds its thread-locals as a new thread does: [`renew`].

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::raw::{real, set_errno};
use super::thread::{ExitCall, Thread};

type Destructor = unsafe extern "C" fn(*mut c_void);

/// glibc's `PTHREAD_KEYS_MAX` and `PTHREAD_DESTRUCTOR_ITERATIONS`.
const KEYS: usize = 1024;
const ROUNDS: usize = 4;

/// By key: its destructor, or 0. The keys of the whole process, since a key serves every thread.
static DESTRUCTORS: [AtomicUsize; KEYS] = [const { AtomicUsize::new(0) }; KEYS];
/// Every key there ever was is below.
static KEYS_END: AtomicUsize = AtomicUsize::new(0);

/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_key_create(
    key: *mut libc::pthread_key_t,
    destructor: Option<Destructor>,
) -> c_int {
    type Function = unsafe extern "C" fn(*mut libc::pthread_key_t, Option<Destructor>) -> c_int;
    let real = real!(pthread_key_create: Function);
    // SAFETY: the caller's arguments, passed on; on success the key is written.
    unsafe {
        let error = real(key, destructor);
        if error == 0 {
            KEYS_END.fetch_max(*key as usize + 1, Ordering::Relaxed);
            note_destructor(*key, destructor);
        }
        error
    }
}

/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_key_delete(key: libc::pthread_key_t) -> c_int {
    note_destructor(key, None);
    let real = real!(pthread_key_delete: unsafe extern "C" fn(libc::pthread_key_t) -> c_int);
    // SAFETY: the caller's argument, passed on.
    unsafe { real(key) }
}

fn note_destructor(key: libc::pthread_key_t, destructor: Option<Destructor>) {
    if let Some(slot) = DESTRUCTORS.get(key as usize) {
        slot.store(destructor.map_or(0, |f| f as usize), Ordering::Relaxed);
    }
}

/// # Safety
/// As in libc.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __cxa_thread_atexit_impl(
    function: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
    object: *mut c_void,
) -> c_int {
    type Function = unsafe extern "C" fn(*mut c_void);
    if let Some(thread) = Thread::current() {
        let was_inside = thread.inside.replace(true);
        thread.exit_calls.borrow_mut().push((function, argument));
        thread.inside.set(was_inside);
        return 0;
    }
    let real =
        real!(__cxa_thread_atexit_impl: unsafe extern "C" fn(Function, *mut c_void, *mut c_void) -> c_int);
    // SAFETY: the caller's arguments, passed on.
    unsafe { real(function, argument, object) }
}

/// Calls all destructors of the calling thread, as libc would at its end.
pub(super) fn run_destructors(thread: &Thread) {
    run_exit_calls(thread);
    for _ in 0..ROUNDS {
        if !run_key_destructors() {
            break;
        }
        run_exit_calls(thread);
    }
}

/// The last registered first; they may register more.
fn run_exit_calls(thread: &Thread) {
    let pop = || -> Option<ExitCall> { thread.exit_calls.borrow_mut().pop() };
    while let Some((function, argument)) = pop() {
        // SAFETY: registered to be called once, with this argument, on this thread, at its end.
        unsafe { function(argument) };
    }
}

/// One round over the keys, in their order; whether any had a value.
fn run_key_destructors() -> bool {
    let mut any = false;
    for (key, slot) in (0..).zip(&DESTRUCTORS).take(KEYS_END.load(Ordering::Relaxed)) {
        let address = slot.load(Ordering::Relaxed);
        if address == 0 {
            continue;
        }
        // SAFETY: a key with a destructor exists; the destructor was given as such, and takes the value that it
        // replaces by null.
        unsafe {
            let value = libc::pthread_getspecific(key);
            if !value.is_null() {
                libc::pthread_setspecific(key, ptr::null());
                std::mem::transmute::<usize, Destructor>(address)(value);
                any = true;
            }
        }
    }
    any
}

/// Makes the calling thread's thread-locals what a new thread's are. Their destructors have run, and nobody refers to
/// them any more: the thread they belonged to has ended, and the next one has not begun.
///
/// Those of the C library itself are not touched: it made them when it made the kernel thread, which goes on.
pub(super) fn renew() {
    for key in 0..KEYS_END.load(Ordering::Relaxed) as libc::pthread_key_t {
        // SAFETY: for a key that is not in use these do nothing.
        unsafe {
            if !libc::pthread_getspecific(key).is_null() {
                libc::pthread_setspecific(key, ptr::null());
            }
        }
    }
    let each = real!(dl_iterate_phdr: unsafe extern "C" fn(EachObject, *mut c_void) -> c_int);
    let libc = each as usize;
    // SAFETY: the callback takes the address that goes with it.
    unsafe { each(renew_those_of, libc as *mut c_void) };
    set_errno(0);
}

type EachObject = unsafe extern "C" fn(*mut libc::dl_phdr_info, usize, *mut c_void) -> c_int;

/// Renews the thread-locals of one executable or shared object, unless it is the one in which `libc` lies.
unsafe extern "C" fn renew_those_of(info: *mut libc::dl_phdr_info, _: usize, libc: *mut c_void) -> c_int {
    // SAFETY: the caller describes an object that is loaded: its headers can be read, and where they say so the initial
    // image of its thread-locals. `dlpi_tls_data` is the calling thread's block of them, if it has one by now. That
    // block is as long as the segment.
    unsafe {
        let info = &*info;
        let headers = std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into());
        let holds_libc = |header: &libc::Elf64_Phdr| {
            let start = info.dlpi_addr + header.p_vaddr;
            header.p_type == libc::PT_LOAD && (start..start + header.p_memsz).contains(&(libc as u64))
        };
        let segment = headers.iter().find(|header| header.p_type == libc::PT_TLS);
        if let (Some(segment), false) = (segment, info.dlpi_tls_data.is_null()) {
            if !headers.iter().any(holds_libc) {
                let image = (info.dlpi_addr + segment.p_vaddr) as *const u8;
                let block = info.dlpi_tls_data.cast::<u8>();
                let (filled, whole) = (segment.p_filesz as usize, segment.p_memsz as usize);
                ptr::copy_nonoverlapping(image, block, filled);
                block.add(filled).write_bytes(0, whole - filled);
            }
        }
    }
    0
}

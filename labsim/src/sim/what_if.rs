//! A copy of the run, to be asked what would happen: a process forked off in the midst of it.
//!
//! In the copy there is one kernel thread, the one that forked. Of the run's threads it goes on as the caller;
//! all others are stopped for good where they stand, as by a crash. New ones can be started. The run itself
//! stands still meanwhile, in virtual time and in its schedule, and sees nothing of it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use super::run::{ended, last_panic};
use super::runtime::{Ending, Inside, Runtime};
use super::scheduler::OUTSIDE;
use crate::report::{Failure, NoAnswer};

/// Real time that a copy has to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The first byte of what a copy sends: an answer, or why there is none.
const ANSWER: u8 = 1;
const PANICKED: u8 = 2;
const FAILED: u8 = 3;

/// See [`crate::what_if`]; `None` outside a run.
pub(crate) fn what_if(f: impl FnOnce() -> Vec<u8>) -> Option<Result<Vec<u8>, NoAnswer>> {
    let inside = Inside::enter()?;
    if inside.runtime().copy_answers_to.get().is_some() {
        return Some(Err(NoAnswer::Died("a copy cannot be copied".into())));
    }
    let no_copy = |error| Err(NoAnswer::Died(format!("the process cannot be copied: {error}")));
    Some(fork(inside, f).unwrap_or_else(no_copy))
}

fn fork(inside: Inside, f: impl FnOnce() -> Vec<u8>) -> io::Result<Result<Vec<u8>, NoAnswer>> {
    let (answer, answer_of_copy) = pipe()?;
    let parent = std::process::id();
    // SAFETY: libc's own fork puts its locks in order for the child. No thread of the run stands inside libc
    // while another runs, so nothing else of libc's is half done. The child's stack and FS base are copies of
    // the caller's; the other threads' are never resumed there.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(answer);
            die_with(parent);
            in_copy(inside, answer_of_copy, f)
        }
        _ => {
            drop(answer_of_copy);
            let bytes = read_all(&answer, Instant::now() + PATIENCE);
            // SAFETY: our child, waited for here and nowhere else.
            unsafe {
                libc::kill(pid, libc::SIGKILL);
                libc::waitpid(pid, std::ptr::null_mut(), 0);
            }
            Ok(match bytes?.split_first() {
                Some((&ANSWER, answer)) => Ok(answer.to_vec()),
                Some((&PANICKED, why)) => Err(NoAnswer::Panicked(text(why))),
                Some((&FAILED, why)) => Err(NoAnswer::Failed(text(why))),
                _ => {
                    let why = format!("the copy died, or gave no answer within {PATIENCE:?} of real time");
                    Err(NoAnswer::Died(why))
                }
            })
        }
    }
}

/// The whole life of a copy after the fork.
fn in_copy(inside: Inside, answer: OwnedFd, f: impl FnOnce() -> Vec<u8>) -> ! {
    let (runtime, thread) = (inside.runtime(), inside.thread);
    runtime.copy_answers_to.set(Some(answer.as_raw_fd()));
    // Their kernel threads are not here.
    runtime.idle.take();
    inside.scheduler().stop_all_but(thread.id);
    inside.scheduler().move_to(thread.id, OUTSIDE);
    for depth in [&thread.shield, &thread.quiet, &thread.visits] {
        depth.set(0);
    }
    silence();
    drop(inside);
    let answered = panic::catch_unwind(AssertUnwindSafe(f));
    match answered {
        Ok(bytes) => answer_and_exit(answer.as_raw_fd(), ANSWER, &bytes),
        Err(_) => answer_and_exit(answer.as_raw_fd(), PANICKED, last_panic(runtime).to_string().as_bytes()),
    }
}

/// The end of a copy whose run ended before there was an answer. Returns if the run is no copy.
pub(super) fn end_copy(runtime: &Runtime, ending: Ending) -> Ending {
    if let Some(fd) = runtime.copy_answers_to.get() {
        match ended(runtime, ending) {
            Failure::Panicked(note) => answer_and_exit(fd, PANICKED, note.to_string().as_bytes()),
            failure => answer_and_exit(fd, FAILED, failure.to_string().as_bytes()),
        }
    }
    ending
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Ends this process when its parent ends, of which there is then nobody to end it.
fn die_with(parent: u32) {
    // SAFETY: system calls without memory. The kernel thread that forked waits for the answer, so it does not end before
    // its process does.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() as u32 != parent {
            libc::_exit(0);
        }
    }
}

/// What a copy prints, nobody asked for.
fn silence() {
    // SAFETY: plain system calls on descriptors that are this process's own.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if null >= 0 {
            libc::dup2(null, libc::STDOUT_FILENO);
            libc::dup2(null, libc::STDERR_FILENO);
        }
    }
}

fn answer_and_exit(fd: RawFd, kind: u8, bytes: &[u8]) -> ! {
    let message = [&[kind], bytes].concat();
    let mut rest = &message[..];
    while !rest.is_empty() {
        // SAFETY: reads what is left of the message.
        match unsafe { libc::write(fd, rest.as_ptr().cast(), rest.len()) } {
            written @ 1.. => rest = &rest[written as usize..],
            _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            // Nobody is left to be told.
            _ => break,
        }
    }
    // SAFETY: ends the process at once, without destructors or buffers of the run it is a copy of.
    unsafe { libc::_exit(0) }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: writes two descriptors, which then are ours alone.
    unsafe {
        if libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// Everything up to the end of the stream, or nothing if that does not come in time.
fn read_all(from: &OwnedFd, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis() as i32;
        let mut polled = libc::pollfd { fd: from.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry; then the buffer's own length.
        let read = unsafe {
            match libc::poll(&mut polled, 1, left) {
                0 => return Ok(Vec::new()),
                1 => libc::read(from.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()),
                _ => -1,
            }
        };
        match read {
            0 => return Ok(bytes),
            1.. => bytes.extend_from_slice(&buffer[..read as usize]),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

//! Ctrl-C, and being asked to end: students' commands bring to an end in order what is going on, and a second time end at
//! once. A grader ends at once, as its results are whole at any time. Under `nohup` signals do what they do to any program.

use std::fs;
use std::io;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, bounded, never};

use crate::exit;

/// A channel that closes with the first signal. To be called once in a process.
pub(crate) fn interrupts() -> io::Result<Receiver<()>> {
    if hangups_are_ignored() {
        return Ok(never());
    }
    let (sender, receiver) = bounded(0);
    let mut sender = Some(sender);
    let again = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if again.swap(true, Ordering::Relaxed) {
            process::exit(exit::INTERRUPTED.into());
        }
        drop(sender.take());
    })
    .map_err(io::Error::other)?;
    Ok(receiver)
}

/// From now on a signal ends this process, after `last`: that of a container too, whose first process is deaf to signals that
/// it does not ask for. To be called once in a process.
pub(crate) fn end_at_once(last: impl Fn() + Send + 'static) -> io::Result<()> {
    if hangups_are_ignored() {
        return Ok(());
    }
    let end = move || {
        last();
        process::exit(exit::INTERRUPTED.into());
    };
    ctrlc::set_handler(end).map_err(io::Error::other)
}

/// Whether whoever started this process wants it to outlive the terminal. A handler would be for hangups too.
fn hangups_are_ignored() -> bool {
    const HANGUP: u64 = 1;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & HANGUP != 0)
}

//! Ctrl-C, and being asked to end: students' commands bring to an end in order what is going on, and a second time end at
//! once. A grader ends at once, as its results are whole at any time. Who is started by `nohup` outlives the terminal.

use std::fs;
use std::io;
use std::process;
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit;

/// A channel that closes with the first signal. To be called once in a process.
pub(crate) fn interrupts() -> io::Result<Receiver<()>> {
    let (sender, receiver) = bounded(0);
    let mut sender = Some(sender);
    at_signals(move || {
        if sender.take().is_none() {
            process::exit(exit::INTERRUPTED.into());
        }
    })?;
    Ok(receiver)
}

/// From now on a signal ends this process, after `last`: that of a container too, whose first process is deaf to signals that
/// it does not ask for. To be called once in a process.
pub(crate) fn end_at_once(last: impl Fn() + Send + 'static) -> io::Result<()> {
    at_signals(move || {
        last();
        process::exit(exit::INTERRUPTED.into());
    })
}

/// Calls `f` on a thread of its own for each signal that asks this process to end.
fn at_signals(mut f: impl FnMut() + Send + 'static) -> io::Result<()> {
    let hangup = (!hangups_are_ignored()).then_some(SIGHUP);
    let mut signals = Signals::new([SIGINT, SIGTERM].into_iter().chain(hangup))?;
    thread::Builder::new().name("signals".into()).spawn(move || signals.forever().for_each(|_| f()))?;
    Ok(())
}

/// Whether whoever started this process wants it to outlive the terminal.
fn hangups_are_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}

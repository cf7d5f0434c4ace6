//! Ctrl-C, and being asked to end: what is going on is brought to an end in order; a second time, at once.

use std::io;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, bounded};

use crate::exit;

/// A channel that closes with the first signal. To be called once in a process.
pub(crate) fn interrupts() -> io::Result<Receiver<()>> {
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

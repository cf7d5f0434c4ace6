//! [`Waiters`]: the requests that a leader has under way.

use std::collections::BTreeMap;

use futures::channel::oneshot::{self, Receiver, Sender};

use crate::messages::RequestId;

/// The requests that wait for a command to be applied, by its place in the log.
///
/// Who waits holds the other end of a channel. He is answered through it; or he learns that there will be no answer
/// by its end being dropped, so that nobody can be forgotten.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    commands: BTreeMap<u64, Waiter>,
    /// Those who wait for everything up to an index to be applied.
    reads: BTreeMap<u64, Vec<Sender<()>>>,
}

#[derive(Debug)]
struct Waiter {
    id: RequestId,
    answer: Sender<String>,
}

impl Waiters {
    /// `id` has been given the place `index` in the log, and waits to be applied. Whoever was given that place before, in
    /// an earlier term, waits in vain.
    pub(crate) fn add(&mut self, index: u64, id: RequestId) -> Receiver<String> {
        let (answer, receiver) = oneshot::channel();
        self.commands.insert(index, Waiter { id, answer });
        receiver
    }

    /// A read waits for everything up to `index` to be applied.
    pub(crate) fn add_read(&mut self, index: u64) -> Receiver<()> {
        let (applied, receiver) = oneshot::channel();
        self.reads.entry(index).or_default().push(applied);
        receiver
    }

    /// Everything up to `index` has been applied and can be read.
    pub(crate) fn applied_up_to(&mut self, index: u64) {
        while let Some(first) = self.reads.first_entry().filter(|first| *first.key() <= index) {
            for read in first.remove() {
                // Whoever waits may have gone.
                let _ = read.send(());
            }
        }
    }

    /// The request `id` has been applied at `index`. Returns who waits for just that. "If a different command is there,
    /// the leader has changed": others at this place, or before it, wait in vain.
    pub(crate) fn applied(&mut self, index: u64, id: RequestId) -> Option<Sender<String>> {
        let waiter = self.pop_up_to(index)?;
        (waiter.id == id).then_some(waiter.answer)
    }

    /// Everything up to `index` has been applied elsewhere and come as a snapshot.
    pub(crate) fn skipped_to(&mut self, index: u64) {
        self.pop_up_to(index);
    }

    /// Nobody will be answered.
    pub(crate) fn clear(&mut self) {
        *self = Waiters::default();
    }

    /// Drops who waits before `index`, and returns who waits there.
    fn pop_up_to(&mut self, index: u64) -> Option<Waiter> {
        while let Some(first) = self.commands.first_entry().filter(|first| *first.key() <= index) {
            let (place, waiter) = first.remove_entry();
            if place == index {
                return Some(waiter);
            }
        }
        None
    }
}

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
    by_index: BTreeMap<u64, Waiter>,
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
        self.by_index.insert(index, Waiter { id, answer });
        receiver
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
        self.by_index.clear();
    }

    /// Drops who waits before `index`, and returns who waits there.
    fn pop_up_to(&mut self, index: u64) -> Option<Waiter> {
        while let Some(first) = self.by_index.first_entry().filter(|first| *first.key() <= index) {
            let (place, waiter) = first.remove_entry();
            if place == index {
                return Some(waiter);
            }
        }
        None
    }
}

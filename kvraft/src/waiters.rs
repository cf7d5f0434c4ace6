//! [`Waiters`]: the requests that a leader has under way.

use std::collections::BTreeMap;

use futures::channel::oneshot::{self, Receiver, Sender};

use crate::messages::RequestId;

/// Those who wait for something to be applied, by its place in the log.
///
/// Each holds the other end of a channel, and is answered through it. That there will be no answer is told by dropping
/// this end, so that nobody can be forgotten.
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
    /// The request `id` has been given the place `index` in the log. Whoever was given that place before, in an earlier
    /// term, waits in vain.
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

    /// The request `id` is applied at `index`. Returns who waits for just that. Whoever waits there for another request, or
    /// at an earlier place, waits in vain: the log is not what this server proposed when it led.
    pub(crate) fn applied(&mut self, index: u64, id: RequestId) -> Option<Sender<String>> {
        let waiter = self.pop_up_to(index)?;
        (waiter.id == id).then_some(waiter.answer)
    }

    /// Everything up to `index` has come as a snapshot, in which no command can be told from another.
    pub(crate) fn skipped_to(&mut self, index: u64) {
        self.pop_up_to(index);
    }

    /// Nothing that was proposed may ever be applied.
    pub(crate) fn clear(&mut self) {
        *self = Waiters::default();
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.reads.is_empty()
    }

    /// Drops those before `index`, and returns the one there.
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

#[cfg(test)]
mod tests {
    use futures::channel::oneshot::Canceled;

    use super::*;

    fn id(client: u64, seq: u64) -> RequestId {
        RequestId { client, seq }
    }

    #[test]
    fn an_answer_goes_to_whom_the_command_belongs() {
        let mut waiters = Waiters::default();
        let mut answer = waiters.add(4, id(7, 1));
        assert!(waiters.applied(3, id(7, 1)).is_none(), "an earlier copy of the request, at another place");
        waiters.applied(4, id(7, 1)).unwrap().send("value".to_owned()).unwrap();
        assert_eq!(answer.try_recv(), Ok(Some("value".to_owned())));
        assert!(waiters.is_empty());
    }

    /// Matching by index alone would answer one client with what another did.
    #[test]
    fn another_command_at_the_place_is_no_answer() {
        for other in [id(8, 1), id(7, 2)] {
            let mut waiters = Waiters::default();
            let mut answer = waiters.add(4, id(7, 1));
            assert!(waiters.applied(4, other).is_none());
            assert_eq!(answer.try_recv(), Err(Canceled));
        }
    }

    #[test]
    fn whoever_was_given_the_place_earlier_waits_in_vain() {
        let mut waiters = Waiters::default();
        let mut earlier = waiters.add(4, id(7, 1));
        let mut now = waiters.add(4, id(8, 1));
        assert_eq!((earlier.try_recv(), now.try_recv()), (Err(Canceled), Ok(None)));
    }

    #[test]
    fn a_snapshot_ends_the_waiting_for_what_it_covers() {
        let mut waiters = Waiters::default();
        let [mut a, mut b, mut c] = [3, 4, 5].map(|index| waiters.add(index, id(index, 1)));
        waiters.skipped_to(4);
        assert_eq!((a.try_recv(), b.try_recv(), c.try_recv()), (Err(Canceled), Err(Canceled), Ok(None)));
        waiters.clear();
        assert_eq!(c.try_recv(), Err(Canceled));
    }

    #[test]
    fn reads_wait_for_everything_up_to_their_index() {
        let mut waiters = Waiters::default();
        let [mut a, mut b, mut c] = [4, 4, 6].map(|index| waiters.add_read(index));
        waiters.applied_up_to(3);
        assert_eq!(a.try_recv(), Ok(None));
        waiters.applied_up_to(5);
        assert_eq!((a.try_recv(), b.try_recv(), c.try_recv()), (Ok(Some(())), Ok(Some(())), Ok(None)));
        waiters.clear();
        assert_eq!(c.try_recv(), Err(Canceled));
    }
}

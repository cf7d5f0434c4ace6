//! Who holds the mutexes that others wait for.
//!
//! Locks do not say who holds them, and a free one is taken without any call that could be seen. But a run can be
//! repeated. Once a run has failed with threads that wait for mutexes, it is known where these lie, and they lie there in
//! every run of the seed: so the seed is run again, and their words are looked at whenever a thread gives up its turn
//! or wakes another. One thread executes at a time; a mutex that was free and is not any more was taken by that one.
//!
//! Known are the mutexes of the standard library and of `parking_lot`, which alone may be handed on without being
//! free in between; not those for readers and writers, which many may hold.

use std::cell::RefCell;

use super::diagnosis::Slow;
use super::raw;
use super::runtime::Runtime;
use super::scheduler::ThreadId;

/// A mutex, by its address and its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lock {
    address: usize,
    kind: Slow,
}

impl Lock {
    /// The one for which a thread waits at `futex`, on the slow path `kind`.
    pub(super) fn waited_for(futex: usize, kind: Slow) -> Option<Lock> {
        let address = match kind {
            Slow::Std => Some(futex),
            Slow::ParkingLot => {
                // Taken, and somebody waits for it.
                let is_lock =
                    |address: &usize| raw::read_memory::<1>(*address).is_some_and(|[bits]| bits & 3 == 3);
                beside_parker(futex).find(is_lock)
            }
            Slow::Shared => None,
        };
        address.map(|address| Lock { address, kind })
    }

    /// One number for both parts.
    pub(super) fn number(self) -> u64 {
        (self.address as u64) << 1 | u64::from(self.kind == Slow::ParkingLot)
    }

    fn numbered(number: u64) -> Lock {
        let kind = if number & 1 == 1 { Slow::ParkingLot } else { Slow::Std };
        Lock { address: (number >> 1) as usize, kind }
    }

    fn is_held(self) -> bool {
        // `parking_lot` marks in the next bit that somebody waits, the standard library that it is held and somebody does.
        let held = if self.kind == Slow::ParkingLot { 1 } else { !0 };
        raw::read_memory::<1>(self.address).is_some_and(|[bits]| bits & held != 0)
    }
}

/// `parking_lot` keeps, in the record of a thread that waits, the address of the lock right before the word that it
/// waits at, among few other words. Where another version keeps it elsewhere, holders are not known.
fn beside_parker(futex: usize) -> impl Iterator<Item = usize> {
    let words = (futex & !7).saturating_sub(32)..futex & !7;
    words.step_by(8).filter_map(|word| raw::read_memory::<8>(word).map(usize::from_ne_bytes))
}

/// The mutexes that a run watches, and who holds each.
#[derive(Debug, Default)]
pub(super) struct Watched(RefCell<Vec<(Lock, Option<ThreadId>)>>);

impl Watched {
    pub(super) fn new(numbers: &[u64]) -> Watched {
        Watched(RefCell::new(numbers.iter().map(|number| (Lock::numbered(*number), None)).collect()))
    }

    /// To be called when `me` gives up its turn: whatever was taken or released since another did, `me` took or released.
    pub(super) fn look(&self, me: ThreadId) {
        for (lock, holder) in self.0.borrow_mut().iter_mut() {
            *holder = if lock.is_held() { holder.or(Some(me)) } else { None };
        }
    }

    /// To be called when `me` is about to wake who waits at `futex`: it may hand a mutex on.
    pub(super) fn look_at_wake(&self, runtime: &Runtime, me: ThreadId, futex: usize) {
        if self.0.borrow().is_empty() {
            return;
        }
        self.look(me);
        let Some(waiter) = runtime.scheduler.borrow().waiter_at(futex) else { return };
        for (lock, holder) in self.0.borrow_mut().iter_mut() {
            // Were it not handed on, it would be free now: it is released before anybody is woken.
            let is_handed_on = lock.kind == Slow::ParkingLot && *holder == Some(me);
            if is_handed_on && beside_parker(futex).any(|address| address == lock.address) {
                *holder = Some(waiter);
            }
        }
    }

    /// Who holds any of them.
    pub(super) fn holders(&self) -> Vec<ThreadId> {
        self.0.borrow().iter().filter_map(|(_, holder)| *holder).collect()
    }

    pub(super) fn holder(&self, lock: Lock) -> Option<ThreadId> {
        self.0.borrow().iter().find(|(watched, _)| *watched == lock).and_then(|(_, holder)| *holder)
    }
}

//! Who is in flight when: the part of a search's configuration that follows from how far it got.

use crate::bits::Bits;
use crate::history::{Interval, NEVER};

/// Where an operation has its bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It returns: the bit of a slot it has from call to return.
    Slot(usize),
    /// It never returns: a bit of its own.
    Pending(usize),
}

/// A history, and a moment in it: just before one of its returns.
pub(crate) struct Timeline {
    intervals: Vec<Interval>,
    twins: Vec<u32>,
    places: Vec<Place>,
    /// Completed operations by return.
    returns: Vec<u32>,
    /// By index of a return: how many operations were called before it.
    called_before: Vec<u32>,
    /// Operations that never return, by call.
    never: Vec<u32>,

    /// The moment: index into `returns`.
    now: usize,
    /// How many operations were called before `now`, and how many of them never return.
    called: usize,
    never_called: usize,
    /// Who has which slot `now`.
    slots: Vec<Option<u32>>,

    /// By twin number: scratch for one pass over the operations, valid where the stamp is that of the pass.
    twin_stamp: Vec<u64>,
    twin_op: Vec<u32>,
    pass: u64,
}

impl Timeline {
    /// `intervals` in the order of the calls. `twins` numbers the kinds of operations, below their count.
    pub(crate) fn new(intervals: &[Interval], twins: Vec<u32>) -> Self {
        let count = intervals.len();
        let ret = |op: u32| intervals[op as usize].ret;
        let mut returns: Vec<u32> = (0..count as u32).filter(|&op| ret(op) != NEVER).collect();
        returns.sort_unstable_by_key(|&op| ret(op));
        let mut places = Vec::with_capacity(count);
        let mut called_before = Vec::with_capacity(returns.len());
        let mut never = Vec::new();
        let (mut slots, mut free) = (0, Vec::new());
        for &returning in &returns {
            while places.len() < count && intervals[places.len()].call < ret(returning) {
                if intervals[places.len()].ret == NEVER {
                    never.push(places.len() as u32);
                    places.push(Place::Pending(never.len() - 1));
                } else {
                    let slot = free.pop().unwrap_or_else(|| {
                        slots += 1;
                        slots - 1
                    });
                    places.push(Place::Slot(slot));
                }
            }
            called_before.push(places.len() as u32);
            let Place::Slot(slot) = places[returning as usize] else { unreachable!("it returns") };
            free.push(slot);
        }
        // What was called after the last return never returns and nobody saw it: it stays out.
        let mut timeline = Timeline {
            intervals: intervals.to_vec(),
            places,
            returns,
            called_before,
            never,
            now: 0,
            called: 0,
            never_called: 0,
            slots: vec![None; slots],
            twin_stamp: vec![0; count],
            twin_op: vec![0; count],
            pass: 0,
            twins,
        };
        timeline.take_calls(&mut Vec::new());
        timeline
    }

    pub(crate) fn place(&self, op: u32) -> Place {
        self.places[op as usize]
    }

    /// The slot of an operation that returns.
    pub(crate) fn slot(&self, op: u32) -> usize {
        match self.place(op) {
            Place::Slot(slot) => slot,
            Place::Pending(_) => unreachable!("only operations that return have slots"),
        }
    }

    /// The operation whose return is next, if there is one.
    pub(crate) fn returning(&self) -> Option<u32> {
        self.returns.get(self.now).copied()
    }

    /// The completed operations in flight whose slots are not in `done`.
    pub(crate) fn in_flight<'a>(&'a self, done: &'a Bits) -> impl Iterator<Item = u32> + 'a {
        self.slots.iter().enumerate().filter(|(slot, _)| !done.contains(*slot)).filter_map(|(_, op)| *op)
    }

    /// Goes past the next return, up to the one after it; appends the completed operations called in between.
    pub(crate) fn advance(&mut self, called: &mut Vec<u32>) {
        let slot = self.slot(self.returns[self.now]);
        self.slots[slot] = None;
        self.now += 1;
        self.take_calls(called);
    }

    fn take_calls(&mut self, called: &mut Vec<u32>) {
        let Some(&until) = self.called_before.get(self.now) else { return };
        while self.called < until as usize {
            let op = self.called as u32;
            match self.place(op) {
                Place::Slot(slot) => {
                    self.slots[slot] = Some(op);
                    called.push(op);
                }
                Place::Pending(_) => self.never_called += 1,
            }
            self.called += 1;
        }
    }

    /// Goes back past the previous return.
    fn retreat(&mut self) {
        self.now -= 1;
        while self.called > self.called_before[self.now] as usize {
            self.called -= 1;
            match self.places[self.called] {
                Place::Slot(slot) => self.slots[slot] = None,
                Place::Pending(_) => self.never_called -= 1,
            }
        }
        let returning = self.returns[self.now];
        let slot = self.slot(returning);
        self.slots[slot] = Some(returning);
    }

    /// Goes to just before the return of this index.
    pub(crate) fn seek(&mut self, next_return: u32) {
        while self.now > next_return as usize {
            self.retreat();
        }
        while self.now < next_return as usize {
            self.advance(&mut Vec::new());
        }
    }

    /// Of the pending operations called by now and not in `used`, the first of each kind.
    pub(crate) fn pending(&mut self, used: &Bits) -> Vec<u32> {
        self.pass += 1;
        let mut firsts = Vec::new();
        for (index, &op) in self.never[..self.never_called].iter().enumerate() {
            let kind = self.twins[op as usize] as usize;
            if !used.contains(index) && self.twin_stamp[kind] != self.pass {
                self.twin_stamp[kind] = self.pass;
                firsts.push(op);
            }
        }
        firsts
    }

    /// Sorts what operations in flight may do by their returns, and drops those with a twin that was called and
    /// returns no later: that one goes first.
    pub(crate) fn drop_later_twins(&mut self, effects: &mut Vec<(u32, u32)>) {
        effects.sort_by_key(|&(op, _)| self.intervals[op as usize].ret);
        self.pass += 1;
        effects.retain(|&(op, _)| {
            let kind = self.twins[op as usize] as usize;
            // The earliest-called twin among those that return before this one.
            let first = self.twin_op[kind];
            if self.twin_stamp[kind] == self.pass && first < op {
                return false;
            }
            self.twin_stamp[kind] = self.pass;
            self.twin_op[kind] = op;
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0: [0, 3), 1: [1, never), 2: [2, 6), 3: [4, 5)
    fn timeline(twins: Vec<u32>) -> Timeline {
        let at = |call, ret| Interval { call, ret };
        Timeline::new(&[at(0, 3), at(1, NEVER), at(2, 6), at(4, 5)], twins)
    }

    #[test]
    fn slots_are_reused_and_the_moment_moves_both_ways() {
        let mut t = timeline(vec![0, 1, 2, 3]);
        let flying = |t: &Timeline| t.in_flight(&Bits::default()).collect::<Vec<_>>();
        assert_eq!((t.returning(), flying(&t)), (Some(0), vec![0, 2]));
        let mut called = Vec::new();
        t.advance(&mut called);
        assert_eq!((t.returning(), flying(&t), called), (Some(3), vec![3, 2], vec![3]));
        assert_eq!(t.slot(3), t.slot(0));
        t.seek(2);
        assert_eq!((t.returning(), flying(&t)), (Some(2), vec![2]));
        t.seek(3);
        assert_eq!((t.returning(), flying(&t)), (None, vec![]));
        t.seek(0);
        assert_eq!((t.returning(), flying(&t)), (Some(0), vec![0, 2]));
        assert_eq!(t.pending(&Bits::default()), [1]);
    }

    #[test]
    fn of_twins_the_earlier_goes_first_unless_it_returns_later() {
        let mut t = timeline(vec![0, 1, 0, 0]);
        let mut effects = vec![(2, 9), (0, 7), (0, 8)];
        t.drop_later_twins(&mut effects);
        assert_eq!(effects, [(0, 7), (0, 8)], "both choices of the first twin stay");
        let mut effects = vec![(2, 9), (3, 9)];
        t.drop_later_twins(&mut effects);
        assert_eq!(
            effects,
            [(3, 9), (2, 9)],
            "called earlier but returning later: neither stands for the other"
        );
    }
}

//! Step 4: one key as an object whose states are the values that were read.
//!
//! For the general search a value of megabytes would be a costly state. But the only thing that matters about a
//! value is which of the values read it is a beginning of. So a state is a place in the sorted list of values
//! read: the first one that starts with it, and its length. All values that no read starts with behave alike
//! until the next put; they are one state.

use crate::procedure::Slice;
use crate::search::{Machine, Outcome, Search, Stuck};

use super::zones::with_nothings;
use super::{Kind, Op};
use crate::general::kinds;

/// A value, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Seen {
    /// The first `len` bytes of a value read, and the first value in the list that starts with them.
    Prefix { value: u32, len: u32 },
    /// Not the beginning of anything read.
    Nowhere,
}

/// The operations on one key over the values read.
pub(super) struct Observed<'a> {
    all: Vec<Op<'a>>,
    /// Indices into `all` of the operations that matter, by the search's numbers.
    ops: Vec<u32>,
    /// The different values read, sorted.
    values: Vec<&'a [u8]>,
    /// By the search's numbers: for a get the state it needs, for a put the state it leaves.
    targets: Vec<Seen>,
}

/// A search over the operations of one key.
pub(super) fn search<'a>(all: &[Op<'a>]) -> Search<Observed<'a>> {
    let mut values: Vec<&[u8]> = all.iter().filter(|op| op.kind == Kind::Get).map(|op| op.text).collect();
    values.sort_unstable();
    values.dedup();
    let mut machine = Observed { all: all.to_vec(), ops: Vec::new(), values, targets: Vec::new() };
    for (index, op) in all.iter().enumerate() {
        let target = match op.kind {
            Kind::Nothing => continue,
            Kind::Get | Kind::Put => machine.find(0, 0, op.text),
            Kind::Append => Seen::Nowhere,
        };
        // A pending put whose value nobody saw need not have happened.
        if op.kind != Kind::Put || op.returned() || target != Seen::Nowhere {
            machine.ops.push(index as u32);
            machine.targets.push(target);
        }
    }
    let intervals: Vec<_> = machine.ops.iter().map(|&op| all[op as usize].at).collect();
    let twins = kinds(machine.ops.iter().map(|&op| (all[op as usize].kind, all[op as usize].text)));
    Search::new(machine, &intervals, twins)
}

/// Whether these operations are linearizable, if a search of so many configurations can tell.
pub(super) fn is_linearizable(ops: &[Op<'_>], configurations: u64) -> Option<bool> {
    match search(ops).run(&mut Slice::new(configurations, None)) {
        Outcome::Order(_) => Some(true),
        Outcome::Stuck(_) => Some(false),
        Outcome::Undecided => None,
    }
}

impl<'a> Observed<'a> {
    /// The state after the first `len` bytes of value number `value` and then `more`.
    fn find(&self, value: u32, len: usize, more: &[u8]) -> Seen {
        let from = value as usize;
        let Some(start) = self.values.get(from).map(|v| &v[..len]) else { return Seen::Nowhere };
        // The values that start so are neighbours, and sorted by what follows.
        let count = self.values[from..].partition_point(|v| v.starts_with(start));
        let family = &self.values[from..from + count];
        let at = family.partition_point(|v| &v[len..] < more);
        match family.get(at) {
            Some(v) if v[len..].starts_with(more) => {
                Seen::Prefix { value: (from + at) as u32, len: (len + more.len()) as u32 }
            }
            _ => Seen::Nowhere,
        }
    }

    /// An order of the search by index, with the operations the search did not need.
    pub(super) fn with_nothings(&self, order: &[u32]) -> Vec<u32> {
        with_nothings(&self.all, self.by_index(order))
    }

    /// A dead end by index: the operation that found no place, and the order before it.
    pub(super) fn stuck(&self, stuck: &Stuck) -> (u32, Vec<u32>) {
        (self.ops[stuck.at as usize], self.by_index(&stuck.partial))
    }

    fn by_index(&self, order: &[u32]) -> Vec<u32> {
        order.iter().map(|&op| self.ops[op as usize]).collect()
    }
}

impl Machine for Observed<'_> {
    type State = Seen;

    fn initial(&self) -> Seen {
        self.find(0, 0, b"")
    }

    fn step(&self, state: Seen, op: usize, next: &mut Vec<Seen>) {
        let target = self.targets[op];
        let all = &self.all[self.ops[op] as usize];
        match (all.kind, state) {
            (Kind::Get, _) => {
                if state == target {
                    next.push(state);
                }
            }
            (Kind::Put, _) => next.push(target),
            (_, Seen::Nowhere) => next.push(Seen::Nowhere),
            (_, Seen::Prefix { value, len }) => next.push(self.find(value, len as usize, all.text)),
        }
    }

    fn is_read(&self, op: usize) -> bool {
        self.all[self.ops[op] as usize].kind == Kind::Get
    }
}

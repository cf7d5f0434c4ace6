//! A history: what was asked, what was answered, and when each operation was under way.
//!
//! Times are *stamps*: any `u64` that grows with real time. Only their order matters. Operation `a` precedes
//! operation `b` when `a` returned at a stamp strictly smaller than the one at which `b` was called; with equal
//! stamps the two count as concurrent, which can only make a verdict more lenient.

use std::fmt;

use thiserror::Error;

/// The most operations a history may hold (2^30): ranks of calls and returns fit into 32 bits.
pub const MAX_OPERATIONS: usize = 1 << 30;

/// One operation of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation<I, O> {
    /// Who asked. Used for the rows of pictures; the verdict does not depend on it.
    pub client: u64,
    /// Stamp of the call, taken before the operation can have any effect.
    pub call: u64,
    /// What was asked.
    pub input: I,
    /// The answer, or `None` for an operation that never returned: it may have taken effect at any moment after
    /// its call, or never.
    pub returned: Option<Returned<O>>,
    /// Free text that reports show beside the operation ("server 2", "3 retries"); empty for none.
    pub note: String,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned<O> {
    /// Stamp of the return, taken after the operation had its effect; not smaller than that of the call.
    pub at: u64,
    /// What was answered.
    pub output: O,
}

impl<I, O> Operation<I, O> {
    /// An operation of `client` that was called at `call` and returned `output` at `at`.
    pub fn new(client: u64, call: u64, input: I, at: u64, output: O) -> Self {
        Operation { client, call, input, returned: Some(Returned { at, output }), note: String::new() }
    }

    /// An operation of `client` that was called at `call` and never returned.
    pub fn pending(client: u64, call: u64, input: I) -> Self {
        Operation { client, call, input, returned: None, note: String::new() }
    }

    /// The answer, when there was one.
    pub fn output(&self) -> Option<&O> {
        self.returned.as_ref().map(|r| &r.output)
    }
}

/// Something that happened beside the operations ("server 2 crashed"), shown on the time axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When, on the same scale as the operations' stamps.
    pub at: u64,
    /// What happened, in a few words.
    pub text: String,
}

/// Operations and marks of one run. Operations are named by their position: `history.operations()[id]`.
#[derive(Clone, PartialEq, Eq)]
pub struct History<I, O> {
    // invariant: no operation returns before its call; at most MAX_OPERATIONS
    operations: Vec<Operation<I, O>>,
    marks: Vec<Mark>,
    /// What its clients are called.
    who: &'static str,
}

/// Why a list of operations is no history.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MalformedHistory {
    /// Occurs when an operation's return stamp is smaller than its call stamp.
    #[error("operation {id} returned at {at}, before its call at {call}")]
    ReturnBeforeCall {
        /// Position of the operation in the list.
        id: usize,
        /// Its call stamp.
        call: u64,
        /// Its return stamp.
        at: u64,
    },
    /// Occurs when there are more than [`MAX_OPERATIONS`] operations.
    #[error("{0} operations; at most {MAX_OPERATIONS} can be checked")]
    TooLong(usize),
}

impl<I, O> History<I, O> {
    /// A history of `operations`, in any order, which they keep.
    pub fn new(operations: Vec<Operation<I, O>>) -> Result<Self, MalformedHistory> {
        Self::with_marks(operations, Vec::new())
    }

    /// A history with annotations for its time axis.
    pub fn with_marks(operations: Vec<Operation<I, O>>, marks: Vec<Mark>) -> Result<Self, MalformedHistory> {
        if operations.len() > MAX_OPERATIONS {
            return Err(MalformedHistory::TooLong(operations.len()));
        }
        for (id, op) in operations.iter().enumerate() {
            if let Some(ret) = &op.returned {
                if ret.at < op.call {
                    return Err(MalformedHistory::ReturnBeforeCall { id, call: op.call, at: ret.at });
                }
            }
        }
        Ok(History { operations, marks, who: "client" })
    }

    /// The same history of clients that are called something else, such as "process": in sentences, pictures and pages.
    pub fn of(self, who: &'static str) -> Self {
        History { who, ..self }
    }

    /// What one of its clients is called: "client", where nobody said something else.
    pub fn who(&self) -> &'static str {
        self.who
    }

    /// The operations; an operation's position is its id everywhere in this crate.
    pub fn operations(&self) -> &[Operation<I, O>] {
        &self.operations
    }

    /// The annotations, in the order given.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The number of operations.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there is no operation.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The same history with other inputs and outputs.
    pub fn map<I2, O2>(
        self,
        mut input: impl FnMut(I) -> I2,
        mut output: impl FnMut(O) -> O2,
    ) -> History<I2, O2> {
        let operations = self.operations.into_iter().map(|op| Operation {
            client: op.client,
            call: op.call,
            input: input(op.input),
            returned: op.returned.map(|r| Returned { at: r.at, output: output(r.output) }),
            note: op.note,
        });
        History { operations: operations.collect(), marks: self.marks, who: self.who }
    }
}

impl<I: fmt::Debug, O: fmt::Debug> fmt::Debug for History<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One operation per line: a failing random test prints its history.
        for (id, op) in self.operations.iter().enumerate() {
            write!(f, "#{id} {} {} [{}, ", self.who, op.client, op.call)?;
            match &op.returned {
                Some(r) => writeln!(f, "{}] {:?} -> {:?}", r.at, op.input, r.output)?,
                None => writeln!(f, "...) {:?}", op.input)?,
            }
        }
        Ok(())
    }
}

/// Call and return of one operation as ranks: unique, dense, calls before returns where stamps are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) call: u32,
    /// [`NEVER`] for an operation that never returned.
    pub(crate) ret: u32,
}

/// The return rank of an operation that never returned: later than every event.
pub(crate) const NEVER: u32 = u32::MAX;

/// The interval of every operation, by id.
pub(crate) fn intervals<I, O>(operations: &[Operation<I, O>]) -> Vec<Interval> {
    const RETURN: u32 = 1 << 31;
    // MAX_OPERATIONS keeps ids below the flag. On equal stamps calls sort first, then ids.
    let mut events: Vec<(u64, u32)> = Vec::with_capacity(2 * operations.len());
    for (id, op) in operations.iter().enumerate() {
        events.push((op.call, id as u32));
        if let Some(r) = &op.returned {
            events.push((r.at, id as u32 | RETURN));
        }
    }
    events.sort_unstable();
    let mut intervals = vec![Interval { call: 0, ret: NEVER }; operations.len()];
    for (rank, &(_, event)) in events.iter().enumerate() {
        let interval = &mut intervals[(event & !RETURN) as usize];
        if event & RETURN == 0 {
            interval.call = rank as u32;
        } else {
            interval.ret = rank as u32;
        }
    }
    intervals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_before_its_call_is_refused() {
        let ops = vec![Operation::new(0, 1, (), 2, ()), Operation::new(0, 5, (), 4, ())];
        let err = History::new(ops).unwrap_err();
        assert_eq!(err, MalformedHistory::ReturnBeforeCall { id: 1, call: 5, at: 4 });
    }

    #[test]
    fn ranks_are_dense_and_put_calls_first_on_ties() {
        let ops = [
            Operation::new(0, 10, (), 20, ()),
            Operation::new(1, 20, (), 20, ()),
            Operation::pending(2, 7, ()),
        ];
        let got = intervals(&ops);
        assert_eq!(got[2], Interval { call: 0, ret: NEVER });
        assert_eq!(got[0], Interval { call: 1, ret: 3 }, "the call at 20 comes before the return at 20");
        assert_eq!(got[1], Interval { call: 2, ret: 4 });
    }
}

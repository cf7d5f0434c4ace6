//! Recording a history while it happens, from any number of threads.
//!
//! Each client writes to a log of its own behind a mutex that nobody else takes until the end, so recording
//! costs two atomic increments and two uncontended locks an operation.
//!
//! **Why the stamps are right on weakly ordered machines.** All stamps come from one atomic counter, whose
//! modification order is total: if one operation returned before another was called and the caller could know
//! it, its stamp is smaller. That alone is not enough. The memory accesses of the operation itself must not
//! drift out of the interval its two stamps span, for an interval recorded too short makes innocent code look
//! wrong; and an acquire-release increment still lets a later access slip in front of the increment's *store*.
//! So a sequentially consistent fence stands between the operation and each of its stamps.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use parking_lot::Mutex;

use crate::history::{History, Mark, Operation, Returned};

/// Collects operations from many threads into a [`History`].
///
/// ```
/// use linearizability::{History, Recorder};
///
/// let recorder = Recorder::new();
/// let client = recorder.client(7);
/// let answer = client.record("get x", || 42);
/// assert_eq!(answer, 42);
/// recorder.mark("server 1 crashed");
/// client.call("put x").note("server 2"); // never returns
///
/// let history: History<&str, i32> = recorder.finish();
/// assert_eq!(history.operations()[0].output(), Some(&42));
/// assert_eq!(history.operations()[1].returned, None);
/// ```
pub struct Recorder<I, O> {
    shared: Arc<Shared<I, O>>,
}

/// The log of one client. Clones write to the same log, so that two threads may act as one client.
pub struct ClientLog<I, O> {
    client: u64,
    clock: Arc<AtomicU64>,
    log: Arc<Log<I, O>>,
}

/// An operation under way. Dropped without [`returned`](Call::returned) it stays in the history as one that
/// never returned.
#[must_use = "tell it when the operation returned"]
pub struct Call<'a, I, O> {
    log: &'a ClientLog<I, O>,
    slot: usize,
}

type Log<I, O> = Mutex<LogState<I, O>>;

struct LogState<I, O> {
    operations: Vec<Operation<I, O>>,
    /// Set by `finish`: what is recorded later concerns nobody.
    closed: bool,
}

struct Shared<I, O> {
    clock: Arc<AtomicU64>,
    logs: Mutex<Vec<Arc<Log<I, O>>>>,
    marks: Mutex<Vec<Mark>>,
}

fn stamp_call(clock: &AtomicU64) -> u64 {
    let stamp = clock.fetch_add(1, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    stamp
}

fn stamp_return(clock: &AtomicU64) -> u64 {
    fence(Ordering::SeqCst);
    clock.fetch_add(1, Ordering::SeqCst)
}

impl<I, O> Default for Recorder<I, O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I, O> Recorder<I, O> {
    /// A recorder whose first stamp is 0.
    pub fn new() -> Self {
        let shared = Shared { clock: Arc::default(), logs: Mutex::default(), marks: Mutex::default() };
        Recorder { shared: Arc::new(shared) }
    }

    /// A log for the client of this number. Several logs may carry the same number.
    pub fn client(&self, client: u64) -> ClientLog<I, O> {
        let log = Arc::new(Mutex::new(LogState { operations: Vec::new(), closed: false }));
        self.shared.logs.lock().push(log.clone());
        ClientLog { client, clock: self.shared.clock.clone(), log }
    }

    /// Notes an event beside the operations: a crash, a partition, a heal.
    pub fn mark(&self, text: impl Into<String>) {
        let at = self.shared.clock.fetch_add(1, Ordering::SeqCst);
        self.shared.marks.lock().push(Mark { at, text: text.into() });
    }

    /// Takes what was recorded, in the order of the calls. Operations still under way stay pending, whatever
    /// becomes of them; a log used after this records nothing. Never waits for an operation.
    pub fn finish(self) -> History<I, O> {
        let mut operations = Vec::new();
        for log in self.shared.logs.lock().iter() {
            let mut log = log.lock();
            log.closed = true;
            operations.append(&mut log.operations);
        }
        operations.sort_by_key(|op| op.call);
        let mut marks = std::mem::take(&mut *self.shared.marks.lock());
        marks.sort_by_key(|m| m.at);
        History::with_marks(operations, marks).expect("a call is stamped before its return")
    }
}

impl<I, O> ClientLog<I, O> {
    /// Starts an operation. Call it just before the request can leave.
    pub fn call(&self, input: I) -> Call<'_, I, O> {
        let mut log = self.log.lock();
        let slot = log.operations.len();
        if !log.closed {
            log.operations.push(Operation::pending(self.client, 0, input));
            // Last, so that pushing is not counted as part of the operation; nothing else can be in the slot.
            log.operations[slot].call = stamp_call(&self.clock);
        }
        Call { log: self, slot }
    }

    /// Runs `operation` and records it with its answer. If it panics it stays pending.
    pub fn record(&self, input: I, operation: impl FnOnce() -> O) -> O
    where
        O: Clone,
    {
        let call = self.call(input);
        let output = operation();
        call.returned(output.clone());
        output
    }
}

impl<I, O> Call<'_, I, O> {
    /// The operation has returned with this output. Call it as soon as the answer is known.
    pub fn returned(self, output: O) {
        self.returned_with(|| output);
    }

    /// The operation has returned; `output` makes what is to be kept of its answer, after the return is
    /// stamped, so that the time this takes does not lengthen the operation.
    pub fn returned_with(self, output: impl FnOnce() -> O) {
        let at = stamp_return(&self.log.clock);
        let output = output();
        self.edit(|op| op.returned = Some(Returned { at, output }));
    }

    /// Adds a note that reports show beside the operation.
    pub fn note(self, text: impl Into<String>) -> Self {
        self.edit(|op| op.note = text.into());
        self
    }

    fn edit(&self, f: impl FnOnce(&mut Operation<I, O>)) {
        let mut log = self.log.log.lock();
        if !log.closed {
            f(&mut log.operations[self.slot]);
        }
    }
}

impl<I, O> Clone for ClientLog<I, O> {
    fn clone(&self) -> Self {
        ClientLog { client: self.client, clock: self.clock.clone(), log: self.log.clone() }
    }
}

impl<I, O> fmt::Debug for Recorder<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("stamps", &self.shared.clock).finish_non_exhaustive()
    }
}

impl<I, O> fmt::Debug for ClientLog<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientLog").field("client", &self.client).finish_non_exhaustive()
    }
}

impl<I, O> fmt::Debug for Call<'_, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("client", &self.log.client).field("slot", &self.slot).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_one_order_and_ids_follow_the_calls() {
        let recorder = Recorder::new();
        std::thread::scope(|s| {
            for c in 0..4 {
                let client = recorder.client(c);
                s.spawn(move || (0..100).for_each(|i| assert_eq!(client.record(i, || i + 1), i + 1)));
            }
        });
        let history = recorder.finish();
        assert_eq!(history.len(), 400);
        let ops = history.operations();
        assert!(ops.windows(2).all(|w| w[0].call < w[1].call));
        let mut stamps: Vec<u64> =
            ops.iter().flat_map(|op| [op.call, op.returned.as_ref().unwrap().at]).collect();
        stamps.sort_unstable();
        assert!(stamps.iter().copied().eq(0..800), "every stamp is given once");
        assert!(ops.iter().all(|op| op.output() == Some(&(op.input + 1))));
    }

    #[test]
    fn one_client_with_two_threads_keeps_its_answers_apart() {
        let recorder = Recorder::new();
        let a = recorder.client(1);
        let b = a.clone();
        let (x, y) = (a.call("x"), b.call("y"));
        y.returned(2);
        x.returned(1);
        let ops = recorder.finish();
        assert_eq!(ops.operations()[0].output(), Some(&1));
        assert_eq!(ops.operations()[1].output(), Some(&2));
    }

    #[test]
    fn what_returns_after_the_end_stays_pending() {
        let recorder = Recorder::new();
        let client = recorder.client(0);
        let call = client.call("slow");
        recorder.mark("end");
        let history = recorder.finish();
        call.returned(());
        client.call("late").returned(());
        assert_eq!(history.len(), 1);
        assert_eq!(history.operations()[0].returned, None);
        assert_eq!(history.marks(), [Mark { at: 1, text: "end".into() }]);
    }

    #[test]
    fn a_panicking_operation_stays_pending() {
        let recorder: Recorder<&str, ()> = Recorder::new();
        let client = recorder.client(0);
        let run = std::panic::AssertUnwindSafe(|| client.record("boom", || panic!("expected by this test")));
        assert!(std::panic::catch_unwind(run).is_err());
        assert_eq!(recorder.finish().operations()[0].returned, None);
    }
}

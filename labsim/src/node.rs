//! Nodes: groups of threads that crash, stall and tell the time together, as the threads of one machine.
//!
//! A thread belongs to the node of the thread that started it, unless [`Node::spawn`] says otherwise. Threads
//! that existed before any node belong to none: the test itself, usually.
//!
//! A crash or a freeze takes effect for a thread where it waits, sleeps, yields again and again, or passes a
//! [`preemption_point`](crate::preemption_point), outside [`no_preempt`](crate::no_preempt) scopes. Where it was
//! preempted in the midst of an allocation, looks at the clock, or panics, it goes on to the next such place, and so
//! it does after a crash when somebody wakes it: it may hold a lock that libraries share between all threads, or be
//! the one to pass it on. The locks of standard output and standard error no thread holds that a crash stops, except
//! one that begins to print after the crash and in the midst of that waits for time to pass, or for the dead. Then nobody
//! prints any more, and the report of the run, which fails, names that thread.

use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::sim;

/// A handle to a node; clones are the same node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    id: u32,
    name: String,
}

/// The node of the calling thread; `None` if it belongs to none. In real time nodes are not tracked: `None`.
pub fn current() -> Option<Node> {
    sim::current_node().map(|(id, name)| Node { id, name })
}

/// Starts a thread on `node`, as [`Node::spawn`] does.
pub fn spawn_on<T, F>(node: &Node, name: String, f: F) -> io::Result<JoinHandle<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    node.spawn(name, f)
}

impl Node {
    /// A new node without threads. Nodes belong to the run that made them. In real time the name is all there
    /// is to a node, and the operations below do nothing.
    pub fn new(name: &str) -> Node {
        Node { id: sim::add_node(name).unwrap_or(0), name: name.to_owned() }
    }

    /// The name it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts a thread that belongs to this node, and so do those that it starts. On a crashed node the thread
    /// never begins. Fails as [`Builder::spawn`] does.
    pub fn spawn<T, F>(&self, name: String, f: F) -> io::Result<JoinHandle<T>>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        // The new thread is the node's, the calling one may be anybody's, and does not stop with the node.
        crate::no_preempt(|| self.visit(|| Builder::new().name(name).spawn(f)))
    }

    /// Stops the node's threads for good, as a power cut: nothing is unwound, no destructor runs, locks stay
    /// locked. Whoever joins one of them waits for ever. If the calling thread is one of them, this does not
    /// return.
    ///
    /// Waits until nobody is printing, and then holds the locks of standard output and standard error itself.
    pub fn crash_hard(&self) {
        self.with(|id| {
            let nobody_prints = (io::stdout().lock(), io::stderr().lock());
            sim::crash_node(id);
            drop(nobody_prints);
            sim::stop_here();
        });
    }

    /// Stops the node's threads until [`thaw`](Self::thaw), as a machine that stalls: time goes on, and timers
    /// that passed fire at the thaw.
    pub fn freeze(&self) {
        self.with(sim::freeze_node);
    }

    /// Ends a freeze; harmless without one.
    pub fn thaw(&self) {
        self.with(sim::thaw_node);
    }

    /// From now on the node's wall clock (`SystemTime`) is `wall_offset_ns` ahead, and both its clocks run
    /// `drift_ppm` parts per million fast; negative for behind and slow. `Instant` stays continuous. Waits that
    /// have begun end when they would have.
    pub fn set_clock(&self, wall_offset_ns: i64, drift_ppm: i64) {
        self.with(|id| sim::set_node_clock(id, wall_offset_ns, drift_ppm));
    }

    /// From now on the node's threads, and those that [visit](Self::visit) it, stall now and then: one in `one_in` of the
    /// schedule's preemptions, of the wakes and starts of another thread, such as by giving back a lock that others wait
    /// for, and of the [preemption points](crate::preemption_point) costs up to `max` of time, whoever else can run and
    /// whatever lock is held. So a program can lose its processor between any two steps, as on a busy machine, and what it
    /// has looked at before may be out of date afterwards. 0 ends it. In real time this does nothing: there it happens by
    /// itself.
    ///
    /// A crash or a freeze of the node takes effect on a stalled thread when it goes on and next waits.
    pub fn set_stalls(&self, one_in: u32, max: Duration) {
        self.with(|id| sim::set_node_stalls(id, one_in, max));
    }

    /// Calls `f` on the calling thread as if that were one of the node's: what it starts belongs to the node, and
    /// it reads the node's clock. It is not stopped when the node is.
    pub fn visit<T>(&self, f: impl FnOnce() -> T) -> T {
        sim::visit(self.id, f)
    }

    /// Names of the node's threads that have neither ended nor been stopped by a crash, `#` and a number for those
    /// without a name; none in real time.
    pub fn alive(&self) -> Vec<String> {
        sim::alive_on(self.id)
    }

    fn with(&self, f: impl FnOnce(u32)) {
        if self.id != 0 {
            f(self.id);
        }
    }
}

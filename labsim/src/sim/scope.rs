//! What a thread may ask of the run it belongs to: scopes, time, events, nodes. Outside a run these do nothing.

use std::cell::Cell;
use std::time::Duration;

use super::raw;
use super::runtime::Inside;
use super::scheduler::{NodeId, Stalls, State, ThreadId};
use super::thread::Thread;

/// A scope of the calling thread; ends when dropped.
#[derive(Debug)]
pub(crate) struct Scope {
    depth: Option<fn(&Thread) -> &Cell<u32>>,
    /// At its end the thread may be stopped. Where an observer was, nothing may happen that would not without it.
    may_stop: bool,
}

impl Scope {
    /// Neither preempted nor stopped.
    pub(crate) fn shield() -> Self {
        Self::enter(|thread| &thread.shield, true)
    }

    /// As `shield`, and leaving no trace: see [`observe`](crate::observe).
    pub(crate) fn observe() -> Self {
        Self::enter(|thread| &thread.quiet, false)
    }

    fn enter(depth: fn(&Thread) -> &Cell<u32>, may_stop: bool) -> Self {
        let depth = Thread::current().map(|thread| {
            depth(thread).set(depth(thread).get() + 1);
            depth
        });
        Scope { depth, may_stop }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let (Some(depth), Some(thread)) = (self.depth, Thread::current()) else { return };
        depth(thread).set(depth(thread).get() - 1);
        if let Some(inside) = Inside::enter().filter(|_| self.may_stop) {
            inside.unshielded();
        }
    }
}

pub(crate) fn is_simulated() -> bool {
    Thread::current().is_some()
}

pub(crate) fn now() -> Option<Duration> {
    Inside::enter().map(|inside| Duration::from_nanos(inside.scheduler().now()))
}

pub(crate) fn eprint(text: &str) {
    let Some(_inside) = Inside::enter() else { return eprint!("{text}") };
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let args = [libc::STDERR_FILENO as usize, rest.as_ptr() as usize, rest.len(), 0, 0, 0];
        // SAFETY: reads what is left of the text.
        match unsafe { raw::syscall(libc::SYS_write, args) } {
            written @ 1.. => rest = &rest[written as usize..],
            error if error == -libc::EINTR as isize => {}
            // Nobody is left to be told.
            _ => return,
        }
    }
}

pub(crate) fn diagnose() {
    if let Some(inside) = Inside::enter() {
        inside.diagnose();
    }
}

pub(crate) fn trace_event(value: u64) {
    if let Some(inside) = Inside::enter() {
        inside.scheduler().trace.event(value);
    }
}

pub(crate) fn preemption_point() {
    if let Some(inside) = Inside::enter() {
        inside.pause();
    }
}

pub(crate) fn add_node(name: &str) -> Option<u32> {
    Inside::enter().map(|inside| inside.scheduler().add_node(name.to_owned()).0)
}

/// Number and name of the calling thread's node, if it belongs to one.
pub(crate) fn current_node() -> Option<(u32, String)> {
    let inside = Inside::enter()?;
    let node = inside.node();
    (node.0 != 0).then(|| (node.0, inside.scheduler().node(node).name.clone()))
}

/// Runs `f` with the calling thread counted to `node`. The thread is not stopped with the node it only visits.
pub(crate) fn visit<T>(node: u32, f: impl FnOnce() -> T) -> T {
    /// Where the thread belongs.
    struct Visit(NodeId);
    impl Visit {
        fn enter(node: NodeId) -> Option<Visit> {
            let inside = Inside::enter()?;
            if inside.node() == node {
                return None;
            }
            let thread = inside.thread;
            thread.visits.set(thread.visits.get() + 1);
            Some(Visit(inside.scheduler().move_to(thread.id, node)))
        }
    }
    impl Drop for Visit {
        fn drop(&mut self) {
            let Some(inside) = Inside::enter() else { return };
            let thread = inside.thread;
            inside.scheduler().move_to(thread.id, self.0);
            thread.visits.set(thread.visits.get() - 1);
            inside.unshielded();
        }
    }
    let _visit = Visit::enter(NodeId(node));
    f()
}

/// Stops the node's threads for good, but for the calling one, which [`stop_here`] stops if it is one of them.
pub(crate) fn crash_node(node: u32) {
    if let Some(inside) = Inside::enter() {
        inside.scheduler().crash(NodeId(node));
    }
}

/// Stops the calling thread if its node was crashed or frozen.
pub(crate) fn stop_here() {
    if let Some(inside) = Inside::enter() {
        inside.unshielded();
    }
}

pub(crate) fn freeze_node(node: u32) {
    let Some(inside) = Inside::enter() else { return };
    inside.scheduler().freeze(NodeId(node));
    inside.unshielded();
}

pub(crate) fn thaw_node(node: u32) {
    if let Some(inside) = Inside::enter() {
        inside.scheduler().thaw(NodeId(node));
    }
}

pub(crate) fn set_node_clock(node: u32, wall_offset: i64, drift_ppm: i64) {
    if let Some(inside) = Inside::enter() {
        inside.scheduler().set_clock(NodeId(node), wall_offset, drift_ppm);
    }
}

/// With `one_in` 0 its threads do not stall any more.
pub(crate) fn set_node_stalls(node: u32, one_in: u32, max: Duration) {
    if let Some(inside) = Inside::enter() {
        let max = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX / 2).max(1);
        let stalls = (one_in > 0).then_some(Stalls { one_in, max });
        inside.scheduler().set_stalls(NodeId(node), stalls);
    }
}

/// The node's threads that are still there: neither ended nor stopped.
pub(crate) fn alive_on(node: u32) -> Vec<String> {
    let Some(inside) = Inside::enter() else { return Vec::new() };
    let alive: Vec<ThreadId> = {
        let scheduler = inside.scheduler();
        let slots = (0..).map(ThreadId).zip(scheduler.threads());
        let alive = slots.filter(|(id, slot)| {
            slot.node == NodeId(node) && slot.state != State::Finished && !scheduler.is_stopped(*id)
        });
        alive.map(|(id, _)| id).collect()
    };
    // Built inside the runtime, so not from the run's heap: asking leaves no trace.
    alive.into_iter().map(|id| inside.runtime().name_of(id)).collect()
}

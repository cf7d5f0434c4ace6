//! Which thread belongs to which server.
//!
//! A thread that the harness started knows its owner. One that the code under test started does not. In virtual
//! time it belongs to the node of the thread that started it, and a node is a server's incarnation. In real
//! time there are no nodes; but the standard library numbers threads in the order of their making, so a thread
//! whose number was given out while a server was being made belongs to that server. (Another server that starts
//! a thread in just those microseconds would be blamed wrongly; threads started later are known by their name
//! only.)

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use std::thread;

use labsim::node::{self, Node};

use crate::incarnation::Incarnation;
use crate::run::Run;

thread_local! {
    static OWNER: RefCell<Option<Owner>> = const { RefCell::new(None) };
}

/// Whose thread this is.
#[derive(Clone)]
pub(crate) struct Owner {
    run: Run,
    /// `None` for a thread of the harness, or one of which the server is not known.
    pub(crate) incarnation: Option<Arc<Incarnation>>,
}

/// Starts a thread that knows whose it is.
pub(crate) fn spawn(
    name: String,
    run: Run,
    incarnation: Option<Arc<Incarnation>>,
    f: impl FnOnce() + Send + 'static,
) {
    let node = incarnation.as_ref().map(|incarnation| incarnation.node().clone());
    spawn_on(node.as_ref(), name, Owner { run, incarnation }, f);
}

/// Starts a thread of the harness on `node`.
pub(crate) fn spawn_at(node: &Node, name: String, run: Run, f: impl FnOnce() + Send + 'static) {
    spawn_on(Some(node), name, Owner { run, incarnation: None }, f);
}

fn spawn_on(node: Option<&Node>, name: String, owner: Owner, f: impl FnOnce() + Send + 'static) {
    let thread = move || {
        OWNER.set(Some(owner));
        f();
    };
    let spawned = match node {
        Some(node) => node.spawn(name, thread),
        None => thread::Builder::new().name(name).spawn(thread),
    };
    spawned.expect("the system refused a thread");
}

/// Runs `f` on this thread in the name of a server.
pub(crate) fn acting_for<T>(run: &Run, incarnation: &Arc<Incarnation>, f: impl FnOnce() -> T) -> T {
    struct Restore(Option<Owner>);
    impl Drop for Restore {
        fn drop(&mut self) {
            OWNER.set(self.0.take());
        }
    }
    let owner = Owner { run: run.clone(), incarnation: Some(incarnation.clone()) };
    let _restore = Restore(OWNER.replace(Some(owner)));
    incarnation.node().visit(f)
}

/// Runs `f` on a thread of a server, where it holds what it shares with others or waits for them: a crash does not
/// stop the thread before `f` has returned. In virtual time another thread may run first, so that what is begun here
/// is not always done in one go with what came before.
pub(crate) fn shield(f: &mut dyn FnMut()) {
    labsim::preemption_point();
    labsim::no_preempt(f);
}

/// The result of `f`, called on a thread of a server while it holds what it shares with others: no other thread runs
/// unless it waits, and a crash does not stop it.
pub fn shielded<T>(f: impl FnOnce() -> T) -> T {
    labsim::no_preempt(f)
}

/// Runs `birth`, which makes an incarnation, and in real time remembers the numbers of the threads made meanwhile.
/// They are the incarnation's from the start: a thread may panic before `birth` is over.
pub(crate) fn born_during<T>(run: &Run, incarnation: &Arc<Incarnation>, birth: impl FnOnce() -> T) -> T {
    if labsim::is_simulated() {
        return birth();
    }
    let set_range = |range: Range<u64>| {
        let births = &mut run.shared.progress.lock().births;
        births.retain(|(_, other)| !Arc::ptr_eq(other, incarnation));
        births.push((range, incarnation.clone()));
    };
    let Some(first) = next_number() else { return birth() };
    set_range(first..u64::MAX);
    let made = birth();
    set_range(first..next_number().unwrap_or(first));
    made
}

/// The owner of the calling thread, if it belongs to `run`.
pub(crate) fn owner_in(run: &Run) -> Option<Owner> {
    if let Some(owner) = OWNER.try_with(|owner| owner.borrow().clone()).ok().flatten() {
        return Arc::ptr_eq(&owner.run.shared, &run.shared).then_some(owner);
    }
    if labsim::is_simulated() {
        // There are no threads here but the run's.
        let node = node::current();
        let of_node = |it: &&Arc<Incarnation>| node.as_ref() == Some(it.node());
        let incarnation = run.progress(|progress| progress.incarnations.iter().rfind(of_node).cloned());
        return Some(Owner { run: run.clone(), incarnation });
    }
    let me = current_number()?;
    if me < *run.shared.first_thread.get()? {
        return None;
    }
    let progress = run.shared.progress.lock();
    let incarnation = progress.births.iter().find(|(range, _)| range.contains(&me)).map(|(_, it)| it.clone());
    Some(Owner { run: run.clone(), incarnation })
}

/// The number of the server for which the calling thread works, as far as the thread itself can tell.
pub(crate) fn current_server() -> Option<usize> {
    let owner = OWNER.try_with(|owner| Some(owner.borrow().as_ref()?.incarnation.as_ref()?.server()));
    owner.ok().flatten().or_else(|| node::current()?.name().strip_prefix("server ")?.parse().ok())
}

/// The server for which the calling thread works, as far as the thread itself can tell, or the thread's name.
pub(crate) fn current() -> String {
    let server =
        || OWNER.try_with(|owner| Some(owner.borrow().as_ref()?.incarnation.as_ref()?.node().clone()));
    let node = node::current().or_else(|| server().ok().flatten());
    node.map_or_else(current_name, |node| node.name().to_string())
}

/// The calling thread's name.
pub(crate) fn current_name() -> String {
    thread::current().name().unwrap_or("unnamed").to_string()
}

/// The calling thread's number.
pub(crate) fn current_number() -> Option<u64> {
    number(&thread::current())
}

/// The number of the next thread but one: a number can be learnt only by taking it.
fn next_number() -> Option<u64> {
    let thread = thread::Builder::new().spawn(|| ()).expect("the system refused a thread");
    number(thread.thread())
}

/// A thread's number; `None` should the standard library ever write thread ids in another way.
fn number(thread: &thread::Thread) -> Option<u64> {
    format!("{:?}", thread.id()).strip_prefix("ThreadId(")?.strip_suffix(')')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_numbered_in_the_order_of_their_making() {
        let before = next_number().unwrap();
        let thread = thread::spawn(|| ());
        let its = number(thread.thread()).unwrap();
        assert!(before < its);
        assert!(its < next_number().unwrap());
    }
}

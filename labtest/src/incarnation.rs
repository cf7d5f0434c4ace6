//! The life of a server between two crashes.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use labrpc::Spawn;
use labsim::node::{self, Node};

use crate::events::What;
use crate::run::Run;
use crate::threads;

/// One incarnation of a server: whose thread this is, and whether what it does still counts.
pub struct Incarnation {
    run: Run,
    server: usize,
    /// What its threads belong to. In real time only a name.
    node: Node,
    died: OnceLock<Instant>,
}

impl Incarnation {
    pub(crate) fn new(run: &Run, server: usize) -> Arc<Incarnation> {
        let node = Node::new(&format!("server {server}"));
        let incarnation = Arc::new(Incarnation { run: run.clone(), server, node, died: OnceLock::new() });
        run.progress(|progress| progress.incarnations.push(incarnation.clone()));
        incarnation
    }

    /// Another life on the same node, which does not die with this one: for a call whose failure counts whatever the
    /// threads of this life still do.
    pub(crate) fn stand_in(&self) -> Arc<Incarnation> {
        let (run, node) = (self.run.clone(), self.node.clone());
        Arc::new(Incarnation { run, server: self.server, node, died: OnceLock::new() })
    }

    /// The server's number, from 0.
    pub fn server(&self) -> usize {
        self.server
    }

    /// Whether it has not been killed yet.
    pub fn is_alive(&self) -> bool {
        self.died.get().is_none()
    }

    /// Enters into the stream of events that the service hands a snapshot up to `index` to the server; not if this life is
    /// over, since the event would go to the next.
    pub fn note_snapshot(&self, index: u64) {
        if !self.is_alive() {
            return;
        }
        self.run.note(|events, at| events.of_living(at, self.server, |life| What::Snapshot { life, index }));
    }

    pub(crate) fn die(&self) {
        self.died.get_or_init(Instant::now);
    }

    /// When it was killed, if it was.
    pub(crate) fn died(&self) -> Option<Instant> {
        self.died.get().copied()
    }

    /// Whether the calling thread is one of its own. In real time nobody knows.
    pub(crate) fn is_at_home(&self) -> bool {
        node::current().as_ref() == Some(&self.node)
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Runs `f` on a new thread of this server.
    pub fn spawn(self: &Arc<Self>, name: String, f: impl FnOnce() + Send + 'static) {
        threads::spawn(name, self.run.clone(), Some(self.clone()), f);
    }

    /// The run it lives in.
    pub fn run(&self) -> &Run {
        &self.run
    }
}

/// Gives the network threads that belong to one incarnation.
pub(crate) struct NodeThreads(pub(crate) Arc<Incarnation>);

impl Spawn for NodeThreads {
    fn spawn(&self, name: String, f: Box<dyn FnOnce() + Send>) {
        self.0.spawn(name, f);
    }

    fn shield(&self, f: &mut dyn FnMut()) {
        threads::shield(f);
    }
}

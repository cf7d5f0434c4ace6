//! The life of a server between two crashes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use labrpc::Spawn;

use crate::run::Run;
use crate::threads;

/// One incarnation of a server: whose thread this is, and whether what it does still counts.
pub struct Incarnation {
    run: Run,
    server: usize,
    alive: AtomicBool,
}

impl Incarnation {
    pub(crate) fn new(run: &Run, server: usize) -> Arc<Incarnation> {
        Arc::new(Incarnation { run: run.clone(), server, alive: AtomicBool::new(true) })
    }

    /// The server's number, from 0.
    pub fn server(&self) -> usize {
        self.server
    }

    /// Whether it has not been killed yet.
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    pub(crate) fn die(&self) {
        self.alive.store(false, Ordering::SeqCst);
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
}

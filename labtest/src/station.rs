//! A place beside the servers, where a client of theirs runs.

use labrpc::Spawn;
use labsim::node::Node;

use crate::run::Run;
use crate::threads;

/// A machine that is no server: callbacks of a client's calls run on its threads, whichever thread they come from, so
/// that the crash of a server takes none of them along.
pub struct Station {
    run: Run,
    node: Node,
}

impl Station {
    /// A machine of this name.
    pub fn new(run: &Run, name: &str) -> Station {
        Station { run: run.clone(), node: Node::new(name) }
    }
}

impl Spawn for Station {
    fn spawn(&self, name: String, f: Box<dyn FnOnce() + Send>) {
        threads::spawn_at(&self.node, name, self.run.clone(), f);
    }
}

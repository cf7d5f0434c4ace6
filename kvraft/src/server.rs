//! [`KvServer`]: one server of the service.

use labnode::Persister;
use raft::{Raft, RaftClient};

use crate::messages::{KvService, Reply, Request};

/// One server of the service. Clones are the same server.
#[derive(Clone)]
pub struct KvServer {
    raft: Raft,
}

impl KvServer {
    /// Starts server `me` of `servers`.
    pub fn new(
        servers: Vec<RaftClient>,
        me: usize,
        persister: Persister,
        max_raft_state: Option<usize>,
    ) -> KvServer {
        let _ = max_raft_state;
        KvServer { raft: Raft::new(servers, me, persister, crossbeam_channel::unbounded().0) }
    }

    /// This server's Raft peer.
    pub fn raft(&self) -> Raft {
        self.raft.clone()
    }

    /// Ends this server. Returns at once.
    pub fn kill(&self) {
        self.raft.kill();
    }
}

impl KvService for KvServer {
    async fn execute(&self, request: Request) -> labrpc::Result<Reply> {
        unimplemented!("{request:?}")
    }
}

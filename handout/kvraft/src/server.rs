//! A server of the service.
//!
//! A request's way: the handler gives it to Raft as a command (`start`) and waits. When Raft has agreed on it, it comes
//! out of the apply channel on every server; each executes it in the log's order, and the one whose handler waits
//! for it tells the handler. Four rules keep you out of most trouble:
//! - never hold the lock while you wait, for an answer or for the next message of the apply channel;
//! - what comes out at the index that `start` named need not be your command: then another server leads;
//! - a leader may lose its leadership without anything being applied any more: nobody may wait for ever;
//! - whether a request has been executed before is decided when it is executed, alike on every server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;
use raft::{ApplyMsg, Raft, RaftClient};
use serde::{Deserialize, Serialize};

use crate::Persister;
use crate::messages::{GetArgs, GetReply, KvService, PutAppendArgs, PutAppendReply};

/// What the log holds: anything that says what to do, and for whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Command {
    // 3A: the operation and its request's identity. `labcodec::encode(&command)` makes bytes of it for
    // `Raft::start`, and `labcodec::decode` is the way back.
}

/// A handle to a server: clones are the same server.
#[derive(Clone)]
pub struct KvServer {
    shared: Arc<Shared>,
}

/// What the server's thread and handlers share.
struct Shared {
    me: usize,
    raft: Raft,
    /// The disk, of which Raft has a handle too: for its sizes, and for the snapshot that is there at the start.
    persister: Persister,
    /// Make a snapshot when `persister.state_size()` passes it; `None`: never.
    max_raft_state: Option<usize>,
    state: Mutex<KvState>,
    /// Set by `kill`. The server's threads end when it is set.
    dead: AtomicBool,
}

struct KvState {
    // 3A: the values; the last request executed for each clerk; who waits for which command.
}

impl KvServer {
    /// Starts server `me` of `servers` and returns at once: what takes time runs in threads.
    pub fn new(
        servers: Vec<RaftClient>,
        me: usize,
        persister: Persister,
        max_raft_state: Option<usize>,
    ) -> KvServer {
        // 3B: restore the state from `persister.snapshot()`, if it is not empty, before Raft starts.
        let (apply_ch, messages) = bounded(0);
        let raft = Raft::new(servers, me, persister.clone(), apply_ch);
        let state = Mutex::new(KvState {});
        let dead = AtomicBool::new(false);
        let server =
            KvServer { shared: Arc::new(Shared { me, raft, persister, max_raft_state, state, dead }) };
        let applier = server.clone();
        thread::Builder::new()
            .name(format!("kv-{me}-applier"))
            .spawn(move || applier.run_applier(messages))
            .expect("a thread");
        server
    }

    /// Runs in a thread of its own until Raft ends, which closes the channel.
    fn run_applier(&self, messages: Receiver<ApplyMsg>) {
        for message in messages {
            match message {
                ApplyMsg::Command { index, command } => self.apply(index, &command),
                ApplyMsg::Snapshot { index, data, .. } => self.restore(index, &data),
            }
        }
    }

    /// Executes the command at `index`, unless its request has been executed before, and tells who waits for it.
    fn apply(&self, index: u64, command: &[u8]) {
        // 3B: afterwards, make a snapshot if it is time: everything that a server must know to go on from here,
        // encoded, to `self.shared.raft.snapshot(index, ..)`.
        todo!(
            "3A: write KvServer::apply in kvraft/src/server.rs: execute a command once, and tell who waits for it"
        )
    }

    /// Replaces the state by the leader's, as it was after `index`.
    fn restore(&self, index: u64, snapshot: &[u8]) {
        todo!("3B: write KvServer::restore in kvraft/src/server.rs: replace the state by a snapshot")
    }

    /// This server's Raft peer.
    pub fn raft(&self) -> Raft {
        self.shared.raft.clone()
    }

    /// The server is about to be thrown away: its threads should end soon. Do not wait for them here.
    pub fn kill(&self) {
        self.shared.dead.store(true, Ordering::SeqCst);
        self.shared.raft.kill();
        // If handlers of yours wait, wake them here.
    }

    fn is_dead(&self) -> bool {
        self.shared.dead.load(Ordering::SeqCst)
    }
}

/// The handlers: what this server answers when a clerk calls. They run on threads of the network, several at a time, and
/// may block. `Err(RpcError::Stopped)` is "no answer", for a killed server.
impl KvService for KvServer {
    fn get(&self, args: GetArgs) -> labrpc::Result<GetReply> {
        todo!("3A: write get in kvraft/src/server.rs: a value that is up to date, or wrong_leader")
    }

    fn put_append(&self, args: PutAppendArgs) -> labrpc::Result<PutAppendReply> {
        todo!(
            "3A: write put_append in kvraft/src/server.rs: have Raft agree on it, and wait until it is executed"
        )
    }
}

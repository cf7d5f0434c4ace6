//! A Raft peer.
//!
//! One mutex guards the state; threads and handlers lock it, look, change, and unlock it. Three rules keep
//! you out of most trouble:
//! - never hold the lock while you wait: for a reply, for the apply channel, for time to pass;
//! - after a reply arrives, the state may have changed since you asked: check that it is still what it was;
//! - when a term in any message is higher than yours, you are a follower of that term, whatever you were.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex};

use crate::messages::{
    AppendEntriesArgs, AppendEntriesReply, InstallSnapshotArgs, InstallSnapshotReply, RaftClient,
    RaftService, RequestVoteArgs, RequestVoteReply,
};
use crate::{ApplyMsg, NotLeader, Persister, Start, State};

/// A handle to a peer: clones are the same peer.
#[derive(Clone)]
pub struct Raft {
    shared: Arc<Shared>,
}

/// What the peer's threads and handlers share.
struct Shared {
    /// `peers[i]` sends to server `i`; `peers[me]` is this server and not to be called.
    peers: Vec<RaftClient>,
    me: usize,
    /// The disk: what is saved here is what the server finds after a crash.
    persister: Persister,
    state: Mutex<RaftState>,
    /// Set by `kill`. Every thread looks at it regularly and ends when it is set.
    dead: AtomicBool,
}

/// Figure 2, "State".
struct RaftState {
    current_term: u64,
    // 2A: your vote, your role, when you last heard from a leader ...
    // 2B: the log, commit_index, last_applied, next_index, match_index ...
}

impl Raft {
    /// Starts server `me` of `peers` and returns at once: what takes time runs in threads. Panics if `peers` is
    /// empty or `me` is not a position in it.
    pub fn new(peers: Vec<RaftClient>, me: usize, persister: Persister, apply_ch: Sender<ApplyMsg>) -> Raft {
        assert!(!peers.is_empty(), "Raft::new: `peers` is empty");
        assert!(me < peers.len(), "Raft::new: `me` is {me}, but there are {} peers", peers.len());
        let restarted = persister.state_size() > 0;
        let state = Mutex::new(RaftState { current_term: 0 });
        let raft = Raft {
            shared: Arc::new(Shared { peers, me, persister, state, dead: AtomicBool::new(false) }),
        };
        if restarted {
            raft.read_persisted();
        }
        // Name your threads: a panic's message and the log show it.
        let elections = raft.clone();
        thread::Builder::new()
            .name(format!("raft-{me}-election"))
            .spawn(move || elections.run_elections())
            .expect("a thread");
        let applier = raft.clone();
        thread::Builder::new()
            .name(format!("raft-{me}-applier"))
            .spawn(move || applier.run_applier(apply_ch))
            .expect("a thread");
        raft
    }

    /// Runs in a thread of its own until the server is killed.
    fn run_elections(&self) {
        // If no leader has been heard from for an election timeout, which is drawn at random each time, start
        // an election: a new term, a vote for yourself, and a RequestVote to every other peer at the same
        // time. With `self.shared.peers[i].request_vote(&args)` the message is on its way; then either
        // `.wait()` for the reply in a thread of its own, or hand a closure to `.on_reply(..)`.
        todo!(
            "2A: write Raft::run_elections in raft/src/raft.rs: start an election when no leader is heard from"
        )
    }

    /// Runs in a thread of its own until the server is killed. Nobody else has `apply_ch`: when this ends, the
    /// service's loop over the messages ends too, although the service has a handle to this server.
    fn run_applier(&self, _apply_ch: Sender<ApplyMsg>) {
        // 2B: wait until something is committed that was not applied, and send it in order, with no lock held:
        // a send waits until the service takes the message. It fails when the service has gone.
    }

    /// Asks for agreement on `command`, without waiting for it.
    pub fn start(&self, command: Vec<u8>) -> Result<Start, NotLeader> {
        // Not the leader, or killed: `Err(NotLeader)`. Otherwise append the command to your log and say where
        // it stands. The first command of all has index 1. A command above 1 MiB is a mistake of the caller:
        // panic with its size and the limit.
        todo!("2B: write Raft::start in raft/src/raft.rs: append the command to the leader's log")
    }

    /// This server's term, and whether it believes it leads.
    pub fn state(&self) -> State {
        todo!("2A: write Raft::state in raft/src/raft.rs: the current term, and whether this server leads")
    }

    /// The service has put everything up to `index` into `snapshot`: the log up to there is no longer needed.
    /// One no newer than the last is ignored, as is any after `kill`; one beyond what was applied is a mistake
    /// of the service: panic. It must fit into one message, which has at most 64 MiB.
    pub fn snapshot(&self, index: u64, snapshot: Vec<u8>) {
        todo!("2D: write Raft::snapshot in raft/src/raft.rs: trim the log, save state and snapshot together")
    }

    /// The server is about to be thrown away: its threads should end soon. Do not wait for them here.
    pub fn kill(&self) {
        self.shared.dead.store(true, Ordering::SeqCst);
        // If threads of yours wait on condition variables, set the flag with the lock held and wake them here:
        // docs/rust-for-this-lab.md, "Ending", says why.
    }

    fn is_dead(&self) -> bool {
        self.shared.dead.load(Ordering::SeqCst)
    }

    /// Saves what must survive a crash. Call it, from lab 2C on, after every change of that state and before
    /// any message that tells of the change can leave.
    fn persist(&self) {
        // `labcodec::encode(&value)` turns any `Serialize` value into bytes, a tuple of several too;
        // `self.shared.persister.save(bytes, None)` replaces what was there and keeps the snapshot.
        todo!("2C: write Raft::persist in raft/src/raft.rs: save current_term, voted_for and the log")
    }

    /// Restores what was saved before a crash; only called if there is something.
    fn read_persisted(&self) {
        // `labcodec::decode(&self.shared.persister.state())` is the way back. A server that cannot read its
        // disk must not run: panic, and name the server, what was expected, and how far you got.
        todo!("2C: write Raft::read_persisted in raft/src/raft.rs: restore what Raft::persist saved")
    }
}

/// The handlers: what this server answers when a peer calls. They run on threads of the network, several at
/// a time. `Err(RpcError::Stopped)` is "no answer", for a killed server.
impl RaftService for Raft {
    fn request_vote(&self, args: RequestVoteArgs) -> labrpc::Result<RequestVoteReply> {
        todo!("2A: write request_vote in raft/src/raft.rs: grant or refuse a candidate this server's vote")
    }

    fn append_entries(&self, args: AppendEntriesArgs) -> labrpc::Result<AppendEntriesReply> {
        todo!("2A: write append_entries in raft/src/raft.rs: heartbeats first, log entries in 2B")
    }

    fn install_snapshot(&self, args: InstallSnapshotArgs) -> labrpc::Result<InstallSnapshotReply> {
        todo!("2D: write install_snapshot in raft/src/raft.rs: replace the log's beginning by the snapshot")
    }
}

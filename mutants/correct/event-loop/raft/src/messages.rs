//! The remote procedure calls between peers (figures 2 and 13 of the Raft paper).
//!
//! The fields below are used by the tests: keep their names and types. You may add fields and calls of your
//! own. A message means what the paper says, whatever fields it has besides: what is to mean something else, such
//! as a pre-vote or a part of a snapshot, takes a call of its own. Every struct must keep its `Default`. Byte
//! strings carry `#[serde(with = "serde_bytes")]`, which makes them about eight times faster to encode.

use serde::{Deserialize, Serialize};

labrpc::service! {
    /// The calls that peers make on each other. This generates
    /// - the trait `RaftService`, which your `Raft` implements: one handler per call;
    /// - the struct `RaftClient`, with a method per call that sends it to one peer.
    pub service "raft" {
        trait RaftService; client RaftClient;
        rpc request_vote(RequestVoteArgs) -> RequestVoteReply;
        rpc append_entries(AppendEntriesArgs) -> AppendEntriesReply;
        rpc install_snapshot(InstallSnapshotArgs) -> InstallSnapshotReply;
    }
}

/// One entry of the log: a command, and the term in which a leader received it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    pub term: u64,
    #[serde(with = "serde_bytes")]
    pub command: Vec<u8>,
}

/// Lab 2A: a candidate asks for a vote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestVoteArgs {
    pub term: u64,
    pub candidate_id: usize,
    pub last_log_index: u64,
    pub last_log_term: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestVoteReply {
    pub term: u64,
    pub vote_granted: bool,
}

/// Lab 2A: a leader's heartbeat. Lab 2B: log entries for a follower.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AppendEntriesArgs {
    pub term: u64,
    pub leader_id: usize,
    pub prev_log_index: u64,
    pub prev_log_term: u64,
    pub entries: Vec<LogEntry>,
    pub leader_commit: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AppendEntriesReply {
    pub term: u64,
    pub success: bool,
    /// If not: from where on the logs may differ.
    pub conflict_index: u64,
}

/// Lab 2D: a leader's snapshot for a follower that needs entries the leader has discarded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InstallSnapshotArgs {
    pub term: u64,
    pub leader_id: usize,
    pub last_included_index: u64,
    pub last_included_term: u64,
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InstallSnapshotReply {
    pub term: u64,
}

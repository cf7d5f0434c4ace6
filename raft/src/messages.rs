//! What peers say to each other: the remote procedure calls of figures 2 and 13.

use serde::{Deserialize, Serialize};

labrpc::service! {
    /// The calls that Raft peers make on each other.
    pub service "raft" {
        trait RaftService; client RaftClient;
        /// "Invoked by candidates to gather votes" (section 5.2).
        rpc request_vote(RequestVoteArgs) -> RequestVoteReply;
        /// "Invoked by leader to replicate log entries (section 5.3); also used as heartbeat (section 5.2)."
        rpc append_entries(AppendEntriesArgs) -> AppendEntriesReply;
        /// Brings a follower that is too far behind up to date (section 7).
        rpc install_snapshot(InstallSnapshotArgs) -> InstallSnapshotReply;
    }
}

/// One entry of the replicated log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// "Term when entry was received by leader."
    pub term: u64,
    /// The command for the state machine, opaque to Raft.
    #[serde(with = "serde_bytes")]
    pub command: Vec<u8>,
}

/// Arguments of RequestVote (figure 2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestVoteArgs {
    /// "Candidate's term."
    pub term: u64,
    /// "Candidate requesting vote": its position among the peers.
    pub candidate_id: usize,
    /// "Index of candidate's last log entry"; 0 if it has none.
    pub last_log_index: u64,
    /// "Term of candidate's last log entry"; 0 if it has none.
    pub last_log_term: u64,
}

/// Results of RequestVote (figure 2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestVoteReply {
    /// "currentTerm, for candidate to update itself."
    pub term: u64,
    /// "True means candidate received vote."
    pub vote_granted: bool,
}

/// Arguments of AppendEntries (figure 2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendEntriesArgs {
    /// "Leader's term."
    pub term: u64,
    /// The leader's position among the peers.
    pub leader_id: usize,
    /// "Index of log entry immediately preceding new ones"; 0 if they start the log.
    pub prev_log_index: u64,
    /// "Term of prevLogIndex entry"; 0 at index 0.
    pub prev_log_term: u64,
    /// "Log entries to store (empty for heartbeat; may send more than one for efficiency)."
    pub entries: Vec<LogEntry>,
    /// "Leader's commitIndex."
    pub leader_commit: u64,
}

/// Results of AppendEntries (figure 2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendEntriesReply {
    /// "currentTerm, for leader to update itself."
    pub term: u64,
    /// "True if follower contained entry matching prevLogIndex and prevLogTerm."
    pub success: bool,
    /// Where to look for the last common entry, when the consistency check failed.
    pub conflict: Option<Conflict>,
}

/// A follower's hint after a failed consistency check, so that the leader backs up by terms and not by
/// entries: "the follower can include the term of the conflicting entry and the first index it stores for
/// that term" (section 5.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The follower's term at `prev_log_index`; `None` if its log ends before it.
    pub term: Option<u64>,
    /// The first index the follower stores for that term, or the index after its last entry.
    pub index: u64,
}

/// Arguments of InstallSnapshot (figure 13), sent whole instead of in chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallSnapshotArgs {
    /// "Leader's term."
    pub term: u64,
    /// The leader's position among the peers.
    pub leader_id: usize,
    /// "The snapshot replaces all entries up through and including this index."
    pub last_included_index: u64,
    /// "Term of lastIncludedIndex."
    pub last_included_term: u64,
    /// The service's state after applying `last_included_index`.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

/// Results of InstallSnapshot (figure 13).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallSnapshotReply {
    /// "currentTerm, for leader to update itself."
    pub term: u64,
}

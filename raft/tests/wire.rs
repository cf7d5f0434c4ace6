//! What the messages of the code under test mean: the fields of figures 2 and 13, by name, as neutral observations.
//!
//! A student may add fields, and calls. Of a message with further fields it is told that it is not `plain`, where that
//! could make it mean something else. A call that the paper does not know is opaque.

use labrpc::AnyMessage;
use labtest::events::{
    AppendEntries, AppendEntriesReply, Command, Content, Entry, InstallSnapshot, RequestVote,
    RequestVoteReply,
};
use raft::{
    AppendEntriesArgs, InstallSnapshotArgs, InstallSnapshotReply, RequestVoteArgs,
    RequestVoteReply as VoteReply,
};

/// A message has the paper's fields and no more if it is as large as these, which leave no room for another.
const PLAIN_VOTE: bool = size_of::<RequestVoteArgs>() == size_of::<(u64, usize, u64, u64)>();
const PLAIN_SNAPSHOT: bool = size_of::<InstallSnapshotArgs>() == size_of::<(u64, usize, u64, u64, Vec<u8>)>();
const PLAIN_SNAPSHOT_REPLY: bool = size_of::<InstallSnapshotReply>() == size_of::<u64>();

/// What a message says.
pub(crate) fn neutral(message: &dyn AnyMessage) -> Content {
    if let Some(m) = message.downcast_ref::<AppendEntriesArgs>() {
        let entry = |entry: &raft::LogEntry| Entry { term: entry.term, command: Command::of(&entry.command) };
        Content::AppendEntries(AppendEntries {
            term: m.term,
            prev_log_index: m.prev_log_index,
            prev_log_term: m.prev_log_term,
            entries: m.entries.iter().map(entry).collect(),
            leader_commit: m.leader_commit,
        })
    } else if let Some(m) = message.downcast_ref::<raft::AppendEntriesReply>() {
        Content::AppendEntriesReply(AppendEntriesReply { term: m.term, success: m.success })
    } else if let Some(m) = message.downcast_ref::<RequestVoteArgs>() {
        Content::RequestVote(RequestVote {
            term: m.term,
            last_log_index: m.last_log_index,
            last_log_term: m.last_log_term,
            plain: PLAIN_VOTE,
        })
    } else if let Some(m) = message.downcast_ref::<VoteReply>() {
        Content::RequestVoteReply(RequestVoteReply { term: m.term, granted: m.vote_granted })
    } else if let Some(m) = message.downcast_ref::<InstallSnapshotArgs>() {
        Content::InstallSnapshot(InstallSnapshot {
            term: m.term,
            last_included_index: m.last_included_index,
            last_included_term: m.last_included_term,
            data_bytes: m.data.len(),
            plain: PLAIN_SNAPSHOT,
        })
    } else if let Some(m) = message.downcast_ref::<InstallSnapshotReply>() {
        Content::InstallSnapshotReply { term: m.term, plain: PLAIN_SNAPSHOT_REPLY }
    } else {
        Content::Other
    }
}

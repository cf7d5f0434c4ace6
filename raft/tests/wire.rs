//! What the messages of the code under test mean: the fields of figures 2 and 13, by name, as neutral observations.
//!
//! A student may add fields, and calls. A message means what the paper says, whatever fields it has besides; but for the
//! answer to a snapshot, which may say with them that the follower could not take it. A call that the paper does not know
//! is opaque, even if it uses the types of one that it does.

use labrpc::{AnyMessage, Method};
use labtest::events::{
    AppendEntries, AppendEntriesReply, Command, Content, Entry, InstallSnapshot, RequestVote,
    RequestVoteReply,
};
use raft::{
    AppendEntriesArgs, InstallSnapshotArgs, InstallSnapshotReply, RequestVoteArgs,
    RequestVoteReply as VoteReply,
};

/// It has the paper's field and no more if it is as large as that, which leaves no room for another.
const PLAIN_SNAPSHOT_REPLY: bool = size_of::<InstallSnapshotReply>() == size_of::<u64>();

/// Whether a procedure is one of the paper's. Of the others the types say nothing: who asks for a pre-vote, say, may do it
/// with the structs of RequestVote.
pub(crate) fn is_of_the_paper(method: &Method) -> bool {
    matches!(method.method, "request_vote" | "append_entries" | "install_snapshot")
}

/// What a message says.
pub(crate) fn neutral(method: &Method, message: &dyn AnyMessage) -> Content {
    if !is_of_the_paper(method) {
        Content::Other
    } else if let Some(m) = message.downcast_ref::<AppendEntriesArgs>() {
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
        })
    } else if let Some(m) = message.downcast_ref::<VoteReply>() {
        Content::RequestVoteReply(RequestVoteReply { term: m.term, granted: m.vote_granted })
    } else if let Some(m) = message.downcast_ref::<InstallSnapshotArgs>() {
        Content::InstallSnapshot(InstallSnapshot {
            term: m.term,
            last_included_index: m.last_included_index,
            last_included_term: m.last_included_term,
            data_bytes: m.data.len(),
        })
    } else if let Some(m) = message.downcast_ref::<InstallSnapshotReply>() {
        Content::InstallSnapshotReply { term: m.term, plain: PLAIN_SNAPSHOT_REPLY }
    } else {
        Content::Other
    }
}

#[test]
fn a_call_of_its_own_is_opaque_whatever_its_types() {
    static PRE_VOTE: Method = Method::new::<RequestVoteArgs, VoteReply>("raft", "pre_vote");
    static VOTE: Method = Method::new::<RequestVoteArgs, VoteReply>("raft", "request_vote");
    let asks = RequestVoteArgs::default();
    assert!(matches!(neutral(&PRE_VOTE, &asks), Content::Other));
    assert!(matches!(neutral(&VOTE, &asks), Content::RequestVote(_)));
}

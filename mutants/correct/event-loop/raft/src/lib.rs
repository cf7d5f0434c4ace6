//! Raft as one thread that owns all state and takes events from a channel.
#![forbid(unsafe_code)]

mod messages;
mod raft;

pub use labnode::{ApplyMsg, NotLeader, Persister, Start, State};

pub use crate::messages::{
    AppendEntriesArgs, AppendEntriesReply, InstallSnapshotArgs, InstallSnapshotReply, LogEntry, RaftClient,
    RaftService, RequestVoteArgs, RequestVoteReply,
};
pub use crate::raft::{MAX_COMMAND_BYTES, Raft, ReadIndexError};

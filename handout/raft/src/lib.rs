//! Your Raft.
//!
//! | file | what is in it |
//! |---|---|
//! | `messages.rs` | what peers say to each other; add fields where you need them |
//! | `raft.rs` | the peer itself; every place where something is missing says `todo!` |
//!
//! Work in the order of the labs: 2A election, 2B log, 2C persistence, 2D snapshots. `cargo test 2A` tells
//! whether the first is right. Split `raft.rs` into as many files as you like, and add unit tests of your own.
//!
//! What the tests call is fixed (`raft/tests/contract.rs` lists it); everything else is yours to change.
#![forbid(unsafe_code)]
// Delete this line when you have filled everything in: the compiler's warnings are good advice.
#![allow(dead_code, unused_imports, unused_variables)]

mod messages;
mod raft;

pub use labnode::{ApplyMsg, NotLeader, Persister, Start, State};

pub use crate::messages::{
    AppendEntriesArgs, AppendEntriesReply, InstallSnapshotArgs, InstallSnapshotReply, LogEntry, RaftClient,
    RaftService, RequestVoteArgs, RequestVoteReply,
};
pub use crate::raft::Raft;

//! The Raft consensus algorithm: the solution of labs 2A (election), 2B (log replication), 2C (persistence)
//! and 2D (snapshots).
//!
//! Section and figure numbers refer to Ongaro and Ousterhout, "In Search of an Understandable Consensus
//! Algorithm (Extended Version)".
//!
//! # How it is built
//!
//! The rules of figures 2 and 13 are plain functions on plain state, `Core`: no thread, no
//! lock, no clock (a rule that needs the time is given it). Around them stands [`Raft`]: one mutex over the
//! core and a few threads that sleep on condition variables until a rule gives them work.
//!
//! | thread | sleeps until | then |
//! |---|---|---|
//! | election | the election timeout passes | becomes candidate and asks for votes |
//! | replicator, one per other peer | that peer lacks entries, or a heartbeat is due | sends AppendEntries or InstallSnapshot |
//! | applier | an entry is committed, or a snapshot arrived | hands it to the service |
//! | handlers and reply callbacks | (run on the network's threads) | one rule each, under the mutex |
//!
//! Each of them does the same four things: lock, run one rule, *settle* (save what changed, wake who has
//! work), unlock. No lock is held while a message is sent, waited for or applied, and nothing leaves a
//! server before what it promises is on disk.
//!
//! # Log replication, step by step
//!
//! | step | where |
//! |---|---|
//! | 1. a client's request: the leader appends the command to its log | `replication::append_command` |
//! | 2. it sends AppendEntries to every other peer in parallel, from `next_index[peer]` on | `replication::append_entries_for` |
//! | 3. the follower checks, cuts a conflict, appends what it lacks, moves its commit index | `replication::handle_append_entries` |
//! | 4. the leader moves `match_index` and `next_index`, or backs up and retries | `replication::handle_append_entries_reply` |
//! | 5. the leader commits what a majority holds, if of its own term | `replication::advance_commit_index` |
//! | 6. every server applies what is committed, in order, once | `apply::next_to_apply` |
//! | 7. at election `next_index` starts after the last entry, `match_index` at zero | `election::become_leader` |
//!
//! All are methods of `Core`; the module says which of its files they stand in. Elections are in `election`,
//! what survives a crash in `persist`, snapshots in `snapshot`. Beyond what the labs ask of Raft, `read_index` serves
//! reads without the log.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod apply;
mod core;
mod election;
mod log;
mod messages;
mod persist;
mod progress;
mod raft;
mod read_index;
mod replication;
mod snapshot;

pub use labnode::{ApplyMsg, NotLeader, Persister, Start, State};

pub use crate::messages::{
    AppendEntriesArgs, AppendEntriesReply, Conflict, InstallSnapshotArgs, InstallSnapshotReply, LogEntry,
    RaftClient, RaftService, RequestVoteArgs, RequestVoteReply,
};
pub use crate::raft::{MAX_COMMAND_BYTES, MAX_SNAPSHOT_BYTES, Raft};
pub use crate::read_index::ReadIndexError;

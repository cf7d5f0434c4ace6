//! The public contract of the `raft` crate, each item once with its type.
//!
//! The suites use nothing else of it. If the crate does not compile against this file, the error names the
//! item whose signature was changed; anything may be added.
// The types are the point here.
#![allow(clippy::type_complexity)]

use crossbeam_channel::Sender;
use labrpc::{Client, Message, RpcFuture, Service};
use raft::{
    AppendEntriesArgs, AppendEntriesReply, ApplyMsg, InstallSnapshotArgs, InstallSnapshotReply, LogEntry,
    NotLeader, Persister, Raft, RaftClient, RaftService, RequestVoteArgs, RequestVoteReply, Start, State,
};

// A peer.
const _: fn(Vec<RaftClient>, usize, Persister, Sender<ApplyMsg>) -> Raft = Raft::new;
const _: fn(&Raft, Vec<u8>) -> Result<Start, NotLeader> = Raft::start;
const _: fn(&Raft) -> State = Raft::state;
const _: fn(&Raft, u64, Vec<u8>) = Raft::snapshot;
const _: fn(&Raft) = Raft::kill;

// Its service and its client.
const _: fn(&Raft, RequestVoteArgs) -> labrpc::Result<RequestVoteReply> = <Raft as RaftService>::request_vote;
const _: fn(&Raft, AppendEntriesArgs) -> labrpc::Result<AppendEntriesReply> =
    <Raft as RaftService>::append_entries;
const _: fn(&Raft, InstallSnapshotArgs) -> labrpc::Result<InstallSnapshotReply> =
    <Raft as RaftService>::install_snapshot;
const _: fn(Raft) -> Service = <Raft as RaftService>::into_service;
const _: fn(Client) -> RaftClient = RaftClient::new;
const _: fn(&RaftClient, &RequestVoteArgs) -> RpcFuture<RequestVoteReply> = RaftClient::request_vote;
const _: fn(&RaftClient, &AppendEntriesArgs) -> RpcFuture<AppendEntriesReply> = RaftClient::append_entries;
const _: fn(&RaftClient, &InstallSnapshotArgs) -> RpcFuture<InstallSnapshotReply> =
    RaftClient::install_snapshot;

// What they are, beyond their methods.
const _: () = {
    const fn handle<T: Clone + Send + Sync + 'static>() {}
    const fn message<T: Message>() {}
    handle::<Raft>();
    handle::<RaftClient>();
    message::<RequestVoteArgs>();
    message::<RequestVoteReply>();
    message::<AppendEntriesArgs>();
    message::<AppendEntriesReply>();
    message::<InstallSnapshotArgs>();
    message::<InstallSnapshotReply>();
};

// The fields of the messages. More may be added; these keep their names and types.
const _: fn(&LogEntry) -> (&u64, &Vec<u8>) = |m| (&m.term, &m.command);
const _: fn(&RequestVoteArgs) -> (&u64, &usize, &u64, &u64) =
    |m| (&m.term, &m.candidate_id, &m.last_log_index, &m.last_log_term);
const _: fn(&RequestVoteReply) -> (&u64, &bool) = |m| (&m.term, &m.vote_granted);
const _: fn(&AppendEntriesArgs) -> (&u64, &usize, &u64, &u64, &Vec<LogEntry>, &u64) =
    |m| (&m.term, &m.leader_id, &m.prev_log_index, &m.prev_log_term, &m.entries, &m.leader_commit);
const _: fn(&AppendEntriesReply) -> (&u64, &bool) = |m| (&m.term, &m.success);
const _: fn(&InstallSnapshotArgs) -> (&u64, &usize, &u64, &u64, &Vec<u8>) =
    |m| (&m.term, &m.leader_id, &m.last_included_index, &m.last_included_term, &m.data);
const _: fn(&InstallSnapshotReply) -> &u64 = |m| &m.term;

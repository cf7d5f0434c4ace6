//! A message as scenarios speak of it: what it says, by the names of figures 2 and 13, whatever else a solution
//! adds to it.

use std::time::Duration;

use labrpc::{CallId, Envelope, MessageId};
use raft::{
    AppendEntriesArgs, AppendEntriesReply, InstallSnapshotArgs, InstallSnapshotReply, RequestVoteArgs,
    RequestVoteReply,
};

use crate::wire;

/// Which of the paper's messages it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Vote,
    VoteReply,
    Append,
    AppendReply,
    Snapshot,
    SnapshotReply,
}

impl Kind {
    /// As scenarios name them.
    pub(crate) const NAMES: [(&'static str, Kind); 6] = [
        ("vote", Kind::Vote),
        ("vote-reply", Kind::VoteReply),
        ("append", Kind::Append),
        ("append-reply", Kind::AppendReply),
        ("snapshot", Kind::Snapshot),
        ("snapshot-reply", Kind::SnapshotReply),
    ];
}

/// Where a copy of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On its way.
    Sent,
    /// Put aside.
    Held,
    /// Handed over.
    Delivered,
    /// It will not arrive.
    Dropped,
}

/// One copy of a message between two servers.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: MessageId,
    pub(crate) call: CallId,
    pub(crate) kind: Kind,
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The sender's term.
    pub(crate) term: u64,
    /// The term of the request: its own, or that of the request it answers.
    pub(crate) asked_in: u64,
    /// Of an append, and of its answer: `prev_log_index` and `prev_log_term`.
    pub(crate) prev: (u64, u64),
    /// The last index it speaks of, and the term there: the candidate's last entry, the last entry of an append, the end of a
    /// snapshot. Of a reply: of the request it answers.
    pub(crate) last: (u64, u64),
    /// The commands of an append.
    pub(crate) commands: Vec<Vec<u8>>,
    /// `leader_commit` of an append.
    pub(crate) commit: u64,
    /// The vote is granted; the append is a success.
    pub(crate) yes: bool,
    pub(crate) place: Place,
    /// When it was sent, by the run's clock.
    pub(crate) at: Duration,
}

impl Message {
    /// The message in `envelope`, if it is one of the paper's. `request` finds the request of a call.
    pub(crate) fn read<'a>(
        envelope: &Envelope<'_>,
        request: impl FnOnce(CallId) -> Option<&'a Message>,
    ) -> Option<Message> {
        if !wire::is_of_the_paper(envelope.method) {
            return None;
        }
        let number = |name: &str| name.strip_prefix("server ")?.parse().ok();
        let mut message = Message {
            id: envelope.id,
            call: envelope.call,
            kind: Kind::Vote,
            from: number(envelope.from)?,
            to: number(envelope.to)?,
            term: 0,
            asked_in: 0,
            prev: (0, 0),
            last: (0, 0),
            commands: Vec::new(),
            commit: 0,
            yes: false,
            place: Place::Sent,
            at: Duration::ZERO,
        };
        let decoded = envelope.message()?;
        if let Some(args) = decoded.downcast_ref::<RequestVoteArgs>() {
            (message.kind, message.term) = (Kind::Vote, args.term);
            message.last = (args.last_log_index, args.last_log_term);
        } else if let Some(args) = decoded.downcast_ref::<AppendEntriesArgs>() {
            (message.kind, message.term, message.commit) = (Kind::Append, args.term, args.leader_commit);
            message.prev = (args.prev_log_index, args.prev_log_term);
            let end = args.entries.last().map_or(args.prev_log_term, |entry| entry.term);
            message.last = (args.prev_log_index + args.entries.len() as u64, end);
            message.commands = args.entries.iter().map(|entry| entry.command.clone()).collect();
        } else if let Some(args) = decoded.downcast_ref::<InstallSnapshotArgs>() {
            (message.kind, message.term) = (Kind::Snapshot, args.term);
            message.last = (args.last_included_index, args.last_included_term);
        } else {
            let asked = request(envelope.call)?;
            (message.asked_in, message.prev, message.last) = (asked.term, asked.prev, asked.last);
            if let Some(reply) = decoded.downcast_ref::<RequestVoteReply>() {
                (message.kind, message.term, message.yes) = (Kind::VoteReply, reply.term, reply.vote_granted);
            } else if let Some(reply) = decoded.downcast_ref::<AppendEntriesReply>() {
                (message.kind, message.term, message.yes) = (Kind::AppendReply, reply.term, reply.success);
            } else if let Some(reply) = decoded.downcast_ref::<InstallSnapshotReply>() {
                (message.kind, message.term, message.yes) = (Kind::SnapshotReply, reply.term, true);
            } else {
                return None;
            }
            return Some(message);
        }
        message.asked_in = message.term;
        Some(message)
    }
}

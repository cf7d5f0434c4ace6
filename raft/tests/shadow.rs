//! What a server is asked that was started from its disk as it was when it promised something.
//!
//! A question is a request that the server's code really received, asked again with the given fields changed: so it
//! carries whatever fields a student has added. An AppendEntries is not asked where those could change its meaning.

use labrpc::Client;
use labtest::events::Promised;
use labtest::{ServiceSnapshot, Shadow};
use raft::{AppendEntriesArgs, RaftClient, RequestVoteArgs};

use crate::config::Server;

/// An AppendEntries has the paper's fields and no more if it is as large as these, which leave no room for another.
const PLAIN_APPEND: bool =
    size_of::<AppendEntriesArgs>() == size_of::<(u64, usize, u64, u64, Vec<raft::LogEntry>, u64)>();

/// The error is what the server has forgotten.
pub(crate) fn question(shadow: &Shadow<Server>) -> Result<(), String> {
    let (Promised::Vote { term, .. } | Promised::Entries { term, .. } | Promised::Snapshot { term, .. }) =
        shadow.promise.what;
    let now = shadow.node.raft.state().term;
    if now < term {
        return Err(format!("it is in term {now}."));
    }
    if now > term {
        // It had moved on before its answer left: what it then promised binds it no longer.
        return Ok(());
    }
    let request = &shadow.request[..];
    match shadow.promise.what {
        Promised::Vote { candidate, .. } => votes_again(shadow, request, candidate, (0, 0)),
        Promised::Entries { index, entry_term, .. } => {
            holds(shadow, request, index, entry_term)?;
            // The vote that it gave earlier in the same term is still to be there, whatever has been saved since.
            match &shadow.vote {
                Some((Promised::Vote { term: voted, candidate }, request)) if *voted == term => {
                    votes_again(shadow, request, *candidate, (entry_term, index))
                }
                _ => Ok(()),
            }
        }
        // That it need not install a snapshot of what it already has, only its log tells.
        Promised::Snapshot { .. } => Ok(()),
    }
}

/// The same request by another candidate of the same term, with a log that reaches to `last`, term and index, at least.
fn votes_again(
    shadow: &Shadow<Server>,
    request: &[u8],
    candidate: usize,
    last: (u64, u64),
) -> Result<(), String> {
    let Ok(mut args) = labcodec::decode::<RequestVoteArgs>(request) else { return Ok(()) };
    let me = shadow.promise.life.server;
    let Some(rival) = (0..3).find(|server| *server != me && *server != candidate) else { return Ok(()) };
    args.candidate_id = rival;
    (args.last_log_term, args.last_log_index) = last.max((args.last_log_term, args.last_log_index));
    match raft(&shadow.client).request_vote(&args).wait() {
        Ok(reply) if reply.vote_granted => {
            Err(format!("it gives its vote in term {} to server {rival} too.", args.term))
        }
        _ => Ok(()),
    }
}

/// A heartbeat of the same leader that rests on the last entry acknowledged.
fn holds(shadow: &Shadow<Server>, request: &[u8], index: u64, entry_term: u64) -> Result<(), String> {
    let covered = ServiceSnapshot::decode(&shadow.snapshot).map_or(0, |snapshot| snapshot.index());
    if !PLAIN_APPEND || index <= covered {
        return Ok(());
    }
    let Ok(mut args) = labcodec::decode::<AppendEntriesArgs>(request) else { return Ok(()) };
    args.prev_log_index = index;
    args.prev_log_term = entry_term;
    args.entries.clear();
    args.leader_commit = 0;
    match raft(&shadow.client).append_entries(&args).wait() {
        Ok(reply) if !reply.success && reply.term == args.term => {
            Err(format!("it has no entry of term {entry_term} at index {index}."))
        }
        _ => Ok(()),
    }
}

fn raft(client: &Client) -> RaftClient {
    RaftClient::new(client.clone())
}

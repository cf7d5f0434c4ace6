//! **The consistency check.** "Reply false if log doesn't contain an entry at prevLogIndex whose term matches
//! prevLogTerm" (figure 2, AppendEntries, receiver 2), for heartbeats too: they carry a commit index.
//!
//! Why it accuses nobody who is right: a server has an entry only if a message brought it, by AppendEntries or inside a
//! snapshot, or if it made it as leader of the entry's term. All that ever reached it counts, in whatever life, also what
//! has been cut since; whatever lies within a snapshot that reached it is committed and matches every leader. A server that
//! messages of an own kind have reached may have entries from these: then nothing is known.

use std::collections::BTreeSet;

use super::log_matching::LogMatching;
use super::{Judged, Rule};
use crate::events::{Content, Seen};

pub(crate) const RULE: Rule = Rule {
    id: "log-consistency-check",
    says: "a follower accepts AppendEntries only if it has the entry before the new ones, of the right term",
    paper: "section 5.3; figure 2, AppendEntries receiver 2",
};

pub(crate) struct ConsistencyCheck {
    servers: Vec<Server>,
}

#[derive(Default)]
struct Server {
    /// Terms it has led.
    led: BTreeSet<u64>,
    /// The last index of the newest snapshot that reached it.
    snapshot: u64,
    /// Messages of an own kind reached it.
    told_otherwise: bool,
}

impl ConsistencyCheck {
    pub(crate) fn new(servers: usize) -> ConsistencyCheck {
        ConsistencyCheck { servers: (0..servers).map(|_| Server::default()).collect() }
    }

    pub(crate) fn see(&mut self, seen: &Seen<'_>, log: &LogMatching) -> Judged {
        if let Some((from, to, Content::Other)) = seen.sent {
            if from.server != to.server {
                self.servers[to.server].told_otherwise = true;
            }
        }
        if let Some((life, term)) = seen.leads {
            self.servers[life.server].led.insert(term);
        }
        if let Some(arrival) = seen.arrival {
            if let Content::InstallSnapshot(install) = arrival.request {
                let server = &mut self.servers[arrival.to.server];
                server.snapshot = server.snapshot.max(install.last_included_index);
            }
        }
        let Some(answer) = seen.answer else { return Ok(()) };
        let (Content::AppendEntries(asked), Content::AppendEntriesReply(reply)) =
            (answer.request, answer.reply)
        else {
            return Ok(());
        };
        let follower = answer.from.server;
        let server = &self.servers[follower];
        let (index, term) = (asked.prev_log_index, asked.prev_log_term);
        let may_have = index <= server.snapshot
            || server.led.contains(&term)
            || log.has_reached(follower, index, term)
            || server.told_otherwise;
        if reply.success && !may_have {
            let instead = match log.terms_at(follower, index)[..] {
                [] => format!("no entry {index} has ever reached it"),
                [other] => format!("the only entry {index} that ever reached it is of term {other}"),
                _ => format!("the entries {index} that reached it are of other terms"),
            };
            return RULE.broken(
                format!(
                    "server {follower} accepted AppendEntries of server {} in term {} after entry {index} of term \
                     {term}, but {instead}",
                    answer.to.server, asked.term
                ),
                [answer.begun],
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::script::Script;

    #[test]
    fn accepting_what_follows_a_missing_entry_is_an_error() {
        let mut s = Script::new(3);
        s.elect(0, 4, (5, 3));
        // A heartbeat is no exception.
        s.replicate(0, 1, 4, (5, 3), &[], 0);
        s.objects(&RULE, "after entry 5 of term 3, but no entry 5 has ever reached it");
    }

    #[test]
    fn accepting_what_follows_an_entry_of_another_term_is_an_error() {
        let mut s = Script::new(5);
        s.elect(0, 4, (0, 0));
        s.replicate(0, 1, 4, (0, 0), &[(4, "a")], 0);
        s.votes(2, 3, 5, (0, 0), true);
        s.votes(2, 4, 5, (0, 0), true);
        s.replicate(2, 1, 5, (1, 5), &[(5, "c")], 0);
        s.objects(&RULE, "the only entry 1 that ever reached it is of term 4");
    }

    #[test]
    fn entries_snapshots_and_its_own_entries_are_there() {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.replicate(0, 1, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        s.replicate(0, 1, 4, (1, 4), &[(4, "b")], 0);
        s.restart(1);
        s.replicate(0, 1, 4, (2, 4), &[], 0);
        // The others have the former leader's entry 2, though it is not known how the former leader came by it.
        s.elect(2, 5, (2, 4));
        s.replicate(2, 0, 5, (2, 4), &[], 0);
        s.is_silent();
    }

    #[test]
    fn what_a_snapshot_covers_is_there() {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.replicate(0, 2, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        let sent = s.snapshot(0, 1, 4, (2, 4));
        s.accepts(sent);
        s.replicate(0, 1, 4, (1, 4), &[(4, "b"), (4, "c")], 0);
        s.is_silent();
    }

    #[test]
    fn own_messages_may_bring_entries() {
        let mut s = Script::new(3);
        s.elect(0, 4, (5, 3));
        s.opaque(0, 1);
        s.replicate(0, 1, 4, (5, 3), &[], 0);
        s.is_silent();
    }
}

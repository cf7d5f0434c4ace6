//! **The commit rule.** "If there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N, and
//! log[N].term == currentTerm: set commitIndex = N" (figure 2, rules for leaders; section 5.4.2, figure 8). And only what is
//! committed is applied; a follower knows of it by leader_commit, up to the last entry that it knows is its leader's
//! (AppendEntries, receiver 5).
//!
//! For each server the oracle keeps the highest index that it can know is committed. It rises
//!
//! - at a leader, when with itself a majority has acknowledged an entry of its own term: in success replies to its own
//!   AppendEntries of that term, each up to prev_log_index + entries.len() of the very request, or in replies to its
//!   InstallSnapshot;
//! - at a follower, when a leader's message reaches it: to the highest leader_commit that ever reached it, as far as its
//!   log was seen to match that leader's or a later one's; by a snapshot to its last index.
//!
//! A greater leader_commit or snapshot from a server, or a later index that it applies, is not justified.
//!
//! Why it accuses nobody who is right: the bound is generous. Acknowledgements count from the moment they are sent, whether
//! or not they arrive, also those of the dead; the leader's own copy always counts; what reaches a follower counts before
//! its handler has looked at it. The bound is never lowered, not by crashes either, since a solution may save its commit
//! index. Old messages carry lower indexes only. Messages of an own kind may acknowledge all, or tell that all is committed,
//! that anybody has heard of until then. *Assumed:* else a leader learns what followers have from success alone and not from
//! hints in refusals; and commit indexes travel in leader_commit and snapshots.

use std::collections::BTreeMap;

use super::{Judged, Rule};
use crate::events::{Answer, AppendEntries, Arrival, Content, InstallSnapshot, Life, Number, Seen, What};
use crate::text::servers;

/// The rule.
pub const COMMIT: Rule = Rule {
    id: "commit-rule",
    says: "a leader commits an index when a majority has acknowledged it and the entry there is of its own term",
    paper: "section 5.4.2; figure 2, rules for leaders; figure 8",
};

pub(crate) const APPLY: Rule = Rule {
    id: "apply-only-committed",
    says: "a server applies only what it knows to be committed: by its leader's word, up to where their logs are known to match",
    paper: "section 5.3; figure 2, AppendEntries receiver 5 and rules for all servers",
};

pub(crate) struct CommitRule {
    servers: Vec<Server>,
    /// By leader and term: what its followers acknowledged.
    reigns: BTreeMap<(usize, u64), Reign>,
    /// The highest index that any message named an entry at.
    highest: u64,
}

/// What one server can know.
#[derive(Default)]
struct Server {
    /// The highest index that it can know is committed.
    bound: u64,
    /// The event that raised it to there.
    event: Option<Number>,
    /// What leaders sent that reached this server, in the order of their terms.
    received: Vec<Received>,
    /// Messages of an own kind have reached it.
    told_otherwise: bool,
}

struct Received {
    term: u64,
    /// Up to where the logs match, if the consistency check succeeded.
    matched: u64,
    /// The highest leader_commit, of this leader or an earlier one.
    committed: u64,
}

/// What the followers of one leader have acknowledged.
struct Reign {
    /// Per server, up to where.
    acknowledged: Vec<Ack>,
    /// The last entry that a majority has, the leader included, of whatever term.
    majority: Ack,
}

/// That a follower has the leader's log up to an entry.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Ack {
    index: u64,
    term: u64,
    event: Number,
}

impl CommitRule {
    pub(crate) fn new(servers: usize) -> CommitRule {
        let servers = (0..servers).map(|_| Server::default()).collect();
        CommitRule { servers, reigns: BTreeMap::new(), highest: 0 }
    }

    pub(crate) fn see(&mut self, seen: &Seen<'_>) -> Judged {
        // A server alone commits by itself, and nothing is seen of it.
        if self.servers.len() == 1 {
            return Ok(());
        }
        if let Some((from, to, content)) = seen.sent {
            match content {
                Content::AppendEntries(append) => self.highest = self.highest.max(append.last_index()),
                Content::InstallSnapshot(install) => {
                    self.highest = self.highest.max(install.last_included_index);
                }
                Content::Other if from.server != to.server => {
                    let highest = self.highest;
                    let server = &mut self.servers[to.server];
                    server.told_otherwise = true;
                    server.raise(highest, seen.number);
                }
                _ => {}
            }
        }
        if let Some(arrival) = seen.arrival {
            self.sender(arrival)?;
            self.receiver(arrival);
        }
        if let Some(answer) = seen.answer {
            self.acknowledges(answer);
        }
        match *seen.what {
            What::Apply { life, index, .. } => self.applies(life, index, "applied index"),
            What::ApplySnapshot { life, index, .. } => {
                self.applies(life, index, "applied a snapshot up to index")
            }
            _ => Ok(()),
        }
    }

    /// Whether what a leader says is committed can be.
    fn sender(&mut self, arrival: Arrival<'_>) -> Judged {
        let (term, index, what) = match arrival.request {
            Content::AppendEntries(AppendEntries { term, leader_commit, .. }) => {
                (*term, *leader_commit, "says that its log is committed up to index")
            }
            Content::InstallSnapshot(InstallSnapshot { term, last_included_index, .. }) => {
                (*term, *last_included_index, "sends a snapshot up to index")
            }
            _ => return Ok(()),
        };
        let leader = arrival.from.server;
        self.reign(leader, term);
        let server = &self.servers[leader];
        if index <= server.bound || server.told_otherwise && index > self.highest {
            return Ok(());
        }
        self.unjustified(leader, term, what, index)
    }

    /// What a leader's message tells its receiver.
    fn receiver(&mut self, arrival: Arrival<'_>) {
        let (term, matched, leader_commit) = match arrival.request {
            Content::AppendEntries(append) => (append.term, append.last_index(), append.leader_commit),
            Content::InstallSnapshot(install) => {
                (install.term, install.last_included_index, install.last_included_index)
            }
            _ => return,
        };
        let server = &mut self.servers[arrival.to.server];
        let at = server.received.partition_point(|received| received.term < term);
        // Committed in a term is committed in all later ones, whose leaders have the same entries there.
        let mut committed =
            leader_commit.max(at.checked_sub(1).map_or(0, |at| server.received[at].committed));
        if server.received.get(at).is_none_or(|received| received.term != term) {
            server.received.insert(at, Received { term, matched: 0, committed });
        }
        server.received[at].matched = server.received[at].matched.max(matched);
        let mut bound = 0;
        for received in &mut server.received[at..] {
            committed = committed.max(received.committed);
            received.committed = committed;
            bound = bound.max(received.matched.min(committed));
        }
        server.raise(bound, arrival.number);
    }

    fn acknowledges(&mut self, answer: Answer<'_>) {
        let (reign, index, term) = match (answer.request, answer.reply) {
            (Content::AppendEntries(asked), Content::AppendEntriesReply(reply)) if reply.success => {
                (asked.term, asked.last_index(), asked.last_term())
            }
            (Content::InstallSnapshot(asked), Content::InstallSnapshotReply { .. }) => {
                (asked.term, asked.last_included_index, asked.last_included_term)
            }
            _ => return,
        };
        let (follower, leader) = (answer.from.server, answer.to.server);
        let Reign { acknowledged, majority } = self.reign(leader, reign);
        if follower == leader || acknowledged[follower].index >= index {
            return;
        }
        acknowledged[follower] = Ack { index, term, event: answer.number };
        // With itself, the leader needs as many others as are half of the cluster.
        let mut others = acknowledged.clone();
        others.sort_unstable_by(|a, b| b.cmp(a));
        *majority = others[others.len() / 2 - 1];
        let majority = *majority;
        if majority.term == reign {
            self.servers[leader].raise(majority.index, answer.number);
        }
    }

    fn reign(&mut self, leader: usize, term: u64) -> &mut Reign {
        let servers = self.servers.len();
        self.reigns.entry((leader, term)).or_insert_with(|| Reign {
            acknowledged: vec![Ack::default(); servers],
            majority: Ack::default(),
        })
    }

    fn applies(&self, life: Life, index: u64, what: &str) -> Judged {
        let server = &self.servers[life.server];
        if index <= server.bound || server.told_otherwise && index > self.highest {
            return Ok(());
        }
        // As a leader it decides itself, else it must have been told.
        let reign = self.reigns.range((life.server, 0)..=(life.server, u64::MAX)).next_back();
        let newest = server.received.last().map_or(0, |received| received.term);
        match reign {
            Some((&(_, term), _)) if term >= newest => self.unjustified(life.server, term, what, index),
            _ => APPLY.broken(
                format!(
                    "server {} {what} {index}, but what it was sent lets it know no more than index {} to be committed",
                    life.server, server.bound
                ),
                server.event,
            ),
        }
    }

    /// The objection to what a leader takes for committed, with what it does know.
    fn unjustified(&self, leader: usize, term: u64, what: &str, index: u64) -> Judged {
        let server = &self.servers[leader];
        let reign = &self.reigns[&(leader, term)];
        let (majority, others) = (reign.majority, self.servers.len() - 1);
        let acks = reign.acknowledged.iter().enumerate().filter(|(_, ack)| ack.index >= index);
        let who: Vec<usize> = acks.clone().map(|(server, _)| server).collect();
        let why = if majority.index >= index && majority.term < term {
            format!(
                "a majority has acknowledged entry {}, but that is of term {}, and an entry of an earlier term is not \
                 committed by counting",
                majority.index, majority.term
            )
        } else if who.is_empty() {
            format!("none of the {others} others has acknowledged index {index} to it in that term")
        } else {
            format!(
                "of the {others} others only {} acknowledged index {index} to it in that term",
                servers(&who)
            )
        };
        COMMIT.broken(
            format!(
                "server {leader}, leader of term {term}, {what} {index}; but no more than index {} can be known to be \
                 committed there: {why}",
                server.bound
            ),
            server.event.into_iter().chain(acks.map(|(_, ack)| ack.event)),
        )
    }
}

impl Server {
    fn raise(&mut self, bound: u64, event: Number) {
        if bound > self.bound {
            (self.bound, self.event) = (bound, Some(event));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::script::Script;

    #[test]
    fn a_commit_without_a_majority_is_an_error() {
        let mut s = Script::new(5);
        s.elect(0, 4, (0, 0));
        s.replicate(0, 1, 4, (0, 0), &[(4, "a")], 0);
        s.append(0, 1, 4, (1, 4), &[], 1);
        s.objects(
            &COMMIT,
            "committed up to index 1; but no more than index 0 can be known to be committed there: of \
                            the 4 others only server 1 acknowledged index 1",
        );
    }

    #[test]
    fn an_entry_of_an_earlier_term_committed_by_counting_is_an_error() {
        // Figure 8 (c).
        let mut s = Script::new(5);
        s.elect(0, 2, (0, 0));
        s.replicate(0, 1, 2, (0, 0), &[(2, "a")], 0);
        s.restart(0);
        s.elect(0, 4, (1, 2));
        s.replicate(0, 1, 4, (1, 2), &[], 0);
        s.replicate(0, 2, 4, (0, 0), &[(2, "a")], 0);
        s.append(0, 2, 4, (1, 2), &[], 1);
        s.objects(&COMMIT, "a majority has acknowledged entry 1, but that is of term 2");
    }

    #[test]
    fn acknowledgements_of_an_earlier_reign_do_not_count() {
        let mut s = Script::new(3);
        s.elect(0, 2, (0, 0));
        s.replicate(0, 1, 2, (0, 0), &[(2, "a")], 0);
        s.elect(0, 4, (1, 2));
        s.append(0, 1, 4, (1, 2), &[(4, "b")], 2);
        s.objects(&COMMIT, "none of the 2 others has acknowledged index 2 to it in that term");
    }

    #[test]
    fn a_leader_that_applies_too_early_is_an_error() {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        let sent = s.append(0, 1, 4, (0, 0), &[(4, "a")], 0);
        s.accepts(sent);
        s.append(0, 1, 4, (1, 4), &[(4, "b")], 1);
        s.apply(0, 1, "a");
        s.is_silent();
        s.apply(0, 2, "b");
        s.objects(&COMMIT, "leader of term 4, applied index 2; but no more than index 1");
    }

    #[test]
    fn a_follower_that_applies_its_stored_log_after_a_restart_is_an_error() {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.replicate(0, 1, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        s.append(0, 1, 4, (2, 4), &[], 1);
        s.restart(1);
        s.apply(1, 1, "a");
        s.is_silent();
        s.apply(1, 2, "b");
        s.objects(&APPLY, "server 1 applied index 2, but what it was sent lets it know no more than index 1");
    }

    #[test]
    fn a_follower_that_commits_beyond_the_last_new_entry_is_an_error() {
        let mut s = Script::new(5);
        s.elect(0, 3, (0, 0));
        s.replicate(0, 1, 3, (0, 0), &[(3, "x"), (3, "y"), (3, "z")], 0);
        for follower in [3, 4] {
            s.votes(2, follower, 4, (1, 3), true);
        }
        for follower in [3, 4] {
            s.replicate(2, follower, 4, (0, 0), &[(3, "x"), (4, "b"), (4, "c")], 0);
        }
        // Entries 2 and 3 of server 1 are not its new leader's.
        s.replicate(2, 1, 4, (1, 3), &[], 3);
        s.apply(1, 1, "x");
        s.is_silent();
        s.apply(1, 2, "y");
        s.objects(&APPLY, "no more than index 1");
    }

    #[test]
    fn a_majority_for_an_entry_of_its_own_term_commits_all_before_it() {
        let mut s = Script::new(5);
        s.elect(0, 2, (0, 0));
        s.replicate(0, 1, 2, (0, 0), &[(2, "a")], 0);
        s.elect(0, 4, (1, 2));
        for follower in [1, 2] {
            s.replicate(0, follower, 4, (0, 0), &[(2, "a"), (4, "b")], 0);
        }
        s.apply(0, 1, "a");
        s.append(0, 1, 4, (2, 4), &[], 2);
        s.apply(1, 1, "a");
        s.apply(1, 2, "b");
        s.is_silent();
    }

    #[test]
    fn acknowledgements_count_though_they_are_late_or_their_senders_dead() {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        let sent = s.append(0, 1, 4, (0, 0), &[(4, "a")], 0);
        s.crash(1);
        s.accepts(sent);
        s.append(0, 2, 4, (1, 4), &[], 1);
        s.is_silent();
    }

    #[test]
    fn a_follower_may_remember_what_earlier_leaders_committed() {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.replicate(0, 1, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        // It hears of the commit while it lacks the entries.
        let heartbeat = s.append(0, 2, 4, (2, 4), &[], 2);
        s.answers(heartbeat, 4, false);
        s.elect(1, 5, (2, 4));
        s.replicate(1, 2, 5, (0, 0), &[(4, "a"), (4, "b")], 0);
        s.apply(2, 1, "a");
        s.apply(2, 2, "b");
        s.is_silent();
    }

    #[test]
    fn a_snapshot_tells_what_is_committed_and_its_answer_acknowledges() {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.replicate(0, 1, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        s.apply(0, 1, "a");
        s.apply(0, 2, "b");
        let sent = s.snapshot(0, 2, 4, (2, 4));
        s.apply_snapshot(2, (2, 4));
        s.accepts(sent);
        s.is_silent();
        s.snapshot(0, 2, 4, (3, 4));
        s.objects(&COMMIT, "sends a snapshot up to index 3");
    }

    #[test]
    fn own_messages_may_acknowledge_what_is_known_and_replicate_what_is_not() {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.append(0, 1, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        s.opaque(1, 0);
        s.append(0, 1, 4, (2, 4), &[], 2);
        s.apply(0, 1, "a");
        s.apply(0, 9, "unheard of");
        s.is_silent();
    }
}

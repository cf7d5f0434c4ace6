//! **A leader has a majority.** "A candidate wins an election if it receives votes from a majority of the servers in the
//! full cluster for the same term" (section 5.2; figure 2, rules for candidates).
//!
//! Why it accuses nobody who is right: who leads a term has counted votes that were given before; each granted reply to
//! its requests of that very term counts from the moment it is sent, whether or not it arrives, whoever is dead by now,
//! and the candidate's own vote always counts. A server that leads a term in which it has sent no RequestVote may have
//! votes by messages of its own kind: then, if there are such, nothing is known. *Assumed:* who asks for votes with
//! RequestVote counts the answers to RequestVote.

use std::collections::BTreeMap;

use super::{Judged, Rule};
use crate::events::{Content, Life, Number, Seen};
use crate::text;

/// The rule.
pub const RULE: Rule = Rule {
    id: "election-by-majority",
    says: "a candidate leads only with the votes of a majority of all servers, given for that very term",
    paper: "section 5.2; figure 2, rules for candidates",
};

pub(crate) struct ElectionMajority {
    servers: usize,
    /// Per candidate and term.
    elections: BTreeMap<(usize, u64), Election>,
    /// Servers that were sent messages of an own kind.
    told_otherwise: Vec<bool>,
}

#[derive(Default)]
struct Election {
    /// Those that have granted their vote, the candidate aside, with the event.
    voters: BTreeMap<usize, Number>,
    /// It was found right.
    won: bool,
}

impl ElectionMajority {
    pub(crate) fn new(servers: usize) -> ElectionMajority {
        ElectionMajority { servers, elections: BTreeMap::new(), told_otherwise: vec![false; servers] }
    }

    pub(crate) fn see(&mut self, seen: &Seen<'_>) -> Judged {
        match seen.sent {
            Some((from, _, Content::RequestVote(asked))) => {
                self.elections.entry((from.server, asked.term)).or_default();
            }
            Some((from, to, Content::Other)) if from.server != to.server => {
                self.told_otherwise[to.server] = true;
            }
            _ => {}
        }
        if let Some(answer) = seen.answer {
            if let (Content::RequestVote(asked), Content::RequestVoteReply(reply)) =
                (answer.request, answer.reply)
            {
                let (voter, candidate) = (answer.from.server, answer.to.server);
                if reply.granted && voter != candidate {
                    let election = self.elections.entry((candidate, asked.term)).or_default();
                    election.voters.entry(voter).or_insert(seen.number);
                }
            }
        }
        match seen.leads {
            Some((life, term)) => self.leads(life, term),
            None => Ok(()),
        }
    }

    fn leads(&mut self, life: Life, term: u64) -> Judged {
        let server = life.server;
        let Some(election) = self.elections.get_mut(&(server, term)) else {
            if self.servers == 1 || self.told_otherwise[server] {
                return Ok(());
            }
            return RULE.broken(
                format!("server {server} leads term {term}, but has asked nobody for a vote in that term"),
                [],
            );
        };
        if election.won {
            return Ok(());
        }
        let votes = election.voters.len() + 1;
        if votes > self.servers / 2 {
            election.won = true;
            return Ok(());
        }
        let voters: Vec<usize> = election.voters.keys().copied().collect();
        let others = if voters.is_empty() {
            "no other server voted".to_string()
        } else {
            format!("only {} voted", text::servers(&voters))
        };
        RULE.broken(
            format!(
                "server {server} leads term {term} of {} servers, but {others} for it in that term",
                self.servers
            ),
            election.voters.values().copied(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::script::Script;

    #[test]
    fn a_leader_with_too_few_votes_is_an_error() {
        let mut s = Script::new(5);
        s.votes(0, 1, 4, (0, 0), true);
        s.votes(0, 2, 4, (0, 0), false);
        s.append(0, 1, 4, (0, 0), &[], 0);
        s.objects(&RULE, "server 0 leads term 4 of 5 servers, but only server 1 voted for it in that term");
    }

    #[test]
    fn a_vote_of_an_earlier_election_does_not_count() {
        let mut s = Script::new(3);
        s.votes(0, 1, 4, (0, 0), true);
        s.ask(0, 1, 5, (0, 0));
        s.state(0, 5, true);
        s.objects(&RULE, "no other server voted for it in that term");
    }

    #[test]
    fn the_same_voter_counts_once() {
        let mut s = Script::new(5);
        s.votes(0, 1, 4, (0, 0), true);
        s.votes(0, 1, 4, (0, 0), true);
        s.state(0, 4, true);
        s.objects(&RULE, "only server 1 voted");
    }

    #[test]
    fn a_leader_that_asked_nobody_is_an_error() {
        let mut s = Script::new(3);
        s.state(0, 4, true);
        s.objects(&RULE, "has asked nobody");
    }

    #[test]
    fn votes_count_though_the_voter_dies_or_the_reply_is_late() {
        let mut s = Script::new(3);
        s.ask(0, 1, 4, (0, 0));
        let asked = s.ask_and_arrive(0, 2, 4, (0, 0));
        s.vote(asked, 4, true);
        s.crash(2);
        s.append(0, 1, 4, (0, 0), &[], 0);
        s.is_silent();
    }

    #[test]
    fn own_messages_may_carry_votes_and_a_server_alone_needs_none() {
        let mut s = Script::new(3);
        s.opaque(1, 0);
        s.state(0, 4, true);
        s.is_silent();
        let mut s = Script::new(1);
        s.state(0, 4, true);
        s.is_silent();
    }
}

//! **One vote a term.** "Each server will vote for at most one candidate in a given term, on a first-come-first-served
//! basis" (section 5.2; figure 2, `votedFor`, which is persistent).
//!
//! Why it accuses nobody who is right: a granted vote that leaves a living server stays given, whatever happens after,
//! so that neither order nor time matters: two votes of one server in one term for different candidates are wrong
//! whenever they were given. A candidate has voted for itself; but
//!
//! - not if it asks itself by RPC too, as some do: then its own answer tells, and meanwhile it may vote for another.
//! - a candidate need not have saved its own vote yet when it asks others: if it crashes, the answers reach nobody.
//!   Once it leads it must have. So the vote for itself counts for the life that asked, and for ever if it led.

use std::collections::BTreeMap;

use super::{Judged, Rule};
use crate::events::{Content, Life, Number, Seen, What};

pub(crate) const RULE: Rule = Rule {
    id: "one-vote-per-term",
    says: "a server votes for at most one candidate in a term, and remembers its vote over a crash",
    paper: "section 5.2; figure 2, votedFor",
};

#[derive(Default)]
pub(crate) struct OneVote {
    /// Per server and term, whom it voted for.
    votes: BTreeMap<(usize, u64), Vote>,
    /// Servers send RequestVote to themselves.
    asks_itself: bool,
}

#[derive(Clone, Copy)]
struct Vote {
    candidate: usize,
    event: Number,
    /// The only life for which it counts, if it may have been forgotten rightly.
    only_in: Option<Life>,
}

impl OneVote {
    pub(crate) fn see(&mut self, seen: &Seen<'_>) -> Judged {
        if let What::Crash { life, .. } = *seen.what {
            self.votes.retain(|_, vote| vote.only_in != Some(life));
        }
        if let Some((from, to, Content::RequestVote(_))) = seen.sent {
            self.asks_itself |= from.server == to.server;
        }
        if let Some(arrival) = seen.arrival.filter(|arrival| arrival.sender_lives && !self.asks_itself) {
            if let Content::RequestVote(asked) = arrival.request {
                let candidate = arrival.from.server;
                let vote = Vote { candidate, event: seen.number, only_in: Some(arrival.from) };
                self.vote(candidate, asked.term, vote)?;
            }
        }
        if let Some((life, term)) = seen.leads.filter(|_| !self.asks_itself) {
            // A leader that never asked for votes is for another rule.
            if let Some(vote) = self.votes.get_mut(&(life.server, term)) {
                if vote.candidate == life.server {
                    vote.only_in = None;
                }
            }
        }
        let Some(answer) = seen.answer.filter(|answer| answer.sender_lives) else { return Ok(()) };
        match (answer.request, answer.reply) {
            (Content::RequestVote(asked), Content::RequestVoteReply(reply)) if reply.granted => {
                let vote = Vote { candidate: answer.to.server, event: seen.number, only_in: None };
                self.vote(answer.from.server, asked.term, vote)
            }
            _ => Ok(()),
        }
    }

    fn vote(&mut self, voter: usize, term: u64, vote: Vote) -> Judged {
        let first = self.votes.entry((voter, term)).or_insert(vote);
        if first.candidate != vote.candidate {
            let [one, other] = [first.candidate, vote.candidate].map(|candidate| {
                if candidate == voter { "itself".to_string() } else { format!("server {candidate}") }
            });
            return RULE.broken(
                format!("server {voter} voted twice in term {term}: for {one} and for {other}"),
                [first.event],
            );
        }
        if vote.only_in.is_none() {
            first.only_in = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::script::Script;

    #[test]
    fn a_second_vote_in_a_term_is_an_error() {
        let mut s = Script::new(3);
        s.votes(0, 2, 5, (0, 0), true);
        s.votes(1, 2, 5, (0, 0), true);
        s.objects(&RULE, "server 2 voted twice in term 5: for server 0 and for server 1");
    }

    #[test]
    fn a_vote_forgotten_in_a_crash_is_an_error() {
        let mut s = Script::new(3);
        s.votes(0, 2, 5, (0, 0), true);
        s.restart(2);
        s.votes(1, 2, 5, (0, 0), true);
        s.objects(&RULE, "voted twice");
    }

    #[test]
    fn a_candidate_that_votes_for_another_is_an_error() {
        let mut s = Script::new(3);
        s.votes(0, 2, 5, (0, 0), false);
        s.votes(1, 0, 5, (0, 0), true);
        s.objects(&RULE, "server 0 voted twice in term 5: for itself and for server 1");
    }

    #[test]
    fn a_leader_that_forgets_its_own_vote_is_an_error() {
        let mut s = Script::new(3);
        s.votes(0, 1, 5, (0, 0), true);
        s.append(0, 1, 5, (0, 0), &[], 0);
        s.restart(0);
        s.votes(2, 0, 5, (0, 0), true);
        s.objects(&RULE, "server 0 voted twice");
    }

    #[test]
    fn repeated_votes_refusals_and_other_terms_are_none() {
        let mut s = Script::new(3);
        s.votes(0, 2, 5, (0, 0), true);
        s.votes(0, 2, 5, (0, 0), true);
        s.votes(1, 2, 5, (0, 0), false);
        s.votes(1, 2, 6, (0, 0), true);
        s.is_silent();
    }

    #[test]
    fn a_candidate_that_crashed_before_it_saved_its_vote_may_vote_again() {
        let mut s = Script::new(3);
        s.votes(0, 2, 5, (0, 0), false);
        s.restart(0);
        s.votes(1, 0, 5, (0, 0), true);
        s.is_silent();
    }

    #[test]
    fn a_candidate_that_asks_itself_votes_when_it_answers() {
        let mut s = Script::new(3);
        let to_other = s.ask(0, 2, 5, (0, 0));
        let to_itself = s.ask(0, 0, 5, (0, 0));
        s.arrive(to_other);
        s.votes(1, 0, 5, (0, 0), true);
        s.arrive(to_itself);
        s.vote(to_itself, 5, false);
        s.is_silent();
    }

    #[test]
    fn the_answer_of_a_dead_server_is_no_vote() {
        let mut s = Script::new(3);
        let asked = s.ask(0, 2, 5, (0, 0));
        s.arrive(asked);
        s.restart(2);
        s.vote(asked, 5, true);
        s.votes(1, 2, 5, (0, 0), true);
        s.is_silent();
    }
}

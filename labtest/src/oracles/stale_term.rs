//! **No answer for a term that is over.** "Reply false if term < currentTerm" (figure 2, RequestVote and AppendEntries,
//! receiver 1); and who grants or accepts has taken over the request's term (rules for servers, all servers, 2).
//!
//! Why it accuses nobody who is right: only what the server had said before its handler began counts as known of its
//! term, so that a handler which took the lock before another server's message moved the term is not meant. A refusal
//! with a lower term is legal: a server that has just heard from a leader may leave a vote request unheeded (section
//! 4.2.3 of the thesis). A higher term in a granting reply is legal too: it may have been read after the vote was given.

use super::terms::Terms;
use super::{Judged, Rule};
use crate::events::{Content, Seen};

pub(crate) const RULE: Rule = Rule {
    id: "stale-term-refused",
    says: "a server grants and accepts nothing for a term lower than its own",
    paper: "section 5.1; figure 2, receiver 1 of RequestVote and AppendEntries",
};

pub(crate) fn see(seen: &Seen<'_>, terms: &Terms) -> Judged {
    let Some(answer) = seen.answer.filter(|answer| answer.sender_lives) else { return Ok(()) };
    let (what, term, said) = match (answer.request, answer.reply) {
        (Content::RequestVote(asked), Content::RequestVoteReply(reply)) if reply.granted => {
            ("granted its vote to", asked.term, reply.term)
        }
        (Content::AppendEntries(asked), Content::AppendEntriesReply(reply)) if reply.success => {
            ("accepted AppendEntries of", asked.term, reply.term)
        }
        _ => return Ok(()),
    };
    let (server, to) = (answer.from.server, answer.to.server);
    if let Some(floor) = terms.before(server, answer.begun).filter(|floor| floor.term > term) {
        return RULE.broken(
            format!(
                "server {server} {what} server {to} for term {term}, but was in term {} already",
                floor.term
            ),
            [floor.event, answer.begun],
        );
    }
    if said < term {
        return RULE.broken(
            format!("server {server} {what} server {to} for term {term}, but says it is in term {said}"),
            [answer.begun],
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::script::Script;

    #[test]
    fn a_vote_for_a_term_that_is_over_is_an_error() {
        let mut s = Script::new(3);
        s.votes(0, 2, 7, (0, 0), false);
        let asked = s.ask_and_arrive(1, 2, 6, (0, 0));
        s.vote(asked, 7, true);
        s.objects(&RULE, "server 2 granted its vote to server 1 for term 6, but was in term 7 already");
    }

    #[test]
    fn entries_accepted_from_a_deposed_leader_are_an_error() {
        let mut s = Script::new(3);
        s.elect(0, 6, (0, 0));
        s.votes(1, 2, 7, (0, 0), true);
        let sent = s.append(0, 2, 6, (0, 0), &[(6, "a")], 0);
        s.answers(sent, 7, true);
        s.objects(&RULE, "server 2 accepted AppendEntries of server 0 for term 6, but was in term 7");
    }

    #[test]
    fn a_vote_without_taking_over_the_term_is_an_error() {
        let mut s = Script::new(3);
        let asked = s.ask_and_arrive(1, 2, 6, (0, 0));
        s.vote(asked, 5, true);
        s.objects(&RULE, "for term 6, but says it is in term 5");
    }

    #[test]
    fn what_was_decided_before_the_term_moved_may_leave_later() {
        let mut s = Script::new(3);
        let asked = s.ask_and_arrive(1, 2, 6, (0, 0));
        s.votes(0, 2, 7, (0, 0), true);
        s.vote(asked, 6, true);
        s.is_silent();
    }

    #[test]
    fn the_term_may_move_between_the_vote_and_its_reply() {
        let mut s = Script::new(3);
        let asked = s.ask_and_arrive(1, 2, 6, (0, 0));
        s.vote(asked, 7, true);
        s.is_silent();
    }

    #[test]
    fn who_follows_a_leader_may_refuse_a_vote_and_keep_its_term() {
        let mut s = Script::new(3);
        s.elect(0, 6, (0, 0));
        s.replicate(0, 2, 6, (0, 0), &[], 0);
        let asked = s.ask_and_arrive(1, 2, 9, (0, 0));
        s.vote(asked, 6, false);
        s.is_silent();
    }
}

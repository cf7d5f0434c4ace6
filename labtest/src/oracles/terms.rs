//! **Terms never go back.** "Current terms ... increases monotonically" (figure 2, `currentTerm`, which is persistent;
//! section 5.1).
//!
//! Why it accuses nobody who is right: a reply, and an answer of `state()` or `start()`, tells the term at some time
//! after its handler or call began; what left the server before that was said earlier, so that a lower term is a step
//! back, whatever handlers run side by side. A request may have been built long ago and is compared only with what an
//! earlier life has promised. Over a crash only those terms count in which others may rely on the server: in which it
//! voted, acknowledged, or led. A mere refusal need not be remembered. A reply with term 0, as some send who say
//! nothing of their term, is not looked at.

use super::{Judged, Rule};
use crate::events::{AppendEntriesReply, Arrival, Content, Life, Number, RequestVoteReply, Seen, What};

pub(crate) const RULE: Rule = Rule {
    id: "terms-never-go-back",
    says: "a server's term only grows, and is remembered over a crash once it has voted, acknowledged or led in it",
    paper: "section 5.1; figure 2, currentTerm",
};

pub(crate) struct Terms {
    servers: Vec<Known>,
}

/// What is known of a server's term.
#[derive(Default)]
struct Known {
    /// In the present life: from which event on its term is known to be at least this. Both grow.
    floors: Vec<Floor>,
    /// What it had promised before its present life.
    remembered: Option<Floor>,
    /// What it must remember.
    promised: Option<Floor>,
}

#[derive(Clone, Copy)]
pub(crate) struct Floor {
    /// The event that shows it.
    pub(crate) event: Number,
    pub(crate) term: u64,
}

impl Terms {
    pub(crate) fn new(servers: usize) -> Terms {
        Terms { servers: (0..servers).map(|_| Known::default()).collect() }
    }

    /// What was known of a server's term before an event of its present life.
    pub(crate) fn before(&self, server: usize, event: Number) -> Option<Floor> {
        let floors = &self.servers[server].floors;
        floors[..floors.partition_point(|floor| floor.event < event)].last().copied()
    }

    pub(crate) fn see(&mut self, seen: &Seen<'_>) -> Judged {
        match *seen.what {
            What::Start { life, .. } => {
                let known = &mut self.servers[life.server];
                known.remembered = known.promised;
                known.floors = known.promised.into_iter().collect();
                return Ok(());
            }
            What::State { life, asked, term, .. } | What::Accept { life, asked, term, .. } => {
                self.said(life, asked, seen.number, term)?;
            }
            _ => {}
        }
        if let Some(arrival) = seen.arrival.filter(|arrival| arrival.sender_lives) {
            self.asked(arrival)?;
        }
        let Some(answer) = seen.answer.filter(|answer| answer.sender_lives) else { return Ok(()) };
        let (term, promised) = match (answer.request, answer.reply) {
            (Content::RequestVote(asked), Content::RequestVoteReply(RequestVoteReply { term, granted })) => {
                (*term, granted.then_some(asked.term))
            }
            (
                Content::AppendEntries(asked),
                Content::AppendEntriesReply(AppendEntriesReply { term, success }),
            ) => (*term, success.then_some(asked.term)),
            (Content::InstallSnapshot(asked), Content::InstallSnapshotReply { term, plain }) => {
                (*term, (*plain && *term == asked.term).then_some(asked.term))
            }
            _ => return Ok(()),
        };
        if term > 0 {
            self.said(answer.from, answer.begun, seen.number, term)?;
        }
        if let Some(term) = promised {
            self.servers[answer.from.server].promise(Floor { event: seen.number, term });
        }
        Ok(())
    }

    /// A server named its term, as it was after the event `since`.
    fn said(&mut self, life: Life, since: Number, event: Number, term: u64) -> Judged {
        if let Some(floor) = self.before(life.server, since).filter(|floor| term < floor.term) {
            return RULE.broken(
                format!("server {} went back from term {} to term {term}", life.server, floor.term),
                [floor.event],
            );
        }
        self.servers[life.server].raise(Floor { event, term });
        Ok(())
    }

    /// A server had this term when it made a request.
    fn asked(&mut self, arrival: Arrival<'_>) -> Judged {
        let (term, leads) = match arrival.request {
            Content::RequestVote(asked) => (asked.term, false),
            Content::AppendEntries(asked) => (asked.term, true),
            Content::InstallSnapshot(asked) => (asked.term, true),
            _ => return Ok(()),
        };
        let server = arrival.from.server;
        let known = &mut self.servers[server];
        if let Some(floor) = known.remembered.filter(|floor| term < floor.term) {
            return RULE.broken(
                format!("server {server} restarted, and went back from term {} to term {term}", floor.term),
                [floor.event],
            );
        }
        let floor = Floor { event: arrival.number, term };
        known.raise(floor);
        if leads {
            known.promise(floor);
        }
        Ok(())
    }
}

impl Known {
    fn raise(&mut self, floor: Floor) {
        if self.floors.last().is_none_or(|last| last.term < floor.term) {
            self.floors.push(floor);
        }
    }

    fn promise(&mut self, floor: Floor) {
        if self.promised.is_none_or(|promised| promised.term < floor.term) {
            self.promised = Some(floor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::script::Script;

    #[test]
    fn a_lower_term_in_a_later_answer_is_an_error() {
        let mut s = Script::new(3);
        s.votes(0, 2, 7, (0, 0), true);
        let asked = s.ask(1, 2, 6, (0, 0));
        s.arrive(asked);
        s.vote(asked, 6, false);
        s.objects(&RULE, "server 2 went back from term 7 to term 6");
    }

    #[test]
    fn a_lower_term_in_state_is_an_error() {
        let mut s = Script::new(3);
        s.state(1, 4, false);
        s.state(1, 3, false);
        s.objects(&RULE, "server 1 went back from term 4 to term 3");
    }

    #[test]
    fn a_promised_term_forgotten_in_a_crash_is_an_error() {
        // Each way to promise: by a vote, by an acknowledgement, by leading.
        for promise in [
            |s: &mut Script| s.votes(0, 2, 7, (0, 0), true),
            |s: &mut Script| {
                s.elect(0, 7, (0, 0));
                let sent = s.append(0, 2, 7, (0, 0), &[], 0);
                s.accepts(sent);
            },
            |s: &mut Script| {
                s.elect(2, 7, (0, 0));
                s.append(2, 0, 7, (0, 0), &[], 0);
            },
        ] {
            let mut s = Script::new(3);
            promise(&mut s);
            s.restart(2);
            s.ask_and_arrive(2, 0, 3, (0, 0));
            s.objects(&RULE, "server 2 restarted, and went back from term 7 to term 3");
        }
    }

    #[test]
    fn handlers_side_by_side_may_answer_in_any_order() {
        let mut s = Script::new(3);
        let first = s.ask_and_arrive(0, 2, 6, (0, 0));
        let second = s.ask_and_arrive(1, 2, 7, (0, 0));
        s.vote(second, 7, true);
        s.vote(first, 6, true);
        s.is_silent();
    }

    #[test]
    fn requests_may_be_old() {
        let mut s = Script::new(3);
        let old = s.ask(2, 0, 4, (0, 0));
        s.votes(1, 2, 7, (0, 0), true);
        s.arrive(old);
        s.is_silent();
    }

    #[test]
    fn what_was_only_said_in_a_refusal_need_not_be_remembered() {
        let mut s = Script::new(3);
        s.votes(0, 2, 7, (0, 0), false);
        s.restart(2);
        s.votes(1, 2, 6, (0, 0), true);
        s.is_silent();
    }

    #[test]
    fn a_term_of_zero_says_nothing() {
        let mut s = Script::new(3);
        s.votes(0, 2, 7, (0, 0), true);
        let asked = s.ask_and_arrive(1, 2, 6, (0, 0));
        s.vote(asked, 0, false);
        s.is_silent();
    }
}

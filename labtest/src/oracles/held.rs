//! **What was acknowledged stays** and **the election restriction.** A follower that answers AppendEntries with success,
//! or InstallSnapshot, holds the leader's log up to there, on its disk (figure 2, "updated on stable storage before
//! responding to RPCs"), until a leader of a later term has it cut. So its log is then, by section 5.4.1's measure, no less
//! up-to-date than the entry it acknowledged: a candidate tells of no worse log, and a voter grants its vote to none. And it
//! does not refuse the same leader's AppendEntries that rests on the last entry it acknowledged.
//!
//! Why it accuses nobody who is right:
//!
//! - what a server acknowledged in term T counts only until AppendEntries or InstallSnapshot of a later term reaches it,
//!   whatever it does with that; the leader of T itself never contradicts what it sent (Leader Append-Only), and messages
//!   of earlier terms are refused. Duplicates and late messages of T itself must not cut anything (AppendEntries 3).
//! - a candidate's request counts only if it is of a later term than T: it was then made after the acknowledgement, since
//!   that was given in T, and terms only grow. A granting handler counts only if it began after the acknowledgement left.
//! - a refusal counts only if it is of the request's own term, from a handler that began after the acknowledgement left,
//!   and if the request's prev_log_index is the last acknowledged: what lies before may be in a snapshot, and some refuse it.
//!   For the same reason it does not count if the server has applied more, or was sent a snapshot that reaches further, even
//!   if it has not acknowledged that yet, or was sent messages of an own kind, which may have brought one.
//! - a leader's own entries count for its present life only: it may save them later than it sends them.
//!
//! *Assumed:* success means all the entries of the request, as in figure 2, and not a part of them.

use super::{Judged, Rule};
use crate::events::{AppendEntries, Arrival, Content, Life, Number, RequestVote, Seen, What};

pub(crate) const KEPT: Rule = Rule {
    id: "acknowledged-entries-stay",
    says: "what a server has acknowledged stays in its log, over crashes too, until a later leader's entries replace it",
    paper: "section 5.3; figure 2, persistent state and AppendEntries receiver 3",
};

pub(crate) const RESTRICTION: Rule = Rule {
    id: "election-restriction",
    says: "a server votes only for a candidate whose log is at least as up-to-date as its own",
    paper: "section 5.4.1; figure 2, RequestVote receiver 2",
};

pub(crate) struct Held {
    servers: Vec<Server>,
}

#[derive(Default)]
struct Server {
    /// The newest entry it has acknowledged.
    acknowledged: Option<Tip>,
    /// The newest entry it has sent as a leader, in its present life.
    led: Option<Tip>,
    /// The highest term in which a leader's message has reached it.
    newest_leader: u64,
    /// A snapshot of its log reaches no further: it was sent none beyond, and has applied no more.
    covered: u64,
}

/// An entry that a server's log reaches to, or beyond.
#[derive(Clone, Copy)]
struct Tip {
    term: u64,
    index: u64,
    /// The leader's term in which that was so.
    under: u64,
    /// The event since which it is known.
    event: Number,
}

impl Tip {
    /// Whether a log that ends like this is less up-to-date (section 5.4.1).
    fn is_beyond(&self, last_log_index: u64, last_log_term: u64) -> bool {
        (self.term, self.index) > (last_log_term, last_log_index)
    }
}

impl Held {
    pub(crate) fn new(servers: usize) -> Held {
        Held { servers: (0..servers).map(|_| Server::default()).collect() }
    }

    pub(crate) fn see(&mut self, seen: &Seen<'_>) -> Judged {
        match *seen.what {
            What::Start { life, .. } => self.servers[life.server].led = None,
            What::Apply { life, index, .. } | What::ApplySnapshot { life, index, .. } => {
                self.servers[life.server].covers(index);
            }
            _ => {}
        }
        if let Some((from, to, Content::Other)) = seen.sent {
            if from.server != to.server {
                self.servers[to.server].covers(u64::MAX);
            }
        }
        if let Some(arrival) = seen.arrival {
            self.arrives(arrival)?;
        }
        let Some(answer) = seen.answer.filter(|answer| answer.sender_lives) else { return Ok(()) };
        let server = &mut self.servers[answer.from.server];
        let (under, index, term) = match (answer.request, answer.reply) {
            (Content::AppendEntries(asked), Content::AppendEntriesReply(reply)) if reply.success => {
                (asked.term, asked.last_index(), asked.last_term())
            }
            (Content::AppendEntries(asked), Content::AppendEntriesReply(reply))
                if reply.term == asked.term =>
            {
                return server.refuses(answer.from, asked, answer.begun);
            }
            (Content::InstallSnapshot(asked), Content::InstallSnapshotReply { term, plain: true })
                if *term == asked.term =>
            {
                (asked.term, asked.last_included_index, asked.last_included_term)
            }
            (Content::RequestVote(asked), Content::RequestVoteReply(reply)) if reply.granted => {
                return server.grants(answer.from, answer.to, asked, answer.begun);
            }
            _ => return Ok(()),
        };
        let tip = Tip { term, index, under, event: answer.number };
        server.reaches(tip, |server| &mut server.acknowledged);
        Ok(())
    }

    fn arrives(&mut self, arrival: Arrival<'_>) -> Judged {
        let (from, to) = (arrival.from.server, arrival.to.server);
        let (under, tip) = match arrival.request {
            Content::AppendEntries(asked) => (asked.term, (asked.last_term(), asked.last_index())),
            Content::InstallSnapshot(asked) => {
                self.servers[to].covers(asked.last_included_index);
                (asked.term, (asked.last_included_term, asked.last_included_index))
            }
            Content::RequestVote(asked) if arrival.sender_lives => {
                return self.servers[from].campaigns(from, asked);
            }
            _ => return Ok(()),
        };
        if arrival.sender_lives {
            let tip = Tip { term: tip.0, index: tip.1, under, event: arrival.number };
            self.servers[from].reaches(tip, |server| &mut server.led);
        }
        let newest = &mut self.servers[to].newest_leader;
        *newest = under.max(*newest);
        Ok(())
    }
}

impl Server {
    /// Its log reaches to `tip`, unless a later leader may have had it cut meanwhile.
    fn reaches(&mut self, tip: Tip, which: impl Fn(&mut Server) -> &mut Option<Tip>) {
        if self.newest_leader > tip.under {
            return;
        }
        let known = which(self);
        let keeps = known.is_some_and(|known| {
            known.under > tip.under
                || known.under == tip.under && (known.term, known.index) >= (tip.term, tip.index)
        });
        if !keeps {
            *known = Some(tip);
        }
    }

    fn covers(&mut self, index: u64) {
        self.covered = self.covered.max(index);
    }

    /// What its log must still reach to, if it was so before `event`.
    fn tips(&self, event: Number) -> impl Iterator<Item = Tip> {
        let still = move |tip: &Tip| tip.event < event && self.newest_leader <= tip.under;
        [self.acknowledged, self.led].into_iter().flatten().filter(still)
    }

    fn campaigns(&self, server: usize, asked: &RequestVote) -> Judged {
        let RequestVote { term, last_log_index, last_log_term, .. } = *asked;
        let lost = |tip: &Tip| tip.under < term && tip.is_beyond(last_log_index, last_log_term);
        match self.tips(Number::MAX).find(lost) {
            None => Ok(()),
            Some(tip) => KEPT.broken(
                format!(
                    "server {server} had the log of term {}'s leader up to entry {} of term {}, and no later leader \
                     has sent it anything; but as candidate of term {term} it has a log that ends with entry \
                     {last_log_index} of term {last_log_term}",
                    tip.under, tip.index, tip.term
                ),
                [tip.event],
            ),
        }
    }

    fn refuses(&self, follower: Life, asked: &AppendEntries, begun: Number) -> Judged {
        let rests_on = (asked.term, asked.prev_log_index, asked.prev_log_term);
        let acknowledged = self.acknowledged.filter(|tip| {
            (tip.under, tip.index, tip.term) == rests_on
                && tip.event < begun
                && self.newest_leader <= tip.under
                && self.covered <= tip.index
        });
        match acknowledged {
            None => Ok(()),
            Some(tip) => KEPT.broken(
                format!(
                    "server {} acknowledged entry {} of term {} to the leader of term {}, but refuses what follows that \
                     entry, and no later leader has sent it anything",
                    follower.server, tip.index, tip.term, tip.under
                ),
                [tip.event, begun],
            ),
        }
    }

    fn grants(&self, voter: Life, candidate: Life, asked: &RequestVote, begun: Number) -> Judged {
        let RequestVote { term, last_log_index, last_log_term, .. } = *asked;
        match self.tips(begun).find(|tip| tip.is_beyond(last_log_index, last_log_term)) {
            None => Ok(()),
            Some(tip) => RESTRICTION.broken(
                format!(
                    "server {} voted in term {term} for server {}, whose log ends with entry {last_log_index} of term \
                     {last_log_term}; but its own reaches to entry {} of term {} at least, which is more up-to-date",
                    voter.server, candidate.server, tip.index, tip.term
                ),
                [tip.event, begun],
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::script::Script;

    /// Server 0 leads term 4, and server 2 has acknowledged entries 1 and 2 of it.
    fn acknowledged() -> Script {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.replicate(0, 2, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        s
    }

    #[test]
    fn a_vote_for_a_shorter_log_is_an_error() {
        let mut s = acknowledged();
        s.votes(1, 2, 5, (1, 4), true);
        s.objects(
            &RESTRICTION,
            "server 2 voted in term 5 for server 1, whose log ends with entry 1 of term 4",
        );
    }

    #[test]
    fn a_vote_for_a_longer_log_of_an_older_term_is_an_error() {
        let mut s = acknowledged();
        s.votes(1, 2, 5, (9, 3), true);
        s.objects(&RESTRICTION, "entry 2 of term 4 at least");
    }

    #[test]
    fn a_leader_that_votes_for_a_worse_log_than_its_own_is_an_error() {
        let mut s = acknowledged();
        s.votes(1, 0, 5, (1, 4), true);
        s.objects(&RESTRICTION, "server 0 voted in term 5");
    }

    #[test]
    fn a_candidate_that_has_lost_what_it_acknowledged_is_an_error() {
        let mut s = acknowledged();
        s.restart(2);
        s.ask_and_arrive(2, 1, 5, (1, 4));
        s.objects(&KEPT, "up to entry 2 of term 4");
        // An old message of the same leader must not cut what came after.
        let mut s = acknowledged();
        s.replicate(0, 2, 4, (0, 0), &[(4, "a")], 0);
        s.ask_and_arrive(2, 1, 5, (1, 4));
        s.objects(&KEPT, "as candidate of term 5");
    }

    #[test]
    fn a_follower_that_refuses_what_follows_its_last_acknowledged_entry_is_an_error() {
        // It has lost the entry in a crash, or by an old message of the same leader.
        for lose in
            [|s: &mut Script| s.restart(2), |s: &mut Script| s.replicate(0, 2, 4, (0, 0), &[(4, "a")], 0)]
        {
            let mut s = acknowledged();
            lose(&mut s);
            let sent = s.append(0, 2, 4, (2, 4), &[(4, "c")], 0);
            s.answers(sent, 4, false);
            s.objects(&KEPT, "server 2 acknowledged entry 2 of term 4 to the leader of term 4, but refuses");
        }
    }

    #[test]
    fn a_refusal_may_be_due_to_a_later_term_a_missing_or_covered_entry_or_older_than_the_acknowledgement() {
        let mut s = acknowledged();
        for (prev, term) in [((3, 4), 4), ((1, 4), 4), ((2, 4), 5)] {
            let sent = s.append(0, 2, 4, prev, &[], 0);
            s.answers(sent, term, false);
            s.is_silent();
        }
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        let early = s.append(0, 2, 4, (2, 4), &[], 0);
        s.replicate(0, 2, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        s.answers(early, 4, false);
        s.is_silent();
    }

    #[test]
    fn a_snapshot_counts_as_acknowledged() {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.replicate(0, 1, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        let sent = s.snapshot(0, 2, 4, (2, 4));
        s.accepts(sent);
        // A tail of older entries was left behind the snapshot.
        s.ask_and_arrive(2, 1, 5, (5, 3));
        s.objects(&KEPT, "up to entry 2 of term 4");
    }

    #[test]
    fn a_later_leader_may_have_had_it_cut() {
        let mut s = Script::new(5);
        s.elect(0, 4, (0, 0));
        s.replicate(0, 2, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        for voter in [1, 4] {
            s.votes(3, voter, 5, (1, 3), true);
        }
        let sent = s.append(3, 2, 5, (1, 3), &[], 0);
        s.answers(sent, 5, false);
        s.votes(1, 2, 6, (1, 3), true);
        s.ask_and_arrive(2, 1, 7, (1, 3));
        s.is_silent();
    }

    #[test]
    fn a_request_made_before_the_acknowledgement_may_arrive_after_it() {
        let mut s = Script::new(3);
        let old = s.ask(2, 1, 4, (0, 0));
        s.elect(0, 4, (0, 0));
        s.replicate(0, 2, 4, (0, 0), &[(4, "a")], 0);
        s.arrive(old);
        // And a voter whose handler began before it.
        let mut t = Script::new(3);
        t.votes(0, 1, 4, (0, 0), true);
        let asked = t.ask_and_arrive(1, 2, 5, (0, 0));
        t.replicate(0, 2, 4, (0, 0), &[(4, "a")], 0);
        t.vote(asked, 5, true);
        t.is_silent();
    }

    #[test]
    fn a_leader_may_lose_in_a_crash_what_it_had_sent_but_not_saved() {
        let mut s = acknowledged();
        s.restart(0);
        s.ask_and_arrive(0, 1, 5, (1, 4));
        s.votes(1, 0, 6, (1, 4), true);
        s.is_silent();
    }

    #[test]
    fn an_equal_or_better_log_may_have_the_vote() {
        let mut s = acknowledged();
        s.votes(1, 2, 5, (2, 4), true);
        s.votes(1, 2, 6, (1, 5), true);
        s.is_silent();
    }

    /// Some refuse what begins before their snapshot, and may have one of which they have told nobody yet.
    #[test]
    fn a_message_from_before_a_snapshot_may_be_refused() {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.replicate(0, 1, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        s.replicate(0, 2, 4, (0, 0), &[(4, "a")], 0);
        let late = s.send_append(0, 2, 4, (1, 4), &[], 1);
        // It answers when its service has taken it.
        s.snapshot(0, 2, 4, (2, 4));
        s.arrive(late);
        s.answers(late, 4, false);
        s.is_silent();

        let mut t = Script::new(3);
        t.elect(0, 4, (0, 0));
        t.replicate(0, 1, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        t.replicate(0, 2, 4, (0, 0), &[(4, "a")], 0);
        let late = t.send_append(0, 2, 4, (1, 4), &[], 1);
        t.append(0, 2, 4, (1, 4), &[(4, "b")], 2);
        // Its own service makes a snapshot, while the answer has not left.
        t.apply(2, 1, "a");
        t.apply(2, 2, "b");
        t.arrive(late);
        t.answers(late, 4, false);
        t.is_silent();
    }
}

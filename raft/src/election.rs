//! Leader election (section 5.2) and the election restriction (section 5.4.1).

use std::time::{Duration, Instant};

use crate::core::{Core, Role};
use crate::messages::{RequestVoteArgs, RequestVoteReply};
use crate::progress::Progress;
use crate::read_index::Reads;

/// "Election timeouts are chosen randomly from a fixed interval" (section 5.2). The paper's 150-300 ms suits
/// messages that take a few milliseconds; here a tenth of them may be lost and the others take up to 30 ms,
/// so that a follower should survive the loss of two heartbeats in a row.
pub(crate) const ELECTION_TIMEOUT_MIN: Duration = Duration::from_millis(350);
pub(crate) const ELECTION_TIMEOUT_MAX: Duration = Duration::from_millis(700);

impl Core {
    /// Draws a new election timeout. "Randomized election timeouts ... ensure that split votes are rare"
    /// (section 5.2), so each start of the timer draws again.
    pub(crate) fn restart_election_timer(&mut self, now: Instant) {
        self.election_deadline = now + rand::random_range(ELECTION_TIMEOUT_MIN..ELECTION_TIMEOUT_MAX);
    }

    /// Whether the timer has run out for a server that has one.
    pub(crate) fn election_is_due(&self, now: Instant) -> bool {
        !self.is_leader() && now >= self.election_deadline
    }

    /// "On conversion to candidate, start election: increment currentTerm, vote for self, reset election
    /// timer, send RequestVote RPCs to all other servers" (rules for candidates). Returns what to send.
    /// `None` when no term is left: a peer has sent us the greatest number there is, and a server that can
    /// not count further does not campaign.
    pub(crate) fn become_candidate(&mut self, now: Instant) -> Option<RequestVoteArgs> {
        self.restart_election_timer(now);
        self.current_term = self.current_term.checked_add(1)?;
        self.voted_for = Some(self.me);
        self.unsaved.term_or_vote = true;
        let mut votes = vec![false; self.peer_count];
        votes[self.me] = true;
        self.role = Role::Candidate { votes };
        self.lead_if_elected(now);
        Some(RequestVoteArgs {
            term: self.current_term,
            candidate_id: self.me,
            last_log_index: self.log.last_index(),
            last_log_term: self.log.last_term(),
        })
    }

    /// Answers a candidate (figure 2, RequestVote, receiver implementation).
    pub(crate) fn handle_request_vote(&mut self, args: &RequestVoteArgs, now: Instant) -> RequestVoteReply {
        self.observe_term(args.term, now);
        // 1. "Reply false if term < currentTerm."
        let current = args.term == self.current_term;
        // 2. "If votedFor is null or candidateId, and candidate's log is at least as up-to-date as
        // receiver's log, grant vote."
        let free = self.voted_for.is_none_or(|candidate| candidate == args.candidate_id);
        let vote_granted = current && free && self.is_up_to_date(args.last_log_index, args.last_log_term);
        if vote_granted {
            if self.voted_for.is_none() {
                self.voted_for = Some(args.candidate_id);
                self.unsaved.term_or_vote = true;
            }
            // A follower holds elections "if election timeout elapses without receiving AppendEntries RPC
            // from current leader or granting vote to candidate": only a granted vote restarts the timer.
            self.restart_election_timer(now);
        }
        RequestVoteReply { term: self.current_term, vote_granted }
    }

    /// "If the logs have last entries with different terms, then the log with the later term is more
    /// up-to-date. If the logs end with the same term, then whichever log is longer is more up-to-date"
    /// (section 5.4.1). This is what keeps a server without all committed entries from being elected.
    fn is_up_to_date(&self, last_log_index: u64, last_log_term: u64) -> bool {
        (last_log_term, last_log_index) >= (self.log.last_term(), self.log.last_index())
    }

    /// Counts a vote. `asked` is the request that `reply` answers: a vote given in an earlier election of
    /// ours must not count in this one.
    pub(crate) fn handle_request_vote_reply(
        &mut self,
        peer: usize,
        asked: &RequestVoteArgs,
        reply: &RequestVoteReply,
        now: Instant,
    ) {
        self.observe_term(reply.term, now);
        if asked.term != self.current_term || !reply.vote_granted {
            return;
        }
        if let Role::Candidate { votes } = &mut self.role {
            votes[peer] = true;
            self.lead_if_elected(now);
        }
    }

    /// "If votes received from majority of servers: become leader" (rules for candidates).
    fn lead_if_elected(&mut self, now: Instant) {
        if let Role::Candidate { votes } = &self.role {
            if votes.iter().filter(|&&granted| granted).count() >= self.majority() {
                self.become_leader(now);
            }
        }
    }

    /// Step 7: "When a leader first comes to power, it initializes all nextIndex values to the index just
    /// after the last one in its log" (section 5.3), and matchIndex to 0. "Upon election: send initial empty
    /// AppendEntries RPCs (heartbeat) to each server" (rules for leaders): each peer's is due at once.
    pub(crate) fn become_leader(&mut self, now: Instant) {
        let next_index = self.log.last_index() + 1;
        let progress = vec![Progress::new(next_index, now); self.peer_count];
        self.role = Role::Leader { progress, reads: Reads::default() };
        log::info!("leads term {} with a log up to {}", self.current_term, self.log.last_index());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Unsaved;
    use crate::core::tests::{core, core_after};

    fn ask(term: u64, candidate_id: usize, last_log_index: u64, last_log_term: u64) -> RequestVoteArgs {
        RequestVoteArgs { term, candidate_id, last_log_index, last_log_term }
    }

    fn granted(term: u64) -> RequestVoteReply {
        RequestVoteReply { term, vote_granted: true }
    }

    #[test]
    fn timeouts_are_drawn_anew_from_the_interval() {
        let now = Instant::now();
        let mut core = core(0, 3, 0, &[]);
        let draws: Vec<Duration> = (0..50)
            .map(|_| {
                core.restart_election_timer(now);
                core.election_deadline - now
            })
            .collect();
        assert!(draws.iter().all(|d| (ELECTION_TIMEOUT_MIN..ELECTION_TIMEOUT_MAX).contains(d)));
        assert!(draws.iter().any(|d| *d != draws[0]));
    }

    #[test]
    fn a_candidate_starts_a_new_term_and_votes_for_itself() {
        // Figure 2, rules for candidates, first rule.
        let now = Instant::now();
        let mut core = core_after(1, 3, 4, (2, 1), &[3]);
        let args = core.become_candidate(now + Duration::from_secs(9)).unwrap();
        assert_eq!(args, ask(5, 1, 3, 3));
        assert_eq!((core.current_term, core.voted_for), (5, Some(1)));
        assert!(core.unsaved.term_or_vote, "its own vote must be on disk before it asks for others");
        assert!(core.election_deadline > now + Duration::from_secs(9));
        assert!(!core.is_leader());
    }

    #[test]
    fn a_server_alone_elects_itself() {
        let mut core = core(0, 1, 0, &[]);
        core.become_candidate(Instant::now());
        assert!(core.is_leader());
    }

    #[test]
    fn the_greatest_term_leaves_no_election() {
        let mut core = core(0, 3, u64::MAX, &[]);
        assert_eq!(core.become_candidate(Instant::now()), None);
        assert!(matches!(core.role, Role::Follower));
    }

    #[test]
    fn an_old_term_gets_no_vote_and_learns_the_current_one() {
        // RequestVote, receiver 1.
        let mut core = core(0, 3, 4, &[]);
        let reply = core.handle_request_vote(&ask(3, 1, 9, 3), Instant::now());
        assert_eq!(reply, RequestVoteReply { term: 4, vote_granted: false });
        assert_eq!(core.unsaved, Unsaved::default());
    }

    #[test]
    fn one_vote_per_term_first_come_first_served() {
        // RequestVote, receiver 2: "votedFor is null or candidateId"; section 5.2, Election Safety.
        let mut core = core(0, 3, 4, &[]);
        assert!(core.handle_request_vote(&ask(5, 1, 0, 0), Instant::now()).vote_granted);
        assert!(!core.handle_request_vote(&ask(5, 2, 9, 5), Instant::now()).vote_granted);
        assert!(
            core.handle_request_vote(&ask(5, 1, 0, 0), Instant::now()).vote_granted,
            "the same once more"
        );
        assert!(core.handle_request_vote(&ask(6, 2, 0, 0), Instant::now()).vote_granted, "a new term");
    }

    #[test]
    fn a_vote_in_a_known_term_is_saved_too() {
        let mut core = core(0, 3, 5, &[]);
        assert!(core.handle_request_vote(&ask(5, 1, 0, 0), Instant::now()).vote_granted);
        assert!(core.unsaved.term_or_vote);
    }

    #[test]
    fn a_candidate_and_a_leader_have_voted_for_themselves() {
        let mut core = core(0, 3, 4, &[]);
        core.become_candidate(Instant::now());
        assert!(!core.handle_request_vote(&ask(5, 1, 9, 9), Instant::now()).vote_granted);
        core.become_leader(Instant::now());
        assert!(!core.handle_request_vote(&ask(5, 1, 9, 9), Instant::now()).vote_granted);
        assert!(core.is_leader());
    }

    #[test]
    fn a_later_last_term_wins_then_the_longer_log() {
        // Section 5.4.1: both comparisons, each alone.
        let granted = |last_index, last_term| {
            core(0, 3, 7, &[1, 4, 4])
                .handle_request_vote(&ask(7, 1, last_index, last_term), Instant::now())
                .vote_granted
        };
        assert!(granted(3, 4), "equal logs");
        assert!(granted(4, 4) && granted(1, 5), "longer; later term though shorter");
        assert!(!granted(2, 4), "same last term, shorter");
        assert!(!granted(9, 3), "longer, but of an earlier last term");
    }

    #[test]
    fn a_snapshot_counts_as_log() {
        let mut core = core_after(0, 3, 7, (10, 6), &[]);
        assert!(!core.handle_request_vote(&ask(7, 1, 9, 6), Instant::now()).vote_granted);
        assert!(core.handle_request_vote(&ask(7, 1, 10, 6), Instant::now()).vote_granted);
    }

    #[test]
    fn only_a_granted_vote_restarts_the_timer() {
        // Rules for followers, second rule.
        let later = Instant::now() + Duration::from_secs(60);
        let mut core = core(0, 3, 4, &[4]);
        let before = core.election_deadline;
        core.handle_request_vote(&ask(5, 1, 0, 0), later);
        assert_eq!(core.election_deadline, before, "denied: log too old");
        core.handle_request_vote(&ask(5, 1, 1, 4), later);
        assert!(core.election_deadline > later);
    }

    #[test]
    fn a_majority_of_votes_elects_and_each_voter_counts_once() {
        // Rules for candidates, second rule.
        let mut core = core(0, 5, 0, &[]);
        let asked = core.become_candidate(Instant::now()).unwrap();
        for _ in 0..3 {
            core.handle_request_vote_reply(1, &asked, &granted(1), Instant::now());
        }
        assert!(!core.is_leader(), "two votes of five");
        core.handle_request_vote_reply(
            3,
            &asked,
            &RequestVoteReply { term: 1, vote_granted: false },
            Instant::now(),
        );
        assert!(!core.is_leader(), "a refusal is no vote");
        core.handle_request_vote_reply(2, &asked, &granted(1), Instant::now());
        assert!(core.is_leader());
    }

    #[test]
    fn votes_of_an_earlier_election_do_not_count() {
        let mut core = core(0, 3, 0, &[]);
        let first = core.become_candidate(Instant::now()).unwrap();
        core.become_candidate(Instant::now());
        core.handle_request_vote_reply(1, &first, &granted(1), Instant::now());
        assert!(!core.is_leader());
    }

    #[test]
    fn a_higher_term_in_a_reply_ends_the_candidacy() {
        let mut core = core(0, 3, 0, &[]);
        let asked = core.become_candidate(Instant::now()).unwrap();
        core.handle_request_vote_reply(
            1,
            &asked,
            &RequestVoteReply { term: 8, vote_granted: false },
            Instant::now(),
        );
        assert!(matches!(core.role, Role::Follower));
        assert_eq!(core.current_term, 8);
    }

    #[test]
    fn a_new_leader_knows_nothing_of_its_followers() {
        // Step 7; "Volatile state on leaders: (Reinitialized after election)".
        let now = Instant::now();
        let mut core = core_after(0, 3, 4, (5, 2), &[3, 3]);
        for _ in 0..2 {
            core.become_candidate(now);
            core.become_leader(now);
            let Role::Leader { progress, .. } = &mut core.role else { unreachable!() };
            assert!(progress.iter().all(|p| (p.next_index, p.match_index) == (8, 0)));
            progress[1].match_index = 7;
            core.observe_term(core.current_term + 1, now);
        }
    }
}

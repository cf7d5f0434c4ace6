//! Log replication (section 5.3) and the commit rule (section 5.4.2).

use std::time::Instant;

use crate::core::{Core, Role};
use crate::messages::{AppendEntriesArgs, AppendEntriesReply, Conflict, LogEntry};
use crate::progress::Sent;

/// How much one AppendEntries carries: the more, the fewer messages; but the follower's other calls wait
/// while it is decoded. At least one entry goes, however large.
const MAX_BATCH_BYTES: usize = 256 * 1024;

impl Core {
    /// Step 1. "If command received from client: append entry to local log" (rules for leaders). Returns
    /// where it stands; `None` if this server does not lead.
    pub(crate) fn append_command(&mut self, command: Vec<u8>) -> Option<u64> {
        if !self.is_leader() {
            return None;
        }
        let index = self.log.push(LogEntry { term: self.current_term, command });
        self.log_changed_from(index);
        // A cluster of one has its majority already.
        self.advance_commit_index();
        Some(index)
    }

    /// Step 2. "If last log index >= nextIndex for a follower: send AppendEntries RPC with log entries
    /// starting at nextIndex" (rules for leaders); with none of them it is a heartbeat. `None` if this server
    /// does not lead. While the follower waits for a snapshot it gets heartbeats from the snapshot's edge: it
    /// refuses them until it has the snapshot, but hears that there is a leader.
    pub(crate) fn append_entries_for(
        &mut self,
        peer: usize,
        now: Instant,
    ) -> Option<(AppendEntriesArgs, Sent)> {
        let Role::Leader { progress, reads } = &mut self.role else { return None };
        let progress = &mut progress[peer];
        let (prev_log_index, unsent) = if progress.next_index > self.log.snapshot_index() {
            (progress.next_index - 1, self.log.entries_from(progress.next_index))
        } else {
            (self.log.snapshot_index(), &[][..])
        };
        let count = if progress.takes_entries() { batch_len(unsent) } else { 0 };
        let last_index = prev_log_index + count as u64;
        let round = reads.round();
        let pipeline = progress.sent(last_index, round, now);
        let args = AppendEntriesArgs {
            term: self.current_term,
            leader_id: self.me,
            prev_log_index,
            prev_log_term: self.log.term_at(prev_log_index)?,
            entries: unsent[..count].to_vec(),
            leader_commit: self.commit_index,
        };
        Some((args, Sent { term: self.current_term, prev_log_index, last_index, pipeline, round }))
    }

    /// Step 3. Stores a leader's entries (figure 2, AppendEntries, receiver implementation).
    pub(crate) fn handle_append_entries(
        &mut self,
        args: AppendEntriesArgs,
        now: Instant,
    ) -> AppendEntriesReply {
        self.observe_term(args.term, now);
        // 1. "Reply false if term < currentTerm."
        if args.term < self.current_term {
            return AppendEntriesReply { term: self.current_term, success: false, conflict: None };
        }
        // The sender leads this very term: "a candidate ... returns to follower state" (section 5.2), and
        // a follower has heard from its leader.
        self.become_follower(now);
        self.restart_election_timer(now);
        // 2. "Reply false if log doesn't contain an entry at prevLogIndex whose term matches prevLogTerm."
        if let Some(conflict) = self.conflict_at(args.prev_log_index, args.prev_log_term) {
            return AppendEntriesReply { term: self.current_term, success: false, conflict: Some(conflict) };
        }
        let last_new_index = args.prev_log_index + args.entries.len() as u64;
        self.store_entries(args.prev_log_index, args.entries);
        // 5. "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new entry)":
        // of the *last new* entry, since what follows it here may not be the leader's.
        self.commit_index = self.commit_index.max(args.leader_commit.min(last_new_index));
        AppendEntriesReply { term: self.current_term, success: true, conflict: None }
    }

    /// The consistency check: where this log differs from one that has `term` at `index`, or `None` if it
    /// agrees. What a snapshot covers is committed and therefore agrees with every leader.
    fn conflict_at(&self, index: u64, term: u64) -> Option<Conflict> {
        if index < self.log.snapshot_index() {
            return None;
        }
        match self.log.term_at(index) {
            None => Some(Conflict { term: None, index: self.log.last_index() + 1 }),
            Some(ours) if ours != term => {
                Some(Conflict { term: Some(ours), index: self.log.first_index_of_term_at(index) })
            }
            Some(_) => None,
        }
    }

    /// Receiver, 3: "If an existing entry conflicts with a new one (same index but different terms), delete the
    /// existing entry and all that follow it." And 4: "Append any new entries not already in the log." Without a
    /// conflict nothing is deleted: the message may be an old one, overtaken by others that added more.
    fn store_entries(&mut self, prev_log_index: u64, entries: Vec<LogEntry>) {
        for (index, entry) in (prev_log_index + 1..).zip(entries) {
            if index <= self.log.snapshot_index() {
                continue;
            }
            match self.log.term_at(index) {
                Some(term) if term == entry.term => continue,
                Some(_) => {
                    assert!(
                        index > self.commit_index,
                        "a leader's entry {index} contradicts a committed one"
                    );
                    self.log.truncate_from(index);
                }
                None => {}
            }
            self.log.push(entry);
            self.log_changed_from(index);
        }
    }

    /// Step 4. "If successful: update nextIndex and matchIndex for follower. If AppendEntries fails because
    /// of log inconsistency: decrement nextIndex and retry" (rules for leaders). The retry goes out as soon
    /// as this returns, because [`Progress::wants_to_send`](crate::progress::Progress::wants_to_send) says so.
    pub(crate) fn handle_append_entries_reply(
        &mut self,
        peer: usize,
        sent: Sent,
        reply: &AppendEntriesReply,
        now: Instant,
    ) {
        self.observe_term(reply.term, now);
        let hint =
            reply.conflict.as_ref().map_or(sent.prev_log_index, |conflict| self.next_index_after(conflict));
        // An answer to a message of an earlier term says nothing about this reign.
        let Role::Leader { progress, .. } = &mut self.role else { return };
        if sent.term != self.current_term {
            return;
        }
        if reply.success {
            progress[peer].accepted(sent);
            self.advance_commit_index();
        } else {
            progress[peer].rejected(sent, hint);
        }
        self.confirm_reads();
    }

    /// Where to look next for the last common entry. "The leader can decrement nextIndex to bypass all of
    /// the conflicting entries in that term" (section 5.3): if it has entries of the follower's conflicting
    /// term, the two logs can agree no later than its own last one of them; if not, before the follower's first.
    fn next_index_after(&self, conflict: &Conflict) -> u64 {
        let ours = conflict.term.and_then(|term| self.log.last_index_of_term(term));
        ours.map_or(conflict.index, |last| last + 1)
    }

    /// No answer came to an AppendEntries: it was lost on the way, or its reply was.
    pub(crate) fn handle_append_entries_lost(&mut self, peer: usize, sent: Sent) {
        if let Role::Leader { progress, .. } = &mut self.role {
            if sent.term == self.current_term {
                progress[peer].lost(sent);
            }
        }
    }

    /// Step 5. "If there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N, and
    /// log[N].term == currentTerm: set commitIndex = N" (rules for leaders). An entry of an earlier term is
    /// never committed by counting (figure 8); it is committed with the first entry of this term after it.
    pub(crate) fn advance_commit_index(&mut self) {
        let Role::Leader { progress, .. } = &self.role else { return };
        let mut match_indexes: Vec<u64> = progress.iter().map(|progress| progress.match_index).collect();
        match_indexes[self.me] = self.log.last_index();
        match_indexes.sort_unstable();
        // So many are at or above it, itself included, as make a majority.
        let n = match_indexes[self.peer_count - self.majority()];
        if n > self.commit_index && self.log.term_at(n) == Some(self.current_term) {
            self.commit_index = n;
        }
    }

    /// Whether `peer` should be sent something now: entries, a heartbeat, a read's question or a snapshot.
    pub(crate) fn wants_to_send(&self, peer: usize, now: Instant) -> bool {
        match &self.role {
            Role::Leader { progress, reads } => {
                progress[peer].wants_to_send(self.log.last_index(), reads.round(), now)
            }
            Role::Follower | Role::Candidate { .. } => false,
        }
    }

    /// When the next heartbeat to `peer` is due, if this server leads.
    pub(crate) fn heartbeat_due(&self, peer: usize) -> Option<Instant> {
        match &self.role {
            Role::Leader { progress, .. } => Some(progress[peer].heartbeat_due),
            Role::Follower | Role::Candidate { .. } => None,
        }
    }
}

/// How many of the entries one message takes.
pub(crate) fn batch_len(entries: &[LogEntry]) -> usize {
    let mut bytes = 0;
    let fitting = entries.iter().take_while(|entry| {
        bytes += entry.command.len() + size_of::<LogEntry>();
        bytes <= MAX_BATCH_BYTES
    });
    fitting.count().max(entries.len().min(1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::Unsaved;
    use crate::core::tests::{core, core_after, entry, terms};
    use crate::progress::{HEARTBEAT_INTERVAL, Mode};

    /// Server 0 of `peer_count`, leader of `term`, which is its last entry's or a later one.
    fn leader(peer_count: usize, term: u64, terms: &[u64]) -> Core {
        let mut core = core(0, peer_count, term - 1, terms);
        core.become_candidate(Instant::now()).unwrap();
        core.become_leader(Instant::now());
        core
    }

    fn append(term: u64, prev: (u64, u64), terms: &[u64], leader_commit: u64) -> AppendEntriesArgs {
        AppendEntriesArgs {
            term,
            leader_id: 1,
            prev_log_index: prev.0,
            prev_log_term: prev.1,
            entries: terms.iter().map(|&term| entry(term)).collect(),
            leader_commit,
        }
    }

    fn receive(core: &mut Core, args: AppendEntriesArgs) -> AppendEntriesReply {
        core.handle_append_entries(args, Instant::now())
    }

    fn success(term: u64) -> AppendEntriesReply {
        AppendEntriesReply { term, success: true, conflict: None }
    }

    fn failure(term: u64, conflict: Option<Conflict>) -> AppendEntriesReply {
        AppendEntriesReply { term, success: false, conflict }
    }

    fn progress(core: &mut Core, peer: usize) -> &mut crate::progress::Progress {
        let Role::Leader { progress, .. } = &mut core.role else { panic!("not leader") };
        &mut progress[peer]
    }

    /// Sends to `peer` and lets it answer with success.
    fn replicate(core: &mut Core, peer: usize) {
        let (_, sent) = core.append_entries_for(peer, Instant::now()).unwrap();
        let term = core.current_term;
        core.handle_append_entries_reply(peer, sent, &success(term), Instant::now());
    }

    // Step 1.

    #[test]
    fn a_leader_appends_a_command_to_its_own_log_and_must_save_it() {
        let mut core = leader(3, 4, &[1, 3]);
        core.unsaved = Unsaved::default();
        assert_eq!(core.append_command(b"cmd".to_vec()), Some(3));
        assert_eq!(core.log.entries_from(3), [LogEntry { term: 4, command: b"cmd".to_vec() }]);
        assert_eq!(core.unsaved.log_from, Some(3));
        assert_eq!(core.commit_index, 0, "one of three is no majority");
    }

    #[test]
    fn the_first_command_has_index_1() {
        assert_eq!(leader(3, 1, &[]).append_command(Vec::new()), Some(1));
    }

    #[test]
    fn followers_and_candidates_take_no_commands() {
        let mut core = core(0, 3, 4, &[]);
        assert_eq!(core.append_command(Vec::new()), None);
        core.become_candidate(Instant::now());
        assert_eq!(core.append_command(Vec::new()), None);
        assert_eq!(core.log.last_index(), 0);
    }

    #[test]
    fn a_server_alone_commits_at_once() {
        let mut core = leader(1, 2, &[]);
        core.append_command(Vec::new());
        assert_eq!(core.commit_index, 1);
    }

    // Step 2.

    #[test]
    fn entries_go_out_from_next_index_with_what_precedes_them() {
        let mut core = leader(3, 5, &[1, 3, 3, 4]);
        core.commit_index = 2;
        progress(&mut core, 1).next_index = 3;
        let (args, _) = core.append_entries_for(1, Instant::now()).unwrap();
        assert_eq!(args, AppendEntriesArgs { leader_id: 0, ..append(5, (2, 3), &[3, 4], 2) });
    }

    #[test]
    fn each_follower_is_sent_what_it_lacks() {
        let mut core = leader(3, 5, &[1, 3]);
        progress(&mut core, 1).next_index = 1;
        assert_eq!(core.append_entries_for(1, Instant::now()).unwrap().0.entries.len(), 2);
        assert_eq!(core.append_entries_for(2, Instant::now()).unwrap().0.entries.len(), 0, "a heartbeat");
    }

    #[test]
    fn a_new_command_is_sent_at_once_and_not_at_the_next_heartbeat() {
        let now = Instant::now();
        let mut core = leader(3, 1, &[]);
        replicate(&mut core, 1);
        assert!(!core.wants_to_send(1, now));
        core.append_command(Vec::new());
        assert!(core.wants_to_send(1, now));
    }

    #[test]
    fn a_silent_leader_sends_heartbeats() {
        // "Repeat during idle periods to prevent election timeouts" (rules for leaders).
        let mut core = leader(3, 1, &[]);
        replicate(&mut core, 1);
        let due = core.heartbeat_due(1).unwrap();
        assert!(due <= Instant::now() + HEARTBEAT_INTERVAL);
        assert!(core.wants_to_send(1, due));
        core.observe_term(9, due);
        assert!(!core.wants_to_send(1, due) && core.heartbeat_due(1).is_none());
    }

    #[test]
    fn entries_after_the_snapshot_follow_its_edge_and_a_follower_before_it_gets_heartbeats() {
        let mut core = core_after(0, 3, 4, (5, 2), &[3]);
        core.become_candidate(Instant::now());
        core.become_leader(Instant::now());
        progress(&mut core, 1).next_index = 6;
        let (args, _) = core.append_entries_for(1, Instant::now()).unwrap();
        assert_eq!(args, AppendEntriesArgs { leader_id: 0, ..append(5, (5, 2), &[3], 5) });
        progress(&mut core, 1).next_index = 3;
        let (args, _) = core.append_entries_for(1, Instant::now()).unwrap();
        assert_eq!(args, AppendEntriesArgs { leader_id: 0, ..append(5, (5, 2), &[], 5) });
    }

    #[test]
    fn large_logs_go_in_batches_and_a_large_entry_alone() {
        let large = || LogEntry { term: 1, command: vec![0; MAX_BATCH_BYTES / 2] };
        assert_eq!(batch_len(&[large(), large(), large()]), 1);
        assert_eq!(batch_len(&[entry(1), large(), large()]), 2);
        assert_eq!(batch_len(&[LogEntry { term: 1, command: vec![0; 2 * MAX_BATCH_BYTES] }, entry(1)]), 1);
        assert_eq!(batch_len(&[]), 0);
        let mut core = leader(3, 1, &[]);
        for _ in 0..3 {
            core.append_command(large().command);
        }
        assert_eq!(core.append_entries_for(1, Instant::now()).unwrap().0.entries.len(), 1);
    }

    // Step 3.

    #[test]
    fn an_older_term_is_rejected_and_does_not_count_as_hearing_from_the_leader() {
        // AppendEntries, receiver 1.
        let mut core = core(0, 3, 4, &[1]);
        let before = core.election_deadline;
        let later = before + Duration::from_secs(60);
        let reply = core.handle_append_entries(append(3, (1, 1), &[3], 1), later);
        assert_eq!(reply, failure(4, None));
        assert_eq!((terms(&core), core.commit_index, core.election_deadline), (vec![1], 0, before));
    }

    #[test]
    fn the_current_leader_restarts_the_timer_and_ends_a_candidacy() {
        // Rules for followers, second; rules for candidates, third.
        let mut core = core(0, 3, 4, &[]);
        core.become_candidate(Instant::now());
        let later = core.election_deadline + Duration::from_secs(60);
        assert!(core.handle_append_entries(append(5, (0, 0), &[], 0), later).success);
        assert!(matches!(core.role, Role::Follower) && core.election_deadline > later);
        assert_eq!(core.voted_for, Some(0), "the term is the same, and so is the vote");
    }

    #[test]
    fn a_log_that_is_too_short_or_differs_at_prev_log_index_is_rejected() {
        // AppendEntries, receiver 2. Also for heartbeats: they too carry a commit index.
        for entries in [&[][..], &[4][..]] {
            let mut core = core(0, 3, 4, &[1, 1, 2, 2]);
            let short = receive(&mut core, append(4, (6, 3), entries, 9));
            assert_eq!(short, failure(4, Some(Conflict { term: None, index: 5 })));
            let differs = receive(&mut core, append(4, (4, 3), entries, 9));
            assert_eq!(differs, failure(4, Some(Conflict { term: Some(2), index: 3 })));
            assert_eq!((terms(&core), core.commit_index), (vec![1, 1, 2, 2], 0));
        }
    }

    #[test]
    fn a_conflict_deletes_the_entry_and_all_that_follow_it() {
        // AppendEntries, receiver 3.
        let mut core = core(0, 3, 4, &[1, 2, 2, 2]);
        assert!(receive(&mut core, append(4, (1, 1), &[2, 4], 0)).success);
        assert_eq!(terms(&core), [1, 2, 4]);
        assert_eq!(core.unsaved.log_from, Some(3), "what did not change need not be saved");
    }

    #[test]
    fn without_a_conflict_nothing_is_deleted() {
        // AppendEntries, receiver 3: an old message arrives after a newer one.
        let mut core = core(0, 3, 4, &[1, 4, 4, 4]);
        assert!(receive(&mut core, append(4, (1, 1), &[4], 0)).success);
        assert!(receive(&mut core, append(4, (0, 0), &[], 0)).success);
        assert_eq!(terms(&core), [1, 4, 4, 4]);
        assert_eq!(core.unsaved, Unsaved::default());
    }

    #[test]
    fn missing_entries_are_appended_and_must_be_saved() {
        // AppendEntries, receiver 4.
        let mut core = core(0, 3, 4, &[1]);
        assert!(receive(&mut core, append(4, (0, 0), &[1, 4, 4], 0)).success);
        assert_eq!(terms(&core), [1, 4, 4]);
        assert_eq!(core.unsaved.log_from, Some(2));
    }

    #[test]
    fn the_commit_index_stops_at_the_last_new_entry() {
        // AppendEntries, receiver 5: entry 3 may not be the leader's.
        let mut core = core(0, 3, 4, &[1, 1, 1]);
        receive(&mut core, append(4, (1, 1), &[1], 9));
        assert_eq!(core.commit_index, 2);
        receive(&mut core, append(4, (3, 1), &[], 1));
        assert_eq!(core.commit_index, 2, "it never goes back");
        receive(&mut core, append(4, (3, 1), &[], 3));
        assert_eq!(core.commit_index, 3, "a heartbeat moves it too");
    }

    #[test]
    fn entries_that_the_snapshot_covers_are_taken_as_known() {
        let mut core = core_after(0, 3, 4, (3, 2), &[2]);
        assert!(receive(&mut core, append(4, (1, 1), &[1, 2, 2, 4], 5)).success);
        assert_eq!((core.log.snapshot_index(), terms(&core), core.commit_index), (3, vec![2, 4], 5));
        assert!(receive(&mut core, append(4, (0, 0), &[1, 1], 5)).success, "all of it is in the snapshot");
        assert_eq!(terms(&core), [2, 4]);
    }

    // Step 4.

    #[test]
    fn a_success_raises_match_index_to_what_was_sent() {
        let mut core = leader(3, 4, &[1, 1]);
        progress(&mut core, 1).next_index = 1;
        let (_, sent) = core.append_entries_for(1, Instant::now()).unwrap();
        core.append_command(Vec::new());
        core.handle_append_entries_reply(1, sent, &success(4), Instant::now());
        let p = progress(&mut core, 1);
        assert_eq!((p.match_index, p.next_index), (2, 3), "not to entry 3, which came later");
    }

    #[test]
    fn a_rejection_backs_up_by_terms() {
        // Section 5.3, the optimisation at its end. Leader: 1 1 3 3 3 6.
        let back_up = |term, index| {
            let mut core = leader(3, 6, &[1, 1, 3, 3, 3, 6]);
            let (_, sent) = core.append_entries_for(1, Instant::now()).unwrap();
            let conflict = Some(Conflict { term, index });
            core.handle_append_entries_reply(1, sent, &failure(6, conflict), Instant::now());
            assert!(core.wants_to_send(1, Instant::now()), "it retries at once");
            progress(&mut core, 1).next_index
        };
        assert_eq!(back_up(None, 3), 3, "the follower ends at 2");
        assert_eq!(back_up(Some(2), 2), 2, "no entry of term 2 here: before the follower's first");
        assert_eq!(back_up(Some(3), 2), 6, "our last entry of term 3 is at 5");
        assert_eq!(back_up(Some(1), 1), 3);
    }

    #[test]
    fn a_rejection_without_a_hint_backs_up_by_one() {
        let mut core = leader(3, 6, &[1, 1, 3]);
        let (_, sent) = core.append_entries_for(1, Instant::now()).unwrap();
        core.handle_append_entries_reply(1, sent, &failure(6, None), Instant::now());
        assert_eq!(progress(&mut core, 1).next_index, 3);
    }

    #[test]
    fn answers_of_an_earlier_reign_are_ignored() {
        let mut core = leader(3, 4, &[1, 1]);
        let old = Sent { term: 3, prev_log_index: 2, last_index: 2, pipeline: None, round: 0 };
        core.append_entries_for(1, Instant::now());
        core.handle_append_entries_reply(1, old, &success(3), Instant::now());
        core.handle_append_entries_reply(1, old, &failure(3, None), Instant::now());
        core.handle_append_entries_lost(1, old);
        let p = progress(&mut core, 1);
        assert_eq!((p.match_index, p.next_index, p.mode), (0, 3, Mode::Probe { waiting: true }));
    }

    #[test]
    fn a_higher_term_in_a_reply_deposes_the_leader() {
        let mut core = leader(3, 4, &[]);
        let (_, sent) = core.append_entries_for(1, Instant::now()).unwrap();
        core.handle_append_entries_reply(1, sent, &failure(9, None), Instant::now());
        assert!(!core.is_leader() && core.current_term == 9);
    }

    #[test]
    fn what_was_lost_is_sent_again() {
        let mut core = leader(3, 1, &[]);
        replicate(&mut core, 1);
        core.append_command(Vec::new());
        let (args, sent) = core.append_entries_for(1, Instant::now()).unwrap();
        assert!(!core.wants_to_send(1, Instant::now()));
        core.handle_append_entries_lost(1, sent);
        assert_eq!(progress(&mut core, 1).mode, Mode::Probe { waiting: false });
        assert_eq!(core.append_entries_for(1, Instant::now()).unwrap().0, args);
    }

    // Step 5.

    #[test]
    fn a_majority_commits() {
        let mut core = leader(5, 2, &[]);
        core.append_command(Vec::new());
        core.append_command(Vec::new());
        replicate(&mut core, 1);
        replicate(&mut core, 1);
        assert_eq!(core.commit_index, 0, "two of five");
        progress(&mut core, 3).matched(1);
        core.advance_commit_index();
        assert_eq!(core.commit_index, 1, "three of five have entry 1");
        progress(&mut core, 4).matched(2);
        core.advance_commit_index();
        assert_eq!(core.commit_index, 2);
    }

    #[test]
    fn an_earlier_terms_entry_is_not_committed_by_counting_but_with_a_later_one() {
        // Figure 8 and section 5.4.2.
        let mut core = leader(3, 4, &[1, 2]);
        progress(&mut core, 1).next_index = 1;
        replicate(&mut core, 1);
        assert_eq!((progress(&mut core, 1).match_index, core.commit_index), (2, 0));
        core.append_command(Vec::new());
        replicate(&mut core, 1);
        assert_eq!(core.commit_index, 3, "with entry 3 all before it");
    }
}

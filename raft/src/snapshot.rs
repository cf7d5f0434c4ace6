//! Log compaction (section 7) and InstallSnapshot (figure 13).

use std::time::Instant;

use crate::core::{Core, Role};
use crate::log::{Log, MAX_INDEX};
use crate::messages::{InstallSnapshotArgs, InstallSnapshotReply};
use crate::progress::{HEARTBEAT_INTERVAL, Mode, SNAPSHOT_RETRY_INTERVAL};

impl Core {
    /// The service has a snapshot of its state after applying `index`: the log up to there can go. Returns
    /// false if it has gone already.
    pub(crate) fn take_snapshot(&mut self, index: u64) -> bool {
        if index <= self.log.snapshot_index() {
            return false;
        }
        self.log.compact_to(index);
        true
    }

    /// "The leader must occasionally send snapshots to followers that lag behind. This happens when the
    /// leader has already discarded the next log entry that it needs to send" (section 7). Returns the
    /// arguments without the data, which are on disk. `None` if `peer` needs none, or if one is on its way.
    pub(crate) fn install_snapshot_for(&mut self, peer: usize, now: Instant) -> Option<InstallSnapshotArgs> {
        let Role::Leader { progress, .. } = &mut self.role else { return None };
        let progress = &mut progress[peer];
        // The entry before next_index is still known if it is the snapshot's last.
        if progress.next_index > self.log.snapshot_index() {
            return None;
        }
        let index = self.log.snapshot_index();
        match progress.mode {
            Mode::Snapshot { resend_at, .. } if now < resend_at => return None,
            _ => progress.mode = Mode::Snapshot { index, resend_at: now + SNAPSHOT_RETRY_INTERVAL },
        }
        progress.heartbeat_due = now + HEARTBEAT_INTERVAL;
        Some(InstallSnapshotArgs {
            term: self.current_term,
            leader_id: self.me,
            last_included_index: index,
            last_included_term: self.log.snapshot_term(),
            data: Vec::new(),
        })
    }

    /// Takes a snapshot from the leader (figure 13, receiver implementation). Returns the reply and whether
    /// the snapshot is news: then it must be saved, and then goes to the service.
    pub(crate) fn handle_install_snapshot(
        &mut self,
        args: &InstallSnapshotArgs,
        now: Instant,
    ) -> (InstallSnapshotReply, bool) {
        self.observe_term(args.term, now);
        // 1. "Reply immediately if term < currentTerm."
        if args.term < self.current_term {
            return (InstallSnapshotReply { term: self.current_term }, false);
        }
        self.become_follower(now);
        self.restart_election_timer(now);
        let reply = InstallSnapshotReply { term: self.current_term };
        // A snapshot of what is committed here anyway is a late or repeated one, and must not take the
        // service back. One from beyond the end of all logs is damaged.
        if args.last_included_index <= self.commit_index || args.last_included_index > MAX_INDEX {
            return (reply, false);
        }
        // 6. "If existing log entry has same index and term as snapshot's last included entry, retain log
        // entries following it." 7. "Discard the entire log" otherwise: what follows came after an entry
        // that never was committed.
        if self.log.term_at(args.last_included_index) == Some(args.last_included_term) {
            self.log.compact_to(args.last_included_index);
        } else {
            self.log = Log::starting_after(args.last_included_index, args.last_included_term);
        }
        // 8. "Reset state machine using snapshot contents": left to the applier, which sees that the log begins
        // after what it has applied.
        self.commit_index = args.last_included_index;
        (reply, true)
    }

    /// The follower has the snapshot, or more: its log matches up to there.
    pub(crate) fn handle_install_snapshot_reply(
        &mut self,
        peer: usize,
        sent: &InstallSnapshotArgs,
        reply: &InstallSnapshotReply,
        now: Instant,
    ) {
        self.observe_term(reply.term, now);
        let Role::Leader { progress, .. } = &mut self.role else { return };
        if sent.term == self.current_term {
            progress[peer].matched(sent.last_included_index);
            self.advance_commit_index();
        }
    }

    /// No answer came to an InstallSnapshot: it goes again with the next heartbeat.
    pub(crate) fn handle_install_snapshot_lost(&mut self, peer: usize, sent_term: u64, now: Instant) {
        let Role::Leader { progress, .. } = &mut self.role else { return };
        if let Mode::Snapshot { resend_at, .. } = &mut progress[peer].mode {
            if sent_term == self.current_term {
                *resend_at = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Unsaved;
    use crate::core::tests::{core, core_after, terms};
    use crate::election::ELECTION_TIMEOUT_MAX;

    fn install(term: u64, last_included_index: u64, last_included_term: u64) -> InstallSnapshotArgs {
        InstallSnapshotArgs { term, leader_id: 1, last_included_index, last_included_term, data: Vec::new() }
    }

    fn receive(core: &mut Core, args: &InstallSnapshotArgs) -> bool {
        core.handle_install_snapshot(args, Instant::now()).1
    }

    fn leader_after(snapshot: (u64, u64), terms: &[u64]) -> Core {
        let mut core = core_after(0, 3, 8, snapshot, terms);
        core.become_candidate(Instant::now());
        core.become_leader(Instant::now());
        core
    }

    fn progress(core: &mut Core) -> &mut crate::progress::Progress {
        let Role::Leader { progress, .. } = &mut core.role else { panic!("not leader") };
        &mut progress[1]
    }

    #[test]
    fn the_service_trims_the_log_and_an_older_snapshot_changes_nothing() {
        let mut core = core(0, 3, 3, &[1, 2, 3]);
        assert!(core.take_snapshot(2));
        assert_eq!((core.log.snapshot_index(), terms(&core)), (2, vec![3]));
        assert!(!core.take_snapshot(2) && !core.take_snapshot(1));
    }

    #[test]
    fn a_snapshot_goes_to_a_follower_that_needs_what_the_log_forgot() {
        let now = Instant::now();
        let mut core = leader_after((5, 2), &[3]);
        progress(&mut core).next_index = 6;
        assert_eq!(core.install_snapshot_for(1, now), None, "the log still knows the term at 5");
        progress(&mut core).next_index = 5;
        let args = core.install_snapshot_for(1, now).unwrap();
        assert_eq!((args.term, args.last_included_index, args.last_included_term), (9, 5, 2));
        assert_eq!(core.install_snapshot_for(1, now), None, "one is on its way");
        assert!(core.install_snapshot_for(1, now + SNAPSHOT_RETRY_INTERVAL).is_some());
        core.handle_install_snapshot_lost(1, 8, now);
        assert_eq!(core.install_snapshot_for(1, now), None, "that one was of an earlier reign");
        core.handle_install_snapshot_lost(1, 9, now);
        assert!(core.install_snapshot_for(1, now).is_some());
    }

    #[test]
    fn a_snapshot_counts_as_heartbeat() {
        let now = Instant::now();
        let mut core = leader_after((5, 2), &[3]);
        progress(&mut core).next_index = 5;
        core.install_snapshot_for(1, now);
        assert!(!core.wants_to_send(1, now) && core.wants_to_send(1, now + HEARTBEAT_INTERVAL));
    }

    #[test]
    fn a_leader_of_a_later_term_ends_a_candidacy_and_restarts_the_timer() {
        // Rules for all servers, second; for candidates, third; for followers, second.
        let mut core = core(0, 3, 4, &[1]);
        core.become_candidate(Instant::now());
        core.unsaved = Unsaved::default();
        let later = core.election_deadline + ELECTION_TIMEOUT_MAX;
        core.handle_install_snapshot(&install(7, 9, 6), later);
        assert!(matches!(core.role, Role::Follower) && core.election_deadline > later);
        assert_eq!((core.current_term, core.voted_for, core.unsaved.term_or_vote), (7, None, true));
        core.become_candidate(later);
        core.handle_install_snapshot(&install(8, 9, 6), later);
        assert!(matches!(core.role, Role::Follower), "the leader of the very term it stands in");
    }

    #[test]
    fn a_snapshot_from_beyond_all_logs_is_ignored() {
        // Such an index once made every later sum overflow.
        let mut core = core(0, 3, 4, &[1]);
        assert!(!receive(&mut core, &install(4, u64::MAX, 4)));
        assert_eq!(core.log.last_index(), 1);
    }

    #[test]
    fn an_older_term_is_refused() {
        // InstallSnapshot, receiver 1.
        let mut core = core(0, 3, 4, &[1]);
        let before = core.election_deadline;
        let (reply, news) = core.handle_install_snapshot(&install(3, 7, 3), before + ELECTION_TIMEOUT_MAX);
        assert_eq!((reply.term, news, core.log.last_index(), core.election_deadline), (4, false, 1, before));
    }

    #[test]
    fn a_matching_suffix_is_kept() {
        // InstallSnapshot, receiver 6.
        let mut core = core(0, 3, 4, &[1, 2, 2, 3]);
        assert!(receive(&mut core, &install(4, 3, 2)));
        assert_eq!((core.log.snapshot_index(), terms(&core), core.commit_index), (3, vec![3], 3));
    }

    #[test]
    fn a_log_that_differs_at_the_snapshot_is_discarded() {
        // InstallSnapshot, receiver 7.
        let mut core = core(0, 3, 4, &[1, 2, 2, 3]);
        assert!(receive(&mut core, &install(4, 3, 4)));
        assert_eq!((core.log.snapshot_index(), core.log.snapshot_term(), terms(&core)), (3, 4, vec![]));
    }

    #[test]
    fn a_log_that_ends_before_the_snapshot_is_replaced() {
        let mut core = core(0, 3, 4, &[1]);
        assert!(receive(&mut core, &install(5, 9, 5)));
        assert_eq!((core.log.last_index(), core.log.last_term(), core.commit_index), (9, 5, 9));
        assert_eq!(core.current_term, 5);
    }

    #[test]
    fn a_snapshot_of_what_is_committed_is_ignored() {
        let mut core = core(0, 3, 4, &[1, 2, 2, 3]);
        core.commit_index = 3;
        assert!(!receive(&mut core, &install(4, 3, 2)) && !receive(&mut core, &install(4, 2, 2)));
        assert_eq!(core.log.snapshot_index(), 0);
        assert_eq!(core.unsaved, Unsaved::default());
    }

    #[test]
    fn an_answer_moves_the_follower_past_the_snapshot() {
        let now = Instant::now();
        let mut core = leader_after((5, 2), &[3, 3]);
        progress(&mut core).next_index = 2;
        let args = core.install_snapshot_for(1, now).unwrap();
        core.handle_install_snapshot_reply(1, &args, &InstallSnapshotReply { term: 9 }, now);
        let p = progress(&mut core);
        assert_eq!((p.match_index, p.next_index, p.mode), (5, 6, Mode::Pipeline { in_flight: 0 }));
        core.handle_install_snapshot_reply(1, &args, &InstallSnapshotReply { term: 10 }, now);
        assert!(!core.is_leader());
    }

    #[test]
    fn a_followers_snapshot_counts_for_the_majority() {
        let now = Instant::now();
        let mut core = leader_after((5, 2), &[]);
        core.append_command(Vec::new());
        core.take_snapshot(6);
        progress(&mut core).next_index = 2;
        let args = core.install_snapshot_for(1, now).unwrap();
        core.handle_install_snapshot_reply(1, &args, &InstallSnapshotReply { term: 9 }, now);
        assert_eq!(core.commit_index, 6);
    }

    #[test]
    fn an_answer_of_an_earlier_reign_is_ignored() {
        let mut core = leader_after((5, 2), &[]);
        core.handle_install_snapshot_reply(
            1,
            &install(8, 5, 2),
            &InstallSnapshotReply { term: 8 },
            Instant::now(),
        );
        assert_eq!(progress(&mut core).match_index, 0);
    }
}

//! What a leader knows and assumes about one follower.

use std::time::{Duration, Instant};

/// How often a leader that has nothing else to say asserts itself: "heartbeats ... to prevent election
/// timeouts" (figure 2). The labs allow about ten a second.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(100);

/// How many AppendEntries to one follower may be unanswered while new entries still go out at once. Beyond
/// it entries wait and go together, which is when batching helps most.
pub(crate) const MAX_IN_FLIGHT: usize = 2;

/// How long a snapshot may stay unanswered before it is sent again: it may have been lost without notice.
pub(crate) const SNAPSHOT_RETRY_INTERVAL: Duration = Duration::from_millis(1000);

/// How a leader sends to a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It looks for the last entry both have: one message with entries, then heartbeats until one is answered.
    Probe { waiting: bool },
    /// The logs match up to `match_index`: messages follow each other without waiting for answers, and
    /// `next_index` is where the next one starts, assuming that all before it arrive. `in_flight` of them have
    /// neither been answered nor reported lost.
    Pipeline { in_flight: usize },
    /// The follower needs entries that only the snapshot has; the one up to `index` is on its way.
    Snapshot { index: u64, resend_at: Instant },
}

/// A follower as its leader sees it (figure 2, "Volatile state on leaders").
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// "Index of the next log entry to send to that server."
    // invariant: match_index < next_index <= last log index + 1
    pub(crate) next_index: u64,
    /// "Index of highest log entry known to be replicated on server (initialized to 0, increases
    /// monotonically)."
    pub(crate) match_index: u64,
    /// The round of reads that the last message belonged to, and the latest that the follower has answered in this
    /// term: then, whatever it said, it had no other leader (see `read_index`).
    pub(crate) sent_round: u64,
    pub(crate) acked_round: u64,
    pub(crate) mode: Mode,
    /// How often a pipeline has begun: answers and losses of an earlier one say nothing about this one. Calls
    /// to a peer that was out of reach for a while are reported lost long after it has come back.
    pipelines: u64,
    /// When the next message is due even if there is nothing new.
    pub(crate) heartbeat_due: Instant,
}

/// What the leader must remember of an AppendEntries to make sense of its answer: the state may have changed
/// while the call was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) term: u64,
    pub(crate) prev_log_index: u64,
    pub(crate) last_index: u64,
    /// Which pipeline it was a part of, if of any.
    pub(crate) pipeline: Option<u64>,
    /// The last round of reads that had begun.
    pub(crate) round: u64,
}

impl Progress {
    /// At election: nothing is known, and a first heartbeat is due at once.
    pub(crate) fn new(next_index: u64, now: Instant) -> Progress {
        let mode = Mode::Probe { waiting: false };
        Progress {
            next_index,
            match_index: 0,
            sent_round: 0,
            acked_round: 0,
            mode,
            pipelines: 0,
            heartbeat_due: now,
        }
    }

    /// Whether something should go out now, when the leader's log ends at `last_index` and its reads have got to
    /// `round`.
    pub(crate) fn wants_to_send(&self, last_index: u64, round: u64, now: Instant) -> bool {
        let ready = match self.mode {
            Mode::Probe { waiting } => !waiting,
            Mode::Pipeline { in_flight } => in_flight < MAX_IN_FLIGHT,
            Mode::Snapshot { .. } => false,
        };
        (ready && (self.next_index <= last_index || self.sent_round < round)) || now >= self.heartbeat_due
    }

    /// Whether the next AppendEntries carries entries, if there are any. To a follower that does not answer it
    /// does not: those that were sent may yet arrive, and if they are lost, the answer to a heartbeat will tell.
    pub(crate) fn takes_entries(&self) -> bool {
        !matches!(self.mode, Mode::Probe { waiting: true } | Mode::Snapshot { .. })
    }

    /// An AppendEntries that ends at `last_sent` goes out. Returns the pipeline that it is a part of.
    pub(crate) fn sent(&mut self, last_sent: u64, round: u64, now: Instant) -> Option<u64> {
        self.heartbeat_due = now + HEARTBEAT_INTERVAL;
        self.sent_round = round;
        match &mut self.mode {
            Mode::Probe { waiting } => *waiting = true,
            Mode::Pipeline { in_flight } => {
                *in_flight += 1;
                self.next_index = last_sent + 1;
                return Some(self.pipelines);
            }
            Mode::Snapshot { .. } => {}
        }
        None
    }

    /// An AppendEntries was answered or lost: it is no longer in flight.
    fn landed(&mut self, sent: Sent) {
        if let Mode::Pipeline { in_flight } = &mut self.mode {
            if sent.pipeline == Some(self.pipelines) {
                *in_flight -= 1;
            }
        }
    }

    /// The follower has answered an AppendEntries of this term.
    fn answered(&mut self, sent: Sent) {
        self.landed(sent);
        self.acked_round = self.acked_round.max(sent.round);
    }

    /// The follower has taken an AppendEntries: what was sent then matches, not what the log holds now.
    pub(crate) fn accepted(&mut self, sent: Sent) {
        self.answered(sent);
        self.matched(sent.last_index);
    }

    /// The follower's log is known to match the leader's up to `index`.
    pub(crate) fn matched(&mut self, index: u64) {
        // Replies may overtake each other; what was known once stays known.
        self.match_index = self.match_index.max(index);
        match self.mode {
            Mode::Pipeline { .. } => self.next_index = self.next_index.max(self.match_index + 1),
            // A late answer to something older: the follower still needs the snapshot.
            Mode::Snapshot { index, .. } if self.match_index < index => {}
            Mode::Probe { .. } | Mode::Snapshot { .. } => {
                self.next_index = self.match_index + 1;
                self.mode = Mode::Pipeline { in_flight: 0 };
                self.pipelines += 1;
            }
        }
    }

    /// The follower has no entry that matches at `sent.prev_log_index`; `hint` is where to try next. Ignored if
    /// that is no news, but the answer to a message older than what is known by now.
    pub(crate) fn rejected(&mut self, sent: Sent, hint: u64) {
        self.answered(sent);
        let news = match self.mode {
            Mode::Probe { .. } => sent.prev_log_index + 1 == self.next_index,
            Mode::Pipeline { .. } => sent.prev_log_index > self.match_index,
            Mode::Snapshot { .. } => false,
        };
        if news {
            // Back by one at least, never below what is known to match.
            self.next_index = hint.min(sent.prev_log_index).max(self.match_index + 1);
            self.mode = Mode::Probe { waiting: false };
        }
    }

    /// An AppendEntries got no answer. If it was a part of the pipeline, what may be missing is sent again at
    /// once. If it was a probe, the peer is probably out of reach, and the next heartbeat tries again.
    pub(crate) fn lost(&mut self, sent: Sent) {
        self.landed(sent);
        let of_this_pipeline =
            matches!(self.mode, Mode::Pipeline { .. }) && sent.pipeline == Some(self.pipelines);
        if of_this_pipeline && (sent.last_index > self.match_index || sent.round > self.acked_round) {
            self.next_index = self.match_index + 1;
            self.sent_round = self.acked_round;
            self.mode = Mode::Probe { waiting: false };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPELINE: Mode = Mode::Pipeline { in_flight: 0 };

    fn progress() -> (Progress, Instant) {
        let now = Instant::now();
        (Progress::new(6, now), now)
    }

    /// Sends what lies between `prev_log_index` and `last_index`.
    fn send(p: &mut Progress, prev_log_index: u64, last_index: u64, now: Instant) -> Sent {
        Sent { term: 1, prev_log_index, last_index, pipeline: p.sent(last_index, 0, now), round: 0 }
    }

    #[test]
    fn a_probe_sends_once_and_then_heartbeats() {
        let (mut p, now) = progress();
        assert!(p.wants_to_send(5, 0, now), "the first heartbeat");
        assert!(p.takes_entries());
        send(&mut p, 5, 9, now);
        assert!(!p.wants_to_send(9, 0, now), "not again before an answer");
        assert!(p.wants_to_send(9, 0, now + HEARTBEAT_INTERVAL) && !p.takes_entries());
        assert_eq!(p.next_index, 6, "nothing is assumed");
    }

    #[test]
    fn a_pipeline_runs_ahead_of_the_answers_up_to_a_limit() {
        let (mut p, now) = progress();
        let probe = send(&mut p, 5, 5, now);
        p.accepted(probe);
        let mut all = Vec::new();
        for last in 6..6 + MAX_IN_FLIGHT as u64 {
            assert!(p.wants_to_send(last, 0, now) && p.takes_entries());
            all.push(send(&mut p, last - 1, last, now));
            assert_eq!(p.next_index, last + 1);
        }
        assert!(!p.wants_to_send(100, 0, now));
        p.accepted(all[0]);
        assert!(p.wants_to_send(100, 0, now));
    }

    #[test]
    fn each_way_of_landing_makes_room_in_the_pipeline() {
        let (mut p, now) = progress();
        p.matched(5);
        let [a, b, c] = [6, 7, 8].map(|last| send(&mut p, last - 1, last, now));
        p.accepted(b);
        assert_eq!(p.mode, Mode::Pipeline { in_flight: 2 });
        p.lost(a);
        assert_eq!(p.mode, Mode::Pipeline { in_flight: 1 }, "what it carried is known to have arrived");
        p.rejected(Sent { prev_log_index: 2, ..c }, 1);
        assert_eq!(p.mode, PIPELINE, "no news either");
    }

    /// Calls to a peer that was cut off are reported lost up to seven seconds later. They once counted as in
    /// flight all that time, so that after the peer's return new entries waited for heartbeats, and each late
    /// report tore the pipeline down.
    #[test]
    fn what_was_sent_before_the_pipeline_began_does_not_count_in_it() {
        let (mut p, now) = progress();
        p.matched(5);
        let mut old = vec![send(&mut p, 5, 6, now)];
        p.lost(old[0]);
        old.extend((0..40).map(|_| send(&mut p, 5, 6, now)));
        let answered = send(&mut p, 5, 5, now);
        p.accepted(answered);
        assert_eq!((p.mode, p.next_index), (PIPELINE, 6));
        send(&mut p, 5, 9, now);
        for sent in old {
            p.lost(sent);
            assert_eq!((p.mode, p.next_index), (Mode::Pipeline { in_flight: 1 }, 10));
        }
    }

    #[test]
    fn match_index_never_goes_back() {
        // Figure 2: "increases monotonically".
        let (mut p, now) = progress();
        p.matched(8);
        send(&mut p, 8, 12, now);
        p.matched(6);
        assert_eq!((p.match_index, p.next_index), (8, 13));
    }

    #[test]
    fn a_rejection_backs_up_and_a_stale_one_does_not() {
        let (mut p, now) = progress();
        let first = send(&mut p, 5, 5, now);
        p.rejected(first, 3);
        assert_eq!((p.next_index, p.mode), (3, Mode::Probe { waiting: false }));
        p.rejected(first, 1);
        assert_eq!(p.next_index, 3, "the answer to the older message");
        let second = send(&mut p, 2, 2, now);
        p.rejected(second, 9);
        assert_eq!(p.next_index, 2, "a hint that would not go back");
        p.matched(4);
        p.rejected(Sent { prev_log_index: 4, ..second }, 1);
        assert_eq!((p.next_index, p.mode), (5, PIPELINE), "it is known to match at 4");
        p.next_index = 9;
        p.rejected(Sent { prev_log_index: 8, ..second }, 1);
        assert_eq!((p.next_index, p.mode), (5, Mode::Probe { waiting: false }), "not below what matches");
    }

    #[test]
    fn a_lost_message_is_sent_again_at_once_and_then_asked_for_by_heartbeats() {
        let (mut p, now) = progress();
        p.matched(5);
        let sent = send(&mut p, 5, 9, now);
        p.lost(sent);
        assert_eq!(p.next_index, 6);
        assert!(p.wants_to_send(9, 0, now) && p.takes_entries());
        let again = send(&mut p, 5, 9, now);
        p.lost(again);
        assert!(!p.wants_to_send(9, 0, now));
        assert!(p.wants_to_send(9, 0, now + HEARTBEAT_INTERVAL));
    }

    #[test]
    fn while_a_snapshot_is_on_its_way_only_heartbeats_go_out() {
        let (mut p, now) = progress();
        p.mode = Mode::Snapshot { index: 20, resend_at: now };
        p.heartbeat_due = now + HEARTBEAT_INTERVAL;
        assert!(!p.wants_to_send(30, 0, now) && !p.takes_entries());
        assert!(p.wants_to_send(30, 0, now + HEARTBEAT_INTERVAL));
        let heartbeat = send(&mut p, 20, 20, now);
        p.rejected(heartbeat, 3);
        p.lost(heartbeat);
        p.matched(5);
        assert_eq!(p.mode, Mode::Snapshot { index: 20, resend_at: now }, "none of that brought the snapshot");
        assert_eq!(p.match_index, 5);
        p.accepted(heartbeat);
        assert_eq!((p.mode, p.next_index), (PIPELINE, 21), "its log goes that far: the snapshot has come");
    }
}

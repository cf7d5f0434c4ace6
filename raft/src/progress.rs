//! What a leader knows and assumes about one follower.

use std::time::{Duration, Instant};

/// How often a leader that has nothing else to say asserts itself: "heartbeats ... to prevent election
/// timeouts" (figure 2). The labs allow about ten a second.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(100);

/// How many AppendEntries to one follower may be unanswered while new entries still go out at once. Beyond
/// it entries wait and go together, which is when batching helps most.
pub(crate) const MAX_IN_FLIGHT: usize = 4;

/// How long a snapshot may stay unanswered before it is sent again: it may have been lost without notice.
pub(crate) const SNAPSHOT_RETRY_INTERVAL: Duration = Duration::from_millis(1000);

/// How a leader sends to a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It looks for the last entry both have: one message at a time, repeated at each heartbeat.
    Probe { waiting: bool },
    /// The logs match up to `next_index`: messages follow each other without waiting for answers, and
    /// `next_index` is where the next one starts, assuming that all before it arrive.
    Pipeline,
    /// The follower needs entries that only the snapshot has; it is on its way since some time.
    Snapshot { resend_at: Instant },
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
    pub(crate) mode: Mode,
    /// AppendEntries sent in this term and not yet answered or reported lost.
    pub(crate) in_flight: usize,
    /// When the next message is due even if there is nothing new.
    pub(crate) heartbeat_due: Instant,
}

impl Progress {
    /// At election: nothing is known, and a first heartbeat is due at once.
    pub(crate) fn new(next_index: u64, now: Instant) -> Progress {
        Progress {
            next_index,
            match_index: 0,
            mode: Mode::Probe { waiting: false },
            in_flight: 0,
            heartbeat_due: now,
        }
    }

    /// Whether something should go out now, when the leader's log ends at `last_index`.
    pub(crate) fn wants_to_send(&self, last_index: u64, now: Instant) -> bool {
        let has_news = match self.mode {
            Mode::Probe { waiting } => !waiting && self.next_index <= last_index,
            Mode::Pipeline => self.in_flight < MAX_IN_FLIGHT && self.next_index <= last_index,
            Mode::Snapshot { .. } => false,
        };
        has_news || now >= self.heartbeat_due
    }

    /// An AppendEntries that ends at `last_sent` goes out.
    pub(crate) fn sent(&mut self, last_sent: u64, now: Instant) {
        self.in_flight += 1;
        self.heartbeat_due = now + HEARTBEAT_INTERVAL;
        match &mut self.mode {
            Mode::Probe { waiting } => *waiting = true,
            Mode::Pipeline => self.next_index = last_sent + 1,
            Mode::Snapshot { .. } => {}
        }
    }

    /// The follower's log is known to match the leader's up to `index`.
    pub(crate) fn matched(&mut self, index: u64) {
        // Replies may overtake each other; what was known once stays known.
        self.match_index = self.match_index.max(index);
        if self.mode != Mode::Pipeline {
            self.next_index = self.match_index + 1;
            self.mode = Mode::Pipeline;
        } else {
            self.next_index = self.next_index.max(self.match_index + 1);
        }
    }

    /// The follower has no entry that matches at `prev_log_index`; `hint` is where to try next. Returns
    /// false if that is no news: an answer to a message older than what we know.
    pub(crate) fn rejected(&mut self, prev_log_index: u64, hint: u64) -> bool {
        let stale = match self.mode {
            Mode::Probe { .. } => prev_log_index + 1 != self.next_index,
            Mode::Pipeline => prev_log_index <= self.match_index,
            Mode::Snapshot { .. } => true,
        };
        if stale {
            return false;
        }
        // Always back by one at least, never below what is known to match.
        self.next_index = hint.min(prev_log_index).max(self.match_index + 1);
        self.mode = Mode::Probe { waiting: false };
        true
    }

    /// A message got no answer. The first time what may be missing is sent again at once; if that is lost
    /// too, the peer is probably out of reach and gets one try per heartbeat.
    pub(crate) fn lost(&mut self) {
        match self.mode {
            Mode::Pipeline => {
                self.next_index = self.match_index + 1;
                self.mode = Mode::Probe { waiting: false };
            }
            Mode::Probe { .. } | Mode::Snapshot { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> (Progress, Instant) {
        let now = Instant::now();
        (Progress::new(6, now), now)
    }

    #[test]
    fn a_probe_sends_once_and_then_once_per_heartbeat() {
        let (mut p, now) = progress();
        assert!(p.wants_to_send(5, now), "the first heartbeat");
        p.sent(5, now);
        assert!(!p.wants_to_send(9, now), "not again before an answer");
        assert!(p.wants_to_send(9, now + HEARTBEAT_INTERVAL));
        assert_eq!(p.next_index, 6, "nothing is assumed");
    }

    #[test]
    fn a_pipeline_runs_ahead_of_the_answers_up_to_a_limit() {
        let (mut p, now) = progress();
        p.sent(5, now);
        p.matched(5);
        p.in_flight = 0;
        for last in 6..6 + MAX_IN_FLIGHT as u64 {
            assert!(p.wants_to_send(last, now));
            p.sent(last, now);
            assert_eq!(p.next_index, last + 1);
        }
        assert!(!p.wants_to_send(100, now));
        p.in_flight -= 1;
        assert!(p.wants_to_send(100, now));
    }

    #[test]
    fn match_index_never_goes_back() {
        // Figure 2: "increases monotonically".
        let (mut p, now) = progress();
        p.matched(8);
        p.sent(12, now);
        p.matched(6);
        assert_eq!((p.match_index, p.next_index), (8, 13));
    }

    #[test]
    fn a_rejection_backs_up_and_a_stale_one_does_not() {
        let (mut p, _) = progress();
        assert!(p.rejected(5, 3));
        assert_eq!(p.next_index, 3);
        assert!(!p.rejected(5, 1), "the answer to the older message");
        assert!(p.rejected(2, 9), "a hint that would not go back");
        assert_eq!(p.next_index, 2);
        p.matched(4);
        assert!(!p.rejected(4, 1) && p.mode == Mode::Pipeline, "it is known to match at 4");
        p.next_index = 9;
        assert!(p.rejected(8, 1));
        assert_eq!((p.next_index, p.mode), (5, Mode::Probe { waiting: false }), "not below what matches");
    }

    #[test]
    fn a_lost_message_is_sent_again_at_once_and_then_at_heartbeats() {
        let (mut p, now) = progress();
        p.matched(5);
        p.sent(9, now);
        p.lost();
        assert_eq!(p.next_index, 6);
        assert!(p.wants_to_send(9, now));
        p.sent(9, now);
        p.lost();
        assert!(!p.wants_to_send(9, now));
        assert!(p.wants_to_send(9, now + HEARTBEAT_INTERVAL));
    }
}

//! Reads without the log (Ongaro's thesis, section 6.4, "Processing read-only queries more efficiently").
//!
//! A leader that answers a read from its own state may be wrong about being the leader: another may have been elected
//! and have committed what this one has never heard of. So it remembers its commit index, and then asks the others. Who
//! still answers in this term has, when it answers, not voted for a later one; if a majority does, no later leader was
//! elected before the question left, and nothing was committed elsewhere before the read began.
//!
//! The question is any AppendEntries, the answer any reply to it: each message belongs to the round of the last read
//! before it left, and a reply confirms that round and all before it. So reads that begin while messages are under way
//! share the next one.
//!
//! "If the leader has not yet marked an entry from its current term committed", its commit index may lag behind
//! that of its predecessors. The thesis has each leader commit a blank entry at once; the labs do not allow that, so
//! the read is refused and can go through the log, which then commits an entry.

use std::collections::VecDeque;

use futures::channel::oneshot::Sender;

use crate::core::{Core, Role};

/// Why a leader's commit index cannot serve a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadIndexError {
    /// Occurs when this server does not lead, and after it was killed.
    #[error("this server is not the leader")]
    NotLeader,
    /// Occurs when this server leads, but has not committed an entry of its term yet.
    #[error("the leader has not committed an entry of its term")]
    NothingCommitted,
}

/// The reads of one leader, in one term.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// How many have begun; each is a round of its own.
    begun: u64,
    /// Those not yet confirmed, oldest first.
    pending: VecDeque<Read>,
    /// Those that can be answered.
    confirmed: Vec<Read>,
}

#[derive(Debug)]
struct Read {
    round: u64,
    /// The commit index when it began.
    index: u64,
    answer: Sender<u64>,
}

impl Reads {
    /// What a message sent now is a question about.
    pub(crate) fn round(&self) -> u64 {
        self.begun
    }
}

impl Core {
    /// A read begins. "The leader saves its current commit index in a local variable readIndex."
    pub(crate) fn begin_read(&mut self, answer: Sender<u64>) -> Result<(), ReadIndexError> {
        let Role::Leader { reads, .. } = &mut self.role else { return Err(ReadIndexError::NotLeader) };
        if self.log.term_at(self.commit_index) != Some(self.current_term) {
            return Err(ReadIndexError::NothingCommitted);
        }
        reads.begun += 1;
        reads.pending.push_back(Read { round: reads.begun, index: self.commit_index, answer });
        // A cluster of one has its majority already.
        self.confirm_reads();
        Ok(())
    }

    /// "It ... waits for their acknowledgments from a majority of the cluster": confirms the reads of the rounds that a
    /// majority has answered, this server included.
    pub(crate) fn confirm_reads(&mut self) {
        let majority = self.majority();
        let Role::Leader { progress, reads } = &mut self.role else { return };
        while let Some(read) = reads.pending.front() {
            let peers = progress.iter().enumerate();
            let acks = peers.filter(|(peer, p)| *peer == self.me || p.acked_round >= read.round).count();
            if acks < majority {
                return;
            }
            reads.confirmed.extend(reads.pending.pop_front());
        }
    }

    /// Tells those who wait for confirmed reads.
    pub(crate) fn answer_reads(&mut self) {
        let Role::Leader { reads, .. } = &mut self.role else { return };
        for read in reads.confirmed.drain(..) {
            // Whoever asked may have gone.
            let _ = read.answer.send(read.index);
        }
    }

    /// No read will be answered any more.
    pub(crate) fn end_reads(&mut self) {
        if let Role::Leader { reads, .. } = &mut self.role {
            *reads = Reads::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures::channel::oneshot::{self, Receiver};

    use super::*;
    use crate::core::tests::core;
    use crate::messages::{AppendEntriesReply, Conflict};
    use crate::progress::{HEARTBEAT_INTERVAL, Sent};

    const TERM: u64 = 5;

    /// Server 0 of `peer_count`, leader, whose log holds one entry of its term. All followers are up to date and have
    /// answered, and it is committed.
    fn leader(peer_count: usize) -> Core {
        let mut core = new_leader(peer_count);
        core.append_command(Vec::new());
        for peer in core.others() {
            let sent = send(&mut core, peer);
            accept(&mut core, peer, sent);
        }
        assert_eq!(core.commit_index, 2);
        core
    }

    /// The same when nobody has been sent anything, and its log ends with an entry of an earlier term.
    fn new_leader(peer_count: usize) -> Core {
        let mut core = core(0, peer_count, TERM - 1, &[3]);
        core.become_candidate(Instant::now()).unwrap();
        core.become_leader(Instant::now());
        core
    }

    fn read(core: &mut Core) -> Receiver<u64> {
        let (answer, index) = oneshot::channel();
        core.begin_read(answer).unwrap();
        index
    }

    fn refusal(core: &mut Core) -> Option<ReadIndexError> {
        core.begin_read(oneshot::channel().0).err()
    }

    fn send(core: &mut Core, peer: usize) -> Sent {
        core.append_entries_for(peer, Instant::now()).unwrap().1
    }

    fn accept(core: &mut Core, peer: usize, sent: Sent) {
        let reply = AppendEntriesReply { term: sent.term, success: true, conflict: None };
        core.handle_append_entries_reply(peer, sent, &reply, Instant::now());
    }

    fn answered(core: &mut Core, index: &mut Receiver<u64>) -> Option<u64> {
        core.answer_reads();
        index.try_recv().expect("the read is not given up")
    }

    #[test]
    fn only_a_leader_that_has_committed_in_its_term_serves_reads() {
        // Thesis, section 6.4, step 1.
        let mut follower = core(0, 3, TERM, &[1]);
        assert_eq!(refusal(&mut follower), Some(ReadIndexError::NotLeader));
        let mut core = new_leader(3);
        core.commit_index = 1;
        assert_eq!(
            refusal(&mut core),
            Some(ReadIndexError::NothingCommitted),
            "entry 1 is of an earlier term"
        );
        core.append_command(Vec::new());
        assert_eq!(refusal(&mut core), Some(ReadIndexError::NothingCommitted), "entry 2 is not committed");
        core.commit_index = 2;
        assert_eq!(refusal(&mut core), None);
    }

    #[test]
    fn a_majority_must_answer_and_the_index_is_that_of_the_beginning() {
        // Steps 2 and 3.
        let mut core = leader(5);
        let mut index = read(&mut core);
        core.commit_index = 2;
        core.append_command(Vec::new());
        let questions = [1, 2].map(|peer| send(&mut core, peer));
        accept(&mut core, 1, questions[0]);
        assert_eq!(answered(&mut core, &mut index), None, "two of five");
        accept(&mut core, 2, questions[1]);
        assert_eq!(core.commit_index, 3);
        assert_eq!(answered(&mut core, &mut index), Some(2));
    }

    #[test]
    fn an_answer_to_what_was_sent_before_the_read_confirms_nothing() {
        let mut core = leader(3);
        let before = send(&mut core, 1);
        let mut index = read(&mut core);
        accept(&mut core, 1, before);
        assert_eq!(answered(&mut core, &mut index), None);
        let after = send(&mut core, 1);
        accept(&mut core, 1, after);
        assert_eq!(answered(&mut core, &mut index), Some(2));
    }

    #[test]
    fn an_answer_to_what_an_earlier_reign_sent_confirms_nothing() {
        let mut core = leader(3);
        let _lost = read(&mut core);
        let old = send(&mut core, 1);
        core.become_candidate(Instant::now()).unwrap();
        core.become_leader(Instant::now());
        core.append_command(Vec::new());
        core.commit_index = 3;
        let mut index = read(&mut core);
        accept(&mut core, 1, old);
        assert_eq!(answered(&mut core, &mut index), None);
    }

    #[test]
    fn a_follower_that_lacks_entries_confirms_all_the_same() {
        let mut core = leader(3);
        let mut index = read(&mut core);
        let question = send(&mut core, 1);
        let conflict = Some(Conflict { term: None, index: 1 });
        let reply = AppendEntriesReply { term: TERM, success: false, conflict };
        core.handle_append_entries_reply(1, question, &reply, Instant::now());
        assert_eq!(answered(&mut core, &mut index), Some(2));
    }

    #[test]
    fn reads_are_asked_for_at_once_and_share_what_goes_out() {
        // "A leader can accumulate read-only queries and use one round of heartbeats for them" in the thesis' words.
        let mut core = leader(3);
        let now = Instant::now();
        assert!(!core.wants_to_send(1, now));
        let mut indexes = [read(&mut core), read(&mut core)];
        assert!(core.wants_to_send(1, now) && core.wants_to_send(2, now));
        let question = send(&mut core, 1);
        assert!(!core.wants_to_send(1, now), "one message asks for both");
        accept(&mut core, 1, question);
        assert_eq!(indexes.each_mut().map(|index| answered(&mut core, index)), [Some(2); 2]);
    }

    #[test]
    fn a_question_that_is_lost_is_asked_again() {
        let mut core = leader(3);
        let mut index = read(&mut core);
        let question = send(&mut core, 1);
        core.handle_append_entries_lost(1, question);
        assert!(core.wants_to_send(1, Instant::now()), "once at once");
        let again = send(&mut core, 1);
        core.handle_append_entries_lost(1, again);
        let due = core.heartbeat_due(1).unwrap();
        assert!(
            !core.wants_to_send(1, due - HEARTBEAT_INTERVAL) && core.wants_to_send(1, due),
            "then in time"
        );
        let heartbeat = send(&mut core, 1);
        accept(&mut core, 1, heartbeat);
        assert_eq!(answered(&mut core, &mut index), Some(2));
    }

    #[test]
    fn reads_end_unanswered_with_the_leadership_and_with_the_server() {
        let mut core = leader(3);
        let mut index = read(&mut core);
        core.observe_term(TERM + 1, Instant::now());
        assert_eq!(index.try_recv(), Err(oneshot::Canceled));
        let mut core = leader(3);
        let mut index = read(&mut core);
        core.end_reads();
        assert_eq!(index.try_recv(), Err(oneshot::Canceled));
    }

    #[test]
    fn a_server_alone_confirms_itself() {
        let mut core = leader(1);
        let mut index = read(&mut core);
        assert_eq!(answered(&mut core, &mut index), Some(2));
    }
}

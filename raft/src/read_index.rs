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

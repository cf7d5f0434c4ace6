//! The replicated log: entries after the snapshot, addressed by their index in the whole log.

use crate::messages::LogEntry;

/// No log gets longer than this: a greater index comes from damage, and would make sums overflow.
pub(crate) const MAX_INDEX: u64 = 1 << 62;

/// A log whose front may have been replaced by a snapshot (section 7).
///
/// Index 0 is the empty log before the first command, with term 0. After a snapshot at index *s* the log
/// still knows the term at *s*: "the last index and term" are what the consistency check needs "for the
/// first log entry following the snapshot".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    snapshot_index: u64,
    snapshot_term: u64,
    /// `entries[i]` stands at index `snapshot_index + 1 + i`.
    entries: Vec<LogEntry>,
}

impl Log {
    /// A log that begins after a snapshot at `index` (0 and term 0: at the very beginning).
    pub(crate) fn starting_after(index: u64, term: u64) -> Log {
        Log { snapshot_index: index, snapshot_term: term, entries: Vec::new() }
    }

    /// The last index the snapshot covers; 0 without a snapshot.
    pub(crate) fn snapshot_index(&self) -> u64 {
        self.snapshot_index
    }

    /// The term of the entry at [`snapshot_index`](Log::snapshot_index).
    pub(crate) fn snapshot_term(&self) -> u64 {
        self.snapshot_term
    }

    /// The index of the last entry, or of the snapshot if there is none after it.
    pub(crate) fn last_index(&self) -> u64 {
        self.snapshot_index + self.entries.len() as u64
    }

    /// The term of the last entry, or of the snapshot if there is none after it.
    pub(crate) fn last_term(&self) -> u64 {
        self.entries.last().map_or(self.snapshot_term, |entry| entry.term)
    }

    /// The term at `index`; `None` before the snapshot's last index, where it is forgotten, and after the
    /// last entry.
    pub(crate) fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.snapshot_index {
            return Some(self.snapshot_term);
        }
        self.position(index).map(|at| self.entries[at].term)
    }

    /// The entries from `first` on, which must lie after the snapshot; empty after the last entry.
    pub(crate) fn entries_from(&self, first: u64) -> &[LogEntry] {
        assert!(
            first > self.snapshot_index,
            "entry {first} is in the snapshot up to {}",
            self.snapshot_index
        );
        let at = (first - self.snapshot_index - 1) as usize;
        self.entries.get(at..).unwrap_or_default()
    }

    /// Adds `entry` at the end and returns its index.
    pub(crate) fn push(&mut self, entry: LogEntry) -> u64 {
        self.entries.push(entry);
        self.last_index()
    }

    /// Deletes the entry at `first` and all that follow it; `first` must lie after the snapshot.
    pub(crate) fn truncate_from(&mut self, first: u64) {
        assert!(
            first > self.snapshot_index,
            "entry {first} is in the snapshot up to {}",
            self.snapshot_index
        );
        self.entries.truncate((first - self.snapshot_index - 1) as usize);
    }

    /// Forgets all entries up to and including `index`, which a snapshot now covers. What follows stays, so
    /// `index` must be within the log.
    pub(crate) fn compact_to(&mut self, index: u64) {
        let term = self.term_at(index).expect("a snapshot covers entries that the log holds");
        self.entries.drain(..(index - self.snapshot_index) as usize);
        // A long log that became short gives its memory back.
        self.entries.shrink_to(2 * self.entries.len());
        (self.snapshot_index, self.snapshot_term) = (index, term);
    }

    /// The first index after the snapshot that stands in the same unbroken run of one term as `index`.
    pub(crate) fn first_index_of_term_at(&self, index: u64) -> u64 {
        let term = self.term_at(index);
        let mut first = index;
        while first > self.snapshot_index + 1 && self.term_at(first - 1) == term {
            first -= 1;
        }
        first
    }

    /// The last index whose entry has `term`, if there is one after the snapshot. Terms never decrease along
    /// a log, so it is found by halving.
    pub(crate) fn last_index_of_term(&self, term: u64) -> Option<u64> {
        let after = self.entries.partition_point(|entry| entry.term <= term);
        let at = after.checked_sub(1)?;
        (self.entries[at].term == term).then(|| self.snapshot_index + 1 + at as u64)
    }

    fn position(&self, index: u64) -> Option<usize> {
        let at = usize::try_from(index.checked_sub(self.snapshot_index + 1)?).ok()?;
        (at < self.entries.len()).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(snapshot: (u64, u64), terms: &[u64]) -> Log {
        let mut log = Log::starting_after(snapshot.0, snapshot.1);
        for &term in terms {
            log.push(LogEntry { term, command: Vec::new() });
        }
        log
    }

    #[test]
    fn an_empty_log_ends_at_index_0_with_term_0() {
        let log = Log::default();
        assert_eq!(
            (log.last_index(), log.last_term(), log.term_at(0), log.term_at(1)),
            (0, 0, Some(0), None)
        );
    }

    #[test]
    fn indexes_count_from_1_and_past_the_snapshot() {
        let log = log((10, 3), &[3, 4, 4]);
        assert_eq!((log.last_index(), log.last_term()), (13, 4));
        assert_eq!(log.term_at(9), None, "forgotten");
        assert_eq!(log.term_at(10), Some(3), "the snapshot's own term is remembered");
        assert_eq!((log.term_at(11), log.term_at(13), log.term_at(14)), (Some(3), Some(4), None));
        assert_eq!(log.term_at(u64::MAX), None);
        assert_eq!(log.entries_from(12).len(), 2);
        assert!(log.entries_from(14).is_empty() && log.entries_from(20).is_empty());
    }

    #[test]
    fn truncation_deletes_an_entry_and_all_that_follow() {
        let mut log = log((0, 0), &[1, 1, 2, 3]);
        log.truncate_from(3);
        assert_eq!((log.last_index(), log.last_term()), (2, 1));
        log.truncate_from(7);
        assert_eq!(log.last_index(), 2, "nothing to delete after the end");
    }

    #[test]
    fn compaction_keeps_the_suffix_and_the_term_at_its_edge() {
        let mut log = log((0, 0), &[1, 1, 2, 3]);
        log.compact_to(3);
        assert_eq!((log.snapshot_index(), log.snapshot_term(), log.last_index()), (3, 2, 4));
        log.compact_to(4);
        assert_eq!((log.snapshot_index(), log.snapshot_term(), log.last_index()), (4, 3, 4));
    }

    #[test]
    fn entries_in_the_snapshot_are_gone() {
        assert!(std::panic::catch_unwind(|| log((3, 1), &[1]).entries_from(3).len()).is_err());
        assert!(std::panic::catch_unwind(|| log((3, 1), &[1]).truncate_from(3)).is_err());
        assert!(std::panic::catch_unwind(|| log((3, 1), &[1]).compact_to(5)).is_err());
    }

    #[test]
    fn runs_of_a_term_are_found_from_both_ends() {
        let log = log((4, 2), &[2, 2, 5, 5, 7]);
        assert_eq!(log.first_index_of_term_at(6), 5, "the run may go on in the snapshot, but ends there");
        assert_eq!(log.first_index_of_term_at(8), 7);
        assert_eq!(log.first_index_of_term_at(9), 9);
        assert_eq!(log.last_index_of_term(2), Some(6));
        assert_eq!(log.last_index_of_term(5), Some(8));
        assert_eq!(log.last_index_of_term(7), Some(9));
        assert_eq!(
            (log.last_index_of_term(1), log.last_index_of_term(6), log.last_index_of_term(8)),
            (None, None, None)
        );
    }
}

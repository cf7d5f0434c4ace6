//! [`SeenLog`]: a server's log, as far as it can be seen from outside.

use super::{Command, Entry};

/// A log after a snapshot: of each entry its term and, if it was seen, its command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeenLog {
    /// The last index that a snapshot covers; 0 without one.
    base: u64,
    base_term: u64,
    cells: Vec<Cell>,
}

/// One entry. A term of 0 means that there is one, and nothing more is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) term: u64,
    pub(crate) command: Option<Command>,
}

/// From this index on the log is another than it was.
pub(crate) type Changed = Option<u64>;

/// Entries that nobody saw are at most so many: a message may name any index.
const UNSEEN_MAX: u64 = 1 << 16;

impl SeenLog {
    /// The index of the first entry after the snapshot, whether or not there is one.
    pub(crate) fn first(&self) -> u64 {
        self.base.saturating_add(1)
    }

    pub(crate) fn base(&self) -> (u64, u64) {
        (self.base, self.base_term)
    }

    pub(crate) fn last(&self) -> u64 {
        self.base + self.cells.len() as u64
    }

    /// The entries from `index` on, with their indexes.
    pub(crate) fn from(
        &self,
        index: u64,
    ) -> impl DoubleEndedIterator<Item = (u64, &Cell)> + ExactSizeIterator {
        let skipped = (index.saturating_sub(self.first()) as usize).min(self.cells.len());
        let first = self.first() + skipped as u64;
        self.cells[skipped..].iter().enumerate().map(move |(i, cell)| (first + i as u64, cell))
    }

    fn at(&mut self, index: u64) -> Option<&mut Cell> {
        let place = usize::try_from(index.checked_sub(self.first())?).ok()?;
        self.cells.get_mut(place)
    }

    /// The log has these entries after an entry of this index and term, as a follower that appends them or a leader
    /// that sends them: "if an existing entry conflicts with a new one (same index but different terms), delete the
    /// existing entry and all that follow it", and "append any new entries not already in the log" (figure 2).
    pub(crate) fn has(&mut self, prev: u64, prev_term: u64, entries: &[Entry]) -> Changed {
        let before = self.has_term(prev, prev_term);
        let mut changed = None;
        for (index, entry) in (prev.saturating_add(1)..).zip(entries) {
            let cell = Cell { term: entry.term, command: Some(entry.command) };
            changed = min(changed, self.has_cell(index, cell));
        }
        min(before, changed)
    }

    /// The log has an entry of this term at `index`.
    pub(crate) fn has_term(&mut self, index: u64, term: u64) -> Changed {
        let known = self.at(index).map(|cell| *cell);
        match known {
            Some(cell) if cell.term == term => None,
            _ => self.has_cell(index, Cell { term, command: None }),
        }
    }

    /// The log has `cell` at `index`.
    pub(crate) fn has_cell(&mut self, index: u64, cell: Cell) -> Changed {
        if index <= self.base || index > self.last().saturating_add(UNSEEN_MAX) {
            return None;
        }
        let before = self.last();
        if let Some(known) = self.at(index) {
            let (same_term, same) = (known.term == cell.term, *known == cell);
            let unseen = known.term == 0;
            *known = cell;
            if !same_term && !unseen {
                self.cells.truncate((index - self.base) as usize);
            }
            return (!same).then_some(index);
        }
        while self.last() + 1 < index {
            self.cells.push(Cell::default());
        }
        self.cells.push(cell);
        Some(before + 1)
    }

    /// The log ends with an entry of this index and term.
    pub(crate) fn ends(&mut self, index: u64, term: u64) -> Changed {
        let cut = (index >= self.base && index < self.last()).then(|| {
            self.cells.truncate((index - self.base) as usize);
            index + 1
        });
        min(self.has_term(index, term), cut)
    }

    /// The command applied at `index`.
    pub(crate) fn shows(&mut self, index: u64, command: Command) -> Changed {
        let term = self.at(index).map_or(0, |cell| cell.term);
        self.has_cell(index, Cell { term, command: Some(command) })
    }

    /// Whether the entry at `index` is of this term.
    pub(crate) fn term_is(&mut self, index: u64, term: u64) -> bool {
        self.at(index).is_some_and(|cell| cell.term == term)
    }

    /// A snapshot covers the log up to `index`, of `term` if that is known; what comes after is kept. Whether that is
    /// news.
    pub(crate) fn compact(&mut self, index: u64, term: Option<u64>) -> bool {
        if index <= self.base {
            return false;
        }
        let known = self.at(index).map_or(0, |cell| cell.term);
        let covered = (index - self.base).min(self.cells.len() as u64) as usize;
        self.cells.drain(..covered);
        (self.base, self.base_term) = (index, term.unwrap_or(known));
        true
    }

    /// What the snapshot ends with, if it ends at `index`, is of this term. Whether that is news.
    pub(crate) fn has_base(&mut self, index: u64, term: u64) -> bool {
        let news = index == self.base && term != self.base_term;
        if news {
            self.base_term = term;
        }
        news
    }

    /// As [`compact`](Self::compact), and nothing comes after.
    pub(crate) fn replace(&mut self, index: u64, term: u64) -> bool {
        self.cells.clear();
        let news = (index, term) != (self.base, self.base_term);
        (self.base, self.base_term) = (index, term);
        news
    }
}

/// The lower one.
fn min(one: Changed, other: Changed) -> Changed {
    [one, other].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(terms: &[u64]) -> Vec<Entry> {
        terms.iter().map(|&term| Entry { term, command: Command::of(b"x") }).collect()
    }

    fn terms(log: &SeenLog) -> Vec<(u64, u64)> {
        log.from(0).map(|(index, cell)| (index, cell.term)).collect()
    }

    #[test]
    fn entries_are_appended_and_conflicts_cut_the_rest() {
        let mut log = SeenLog::default();
        assert_eq!(log.has(0, 0, &entries(&[1, 1, 1])), Some(1));
        assert_eq!(log.has(1, 1, &entries(&[1])), None, "a late message cuts nothing");
        assert_eq!(log.has(3, 1, &entries(&[2])), Some(4));
        assert_eq!(log.has(1, 1, &entries(&[3])), Some(2));
        assert_eq!(terms(&log), [(1, 1), (2, 3)]);
    }

    #[test]
    fn what_nobody_saw_has_term_0() {
        let mut log = SeenLog::default();
        assert_eq!(log.has(3, 2, &entries(&[2])), Some(1));
        assert_eq!(terms(&log), [(1, 0), (2, 0), (3, 2), (4, 2)]);
        assert_eq!(log.has(1, 1, &entries(&[1])), Some(1), "it is filled in, and what follows stays");
        assert_eq!(terms(&log), [(1, 1), (2, 1), (3, 2), (4, 2)]);
        assert_eq!(log.has_term(u64::MAX, 7), None, "absurd indexes are not believed");
    }

    #[test]
    fn a_candidates_log_ends_as_it_says() {
        let mut log = SeenLog::default();
        log.has(0, 0, &entries(&[1, 1, 2]));
        assert_eq!(log.ends(3, 2), None);
        assert_eq!(log.ends(2, 1), Some(3));
        assert_eq!(log.ends(2, 5), Some(2));
        assert_eq!(terms(&log), [(1, 1), (2, 5)]);
        assert_eq!((log.ends(0, 0), log.last()), (Some(1), 0));
    }

    #[test]
    fn snapshots_keep_or_drop_what_follows() {
        let mut log = SeenLog::default();
        log.has(0, 0, &entries(&[1, 1, 2]));
        assert!(log.compact(2, None) && !log.compact(2, None));
        assert_eq!((log.base(), terms(&log)), ((2, 1), vec![(3, 2)]));
        assert!(log.replace(3, 4));
        assert_eq!((log.base(), log.first(), log.last()), ((3, 4), 4, 3));
        assert_eq!(log.shows(4, Command::of(b"y")), Some(4));
        assert_eq!(terms(&log), [(4, 0)]);
    }
}

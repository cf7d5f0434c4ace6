//! **Log Matching.** "If two logs contain an entry with the same index and term, then the logs are identical in all
//! entries up through the given index" (figure 3; section 5.3).
//!
//! Why it accuses nobody who is right: an entry is made once, by the leader of its term, which never makes another at its
//! index, and its past never changes: so index and term name one command and one predecessor for ever, in every message
//! of every server, however old. A leader's saving its entries late changes nothing: after its crash it never leads that
//! term again. That terms never decrease along a log, and no entry is newer than who sends it, follows from the same.

use std::collections::BTreeMap;

use super::by_index::ByIndex;
use super::{Judged, Rule};
use crate::events::{Command, Content, Number, Seen, What};

pub(crate) const RULE: Rule = Rule {
    id: "log-matching",
    says: "an index and a term name one entry, with one command and one past, in every log",
    paper: "section 5.3; figure 3, Log Matching",
};

/// Every entry that was ever seen.
#[derive(Default)]
pub(crate) struct LogMatching {
    /// At each index, the entry that was seen first.
    first: ByIndex<Known>,
    /// The others, by index and term.
    others: BTreeMap<(u64, u64), Known>,
}

/// What is known of an entry.
struct Known {
    term: u64,
    command: Command,
    /// The term of the entry before it, if that was told.
    prev_term: Option<u64>,
    event: Number,
    /// The servers that messages have brought it to, as bits.
    reached: u64,
}

impl LogMatching {
    /// The command of an entry.
    pub(crate) fn command(&self, index: u64, term: u64) -> Option<Command> {
        self.known(index, term).map(|known| known.command)
    }

    /// The term of the entry before an entry.
    pub(crate) fn prev_term(&self, index: u64, term: u64) -> Option<u64> {
        self.known(index, term)?.prev_term
    }

    /// Whether a message has brought a server this entry, in whatever life.
    pub(crate) fn has_reached(&self, server: usize, index: u64, term: u64) -> bool {
        self.known(index, term).is_some_and(|known| known.reached & bit(server) != 0)
    }

    /// The terms of the entries at an index that messages have brought a server.
    pub(crate) fn terms_at(&self, server: usize, index: u64) -> Vec<u64> {
        let others = self.others.range((index, 0)..=(index, u64::MAX)).map(|(_, known)| known);
        let all = self.first.get(index).into_iter().chain(others);
        all.filter(|known| known.reached & bit(server) != 0).map(|known| known.term).collect()
    }

    fn known(&self, index: u64, term: u64) -> Option<&Known> {
        self.first.get(index).filter(|first| first.term == term).or_else(|| self.others.get(&(index, term)))
    }

    pub(crate) fn see(&mut self, seen: &Seen<'_>) -> Judged {
        if let What::Accept { life, index, term, command, .. } = *seen.what {
            let told = Told { server: life.server, event: seen.number, prev_term: None, reaches: 0 };
            return self.enter((index, term), command, told);
        }
        let Some(arrival) = seen.arrival else { return Ok(()) };
        let Content::AppendEntries(append) = arrival.request else { return Ok(()) };
        let (server, reaches) = (arrival.from.server, bit(arrival.to.server));
        // Before the first entry there is none, whatever term one may give it.
        let mut prev_term = if append.prev_log_index == 0 { 0 } else { append.prev_log_term };
        let mut judged = Ok(());
        for (index, entry) in append.indexed() {
            if entry.term < prev_term || entry.term > append.term {
                judged = judged.and_then(|()| misplaced(server, index, entry.term, prev_term, append.term));
            }
            let told = Told { server, event: seen.number, prev_term: Some(prev_term), reaches };
            // The others have reached the server too.
            judged = judged.and(self.enter((index, entry.term), entry.command, told));
            prev_term = entry.term;
        }
        judged
    }

    fn enter(&mut self, (index, term): (u64, u64), command: Command, told: Told) -> Judged {
        let Told { server, event, prev_term, reaches } = told;
        let new = Known { term, command, prev_term, event, reached: 0 };
        let is_first = self.first.get(index).is_none_or(|first| first.term == term);
        let known = if is_first {
            self.first.get_or_insert(index, new)
        } else {
            Some(self.others.entry((index, term)).or_insert(new))
        };
        let Some(known) = known else { return Ok(()) };
        known.reached |= reaches;
        if known.command != command {
            return RULE.broken(
                format!(
                    "server {server} has {command} as entry {index} of term {term}, but that entry is {}",
                    known.command
                ),
                [known.event],
            );
        }
        match (known.prev_term, prev_term) {
            (Some(before), Some(now)) if before != now => RULE.broken(
                format!(
                    "server {server} has an entry of term {now} before entry {index} of term {term}, but the entry \
                     before that one is of term {before}"
                ),
                [known.event],
            ),
            (None, Some(_)) => {
                known.prev_term = prev_term;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Who has an entry, and shows it with which event; what it tells of it, and whom it reaches.
#[derive(Clone, Copy)]
struct Told {
    server: usize,
    event: Number,
    prev_term: Option<u64>,
    reaches: u64,
}

fn bit(server: usize) -> u64 {
    1 << server
}

/// An entry is older than the one before it, or newer than the term it is sent in.
fn misplaced(server: usize, index: u64, term: u64, prev_term: u64, sent_in: u64) -> Judged {
    let (than, other) = if term < prev_term {
        ("older than the one before it, of term", prev_term)
    } else {
        ("newer than the term it is sent in,", sent_in)
    };
    RULE.broken(format!("server {server} sends entry {index} of term {term}, {than} {other}"), [])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::script::Script;

    #[test]
    fn two_commands_at_one_index_and_term_are_an_error() {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.append(0, 1, 4, (0, 0), &[(4, "a")], 0);
        s.append(0, 2, 4, (0, 0), &[(4, "b")], 0);
        s.objects(&RULE, "server 0 has `b` as entry 1 of term 4, but that entry is `a`");
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.accept(0, (1, 4), "a");
        s.accept(0, (1, 4), "b");
        s.objects(&RULE, "has `b` as entry 1");
    }

    #[test]
    fn two_pasts_of_one_entry_are_an_error() {
        let mut s = Script::new(3);
        s.elect(0, 4, (1, 3));
        s.append(0, 1, 4, (1, 3), &[(4, "b")], 0);
        s.append(0, 2, 4, (1, 2), &[(4, "b")], 0);
        s.objects(&RULE, "an entry of term 2 before entry 2 of term 4");
    }

    #[test]
    fn terms_that_decrease_or_come_from_the_future_are_an_error() {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.append(0, 1, 4, (0, 0), &[(3, "a"), (2, "b")], 0);
        s.objects(&RULE, "entry 2 of term 2, older than the one before it, of term 3");
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.append(0, 1, 4, (0, 0), &[(5, "a")], 0);
        s.objects(&RULE, "newer than the term it is sent in, 4");
    }

    #[test]
    fn entries_of_other_terms_repeats_and_overlaps_are_none() {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.accept(0, (1, 4), "a");
        s.append(0, 1, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        s.append(0, 2, 4, (1, 4), &[(4, "b")], 0);
        s.restart(0);
        s.elect(2, 5, (0, 0));
        s.append(2, 1, 5, (0, 0), &[(5, "c")], 0);
        s.is_silent();
    }

    #[test]
    fn before_the_first_entry_any_term_may_be_named() {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.append(0, 1, 4, (0, 0), &[(4, "a")], 0);
        s.append(0, 2, 4, (0, 1), &[(4, "a")], 0);
        s.is_silent();
    }

    #[test]
    fn what_stands_before_the_first_entry_may_have_any_term() {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.replicate(0, 1, 4, (0, 9), &[(4, "a")], 0);
        s.is_silent();
    }
}

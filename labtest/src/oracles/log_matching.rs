//! **Log Matching.** "If two logs contain an entry with the same index and term, then the logs are identical in all
//! entries up through the given index" (figure 3; section 5.3).
//!
//! Why it accuses nobody who is right: an entry is made once, by the leader of its term, which never makes another at its
//! index, and its past never changes: so index and term name one command and one predecessor for ever, in every message
//! of every server, however old. A leader's saving its entries late changes nothing: after its crash it never leads that
//! term again. That terms never decrease along a log, and no entry is newer than who sends it, follows from the same.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry::{Occupied, Vacant};

use super::{Judged, Rule};
use crate::events::{Command, Content, Event, Number, What};

pub(crate) const RULE: Rule = Rule {
    id: "log-matching",
    says: "an index and a term name one entry, with one command and one past, in every log",
    paper: "section 5.3; figure 3, Log Matching",
};

#[derive(Default)]
pub(crate) struct LogMatching {
    /// By index and term.
    entries: BTreeMap<(u64, u64), Known>,
}

/// What is known of an entry.
struct Known {
    command: Command,
    /// The term of the entry before it, if that was told.
    prev_term: Option<u64>,
    event: Number,
}

impl LogMatching {
    /// The command of an entry.
    pub(crate) fn command(&self, index: u64, term: u64) -> Option<Command> {
        self.entries.get(&(index, term)).map(|known| known.command)
    }

    /// The term of the entry before an entry.
    pub(crate) fn prev_term(&self, index: u64, term: u64) -> Option<u64> {
        self.entries.get(&(index, term))?.prev_term
    }

    pub(crate) fn see(&mut self, event: &Event) -> Judged {
        if let What::Accept { life, index, term, command, .. } = event.what {
            return self.enter(event.number, life.server, (index, term), command, None);
        }
        let Some(arrival) = event.arrival() else { return Ok(()) };
        let Content::AppendEntries(append) = arrival.request else { return Ok(()) };
        let server = arrival.from.server;
        let mut prev_term = append.prev_log_term;
        for (index, entry) in append.indexed() {
            if entry.term < prev_term || entry.term > append.term {
                let (than, term) = if entry.term < prev_term {
                    ("older than the one before it, of term", prev_term)
                } else {
                    ("newer than the term it is sent in,", append.term)
                };
                return RULE.broken(
                    format!("server {server} sends entry {index} of term {}, {than} {term}", entry.term),
                    [],
                );
            }
            // Before the first entry there is none, whatever term one may give it.
            let past = if index == 1 { 0 } else { prev_term };
            self.enter(event.number, server, (index, entry.term), entry.command, Some(past))?;
            prev_term = entry.term;
        }
        Ok(())
    }

    fn enter(
        &mut self,
        event: Number,
        server: usize,
        (index, term): (u64, u64),
        command: Command,
        prev_term: Option<u64>,
    ) -> Judged {
        let known = match self.entries.entry((index, term)) {
            Vacant(vacant) => {
                vacant.insert(Known { command, prev_term, event });
                return Ok(());
            }
            Occupied(occupied) => occupied.into_mut(),
        };
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
}

//! **Leader Append-Only.** "A leader never overwrites or deletes entries in its log; it only appends new entries" (figure
//! 3; section 5.3).
//!
//! Why it accuses nobody who is right: within one term, a leader has at an index one entry, from its election on: each of
//! its messages of that term, in whatever order they come, shows the same one. Snapshots name the entry that was there.

use std::collections::BTreeMap;

use super::by_index::ByIndex;
use super::{Judged, Rule};
use crate::events::{Content, Number, Seen};

pub(crate) const RULE: Rule = Rule {
    id: "leader-append-only",
    says: "a leader never overwrites or deletes entries in its log; it only appends new ones",
    paper: "section 5.3; figure 3, Leader Append-Only",
};

#[derive(Default)]
pub(crate) struct AppendOnly {
    /// By term: the log of its leader, as far as it was shown.
    reigns: BTreeMap<u64, ByIndex<Shown>>,
}

/// An entry of a leader's log.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) term: u64,
    pub(crate) event: Number,
}

impl AppendOnly {
    /// The last entry up to `index` of which the leader of `term` has shown the term.
    pub(crate) fn last_shown(&self, term: u64, index: u64) -> Option<(u64, Shown)> {
        self.reigns.get(&term)?.last_up_to(index).map(|(index, shown)| (index, *shown))
    }

    /// The entries at `index` in the logs of leaders of later terms, with these terms.
    pub(crate) fn later(&self, term: u64, index: u64) -> impl Iterator<Item = (u64, Shown)> {
        self.reigns
            .range(term.saturating_add(1)..)
            .filter_map(move |(&term, log)| Some((term, *log.get(index)?)))
    }

    pub(crate) fn see(&mut self, seen: &Seen<'_>) -> Judged {
        let Some(arrival) = seen.arrival else { return Ok(()) };
        let server = arrival.from.server;
        match arrival.request {
            Content::AppendEntries(append) => {
                let log = self.reigns.entry(append.term).or_default();
                if append.prev_log_index > 0 {
                    let prev = (append.prev_log_index, append.prev_log_term);
                    show(log, seen.number, server, append.term, prev)?;
                }
                for (index, entry) in append.indexed() {
                    show(log, seen.number, server, append.term, (index, entry.term))?;
                }
                Ok(())
            }
            Content::InstallSnapshot(install) => {
                let log = self.reigns.entry(install.term).or_default();
                let last = (install.last_included_index, install.last_included_term);
                show(log, seen.number, server, install.term, last)
            }
            _ => Ok(()),
        }
    }
}

fn show(
    log: &mut ByIndex<Shown>,
    event: Number,
    leader: usize,
    reign: u64,
    (index, term): (u64, u64),
) -> Judged {
    let Some(&mut shown) = log.get_or_insert(index, Shown { term, event }) else { return Ok(()) };
    if shown.term != term {
        return RULE.broken(
            format!(
                "server {leader}, leader of term {reign}, has an entry of term {term} at index {index}, but had one of \
                 term {} there in the same reign",
                shown.term
            ),
            [shown.event],
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::script::Script;

    #[test]
    fn another_entry_in_the_same_reign_is_an_error() {
        let mut s = Script::new(3);
        s.elect(0, 4, (2, 3));
        s.append(0, 1, 4, (2, 3), &[], 0);
        s.append(0, 2, 4, (1, 2), &[(2, "b")], 0);
        s.objects(&RULE, "has an entry of term 2 at index 2, but had one of term 3 there");
    }

    #[test]
    fn a_snapshot_with_another_term_is_an_error() {
        let mut s = Script::new(3);
        s.elect(0, 4, (2, 3));
        s.append(0, 1, 4, (2, 3), &[], 0);
        s.snapshot(0, 2, 4, (2, 2));
        s.objects(&RULE, "an entry of term 2 at index 2");
    }

    #[test]
    fn old_and_new_messages_of_a_reign_agree() {
        let mut s = Script::new(3);
        s.elect(0, 4, (2, 3));
        let old = s.send_append(0, 1, 4, (2, 3), &[], 0);
        s.append(0, 2, 4, (2, 3), &[(4, "c"), (4, "d")], 0);
        s.arrive(old);
        s.append(0, 2, 4, (3, 4), &[(4, "d")], 0);
        s.append(0, 2, 4, (0, 0), &[(3, "a"), (3, "b")], 0);
        s.is_silent();
    }
}

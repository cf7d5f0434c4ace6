//! **Leader Completeness.** "If a log entry is committed in a given term, then that entry will be present in the logs of
//! the leaders for all higher-numbered terms" (figure 3; section 5.4.3). And what is committed never changes.
//!
//! What is committed is read from leaders: a leader of term T that sends leader_commit N has its log committed up to N, in
//! T or before; and what lies before an entry is known from all that was ever sent (Log Matching).
//!
//! Why it accuses nobody who is right: the sentence knows no time. Whichever message comes first, the log of a leader of a
//! later term has every entry that is committed in T, from the moment of its candidacy on. A deposed leader that goes on
//! is of an earlier term, and nothing is asked of it.

use std::collections::BTreeMap;

use super::append_only::{AppendOnly, Shown};
use super::by_index::ByIndex;
use super::log_matching::LogMatching;
use super::{Judged, Rule};
use crate::events::{Content, Number, Seen, What};

/// The rule.
pub const RULE: Rule = Rule {
    id: "leader-completeness",
    says: "an entry that is committed in a term is in the log of every leader of a later term",
    paper: "section 5.4; figure 3, Leader Completeness",
};

#[derive(Default)]
pub(crate) struct LeaderCompleteness {
    /// By index.
    committed: ByIndex<Committed>,
    /// By term and candidate: how the candidate's log ended (index, term), and the event that told it.
    candidates: BTreeMap<(u64, usize), (u64, u64, Number)>,
    /// By term: its leader.
    leaders: BTreeMap<u64, usize>,
}

/// An entry that a leader said is committed.
#[derive(Clone, Copy)]
struct Committed {
    term: u64,
    /// The lowest term in which a leader said so.
    by: u64,
    event: Number,
}

impl LeaderCompleteness {
    /// The term of the committed entry at `index`, and the event that showed it.
    pub(crate) fn committed(&self, index: u64) -> Option<(u64, Number)> {
        self.committed.get(index).map(|committed| (committed.term, committed.event))
    }

    pub(crate) fn see(&mut self, seen: &Seen<'_>, log: &LogMatching, reigns: &AppendOnly) -> Judged {
        if let Some((life, term)) = seen.leads {
            if self.leaders.insert(term, life.server).is_none() {
                self.takes_office(life.server, term)?;
            }
        }
        if let What::Crash { life, .. } = *seen.what {
            // It may have asked before its term was saved, and stand in that term again with another log.
            let Self { candidates, leaders, .. } = self;
            candidates
                .retain(|(term, server), _| *server != life.server || leaders.get(term) == Some(server));
        }
        let Some(arrival) = seen.arrival else { return Ok(()) };
        let server = arrival.from.server;
        match arrival.request {
            Content::RequestVote(asked) if arrival.sender_lives => {
                let ends = (asked.last_log_index, asked.last_log_term, seen.number);
                self.candidates.entry((asked.term, server)).or_insert(ends);
                Ok(())
            }
            Content::AppendEntries(append) => {
                if append.prev_log_index > 0 {
                    self.has(server, append.term, append.prev_log_index, append.prev_log_term)?;
                }
                for (index, entry) in append.indexed() {
                    self.has(server, append.term, index, entry.term)?;
                }
                match reigns.last_shown(append.term, append.leader_commit) {
                    Some((index, shown)) => {
                        self.commits(seen.number, append.term, (index, shown.term), log, reigns)
                    }
                    None => Ok(()),
                }
            }
            Content::InstallSnapshot(install) => {
                let last = (install.last_included_index, install.last_included_term);
                self.has(server, install.term, last.0, last.1)?;
                self.commits(seen.number, install.term, last, log, reigns)
            }
            _ => Ok(()),
        }
    }

    /// The leader of a term has this entry.
    fn has(&self, leader: usize, reign: u64, index: u64, term: u64) -> Judged {
        match self.committed.get(index) {
            Some(committed) if committed.by < reign && committed.term != term => {
                differs(leader, reign, index, term, *committed)
            }
            _ => Ok(()),
        }
    }

    /// A candidate leads, with the log it told of.
    fn takes_office(&self, server: usize, term: u64) -> Judged {
        let Some(&(last, last_term, event)) = self.candidates.get(&(term, server)) else { return Ok(()) };
        let before = self.committed.iter().rev().find(|(_, committed)| committed.by < term);
        if let Some((index, &committed)) = before {
            if last < index {
                return lacks(server, term, (last, last_term, event), index, committed);
            }
        }
        self.has(server, term, last, last_term)
    }

    /// The log of the leader of `reign` is committed up to the entry at `index`, of `term`.
    fn commits(
        &mut self,
        event: Number,
        reign: u64,
        (mut index, mut term): (u64, u64),
        log: &LogMatching,
        reigns: &AppendOnly,
    ) -> Judged {
        let top = index;
        while index > 0 {
            if let Some(committed) = self.committed.get_mut(index) {
                if committed.term != term {
                    return RULE.broken(
                        format!(
                            "the leader of term {reign} says that entry {index} of term {term} is committed, but entry \
                             {index} of term {} was said to be committed in term {}",
                            committed.term, committed.by
                        ),
                        [committed.event],
                    );
                }
                if committed.by <= reign {
                    break;
                }
                committed.by = reign;
            } else {
                let committed = Committed { term, by: reign, event };
                if self.committed.get_or_insert(index, committed).is_none() {
                    return Ok(());
                }
                for (later, shown) in reigns.later(reign, index) {
                    if shown.term != term {
                        let leader = self.leaders.get(&later).copied().unwrap_or_default();
                        let Shown { term, .. } = shown;
                        return differs(leader, later, index, term, committed);
                    }
                }
            }
            let Some(prev_term) = log.prev_term(index, term) else { break };
            (index, term) = (index - 1, prev_term);
        }
        let Some(&committed) = self.committed.get(top) else { return Ok(()) };
        // Leaders of later terms whose logs ended before it.
        for (&later, &leader) in self.leaders.range(reign.saturating_add(1)..) {
            if let Some(&ends) = self.candidates.get(&(later, leader)).filter(|ends| ends.0 < top) {
                return lacks(leader, later, ends, top, committed);
            }
        }
        Ok(())
    }
}

fn differs(leader: usize, reign: u64, index: u64, term: u64, committed: Committed) -> Judged {
    RULE.broken(
        format!(
            "server {leader}, leader of term {reign}, has entry {index} of term {term}, but entry {index} of term {} was \
             committed in term {}",
            committed.term, committed.by
        ),
        [committed.event],
    )
}

fn lacks(
    leader: usize,
    reign: u64,
    (last, last_term, event): (u64, u64, Number),
    index: u64,
    committed: Committed,
) -> Judged {
    RULE.broken(
        format!(
            "server {leader} leads term {reign} with a log that ended with entry {last} of term {last_term}: it lacks \
             entry {index} of term {}, which was committed in term {}",
            committed.term, committed.by
        ),
        [event, committed.event],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::script::Script;

    /// Server 0 of five leads term 4 and has entries 1 and 2 committed; server 3 and 4 have nothing.
    fn committed() -> Script {
        let mut s = Script::new(5);
        s.elect(0, 4, (0, 0));
        for follower in [1, 2] {
            s.replicate(0, follower, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        }
        s.append(0, 1, 4, (2, 4), &[], 2);
        s
    }

    #[test]
    fn a_leader_with_another_entry_is_an_error() {
        let mut s = committed();
        // It did not say how its log ended.
        s.opaque(4, 3);
        s.append(3, 4, 5, (1, 3), &[], 0);
        s.objects(
            &RULE,
            "server 3, leader of term 5, has entry 1 of term 3, but entry 1 of term 4 was committed",
        );
    }

    /// Server 1 leads term 5 and reaches server 2 with it, of whose log no more is known then; server 3 is elected for
    /// term 6, with a log that ends with entry 1.
    fn worse_leader(s: &mut Script) {
        s.elect(1, 5, (2, 4));
        s.append(1, 2, 5, (2, 4), &[], 0);
        s.votes(3, 2, 6, (1, 4), true);
        s.votes(3, 4, 6, (1, 4), true);
    }

    #[test]
    fn a_leader_with_a_shorter_log_is_an_error() {
        let mut s = committed();
        worse_leader(&mut s);
        s.is_silent();
        s.append(3, 4, 6, (1, 4), &[], 0);
        s.objects(
            &RULE,
            "server 3 leads term 6 with a log that ended with entry 1 of term 4: it lacks entry 2",
        );
    }

    #[test]
    fn a_leader_that_lacks_what_turns_out_to_be_committed_is_an_error() {
        let mut s = Script::new(5);
        s.elect(0, 4, (0, 0));
        for follower in [1, 2] {
            s.replicate(0, follower, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        }
        let late = s.send_append(0, 1, 4, (2, 4), &[], 2);
        worse_leader(&mut s);
        s.append(3, 4, 6, (1, 4), &[], 0);
        s.is_silent();
        s.arrive(late);
        s.objects(&RULE, "it lacks entry 2 of term 4, which was committed in term 4");
    }

    #[test]
    fn a_deposed_leader_that_goes_on_is_none() {
        let mut s = committed();
        s.elect(1, 5, (2, 4));
        s.replicate(1, 2, 5, (2, 4), &[(5, "c")], 2);
        s.replicate(1, 3, 5, (0, 0), &[(4, "a"), (4, "b"), (5, "c")], 2);
        s.append(1, 2, 5, (3, 5), &[], 3);
        s.append(0, 4, 4, (2, 4), &[(4, "x")], 2);
        s.is_silent();
    }

    #[test]
    fn who_asked_before_its_term_was_saved_may_stand_in_it_again_after_a_crash() {
        let mut s = Script::new(5);
        s.elect(0, 4, (0, 0));
        s.replicate(0, 1, 4, (0, 0), &[(4, "a")], 0);
        s.ask_and_arrive(1, 4, 5, (1, 4));
        s.restart(1);
        s.replicate(0, 1, 4, (1, 4), &[(4, "b")], 0);
        s.replicate(0, 2, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        s.replicate(0, 1, 4, (2, 4), &[], 2);
        s.votes(1, 2, 5, (2, 4), true);
        s.votes(1, 3, 5, (2, 4), true);
        s.append(1, 2, 5, (2, 4), &[], 2);
        s.is_silent();
    }
}

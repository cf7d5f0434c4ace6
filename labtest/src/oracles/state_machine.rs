//! **State Machine Safety.** "If a server has applied a log entry at a given index to its state machine, no other server
//! will ever apply a different log entry for the same index" (figure 3; section 5.4.3).
//!
//! The record of what was applied holds servers against each other. This oracle holds each against the log: the entry
//! that a leader has said is committed at an index is the one that is applied there.
//!
//! Why it accuses nobody who is right: what is committed at an index is one entry for ever (Leader Completeness), and an
//! entry is one command (Log Matching).

use super::leader_completeness::LeaderCompleteness;
use super::log_matching::LogMatching;
use super::{Judged, Rule};
use crate::events::{Seen, What};

/// The rule.
pub const RULE: Rule = Rule {
    id: "state-machine-safety",
    says: "what is applied at an index is the entry committed there, on every server",
    paper: "section 5.4.3; figure 3, State Machine Safety",
};

pub(crate) fn see(seen: &Seen<'_>, log: &LogMatching, completeness: &LeaderCompleteness) -> Judged {
    match *seen.what {
        What::Apply { life, index, command } => {
            let Some((term, committed)) = completeness.committed(index) else { return Ok(()) };
            match log.command(index, term) {
                Some(agreed) if agreed != command => RULE.broken(
                    format!(
                        "server {} applied {command} at index {index}, but what was committed there is {agreed}, of \
                         term {term}",
                        life.server
                    ),
                    [committed],
                ),
                _ => Ok(()),
            }
        }
        What::ApplySnapshot { life, index, term } => match completeness.committed(index) {
            Some((committed, event)) if committed != term => RULE.broken(
                format!(
                    "server {} applied a snapshot up to index {index} of term {term}, but the entry committed there is \
                     of term {committed}",
                    life.server
                ),
                [event],
            ),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::script::Script;

    fn committed() -> Script {
        let mut s = Script::new(3);
        s.elect(0, 4, (0, 0));
        s.replicate(0, 1, 4, (0, 0), &[(4, "a"), (4, "b")], 0);
        s.replicate(0, 1, 4, (2, 4), &[], 2);
        s
    }

    #[test]
    fn another_command_than_the_committed_one_is_an_error() {
        let mut s = committed();
        s.apply(1, 1, "a");
        s.apply(1, 2, "x");
        s.objects(&RULE, "server 1 applied `x` at index 2, but what was committed there is `b`, of term 4");
    }

    #[test]
    fn a_snapshot_of_another_term_is_an_error() {
        let mut s = committed();
        s.apply_snapshot(1, (2, 3));
        s.objects(&RULE, "a snapshot up to index 2 of term 3");
    }

    #[test]
    fn what_was_committed_may_be_applied() {
        let mut s = committed();
        s.apply(0, 1, "a");
        s.apply_snapshot(1, (2, 4));
        s.is_silent();
    }
}

//! **Election Safety.** "At most one leader can be elected in a given term" (figure 3; section 5.2).
//!
//! Why it accuses nobody who is right: who sends AppendEntries or InstallSnapshot of a term, accepts a command in it, or
//! says that it leads it, led it at some time; and a term has one leader for ever, whenever the message was built.

use std::collections::BTreeMap;

use super::{Judged, Rule};
use crate::events::{Number, Seen};

/// The rule.
pub const RULE: Rule = Rule {
    id: "one-leader-per-term",
    says: "at most one leader can be elected in a given term",
    paper: "section 5.2; figure 3, Election Safety",
};

#[derive(Default)]
pub(crate) struct OneLeader {
    /// Per term, who led it and the event that showed it first.
    leaders: BTreeMap<u64, (usize, Number)>,
}

impl OneLeader {
    pub(crate) fn see(&mut self, seen: &Seen<'_>) -> Judged {
        let Some((life, term)) = seen.leads else { return Ok(()) };
        let &mut (leader, shown) = self.leaders.entry(term).or_insert((life.server, seen.number));
        if leader != life.server {
            return RULE
                .broken(format!("servers {leader} and {} both lead term {term}", life.server), [shown]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::script::Script;

    /// Server 0 leads term 4 with the votes of 1 and 2 of five.
    fn led_by_server_0() -> Script {
        let mut s = Script::new(5);
        s.votes(0, 1, 4, (0, 0), true);
        s.votes(0, 2, 4, (0, 0), true);
        s.append(0, 1, 4, (0, 0), &[], 0);
        s
    }

    #[test]
    fn a_second_leader_by_its_messages_or_its_word_is_an_error() {
        for second in [
            |s: &mut Script| {
                s.append(3, 1, 4, (0, 0), &[], 0);
            },
            |s: &mut Script| {
                s.snapshot(3, 1, 4, (1, 1));
            },
            |s: &mut Script| s.state(3, 4, true),
            |s: &mut Script| s.accept(3, (1, 4), "a"),
        ] {
            // Of no rule but this: its votes came by messages that nobody knows.
            let mut s = led_by_server_0();
            s.opaque(4, 3);
            second(&mut s);
            s.objects(&RULE, "servers 0 and 3 both lead term 4");
        }
    }

    #[test]
    fn a_deposed_leader_that_goes_on_for_a_while_is_none() {
        let mut s = led_by_server_0();
        s.votes(3, 4, 5, (0, 0), true);
        s.votes(3, 2, 5, (0, 0), true);
        s.append(3, 2, 5, (0, 0), &[], 0);
        s.append(0, 1, 4, (0, 0), &[], 0);
        s.state(0, 4, true);
        s.state(3, 5, true);
        s.is_silent();
    }
}

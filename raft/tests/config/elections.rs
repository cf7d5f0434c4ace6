//! The record of who led which term, and whether an election was needless. Plain data: no thread, no clock.

use std::collections::BTreeMap;

use raft::State;

/// What servers have said about leaders. A method that finds a rule broken answers with the objection, in words.
#[derive(Default)]
pub(super) struct Elections {
    /// Per term, the server that led it.
    leaders: BTreeMap<u64, usize>,
    /// The term in which all servers were at the last look, one of them leading.
    settled: Option<u64>,
    /// The term to which a cluster without failures must keep.
    calm: Option<u64>,
    /// Whether the test has done anything that may rightly cause an election.
    disturbed: bool,
}

impl Elections {
    /// `server` says that it leads `term`, or has accepted a command as its leader.
    pub(super) fn leads(&mut self, server: usize, term: u64) -> Result<(), String> {
        let first = *self.leaders.entry(term).or_insert(server);
        if first == server {
            return Ok(());
        }
        Err(format!(
            "servers {first} and {server} both say that they led term {term}: at most one leader can be elected \
             in a given term (section 5.2; figure 3, Election Safety)"
        ))
    }

    /// From now on elections may be needed.
    pub(super) fn disturb(&mut self) {
        self.disturbed = true;
    }

    /// Whether a look at the servers may still tell what term they must keep to.
    pub(super) fn wants_look(&self) -> bool {
        !self.disturbed && self.calm.is_none()
    }

    /// A look at all servers. Two in a row that find them all in one term settle it: the first may come before
    /// the new leader's first heartbeat, when a rival may rightly time out.
    pub(super) fn look(&mut self, states: &[(usize, State)]) {
        if !self.wants_look() {
            return;
        }
        let leader = states.iter().find(|(_, state)| state.is_leader);
        let term = leader
            .map(|(_, leader)| leader.term)
            .filter(|&term| states.iter().all(|(_, state)| state.term == term));
        if term.is_some() && term == self.settled {
            self.calm = term;
        }
        self.settled = term;
    }

    /// The objection to `term`, the highest that a server is in, if it is newer than what was settled and
    /// nothing has failed.
    pub(super) fn needless(&self, term: u64) -> Option<String> {
        let calm = self.calm.filter(|&calm| !self.disturbed && calm < term)?;
        Some(format!(
            "the term went from {calm} to {term} although nothing failed: are heartbeats late, or election timeouts \
             too short?"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Servers in these terms, of which the first leads.
    fn led_by_the_first(terms: &[u64]) -> Vec<(usize, State)> {
        let state = |(server, &term)| (server, State { term, is_leader: server == 0 });
        terms.iter().enumerate().map(state).collect()
    }

    #[test]
    fn a_second_leader_of_one_term_is_an_error() {
        let mut elections = Elections::default();
        for (server, term) in [(0, 1), (2, 3), (0, 1), (0, 4), (1, 2)] {
            elections.leads(server, term).unwrap();
        }
        let objection = elections.leads(1, 3).unwrap_err();
        for part in ["servers 2 and 1", "led term 3", "section 5.2", "Election Safety"] {
            assert!(objection.contains(part), "{part:?} is missing in: {objection}");
        }
    }

    #[test]
    fn an_election_after_two_calm_looks_is_needless() {
        let mut elections = Elections::default();
        elections.look(&led_by_the_first(&[2, 2, 2]));
        elections.look(&led_by_the_first(&[2, 2, 2]));
        assert!(!elections.wants_look());
        assert_eq!(elections.needless(2), None);
        let objection = elections.needless(4).unwrap();
        assert!(objection.contains("from 2 to 4"), "{objection}");
        elections.disturb();
        assert_eq!(elections.needless(4), None);
    }

    #[test]
    fn an_election_before_the_term_has_settled_is_not_needless() {
        let leaderless = led_by_the_first(&[5, 2, 2])[1..].to_vec();
        for unsettled in [led_by_the_first(&[2, 1, 2]), led_by_the_first(&[1, 1, 1]), leaderless, vec![]] {
            let mut elections = Elections::default();
            elections.look(&led_by_the_first(&[2, 2, 2]));
            elections.look(&unsettled);
            elections.look(&led_by_the_first(&[2, 2, 2]));
            assert_eq!(elections.needless(3), None, "after {unsettled:?}");
        }
    }
}

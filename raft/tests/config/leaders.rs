//! Asking servers who leads, and in which term they are.

use std::time::Duration;

use labtest::{count, rules, servers};
use raft::State;

use super::Config;

impl Config {
    /// Waits until a connected server leads, and returns the one with the highest term. Fails if two lead the
    /// same term, or if there is no leader in about five seconds.
    #[track_caller]
    pub(crate) fn check_one_leader(&self) -> usize {
        for _ in 0..10 {
            self.sleep(Duration::from_millis(450 + self.random_below(100)));
            let states = self.connected_states();
            self.elections.lock().look(&states);
            let leaders = states.iter().filter(|(_, state)| state.is_leader);
            if let Some(&(leader, _)) = leaders.max_by_key(|(_, state)| state.term) {
                return leader;
            }
        }
        let connected: Vec<usize> = self.all().filter(|&server| self.is_connected(server)).collect();
        self.fail_under(&rules::NO_AGREEMENT, format!(
            "no leader was elected in about 5 s among the connected {}, a majority of {}: an election timeout must \
             start an election, and votes of a majority must win it (section 5.2)",
            servers(&connected),
            count(self.servers(), "server")
        ))
    }

    /// Waits until a connected server that is `wanted` leads, and a majority is in its term; `None` if `limit` passes. The leader and its term.
    pub(crate) fn wait_for_leader(
        &self,
        limit: Duration,
        wanted: impl Fn(usize) -> bool,
    ) -> Option<(usize, u64)> {
        self.wait_until_asked(limit, || {
            let states = self.connected_states();
            let leaders = states.iter().filter(|(server, state)| state.is_leader && wanted(*server));
            let &(leader, its) = leaders.max_by_key(|(_, state)| state.term)?;
            let followers = states.iter().filter(|(_, state)| state.term == its.term).count();
            (followers > self.servers() / 2).then_some((leader, its.term))
        })
    }

    /// Fails if any connected server claims to lead.
    #[track_caller]
    pub(crate) fn check_no_leader(&self) {
        for (server, state) in self.connected_states() {
            self.check_under(&rules::ELECTION_MAJORITY, !state.is_leader, || {
                format!(
                    "server {server} says it leads term {}, but too few servers are connected to elect it: it takes \
                     votes from a majority of all {} (section 5.2)",
                    state.term,
                    count(self.servers(), "server")
                )
            });
        }
    }

    /// The term on which all connected servers agree. Fails if they do not.
    #[track_caller]
    pub(crate) fn check_terms(&self) -> u64 {
        let mut seen: Option<(u64, usize)> = None;
        let states = self.connected_states();
        self.elections.lock().look(&states);
        for (server, state) in states {
            let (term, first) = *seen.get_or_insert((state.term, server));
            self.check_under(&rules::STEP_DOWN, term == state.term, || {
                format!(
                    "server {first} is in term {term} and server {server} in term {}, though all are connected and \
                     one leads: terms are exchanged whenever servers communicate (section 5.1)",
                    state.term
                )
            });
        }
        match seen {
            Some((term, _)) => term,
            None => self.fail("the test asks for the term of connected servers, but none is connected"),
        }
    }

    /// Whether every living server is in this term; the error names one that is not.
    #[track_caller]
    pub(crate) fn all_in_term(&self, term: u64) -> Result<(), String> {
        for server in self.all() {
            if let Some(state) = self.state(server).filter(|state| state.term != term) {
                return Err(format!("server {server} is in term {}, not {term}", state.term));
            }
        }
        Ok(())
    }

    /// What a server believes about itself; `None` if it is crashed. Fails if it claims a term that another has
    /// led.
    #[track_caller]
    pub(crate) fn state(&self, server: usize) -> Option<State> {
        let state = self.cluster.state(server)?;
        if state.is_leader {
            self.note_leader(server, state.term);
        }
        Some(state)
    }

    /// Fails if another server has led this term.
    #[track_caller]
    pub(super) fn note_leader(&self, server: usize, term: u64) {
        let noted = self.elections.lock().leads(server, term);
        if let Err(objection) = noted {
            self.fail_under(&rules::ONE_LEADER, objection);
        }
    }

    #[track_caller]
    pub(super) fn connected_states(&self) -> Vec<(usize, State)> {
        let mut states = Vec::new();
        for server in self.all().filter(|&server| self.is_connected(server)) {
            states.extend(self.state(server).map(|state| (server, state)));
        }
        states
    }
}

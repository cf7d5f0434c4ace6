//! Asking servers who leads, and in which term they are.

use std::time::Duration;

use labtest::{count, servers};
use raft::State;

use super::Config;

impl Config {
    /// Waits until a connected server leads, and returns the one with the highest term. Fails if two lead the
    /// same term, or if there is no leader in about five seconds.
    #[track_caller]
    pub(crate) fn check_one_leader(&self) -> usize {
        for _ in 0..10 {
            self.sleep(Duration::from_millis(450 + self.random_below(100)));
            let mut newest: Option<(u64, usize)> = None;
            let mut leaders: Vec<(u64, usize)> = Vec::new();
            for (server, state) in self.connected_states() {
                if state.is_leader {
                    if let Some(&(term, other)) = leaders.iter().find(|(term, _)| *term == state.term) {
                        self.fail(format!(
                            "servers {other} and {server} both say they lead term {term}: at most one leader can \
                             be elected in a given term (figure 3, Election Safety)"
                        ));
                    }
                    leaders.push((state.term, server));
                    newest = newest.max(Some((state.term, server)));
                }
            }
            if let Some((term, leader)) = newest {
                self.calm_leader(term);
                return leader;
            }
        }
        let connected: Vec<usize> = self.all().filter(|&server| self.is_connected(server)).collect();
        self.fail(format!(
            "no leader was elected in about 5 s among the connected {}, a majority of {}: an election timeout must \
             start an election, and votes of a majority must win it (section 5.2)",
            servers(&connected),
            count(self.servers(), "server")
        ))
    }

    /// Fails if any connected server claims to lead.
    #[track_caller]
    pub(crate) fn check_no_leader(&self) {
        for (server, state) in self.connected_states() {
            self.check(!state.is_leader, || {
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
        for (server, state) in self.connected_states() {
            let (term, first) = *seen.get_or_insert((state.term, server));
            self.check(term == state.term, || {
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

    /// Whether every living server is in this term.
    pub(crate) fn all_in_term(&self, term: u64) -> bool {
        self.all().filter_map(|server| self.cluster.state(server)).all(|state| state.term == term)
    }

    fn connected_states(&self) -> Vec<(usize, State)> {
        self.all()
            .filter(|&server| self.is_connected(server))
            .filter_map(|server| Some((server, self.cluster.state(server)?)))
            .collect()
    }
}

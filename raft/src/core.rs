//! The state of one server, as figure 2 lists it, and the rules that concern all roles.
//!
//! [`Core`] is plain data: its methods, spread by topic over `election`, `replication`, `snapshot`, `apply` and
//! `read_index`, are the paper's rules. They never block, send, save or read a clock. What they leave to be done they
//! leave in the state: [`Unsaved`] says what must reach the disk before the mutex is released.

use std::time::Instant;

use crate::log::Log;
use crate::progress::Progress;
use crate::read_index::Reads;

/// "At any given time each server is in one of three states: leader, follower, or candidate" (section 5.1).
#[derive(Debug)]
pub(crate) enum Role {
    Follower,
    /// `votes[i]`: peer `i` has granted its vote in this term. A set, so that a vote counts once.
    Candidate {
        votes: Vec<bool>,
    },
    /// `progress[i]`: what this leader knows of peer `i`, "reinitialized after election". Its reads end with it.
    Leader {
        progress: Vec<Progress>,
        reads: Reads,
    },
}

/// What a server remembers over a crash (figure 2, "Persistent state on all servers").
#[derive(Debug, Default)]
pub(crate) struct Persistent {
    pub(crate) current_term: u64,
    pub(crate) voted_for: Option<usize>,
    pub(crate) log: Log,
}

/// What has changed since the disk was last written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unsaved {
    /// `current_term` or `voted_for`.
    pub(crate) term_or_vote: bool,
    /// The log from this index on: entries were cut, appended or both.
    pub(crate) log_from: Option<u64>,
}

/// One server's state (figure 2, "State").
#[derive(Debug)]
pub(crate) struct Core {
    /// This server's position among the peers.
    pub(crate) me: usize,
    /// How many servers the cluster has, this one included.
    pub(crate) peer_count: usize,

    // "Persistent state on all servers: (Updated on stable storage before responding to RPCs)"
    /// "Latest term server has seen (initialized to 0 on first boot, increases monotonically)."
    pub(crate) current_term: u64,
    /// "candidateId that received vote in current term (or null if none)."
    pub(crate) voted_for: Option<usize>,
    /// "Log entries; each entry contains command for state machine, and term when entry was received by
    /// leader (first index is 1)."
    pub(crate) log: Log,

    // "Volatile state on all servers"
    /// "Index of highest log entry known to be committed."
    // invariant: log.snapshot_index() <= commit_index <= log.last_index(), and last_applied <= commit_index.
    // last_applied < log.snapshot_index() means that a snapshot from the leader waits for the applier.
    pub(crate) commit_index: u64,
    /// "Index of highest log entry applied to state machine": here, handed to the applier.
    pub(crate) last_applied: u64,

    pub(crate) role: Role,
    /// When a follower or candidate starts an election. Without meaning for a leader.
    pub(crate) election_deadline: Instant,
    pub(crate) unsaved: Unsaved,
    /// A leader has become follower: the election timer must run again, and the service be told.
    pub(crate) deposed: bool,
}

impl Core {
    /// A server that starts, or restarts with what its disk held: "when servers start up, they begin as
    /// followers" (section 5.2), and everything up to the snapshot counts as applied.
    pub(crate) fn new(me: usize, peer_count: usize, persistent: Persistent, now: Instant) -> Core {
        let Persistent { current_term, voted_for, log } = persistent;
        let mut core = Core {
            me,
            peer_count,
            current_term,
            voted_for,
            commit_index: log.snapshot_index(),
            last_applied: log.snapshot_index(),
            log,
            role: Role::Follower,
            election_deadline: now,
            unsaved: Unsaved::default(),
            deposed: false,
        };
        core.restart_election_timer(now);
        core
    }

    pub(crate) fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader { .. })
    }

    /// The positions of all servers but this one.
    pub(crate) fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let me = self.me;
        (0..self.peer_count).filter(move |&peer| peer != me)
    }

    /// The fewest servers that are more than half of the cluster.
    pub(crate) fn majority(&self) -> usize {
        self.peer_count / 2 + 1
    }

    /// "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to follower"
    /// (rules for all servers). Every rule that receives a term begins with this.
    pub(crate) fn observe_term(&mut self, term: u64, now: Instant) {
        if term > self.current_term {
            self.current_term = term;
            // "In current term": a vote belongs to the term it was given in, and only a new term frees it.
            self.voted_for = None;
            self.unsaved.term_or_vote = true;
            self.become_follower(now);
        }
    }

    /// Returns to following, in the current term.
    pub(crate) fn become_follower(&mut self, now: Instant) {
        if self.is_leader() {
            // Its own timer stood still while it led.
            self.restart_election_timer(now);
            self.deposed = true;
        }
        self.role = Role::Follower;
    }

    /// The log has changed from `index` on and must be saved from there.
    pub(crate) fn log_changed_from(&mut self, index: u64) {
        let from = self.unsaved.log_from.map_or(index, |earlier| earlier.min(index));
        self.unsaved.log_from = Some(from);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::messages::LogEntry;

    /// Server `me` of `peer_count` in `term`, with a log of entries of the given terms and command `x`.
    pub(crate) fn core(me: usize, peer_count: usize, term: u64, terms: &[u64]) -> Core {
        core_after(me, peer_count, term, (0, 0), terms)
    }

    /// The same, with a snapshot at `(index, term)` before the entries.
    pub(crate) fn core_after(
        me: usize,
        peer_count: usize,
        term: u64,
        snapshot: (u64, u64),
        terms: &[u64],
    ) -> Core {
        let mut log = Log::starting_after(snapshot.0, snapshot.1);
        terms.iter().for_each(|&term| {
            log.push(entry(term));
        });
        Core::new(me, peer_count, Persistent { current_term: term, voted_for: None, log }, Instant::now())
    }

    pub(crate) fn entry(term: u64) -> LogEntry {
        LogEntry { term, command: b"x".to_vec() }
    }

    /// The terms of the entries after the snapshot.
    pub(crate) fn terms(core: &Core) -> Vec<u64> {
        core.log.entries_from(core.log.snapshot_index() + 1).iter().map(|entry| entry.term).collect()
    }

    #[test]
    fn a_higher_term_is_adopted_and_frees_the_vote() {
        // Figure 2, rules for all servers, second rule.
        let mut core = core(0, 3, 4, &[]);
        core.voted_for = Some(0);
        core.role = Role::Candidate { votes: vec![true, false, false] };
        core.observe_term(6, Instant::now());
        assert!(matches!(core.role, Role::Follower));
        assert_eq!((core.current_term, core.voted_for), (6, None));
        assert!(core.unsaved.term_or_vote);
    }

    #[test]
    fn an_equal_or_lower_term_changes_nothing_and_keeps_the_vote() {
        let mut core = core(0, 3, 4, &[]);
        core.voted_for = Some(2);
        core.observe_term(4, Instant::now());
        core.observe_term(3, Instant::now());
        assert_eq!((core.current_term, core.voted_for), (4, Some(2)));
        assert_eq!(core.unsaved, Unsaved::default());
    }

    #[test]
    fn a_deposed_leader_starts_its_election_timer_again() {
        let now = Instant::now();
        let mut core = core(0, 3, 4, &[]);
        core.become_candidate(now).unwrap();
        core.become_leader(now);
        let later = now + Duration::from_secs(60);
        core.observe_term(9, later);
        assert!(core.deposed && core.election_deadline > later);
    }

    #[test]
    fn a_majority_is_more_than_half() {
        let sizes = [1, 2, 3, 4, 5, 6, 7].map(|n| core(0, n, 0, &[]).majority());
        assert_eq!(sizes, [1, 2, 2, 3, 3, 4, 4]);
    }

    #[test]
    fn a_restarted_server_counts_its_snapshot_as_applied_and_nothing_more() {
        // Figure 2, volatile state: commitIndex and lastApplied are not remembered.
        let core = core_after(1, 3, 7, (20, 5), &[5, 6, 7]);
        assert_eq!((core.commit_index, core.last_applied, core.log.last_index()), (20, 20, 23));
    }
}

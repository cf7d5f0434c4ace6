//! Oracles: they watch the stream of events of each run, and object as soon as it shows that a rule of Raft was
//! broken, whatever the test itself looks for.
//!
//! They read what every solution shows: the messages of figures 2 and 13, what is applied, and what servers say of
//! themselves. They must never accuse a correct solution, however it is built. What they rest on:
//!
//! - *A request tells how things were at some time before it arrives*, in the present life of its sender: a solution
//!   may build a message and send it much later, or send it again, while it has moved on. So nothing is concluded from
//!   the order in which requests are sent, only from things that once true are true for ever.
//! - *A reply tells how things were at some time between the start of its handler and its being sent.* Handlers run
//!   side by side, and their replies may leave in another order than the locks were taken.
//! - *What a server answers it must remember* over crashes (figure 2, "updated on stable storage before responding to
//!   RPCs"), if others may count on it: votes and acknowledgements. What it only says without being asked it need not
//!   have saved yet.
//! - *Messages that the paper does not know are opaque*: an own call may carry votes, entries or commit indexes, so
//!   that oracles which would need to know all of these make allowance for it. The given messages mean what the paper
//!   says, whatever fields are added: with one that could take that back, such as a mark of pre-votes, nothing could be
//!   said of any vote. The starter says so where the messages are.
//! - *A message between two servers whose sender crashed is not delivered*, except replies that were on their way.
//!
//! | file | rule |
//! |---|---|
//! | `one_vote` | a server votes for one candidate a term, over restarts |
//! | `terms` | a server's term never goes back; what was promised in a term is not forgotten |
//! | `stale_term` | nothing is granted or accepted for a term that is over |
//! | `one_leader` | at most one leader a term |
//! | `election_majority` | a leader has the votes of a majority, given in its own term |
//! | `held` | what a server acknowledged stays in its log; it votes only for logs as good as its own |
//! | `log_matching` | an index and a term name one entry with one past |
//! | `append_only` | a leader never changes its log but at the end |
//! | `consistency_check` | a follower accepts entries only after one that it has |
//! | `leader_completeness` | what is committed is in the log of every later leader |
//! | `commit_rule` | commit indexes rise by a majority for an entry of the leader's own term; applied is committed |
//! | `state_machine` | what is applied is what was committed |
//! | `snapshot_bounds` | a snapshot covers only what its sender has applied or received |

mod append_only;
mod by_index;
mod commit_rule;
mod consistency_check;
mod election_majority;
mod held;
mod leader_completeness;
mod log_matching;
mod off;
mod one_leader;
mod one_vote;
mod rule;
#[cfg(test)]
mod script;
mod snapshot_bounds;
mod stale_term;
mod state_machine;
mod terms;

pub use commit_rule::COMMIT;
pub use election_majority::RULE as ELECTION_MAJORITY;
pub use leader_completeness::RULE as LEADER_COMPLETENESS;
pub(crate) use off::{Off, VARIABLE};
pub use one_leader::RULE as ONE_LEADER;
pub use rule::{Judged, Objection, RULES, Rule};
pub use state_machine::RULE as STATE_MACHINE;

use crate::events::{Content, Event, Life};

/// All oracles, as they watch one cluster.
pub(crate) struct Oracles {
    one_vote: one_vote::OneVote,
    terms: terms::Terms,
    one_leader: one_leader::OneLeader,
    election_majority: election_majority::ElectionMajority,
    held: held::Held,
    log_matching: log_matching::LogMatching,
    append_only: append_only::AppendOnly,
    consistency_check: consistency_check::ConsistencyCheck,
    leader_completeness: leader_completeness::LeaderCompleteness,
    commit_rule: commit_rule::CommitRule,
    snapshot_bounds: snapshot_bounds::SnapshotBounds,
    /// Per server, the term that it showed last that it leads.
    leading: Vec<Option<u64>>,
    off: Off,
}

impl Oracles {
    /// For a cluster of so many servers; the rules that are `off` are not watched.
    pub(crate) fn new(servers: usize, off: Off) -> Oracles {
        assert!(servers <= 64, "the oracles watch clusters of at most 64 servers");
        Oracles {
            one_vote: Default::default(),
            terms: terms::Terms::new(servers),
            one_leader: Default::default(),
            election_majority: election_majority::ElectionMajority::new(servers),
            held: held::Held::new(servers),
            log_matching: Default::default(),
            append_only: Default::default(),
            consistency_check: consistency_check::ConsistencyCheck::new(servers),
            leader_completeness: Default::default(),
            commit_rule: commit_rule::CommitRule::new(servers),
            snapshot_bounds: snapshot_bounds::SnapshotBounds::new(servers),
            leading: vec![None; servers],
            off,
        }
    }

    /// Looks at the next event. Causes are asked about before consequences: a second vote before a second leader.
    pub(crate) fn see(&mut self, event: &Event) -> Judged {
        let mut seen = event.seen();
        if !seen.tells_something() {
            return Ok(());
        }
        if let (Some((_, _, Content::AppendEntries(_))), None) = (seen.sent, &seen.answer) {
            // Until it arrives it counts for this only; there are many.
            return self.off.pass(self.commit_rule.see(&seen));
        }
        // Once is enough.
        seen.leads = seen.leads.filter(|&leads| self.is_news(leads));
        let (seen, off) = (&seen, &self.off);
        off.pass(stale_term::see(seen, &self.terms))?;
        off.pass(self.one_vote.see(seen))?;
        off.pass(self.terms.see(seen))?;
        off.pass(self.election_majority.see(seen))?;
        off.pass(self.one_leader.see(seen))?;
        off.pass(self.held.see(seen))?;
        off.pass(self.consistency_check.see(seen, &self.log_matching))?;
        off.pass(self.log_matching.see(seen))?;
        off.pass(self.append_only.see(seen))?;
        off.pass(self.commit_rule.see(seen))?;
        off.pass(self.leader_completeness.see(seen, &self.log_matching, &self.append_only))?;
        off.pass(state_machine::see(seen, &self.log_matching, &self.leader_completeness))?;
        off.pass(self.snapshot_bounds.see(seen))
    }

    /// Whether somebody shows something else than the last time who leads.
    fn is_news(&mut self, (life, term): (Life, u64)) -> bool {
        let last = &mut self.leading[life.server];
        *last != Some(term) && {
            *last = Some(term);
            true
        }
    }
}
